"""The event route, readable top to bottom: source → each batch: decode, check, enrich, publish; history beside it."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
import threading
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streaming.alerts import AlertStore
from streaming.arrivals import Arrivals
from streaming.batch_plan import BatchPlan
from streaming.connection import KafkaConnection
from streaming.detectors.runner import Runner
from streaming.freshness import broker_answers, end_offsets, instant, lag, percentile
from streaming.history import History
from streaming.ingest import Ingest
from streaming.live_views import Generation, LiveViews, Segment
from streaming.maintenance import Maintenance
from streaming.messages import EVENT_TOPICS, REFERENCE
from streaming.outbox import Outbox
from streaming.read_ahead import read_ahead
from streaming.reader import FACTS, Reader
from streaming.reference import ReferenceRows, ReferenceTable, reference_views
from streaming.segments import DDL, DEAD, materialised
from streaming.session import quiet_session
from streaming.settings import PipelineSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery

    from streaming.catalogue import Catalogue
    from streaming.snapshot import Snapshot

log = logging.getLogger(__name__)

TOPICS: Final = (*EVENT_TOPICS, REFERENCE)


def kafka_stream(spark: SparkSession, kafka: dict[str, str], offsets: str, settings: PipelineSettings) -> DataFrame:
    """The messages of all topics as they come; all work on them is done batch by batch (`batch_plan.py`)."""
    return (
        spark.readStream.format("kafka").options(**kafka).option("subscribe", ",".join(TOPICS))
        .option("startingOffsets", offsets).option("maxOffsetsPerTrigger", settings.max_batch_rows)
        .option("includeHeaders", "true").option("failOnDataLoss", "true").load()
    )  # fmt: skip


class LivePipeline:
    """A world that is fed from Kafka. Made by `start`; a `SnapshotSource`."""

    def __init__(
        self, spark: SparkSession, catalogue: Catalogue, connection: KafkaConnection, data_dir: Path,
        settings: PipelineSettings,
    ) -> None:  # fmt: skip
        """Open what is on disk; `start` is the way to use it."""
        self.spark, self.catalogue, self.connection, self.settings = spark, catalogue, connection, settings
        self._session = quiet_session(spark)
        copying = quiet_session(spark, copying=True)
        self.history = History(copying, data_dir, settings.duplicate_horizon)
        self._reference_table = ReferenceTable(self._session, data_dir)
        self._last = self.history.last_manifest()
        arrivals = Arrivals(settings.duplicate_horizon, int(settings.late_after_s * 1e6), settings.idle_after_s)
        self.live = LiveViews(self._restore(arrivals))
        plan = BatchPlan(self._session, largest_message=settings.largest_message, ahead_s=settings.ahead_s)
        self.ingest = Ingest(self.live, arrivals, plan, self._room, partial(read_ahead, connection))
        self._outbox = Outbox(connection)
        self._maintenance = Maintenance(
            copying, self.live, self.ingest, self.history, self._reference_table, settings,
            self._outbox.dead_letters, self._last,
        )  # fmt: skip
        alerts = AlertStore(self._session, catalogue.views["alerts"], data_dir)
        self._runner = Runner(alerts, self._outbox.alerts, data_dir / "state" / "detectors.json")
        self.reader = Reader(catalogue, self.live, self.ingest, self.history, self._reference_table, alerts)
        self._query: StreamingQuery | None = None
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._state, self._detail = "STARTING", "reading what is on the broker"
        self._faults: dict[str, str] = {}
        self._threads: list[threading.Thread] = []

    @classmethod
    def start(
        cls, spark: SparkSession, catalogue: Catalogue, bootstrap: str | KafkaConnection, data_dir: str | Path,
        settings: PipelineSettings | None = None,
    ) -> LivePipeline:  # fmt: skip
        """Begin where history ends and return once the views have caught up, or `ready_within_s` is over.

        Args:
            spark: session with Delta and the Kafka source (`streaming.session.build_session`).
            catalogue: the shipped one.
            bootstrap: broker addresses, or a connection with credentials. The topics must exist, or come to exist.
            data_dir: history and state; one pipeline at a time.
            settings: sizes and times.
        """
        connection = (
            bootstrap if isinstance(bootstrap, KafkaConnection) else KafkaConnection(bootstrap_servers=bootstrap)
        )
        pipeline = cls(spark, catalogue, connection, Path(data_dir), settings or PipelineSettings())
        for name, work in (
            ("ingest", pipeline._supervise), ("history", pipeline._maintain), ("detectors", pipeline._detect),
        ):  # fmt: skip
            thread = threading.Thread(target=work, name=f"pipeline-{name}", daemon=True)
            thread.start()
            pipeline._threads.append(thread)
        pipeline._ready.wait(pipeline.settings.ready_within_s)
        return pipeline

    # -- reading

    def snapshot(self, as_of: datetime | None = None) -> Snapshot:
        """Pin the newest views, or with `as_of` the views as they stood when that was the newest event.

        Raises:
            LookupError: nothing was in the views yet at that time.
        """
        return self.reader.snapshot(as_of, end_offsets(self._query) if as_of is None else {})

    def review_alert(self, alert_id: str, status: str, assigned_to: str | None = None) -> None:
        """Give an alert another status from the newest event on, and send it to the alerts topic again.

        Raises:
            KeyError: there is no such alert.
        """
        at = instant(self.live.newest.newest_us) or datetime.now(UTC)
        self.reader.alerts.review(alert_id, status, at, assigned_to)
        self._runner.announce(alert_id)

    @property
    def query_audit(self) -> Callable[[SparkSession], DataFrame] | None:
        """Opens the rows of the view `query_audit` in a session; None leaves the view empty."""
        return self.reader.query_audit

    @query_audit.setter
    def query_audit(self, opener: Callable[[SparkSession], DataFrame] | None) -> None:
        self.reader.query_audit = opener

    def status(self) -> dict[str, Any]:
        """How the stream is: state, what is wrong, lag, rates, freshness, watermark, dead letters."""
        newest, ends = self.live.newest, end_offsets(self._query)
        recent = [entry for entry in list(self.ingest.seconds) if entry[0] > time.monotonic() - 30]
        batch_s = [seconds for _, seconds, _ in recent]
        return {
            "state": self._state, "detail": self._detail, "faults": self._faults | self._runner.faults,
            "broker": self.connection.bootstrap_servers, "generation": newest.number,
            "as_of": instant(newest.newest_us), "watermark": instant(newest.watermark_us),
            "published": instant(newest.published_us), "lag": lag(newest.offsets, ends),
            "rows_per_s": sum(rows for _, _, rows in recent) / 30, "batch_s_p50": percentile(batch_s, 0.5),
            "batch_s_p95": percentile(batch_s, 0.95), "rows": dict(newest.counts),
            "dead_letters": newest.counts.get(DEAD, 0), "live_rows": sum(s.rows for s in newest.segments),
            "segments": len(newest.segments), "pinned": self.live.pinned,
            "history_version": self._maintenance.last.version if self._maintenance.last else None,
            "history_generation": self._maintenance.last.generation if self._maintenance.last else None,
            "maintenance_s": dict(self._maintenance.seconds),
        }  # fmt: skip

    def close(self) -> None:
        """Stop reading, write what is in memory to history, end the threads. The Spark session stays."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        with contextlib.suppress(Exception):
            self._maintenance.step()
        self._outbox.close()
        self._state, self._detail = "STOPPED", ""

    # -- starting from disk

    def _restore(self, arrivals: Arrivals) -> Generation:
        """The generation that history ends with; an empty one at the very first start."""
        views, last = reference_views(self.catalogue), self._last
        if last is None:
            tail = self._session.createDataFrame([], DDL)
            return Generation(number=0, segments=(self._seed(tail, 0),), offsets={}, newest_us=0, watermark_us=0,
                              reference=ReferenceRows(views, {}))  # fmt: skip
        self.history.reconcile(last)
        if last.reference_version is None:
            reference = ReferenceRows(views, {})
        else:
            reference = self._reference_table.load(views, last.reference_version)
        high_us = {(place.split("/")[0], int(place.split("/")[1])): us for place, us in last.high_us.items()}
        arrivals.watermark.value_us, arrivals.watermark.high_us = last.watermark_us, dict(high_us)
        arrivals.seen.add(self.history.recent_hashes(last))
        return Generation(
            number=last.generation, segments=(self._seed(self.history.state(last), last.generation),),
            offsets=last.offsets, newest_us=last.newest_us, watermark_us=last.watermark_us, reference=reference,
            base_version=last.version, base_newest_us=last.newest_us, base_annuls=last.annuls, high_us=high_us, counts=last.counts,
            published_us=time.time_ns() // 1000,
        )  # fmt: skip

    def _seed(self, tail: DataFrame, number: int) -> Segment:
        """A segment without events, only with the state that the first batch begins from."""
        columns = ("'W' AS kind" if c == "kind" else f"`{c}`" for c in tail.columns)
        rows = tail.where("tail").selectExpr(*columns).repartition(2, "symbol", "venue")
        leaf, blocks = materialised(rows)
        leaf.count()
        return Segment(plan=leaf._jdf.queryExecution().logical(), free=lambda: blocks.unpersist(False),
                       first=number, last=number, rows=0)  # fmt: skip

    # -- the threads

    def _room(self) -> bool:
        """Whether memory can take another batch."""
        waiting = sum(segment.rows for segment in self.live.newest.segments if not segment.sealed)
        return self._stop.is_set() or waiting <= self.settings.unwritten_rows

    def _supervise(self) -> None:
        """Keep one streaming query running; after a fault begin again where the views end."""
        self.spark.sparkContext.setLocalProperty("spark.scheduler.pool", "hot")
        pause = 0.5
        while not self._stop.is_set():
            try:
                if not broker_answers(self.connection.bootstrap_servers):
                    self._say("BROKER_DOWN", f"no Kafka broker answers at {self.connection.bootstrap_servers}")
                    self._stop.wait(1.0)
                    continue
                number = self.live.newest.number
                self._run_query()
                pause = 0.5 if self.live.newest.number > number else min(pause * 2, 10.0)
            except Exception as error:
                log.exception("the streaming query failed")
                reachable = broker_answers(self.connection.bootstrap_servers)
                self._say("RECOVERING" if reachable else "BROKER_DOWN", _brief(error))
                self._stop.wait(pause)
                pause = min(pause * 2, 10.0)

    def _run_query(self) -> None:
        checkpoint = Path(tempfile.mkdtemp(prefix="nlq-checkpoint-", dir=_scratch()))
        self.ingest.checkpoint = checkpoint
        offsets = self.live.newest.offsets
        starting = (
            json.dumps(_with_new_partitions(offsets, self.connection)) if offsets else self.settings.starting_offsets
        )
        frame = kafka_stream(self._session, self.connection.spark_options(), starting, self.settings)
        try:
            self._query = (
                frame.writeStream.foreachBatch(self.ingest.process)
                .trigger(processingTime=f"{self.settings.trigger_ms} milliseconds")
                .option("checkpointLocation", checkpoint.as_uri()).start()
            )  # fmt: skip
            self._watch(self._query)
        finally:
            if self._query is not None and self._query.isActive:
                _stop_between_batches(self._query)
            shutil.rmtree(checkpoint, ignore_errors=True)

    def _watch(self, query: StreamingQuery) -> None:
        """Wait for the query's end, and meanwhile tell whether the broker is there and the views have caught up."""
        while not self._stop.is_set():
            if query.awaitTermination(1 if self._ready.is_set() else 0.2):
                return
            if not broker_answers(self.connection.bootstrap_servers):
                self._say("BROKER_DOWN", f"no Kafka broker answers at {self.connection.bootstrap_servers}; "
                                         "answers are of the time shown, and ingestion goes on when it is back")  # fmt: skip
                continue
            ends = end_offsets(query)
            behind = lag(self.live.newest.offsets, ends)
            if not self._ready.is_set() and query.lastProgress is None:
                continue
            if behind > self.settings.max_batch_rows:
                self._say("CATCHING_UP", f"{behind} messages behind")
            else:
                self._say("RUNNING", "")
                self._ready.set()

    def _maintain(self) -> None:
        self.spark.sparkContext.setLocalProperty("spark.scheduler.pool", "history")
        while not self._stop.wait(0.25):
            try:
                self._maintenance.tick()
                self._faults.pop("history", None)
            except Exception as error:
                # The rows stay in memory and the step is tried again: a full disk must not stop the answers.
                log.exception("history is behind")
                self._faults["history"] = _brief(error)
                self._stop.wait(2.0)

    def _detect(self) -> None:
        self.spark.sparkContext.setLocalProperty("spark.scheduler.pool", "maintenance")
        session = quiet_session(self.spark)
        self._warm()
        while not self._stop.wait(self.settings.detect_every_s):
            try:
                if self._runner.due(instant(self.live.newest.watermark_us)):
                    with self.reader.pinned() as generation:
                        self._runner.run(lambda since: self.reader.look(generation, since, session))
                self._faults.pop("detectors", None)
            except Exception as error:
                log.exception("the detectors failed")
                self._faults["detectors"] = _brief(error)
                self._stop.wait(5.0)

    def _warm(self) -> None:
        """Ask each kind of view once: the first query of a shape costs a second more than all later ones."""
        try:
            with self.reader.snapshot(None, {}) as snapshot:
                for view in sorted(FACTS):
                    if self._stop.is_set():
                        return
                    snapshot.frame(view, self.spark.newSession()).limit(1).toArrow()
        except Exception as error:
            log.warning("warming up failed", exc_info=error)

    def _say(self, state: str, detail: str) -> None:
        self._state, self._detail = state, detail


def _with_new_partitions(offsets: dict[str, dict[int, int]], connection: KafkaConnection) -> dict[str, dict[str, int]]:
    """Offsets for every partition there is now: Spark wants them all, and new ones begin at their beginning."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(**connection.python_client())
    try:
        found = {topic: consumer.partitions_for_topic(topic) or set() for topic in TOPICS}
    finally:
        consumer.close()
    return {
        topic: {str(p): offsets.get(topic, {}).get(p, -2) for p in sorted(parts)}
        for topic, parts in found.items()
        if parts
    }


def _scratch() -> str | None:
    """Memory-backed folder where there is one: the checkpoint is not the truth and need not survive."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def _stop_between_batches(query: StreamingQuery, timeout_s: float = 30.0) -> None:
    """Stop when no batch runs: interrupting a batch inside its Python part can kill the stream thread."""
    deadline = time.monotonic() + timeout_s
    while query.isActive and query.status["isTriggerActive"] and time.monotonic() < deadline:
        time.sleep(0.02)
    query.stop()


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300] if str(error).strip() else ''}"
