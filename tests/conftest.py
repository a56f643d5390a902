"""Fixtures that every room's tests may use: one Spark session and one real broker for the whole run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nlq.model_server import ModelServer
from retrieval.models import ensure_model, language_model_path
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


@pytest.fixture(scope="session")
def embedding_model() -> Path:
    """Folder of the embedding model, fetched if need be."""
    return ensure_model("embedding")


@pytest.fixture(scope="session")
def language_model() -> Path:
    """The language model's file, fetched if need be (1.1 GB)."""
    if os.environ.get("NLQ_TEST_LANGUAGE_MODEL") == "off":
        pytest.skip("NLQ_TEST_LANGUAGE_MODEL=off: unset it to run this test with the 1.1 GB language model")
    ensure_model("language")
    return language_model_path()


@pytest.fixture(scope="session")
def model_server(language_model: Path) -> Iterator[ModelServer]:
    """The real language model on two threads; one server for the whole run."""
    with ModelServer(language_model, threads=2, context=4096) as server:
        yield server
