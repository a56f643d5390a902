"""The second thread: history in steps, dead letters to their topic, merging, retiring. Never on the freshness path."""

from __future__ import annotations

import base64
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streaming.history import Manifest, state_folder
from streaming.live_views import Segment, merged
from streaming.segments import DEAD, open_plan, together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyspark.sql import SparkSession

    from streaming.history import History
    from streaming.ingest import Ingest
    from streaming.live_views import Generation, LiveViews
    from streaming.reference import ReferenceRows, ReferenceTable
    from streaming.settings import PipelineSettings

log = logging.getLogger(__name__)

MERGE_AT: Final = 8
"""Neighbours of a size class that are merged into one."""


class Maintenance:
    """Keeps memory small and history up to date. All methods run in one thread."""

    def __init__(
        self,
        session: SparkSession,
        live: LiveViews,
        ingest: Ingest,
        history: History,
        reference: ReferenceTable,
        settings: PipelineSettings,
        publish: Callable[[Sequence[tuple[str, bytes]]], None],
        last: Manifest | None,
    ) -> None:
        """Args:
        session: own session, without adaptive execution.
        live: the segments.
        ingest: has the list of batches since the last step.
        history: the table of all events.
        reference: the table of reference rows.
        settings: sizes and times.
        publish: sends (key, value) messages to the dead-letter topic and waits until they are acknowledged.
        last: newest step of history; None before the first.
        """
        self.session, self.live, self.ingest, self.history = session, live, ingest, history
        self.reference, self.settings, self.publish, self.last = reference, settings, publish, last
        self.seconds: dict[str, float] = {}
        """What was done last → how long it took."""
        self._saved_reference: ReferenceRows | None = live.newest.reference if last else None
        self._reference_version = last.reference_version if last else None
        self._next_step = time.monotonic() + settings.history_every_s
        self._next_round = time.monotonic() + settings.maintain_every_s
        self._steps: dict[int, Manifest] = {}
        """Last generation of a step → its manifest."""

    def tick(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        self._seal()  # before a step moves the boundary on
        if now >= self._next_step:
            self._next_step = now + self.settings.history_every_s
            self.step()
        self._seal()
        self._merge_fresh()
        self._merge_sealed()
        self._retire()
        self.live.sweep()
        if now >= self._next_round and self.last is not None:
            self._next_round = now + self.settings.maintain_every_s
            took = self.history.maintain(keep_days=self.settings.keep_days, vacuum_hours=self.settings.vacuum_hours)
            self.seconds |= took

    def step(self) -> bool:
        """Append what is not in history yet; False when there is nothing new. May be repeated after an error."""
        start = time.monotonic()
        generation = self.live.pin()
        try:
            fresh = [s for s in generation.segments if s.first > self._boundary and s.rows > 0]
            if not fresh:
                return False
            self._publish_dead(fresh)
            self._save_reference(generation)
            self.last = self._append(generation, fresh)
        finally:
            self.live.release(generation)
        self.seconds["history"] = time.monotonic() - start
        self._steps[self.last.generation] = self.last
        while self.ingest.batches and self.ingest.batches[0].generation <= self.last.generation:
            self.ingest.batches.popleft()
        while self.ingest.ids and self.ingest.ids[0][0] <= self.last.generation:
            self.ingest.ids.popleft()
        return True

    @property
    def _boundary(self) -> int:
        """Last generation that history holds."""
        return self.last.generation if self.last else -1

    def _append(self, generation: Generation, fresh: Sequence[Segment]) -> Manifest:
        step = self.last.step + 1 if self.last else 1
        tail = open_plan(self.session, generation.segments[-1].plan).where("tail")
        rows = together(self.session, [segment.plan for segment in fresh])
        batches = tuple(b for b in list(self.ingest.batches) if b.generation <= generation.number)
        manifest = Manifest(
            step=step, generation=generation.number, offsets=generation.offsets, newest_us=generation.newest_us,
            watermark_us=generation.watermark_us, state=state_folder(step),
            high_us={f"{topic}/{partition}": us for (topic, partition), us in generation.high_us.items()},
            reference_version=self._reference_version, counts=dict(generation.counts), batches=batches,
            annuls=generation.base_annuls or any(s.annuls for s in generation.segments),
        )  # fmt: skip
        ids = [keys for number, keys in list(self.ingest.ids) if self._boundary < number <= generation.number]
        return self.history.append(rows, tail, manifest, np.concatenate(ids) if ids else np.array([], dtype="<i8"))

    def _save_reference(self, generation: Generation) -> None:
        if generation.reference is not self._saved_reference and generation.reference.rows:
            self._reference_version = self.reference.save(generation.reference)
            self._saved_reference = generation.reference

    def _publish_dead(self, fresh: Sequence[Segment]) -> None:
        """Dead letters also go to their topic, at least once, keyed by their coordinates, before history has them."""
        holders = [segment for segment in fresh if segment.dead]
        if not holders:
            return
        rows = together(self.session, [segment.plan for segment in holders]).where(f"kind = '{DEAD}'")
        columns = ("topic", "partition", "offset", "unix_micros(ingest_ts) AS ingest_us", "error_class", "error_field",
                   "error_message", "producer", "raw")  # fmt: skip
        self.publish([_dead_message(row) for row in rows.selectExpr(*columns).toArrow().to_pylist()])

    def _seal(self) -> None:
        """One segment for all that a step wrote: from now on it may be retired."""
        # The newest segment stays: it holds the tail that the next batch begins from.
        stored = [s for s in self.live.newest.segments[:-1] if not s.sealed and s.last <= self._boundary]
        if not stored or stored[-1].last != self._boundary:
            return
        start = time.monotonic()
        self.live.exchange(stored, merged(self.session, stored, seal=True))
        self.seconds["seal"] = time.monotonic() - start

    def _merge_fresh(self) -> None:
        """Bound the number of small segments between two steps."""
        segments = self.live.newest.segments
        small = [s for s in segments[:-1] if not s.sealed and s.first == s.last]
        run = [s for s in small if s.first > self._boundary][:MERGE_AT]
        if len(run) == MERGE_AT and _neighbours(segments, run):
            start = time.monotonic()
            self.live.exchange(run, merged(self.session, run, seal=False))
            self.seconds["merge"] = time.monotonic() - start

    def _merge_sealed(self) -> None:
        """Join sealed segments of like size, up to a quarter of the live rows, so that retiring stays gradual."""
        segments = self.live.newest.segments
        largest = self.settings.live_rows / 4
        for at in range(len(segments) - 3):
            run = segments[at : at + 4]
            rows = [s.rows for s in run]
            if all(s.sealed for s in run) and sum(rows) <= largest and max(rows) <= 4 * (min(rows) + 500):
                start = time.monotonic()
                self.live.exchange(run, merged(self.session, run, seal=True))
                self.seconds["merge_sealed"] = time.monotonic() - start
                return

    def _retire(self) -> None:
        """Let the oldest rows go to history alone when there are too many or they are too old."""
        newest = self.live.newest
        rows = sum(segment.rows for segment in newest.segments)
        oldest_us = int((time.time() - self.settings.live_age_s) * 1e6)
        for segment in newest.segments[:-1]:
            if not segment.sealed or not (rows > self.settings.live_rows or segment.newest_ingest_us < oldest_us):
                return
            step = self._steps.get(segment.last)
            if step is None:
                return
            annuls = self.live.newest.base_annuls or bool(segment.annuls)
            self.live.exchange(
                [segment], None, base_version=step.version, base_newest_us=step.newest_us, base_annuls=annuls
            )
            self._steps = {g: m for g, m in self._steps.items() if g > segment.last}
            rows -= segment.rows


def _neighbours(segments: Sequence[Segment], run: Sequence[Segment]) -> bool:
    at = segments.index(run[0])
    return list(segments[at : at + len(run)]) == list(run)


def _dead_message(row: dict[str, Any]) -> tuple[str, bytes]:
    raw = row.pop("raw")
    body = row | {"payload_base64": None if raw is None else base64.b64encode(raw).decode("ascii")}
    return f"{row['topic']}/{row['partition']}/{row['offset']}", json.dumps(body).encode()
