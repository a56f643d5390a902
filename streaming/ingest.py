"""One micro-batch: rows in, one published generation out. This is the freshness path, so it does nothing else."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from streaming.arrivals import keys_of
from streaming.batch_plan import RAW
from streaming.history import Batch
from streaming.live_views import Segment
from streaming.messages import EVENT_TOPICS, REFERENCE
from streaming.reference import ReferenceFault, decode_reference
from streaming.segments import COLUMNS, DEAD, materialised

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from streaming.arrivals import Arrivals
    from streaming.batch_plan import BatchPlan
    from streaming.live_views import LiveViews, Offsets
    from streaming.read_ahead import Message
    from streaming.reference import ReferenceRows

log = logging.getLogger(__name__)


class BatchFailed(RuntimeError):
    """A batch could not be published; it comes again when the query is restarted."""


class Ingest:
    """Turns checked messages into segments. Called by one thread at a time."""

    def __init__(
        self,
        live: LiveViews,
        arrivals: Arrivals,
        plan: BatchPlan,
        room: Callable[[], bool] = lambda: True,
        ahead: Callable[[Mapping[int, int]], list[Message]] = lambda _: [],
    ) -> None:
        """Args:
        live: where batches are published.
        arrivals: memory of ids and times.
        plan: the planned statements of a batch.
        room: False while memory is full of rows that history does not have yet; batches then wait.
        ahead: reads the reference topic from the given offsets to its end (`streaming.read_ahead`).
        """
        self.live, self.arrivals, self.plan, self.room, self.ahead = live, arrivals, plan, room, ahead
        self.checkpoint: Path | None = None
        self.batches: deque[Batch] = deque()
        """Published and not yet in history."""
        self.ids: deque[tuple[int, np.ndarray]] = deque()
        """(generation, hashes of its ids) of the same batches."""
        self.seconds: deque[tuple[float, float, int]] = deque(maxlen=600)
        """(monotonic time, seconds, rows) of the last batches."""

    def process(self, batch: DataFrame, batch_id: int) -> None:
        """Publish one batch: `foreachBatch` of the streaming query.

        The batch is published whole or, when anything raises, not at all; the same messages then come again.

        Raises:
            BatchFailed: in few words; the cause goes to the log.
        """
        try:
            self._publish(batch, batch_id)
        except Exception as error:
            log.warning("batch %s is not published", batch_id, exc_info=error)
            # Spark searches the message with a regular expression that overflows its stack on a long trace.
            raise BatchFailed(f"{type(error).__name__}: {str(error)[:200]}") from None

    def _publish(self, batch: DataFrame, batch_id: int) -> None:
        while not self.room():
            time.sleep(0.2)
        start = time.monotonic()
        offsets = self._end_offsets(batch_id)
        newest = self.live.newest
        extra: list[Segment] = []
        reference = newest.reference
        if offsets.get(REFERENCE, {}) != newest.offsets.get(REFERENCE, {}):
            reference, extra = self._reference(batch, reference, newest.number + 1)
            reference = self._reference_ahead(reference, offsets[REFERENCE])
        self.plan.use(reference)
        messages = batch if batch.columns == [*RAW] else batch.select(*RAW)
        size = _messages(newest.offsets, offsets)
        segment, arrivals = self._segment(messages._jdf.queryExecution().toRdd(), size, newest.number + 1)
        places = [(topic, p) for topic in EVENT_TOPICS for p in offsets.get(topic, {})]
        self.arrivals.accept(arrivals, now=time.monotonic(), partitions=places)
        mark = self.arrivals.watermark
        counts = dict(newest.counts)
        for kind in arrivals.column("kind").to_pylist() + [DEAD] * sum(s.rows for s in extra):
            counts[kind] = counts.get(kind, 0) + 1
        merged = {**newest.offsets, **offsets}
        self.ids.append((segment.last, keys_of(arrivals)))
        self.batches.append(
            Batch(generation=segment.last, newest_us=mark.newest_us, watermark_us=mark.value_us, offsets=merged)
        )
        self.live.publish(
            [*extra, segment], offsets=merged, newest_us=mark.newest_us, watermark_us=mark.value_us,
            reference=reference, counts=counts, high_us=dict(mark.high_us), published_us=time.time_ns() // 1000,
        )  # fmt: skip
        self.seconds.append((time.monotonic(), time.monotonic() - start, arrivals.num_rows))

    def _segment(self, messages: Any, size: int, number: int) -> tuple[Segment, pa.Table]:
        """Build the segment; twice when it holds duplicates or late events, whose rows must not touch any state."""
        leaf, blocks, arrivals = self._build(messages, size)
        drops = self.arrivals.judge(arrivals)
        if drops is not None:
            blocks.unpersist(False)
            leaf, blocks, arrivals = self._build(messages, size, drops)
        newest_us = int(time.time() * 1e6)
        dead = sum(kind == DEAD for kind in arrivals.column("kind").to_pylist())
        segment = Segment(
            plan=leaf._jdf.queryExecution().logical(), free=lambda: blocks.unpersist(False), first=number, last=number,
            rows=arrivals.num_rows, dead=dead, annuls=sum(arrivals.column("annuls").to_pylist()),
            newest_ingest_us=newest_us,
        )  # fmt: skip
        return segment, arrivals

    def _build(self, messages: Any, size: int, drops: pa.Table | None = None) -> tuple[DataFrame, Any, pa.Table]:
        tail = self.live.newest.segments[-1].plan.rdd()
        leaf, blocks = materialised(self.plan.segment(messages, tail, size, drops))
        return leaf, blocks, self.plan.arrivals(blocks)

    def _reference(
        self, batch: DataFrame, reference: ReferenceRows, number: int
    ) -> tuple[ReferenceRows, list[Segment]]:
        """Take in the reference messages of a batch before its events, and keep those that cannot be used."""
        rows = batch.where(f"topic = '{REFERENCE}'").select(
            "partition", "offset", "timestamp", "key", "value", "headers"
        )
        changes, faults = [], []
        for row in sorted(rows.collect(), key=lambda r: (r["partition"], r["offset"])):
            try:
                raw, key = row["value"], row["key"]
                changes.append(
                    decode_reference(reference.views, key and bytes(key), None if raw is None else bytes(raw))
                )
            except ReferenceFault as fault:
                faults.append((row, fault))
        extra = [self._faults(batch.sparkSession, faults, number)] if faults else []
        return (reference.with_changes(changes) if changes else reference), extra

    def _reference_ahead(self, reference: ReferenceRows, begin: Mapping[int, int]) -> ReferenceRows:
        """Take in what follows on the reference topic; unusable messages are left to their own batch."""
        changes = []
        for key, raw in self.ahead(begin):
            with contextlib.suppress(ReferenceFault):
                changes.append(decode_reference(reference.views, key, raw))
        return reference.with_changes(changes) if changes else reference

    def _faults(self, session: SparkSession, faults: list[tuple[Any, ReferenceFault]], number: int) -> Segment:
        """A segment of dead letters of the reference topic."""
        values = []
        for row, fault in faults:
            producer = next((h["value"] for h in row["headers"] or () if h["key"] == "producer"), None)
            own = {
                "kind": DEAD, "topic": REFERENCE, "partition": row["partition"], "offset": row["offset"],
                "ingest_ts": row["timestamp"], "error_class": fault.error_class, "error_field": fault.field,
                "error_message": str(fault), "raw": row["value"], "tail": False,
                "producer": None if producer is None else bytes(producer).decode("utf-8", "replace"),
            }  # fmt: skip
            values.append(tuple(own.get(name) for name in COLUMNS))
        schema = ", ".join(f"`{name}` {kind}" for name, kind in COLUMNS.items())
        leaf, blocks = materialised(session.createDataFrame(values, schema))
        rows = leaf.count()
        return Segment(
            plan=leaf._jdf.queryExecution().logical(), free=lambda: blocks.unpersist(False), first=number, last=number,
            rows=rows, dead=rows, newest_ingest_us=int(time.time() * 1e6),
        )  # fmt: skip

    def _end_offsets(self, batch_id: int) -> Offsets:
        """Where the batch ends, from the query's own log, which is written before the batch runs."""
        if self.checkpoint is None:
            raise RuntimeError("the checkpoint folder of the running query is not known")
        text = (self.checkpoint / "offsets" / str(batch_id)).read_text(encoding="utf-8")
        raw = json.loads(text.splitlines()[-1])
        return {topic: {int(p): int(o) for p, o in parts.items()} for topic, parts in raw.items()}


def _messages(begin: Offsets, end: Offsets) -> int:
    """How many messages lie between two offset vectors, about: a partition that is new counts from 0."""
    return sum(to - begin.get(topic, {}).get(p, 0) for topic, parts in end.items() for p, to in parts.items())
