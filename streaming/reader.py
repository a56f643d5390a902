"""Snapshots of the live pipeline: frames over a pinned generation, now or at an earlier moment."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streaming.detectors import Look
from streaming.freshness import ingest_rows, instant
from streaming.history import Batch
from streaming.live_views import rows_of
from streaming.reference import reference_views
from streaming.segments import open_plan
from streaming.snapshot import Snapshot
from streaming.views import fact_frame, local_frame, reference_frame, shaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import DataFrame, SparkSession

    from streaming.alerts import AlertStore
    from streaming.catalogue import Catalogue
    from streaming.history import History, Manifest
    from streaming.ingest import Ingest
    from streaming.live_views import Generation, LiveViews, Offsets
    from streaming.reference import ReferenceRows, ReferenceTable

FACTS: Final = frozenset({"order_events", "orders", "executions", "market_trades", "quotes", "dead_letters",
                          "trade_stats_1m", "order_flow_30s"})  # fmt: skip
"""Views that are made of events."""
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Reader:
    """Opens snapshots. Safe for any number of threads."""

    def __init__(
        self, catalogue: Catalogue, live: LiveViews, ingest: Ingest, history: History, reference: ReferenceTable,
        alerts: AlertStore,
    ) -> None:  # fmt: skip
        self.catalogue, self.live, self.ingest = catalogue, live, ingest
        self.history, self.reference, self.alerts = history, reference, alerts
        self.query_audit: Callable[[SparkSession], DataFrame] | None = None

    def snapshot(self, as_of: datetime | None, ends: Offsets) -> Snapshot:
        """See `LivePipeline.snapshot`; `ends` are the broker's newest offsets, for `ingest_status`."""
        generation = self.live.pin()
        release = _once(partial(self.live.release, generation))
        try:
            wanted_us = None if as_of is None else int(as_of.timestamp() * 1e6)
            if wanted_us is None or wanted_us >= generation.newest_us:
                return self._open(generation, None, generation.reference, ends, release)
            batch, version = self._batch_at(wanted_us)
            reference = generation.reference
            if version is not None:
                reference = self.reference.load(reference_views(self.catalogue), version)
            return self._open(generation, batch, reference, {}, release)
        except BaseException:
            release()
            raise

    @contextmanager
    def pinned(self) -> Iterator[Generation]:
        """The newest generation, held while the block runs."""
        generation = self.live.pin()
        try:
            yield generation
        finally:
            self.live.release(generation)

    def look(self, generation: Generation, since: datetime, session: SparkSession) -> Look:
        """What a detector sees: a pinned generation, cut to rows that are not older than `since`."""

        def frame(name: str, reach: timedelta = timedelta()) -> DataFrame:
            begin = max(since, _EARLIEST + reach) - reach
            return self._frame(name, generation, None, generation.reference, {}, session, since=begin)

        def rows(name: str) -> list[dict[str, Any]]:
            return list(generation.reference.rows.get(name, {}).values())

        until = instant(generation.watermark_us) or since
        return Look(frame=frame, rows=rows, since=since, until=until, as_of=instant(generation.newest_us) or until)

    def _open(
        self, generation: Generation, batch: Batch | None, reference: ReferenceRows, ends: Offsets,
        release: Callable[[], None],
    ) -> Snapshot:  # fmt: skip
        newest_us = batch.newest_us if batch else generation.newest_us
        frames = {v: partial(self._frame, v, generation, batch, reference, ends) for v in self.catalogue.views}
        versions = {} if generation.base_version is None else {"events": generation.base_version}
        return Snapshot(
            catalogue=self.catalogue, as_of=instant(newest_us) or datetime.now(UTC), frames=frames,
            offsets=batch.offsets if batch else generation.offsets, versions=versions,
            generation=batch.generation if batch else generation.number, release=release,
        )  # fmt: skip

    def _frame(
        self, name: str, generation: Generation, batch: Batch | None, reference: ReferenceRows, ends: Offsets,
        session: SparkSession, since: datetime | None = None,
    ) -> DataFrame:  # fmt: skip
        view = self.catalogue.views[name]
        as_of_us = batch.newest_us if batch else generation.newest_us
        if name in FACTS:
            facts = self._facts(generation, session, since)
            tail = open_plan(session, generation.segments[-1].plan)
            if batch is not None:
                facts = facts.where(_below(batch.offsets))
                tail = _working_at(facts)
            return fact_frame(
                session, view, facts=facts, tail=tail, reference=reference, as_of_us=as_of_us,
                watermark_us=batch.watermark_us if batch else generation.watermark_us,
                annuls=generation.base_annuls or any(s.annuls for s in generation.segments),
            )  # fmt: skip
        if name in reference.views:
            return reference_frame(session, view, reference, as_of_us)
        if name == "alerts":
            return local_frame(session, view, self.alerts.rows(instant(as_of_us)))
        if name == "ingest_status":
            return local_frame(session, view, ingest_rows(generation, ends))
        if name == "query_audit" and self.query_audit is not None:
            return shaped(self.query_audit(session), view)
        return local_frame(session, view, [])

    def _facts(self, generation: Generation, session: SparkSession, since: datetime | None) -> DataFrame:
        """All rows of a generation; with `since` those with a newer event time."""
        base = generation.base_version
        if since is not None and generation.base_newest_us < since.timestamp() * 1e6:
            base = None  # history has nothing so new: no need to plan a read of it
        facts = rows_of(generation, session, base, self.history.frame)
        return facts if since is None else facts.where(f"event_ts >= timestamp_micros({int(since.timestamp() * 1e6)}L)")

    def _batch_at(self, as_of_us: int) -> tuple[Batch, int | None]:
        """The last batch whose newest event is not after `as_of_us`, and the reference version of that time."""
        recent = [b for b in list(self.ingest.batches) if b.newest_us <= as_of_us]
        if recent:
            return recent[-1], None
        steps = self.history.manifests()
        for earlier, step in reversed([*zip([None, *steps], steps, strict=False)]):
            if earlier is None or earlier.newest_us <= as_of_us:
                fits = [b for b in self.history.batches(step) if b.newest_us <= as_of_us]
                if fits:
                    return fits[-1], step.reference_version
                if earlier is not None:
                    return _end_of(earlier), earlier.reference_version
        first = self.history.batches(steps[0]) if steps else ()
        start = instant(first[0].newest_us) if first else None
        raise LookupError(
            f"no snapshot of {instant(as_of_us)}: the views reach from {start} to {instant(self.live.newest.newest_us)}"
        )


def _end_of(step: Manifest) -> Batch:
    return Batch(
        generation=step.generation, newest_us=step.newest_us, watermark_us=step.watermark_us, offsets=step.offsets
    )


def _working_at(facts: DataFrame) -> DataFrame:
    """Open orders among the rows of an older moment, in the form of a segment's tail."""
    from pyspark.sql import Window
    from pyspark.sql.functions import col, row_number

    life = facts.where("kind = 'O' AND event_type NOT IN ('BUST', 'CORRECT')")
    newest = Window.partitionBy("symbol", "venue", "order_id").orderBy(col("offset").desc())
    last = life.withColumn("_n", row_number().over(newest)).where("_n = 1")
    return last.selectExpr(*("true AS tail" if name == "tail" else f"`{name}`" for name in facts.columns))


def _below(offsets: Offsets) -> str:
    """Condition of the rows below an offset vector."""
    terms = [
        f"(topic = '{topic}' AND partition = {partition} AND offset < {end})"
        for topic, parts in offsets.items()
        for partition, end in parts.items()
    ]
    return " OR ".join(terms) or "false"


def _once(work: Callable[[], None]) -> Callable[[], None]:
    done = threading.Event()

    def run() -> None:
        if not done.is_set():
            done.set()
            work()

    return run
