"""The two worlds that can be served: the live stream, and a directory of files."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from app.apply_verified import revalidate
from app.probe import ModelLook
from app.world import World
from streaming.catalogue import Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from app.settings import Settings
    from nlq.build import Parts
    from nlq.record import Record
    from streaming.connection import KafkaConnection
    from streaming.pipeline import LivePipeline
    from streaming.snapshot import SnapshotSource

log = logging.getLogger(__name__)
BROKER_COMES_S = 12.0
"""How long a start waits for a broker that is being started beside it."""
WITHOUT_BROKER_S = 3.0
"""How long a start waits for a broker that did not answer; reading begins by itself when it does."""


def directory_world(settings: Settings, directory: Path) -> World:
    """A world of files, without Kafka."""
    opened: list[Parts] = []

    def open_parts(_: Callable[[str], None]) -> Parts:
        parts = directory_parts(settings, directory, warm_up=False)
        opened.append(parts)
        return parts

    def clock() -> dict[str, Any]:
        if not opened:
            return {}
        with opened[-1].source.snapshot() as snapshot:  # of files this reads nothing but the declared time
            return {"as_of": snapshot.as_of.isoformat()}

    return World(
        Catalogue.load(directory), open_parts, name=directory.name, data=settings.data, stream_status=clock,
        when_ready=revalidate, model_state=ModelLook(settings),
    )  # fmt: skip


def directory_parts(
    settings: Settings, directory: Path, as_of: datetime | None = None, *, warm_up: bool = True
) -> Parts:
    """Parts over a directory, with a Spark session of their own and the record of these settings.

    Args:
        settings: where the record is, which model.
        directory: the world.
        as_of: its clock; None takes the one in `world.json`.
        warm_up: let the model read its instructions at once; a service does so when it is ready.

    Raises:
        streaming.catalogue.CatalogueError: the directory is not a world.
        nlq.record.RecordUnavailable: the record cannot be opened.
    """
    from streaming.directory import DirectorySource
    from streaming.session import build_session

    Catalogue.load(directory)  # a wrong directory should not cost a start of Spark
    jars = any(directory.glob("*/_delta_log"))
    spark = build_session("nlq-directory", jars=jars, driver_memory=settings.driver_memory)
    parts = _parts(settings, DirectorySource(directory, spark, as_of), warm_up=warm_up)
    parts.on_close.insert(0, partial(_stop, spark))
    return parts


def live_world(settings: Settings) -> World:
    """The world of the stream: Kafka, live views, history."""
    opened: list[LivePipeline] = []

    def open_parts(say: Callable[[str], None]) -> Parts:
        from streaming.pipeline import LivePipeline
        from streaming.session import build_session
        from streaming.settings import PipelineSettings

        if settings.kafka is None:
            raise ValueError("no broker is named; `nlq up` starts one, or set NLQ_KAFKA_BOOTSTRAP")
        say("starting Spark")
        # Spark's start is mostly waiting for one core of ours; the other loads what understanding a question needs.
        threading.Thread(target=_load_code, name="load-code", daemon=True).start()
        spark = build_session("nlq-live", driver_memory=settings.driver_memory)
        servers, ready = settings.kafka.bootstrap_servers, PipelineSettings()
        if _broker_comes(settings.kafka, say):
            say("opening the history and reading what is new on Kafka")
        else:
            say(f"no Kafka broker answers at {servers}; opening the history without it")
            ready = replace(ready, ready_within_s=WITHOUT_BROKER_S)
        pipeline = LivePipeline.start(spark, Catalogue.load(), settings.kafka, settings.data / "history", ready)
        opened.append(pipeline)
        say("loading what is known about words and names")
        parts = _parts(settings, pipeline, warm_up=False)
        pipeline.query_audit = lambda session: audit_frame(session, pipeline.catalogue, parts.record)
        parts.on_close[:0] = [partial(_stop, spark), pipeline.close]  # closed last: pipeline, then Spark
        return parts

    return World(
        Catalogue.load(),
        open_parts,
        name="live",
        data=settings.data,
        stream_status=lambda: stream_numbers(opened[-1].status()) if opened else {},
        when_ready=revalidate,
        model_state=ModelLook(settings),
    )


def _load_code() -> None:
    """Import ahead what `_parts` imports: the learnt parser's libraries alone take seconds."""
    for name in ("nlq.execute", "nlq.interpret", "nlq.record", "nlq.verified", "nlq.learn.parser", "retrieval.values"):
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whoever needs it imports it again and says what is wrong
            log.warning("%s could not be loaded ahead: %s", name, type(error).__name__)


def _broker_comes(connection: KafkaConnection, say: Callable[[str], None]) -> bool:
    """Whether the broker answers and has its topics; one that is just being started is waited for."""
    from streaming.freshness import broker_answers
    from streaming.topics import BrokerUnreachable, ensure_topics

    deadline = time.monotonic() + BROKER_COMES_S
    while not broker_answers(connection.bootstrap_servers):
        say(f"waiting for Kafka at {connection.bootstrap_servers}")
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)
    try:
        ensure_topics(connection, timeout_s=BROKER_COMES_S)
    except BrokerUnreachable as error:
        log.warning("%s", error)
        return False
    return True


def audit_frame(session: SparkSession, catalogue: Catalogue, record: Record) -> DataFrame:
    """The record of questions as the view `query_audit`."""
    rows = record.rows()
    if rows.num_rows == 0:
        return session.createDataFrame([], catalogue.spark_ddl("query_audit"))
    return session.createDataFrame(rows)


def stream_numbers(status: Mapping[str, Any]) -> dict[str, Any]:
    """The pipeline's status with the age of its newest event and plain values."""
    as_of = status.get("as_of")
    age = (datetime.now(UTC) - as_of).total_seconds() if isinstance(as_of, datetime) else None
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in status.items()}
    return {**plain, "age_s": None if age is None else round(age, 3)}


def _stop(spark: SparkSession) -> None:
    try:
        spark.stop()
    except Exception as error:  # noqa: BLE001 - the Java machine may be gone already, and then there is nothing to stop
        log.warning("Spark did not stop in order: %s", type(error).__name__)


def _parts(settings: Settings, source: SnapshotSource, *, warm_up: bool) -> Parts:
    from nlq.build import build_parts

    return build_parts(
        source,
        record_dir=settings.record_dir,
        record_settings=settings.record,
        llm=settings.llm,
        llm_token=settings.llm_token,
        llm_model=settings.llm_model,
        llm_ca_file=settings.llm_ca_file,
        threshold=settings.threshold,
        model_threads=settings.llm_threads,
        verified_dir=settings.data / "verified",
        warm_up=warm_up,
        purpose_views=settings.purpose_views,
    )
