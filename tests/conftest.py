"""Fixtures that every room's tests may use: one Spark session and one real broker for the whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streaming.broker import Broker
from streaming.session import build_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The product's own session with Delta and the Kafka source; tests that set something use `spark.newSession()`."""
    session = build_session("tests", driver_memory="2g", scratch=tmp_path_factory.mktemp("spark"))
    yield session
    session.stop()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real Apache Kafka on ephemeral ports, without topics; each test makes topics of its own names."""
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running
