"""The newest rows in memory: immutable segments, published as generations, pinned by readers.

A *generation* is a complete list of segments with the offsets up to which they reach. Publishing swaps one reference.
A reader pins the generation it found; a segment is freed when neither the newest nor a pinned generation lists it.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from streaming.segments import CARRIED, DEAD, ColumnarCopy, together

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from streaming.reference import ReferenceRows

Offsets = dict[str, dict[int, int]]
"""Topic → partition → first offset that is not included."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Segment:
    """Rows of one or several batches, in memory."""

    plan: Any
    free: Callable[[], None]
    first: int
    """Generation that brought its first rows."""
    last: int
    rows: int
    annuls: int = 0
    """Busts and corrections among the rows."""
    dead: int = 0
    newest_ingest_us: int = 0
    sealed: bool = False
    """In history, merged, and ending at a boundary of history: only such a segment may be retired."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Generation:
    """What is visible after one published batch."""

    number: int
    segments: tuple[Segment, ...]
    """Oldest first; the last one holds the open orders and last quotes."""
    offsets: Offsets
    newest_us: int
    """Event-time high mark, microseconds."""
    watermark_us: int
    reference: ReferenceRows
    base_version: int | None = None
    """Version of the history table that holds exactly the rows before the first segment; None when there are none."""
    base_newest_us: int = 0
    """Newest event in that version."""
    base_annuls: bool = False
    """Whether history holds busts or corrections."""
    published_us: int = 0
    high_us: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Newest event of each (topic, partition)."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Rows of each kind since the pipeline began."""


class LiveViews:
    """Holds the newest generation. One thread publishes, one maintains, any number read."""

    def __init__(self, first: Generation) -> None:
        self._lock = threading.Lock()
        self._newest = first
        self._pins: Counter[Generation] = Counter()
        self._leaving: list[Segment] = []
        self.grown = threading.Condition()

    @property
    def newest(self) -> Generation:
        """The newest generation, unpinned: for reading its numbers, not its rows."""
        return self._newest

    def pin(self) -> Generation:
        """The newest generation, kept until `release`."""
        with self._lock:
            self._pins[self._newest] += 1
            return self._newest

    def release(self, generation: Generation) -> None:
        """Give a pinned generation back; more often than pinned has no effect."""
        with self._lock:
            if self._pins[generation] > 1:
                self._pins[generation] -= 1
            else:
                del self._pins[generation]

    def publish(self, segments: Sequence[Segment], **changes: Any) -> Generation:
        """Make a batch visible: its segments, the one with the tail last, and the generation's new numbers."""
        with self._lock:
            old, number = self._newest, segments[-1].last
            self._newest = replace(old, number=number, segments=(*old.segments, *segments), **changes)
            published = self._newest
        with self.grown:
            self.grown.notify_all()
        return published

    def wait_for(self, number: int, timeout_s: float) -> bool:
        """Wait until a generation is published; False when the time is over first."""
        with self.grown:
            return self.grown.wait_for(lambda: self._newest.number >= number, timeout_s)

    def exchange(self, old: Sequence[Segment], new: Segment | None, **changes: Any) -> None:
        """Put one segment in the place of neighbours that hold the same rows, or retire the oldest (`new` None).

        The rows that readers see stay the same, so the generation keeps its number.
        """
        with self._lock:
            segments = list(self._newest.segments)
            at = segments.index(old[0])
            if segments[at : at + len(old)] != list(old):
                raise ValueError("the segments to exchange are not neighbours in the newest generation")
            segments[at : at + len(old)] = [new] if new is not None else []
            self._newest = replace(self._newest, segments=tuple(segments), **changes)
            self._leaving += old

    def sweep(self) -> int:
        """Free what nobody can read any more; returns how many segments that were."""
        with self._lock:
            held = {segment for generation in (self._newest, *self._pins) for segment in generation.segments}
            free = [segment for segment in self._leaving if segment not in held]
            self._leaving = [segment for segment in self._leaving if segment in held]
        for segment in free:
            segment.free()
        return len(free)

    @property
    def pinned(self) -> int:
        """Generations that readers hold."""
        with self._lock:
            return len(self._pins)


def rows_of(
    generation: Generation, session: SparkSession, base_version: int | None,
    history: Callable[[SparkSession, int], DataFrame],
) -> DataFrame:  # fmt: skip
    """All rows of a generation, each message once: history below its boundary, memory above.

    Args:
        generation: pinned by the caller.
        session: where the DataFrame is to live.
        base_version: the generation's, or None to leave history out.
        history: opens the history table at a version.
    """
    below = [] if base_version is None else [history(session, base_version)]
    return together(session, [segment.plan for segment in generation.segments], below)


def merged(session: SparkSession, segments: Sequence[Segment], *, seal: bool) -> Segment:
    """One segment with the rows of several neighbours. Runs a Spark job: not for the ingest thread.

    Args:
        session: a session without adaptive execution.
        segments: neighbours, oldest first, without the newest of all.
        seal: they are in history and end at its boundary: payloads of good rows need not stay in memory.
    """
    frame = together(session, [segment.plan for segment in segments]).where(f"kind <> '{CARRIED}'").coalesce(2)
    if seal and not all(segment.sealed for segment in segments):
        raw = f"CASE WHEN kind = '{DEAD}' THEN raw END AS raw"
        columns = [raw if name == "raw" else f"`{name}`" for name in frame.columns]
        # Rows of a kind together: a filter on the kind then skips whole column batches by their statistics.
        frame = frame.selectExpr(*columns).sortWithinPartitions("kind", "symbol", "event_ts")
    copy = ColumnarCopy(frame)
    return Segment(
        plan=copy.plan,
        free=copy.free,
        first=segments[0].first,
        last=segments[-1].last,
        rows=sum(segment.rows for segment in segments),
        annuls=sum(segment.annuls for segment in segments),
        dead=sum(segment.dead for segment in segments),
        newest_ingest_us=max(segment.newest_ingest_us for segment in segments),
        sealed=seal,
    )
