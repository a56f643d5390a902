"""Which messages of a batch came twice or too late: the two checks that need memory of earlier batches.

Guarantees
- DUPLICATE: an id is recognised if it was accepted among the last `horizon` ids at least (at most twice as many), also
  across a restart. Ids are compared by a 64-bit hash; with a million remembered ids a good message is taken for a
  duplicate about once in 10^13, and it is then a visible dead letter.
- LATE: an event is late if it is older than the watermark that was declared before its batch. The watermark never goes
  back. It trails the newest event by `delay`; while the source is behind, it trails the slowest partition, so that a
  partition that is read later than another loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable

ARRIVAL_COLUMNS: Final = ("topic", "partition", "offset", "kind", "event_us", "id_hash", "exec_hash")

DROP_SCHEMA: Final = pa.schema(
    [("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("class", pa.string()),
     ("field", pa.string()), ("message", pa.string())]
)  # fmt: skip

_ID_FIELD: Final = {"O": "event_id", "T": "trade_id", "Q": "quote_seq"}
_TIME_FIELD: Final = {"O": "event_us", "T": "trade_us", "Q": "quote_us"}


class SeenIds:
    """The last ids, in two sets that take turns: forgetting costs nothing and memory stays bounded."""

    def __init__(self, horizon: int) -> None:
        self._horizon = horizon
        self._young: set[int] = set()
        self._old: set[int] = set()

    def __contains__(self, key: int) -> bool:
        return key in self._young or key in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def meets(self, keys: Iterable[int]) -> bool:
        """Whether any of the keys was seen."""
        return not (self._young.isdisjoint(keys) and self._old.isdisjoint(keys))

    def add(self, keys: Iterable[int]) -> None:
        """Remember keys."""
        self._young.update(keys)
        if len(self._young) >= self._horizon:
            self._old, self._young = self._young, set()


@dataclass
class Watermark:
    """How far event time has come, per partition and as a whole. Microseconds; 0 before the first event."""

    delay_us: int
    value_us: int = 0
    """Declared watermark."""
    high_us: dict[tuple[str, int], int] = field(default_factory=dict)
    """Newest event of each partition."""

    @property
    def newest_us(self) -> int:
        """Newest event of all: the as-of time of the views."""
        return max(self.high_us.values(), default=0)

    def advance(self, batch: dict[tuple[str, int], int], *, behind: bool) -> None:
        """Take in a batch.

        Args:
            batch: newest event of each partition that the batch holds rows of.
            behind: the batch was cut by its size limit, so that more is waiting.
        """
        for place, newest in batch.items():
            self.high_us[place] = max(newest, self.high_us.get(place, 0))
        if not batch:
            return
        line = min(self.high_us[place] for place in batch) if behind else self.newest_us
        self.value_us = max(self.value_us, line - self.delay_us)


class Arrivals:
    """Judges batches one after the other. `judge` changes nothing; `accept` remembers what was published."""

    def __init__(self, horizon: int, delay_us: int) -> None:
        self.seen = SeenIds(horizon)
        self.watermark = Watermark(delay_us)

    def judge(self, batch: pa.Table) -> pa.Table | None:
        """The messages to turn into dead letters (schema `DROP_SCHEMA`); None when there are none, as usual."""
        ids, execs, times = (batch.column(name).to_pylist() for name in ("id_hash", "exec_hash", "event_us"))
        known = [key for key in ids if key is not None] + [key for key in execs if key is not None]
        late = self.watermark.value_us > 0 and any(t is not None and t < self.watermark.value_us for t in times)
        if not late and len(set(known)) == len(known) and not self.seen.meets(known):
            return None
        return self._drops(batch)

    def accept(self, batch: pa.Table, *, behind: bool) -> None:
        """Remember the ids and times of a batch that is published."""
        for name in ("id_hash", "exec_hash"):
            self.seen.add(key for key in batch.column(name).to_pylist() if key is not None)
        newest: dict[tuple[str, int], int] = {}
        times = batch.column("event_us").to_numpy(zero_copy_only=False)
        topics, partitions = batch.column("topic").to_pylist(), batch.column("partition").to_pylist()
        good = np.asarray(batch.column("kind").to_pylist(), dtype=object) != "D"
        for i in np.flatnonzero(good):
            place = (topics[i], partitions[i])
            newest[place] = max(newest.get(place, 0), int(times[i]))
        self.watermark.advance(newest, behind=behind)

    def _drops(self, batch: pa.Table) -> pa.Table:
        rows = sorted(batch.to_pylist(), key=lambda row: (row["topic"], row["partition"], row["offset"]))
        fresh: set[int] = set()
        found = []
        for row in rows:
            fault = self._fault(row, fresh)
            if fault is not None:
                found.append({name: row[name] for name in ("topic", "partition", "offset")} | fault)
            else:
                fresh.update(key for key in (row["id_hash"], row["exec_hash"]) if key is not None)
        return pa.Table.from_pylist(found, schema=DROP_SCHEMA)

    def _fault(self, row: dict[str, object], fresh: set[int]) -> dict[str, str] | None:
        for column, name in (("id_hash", _ID_FIELD.get(str(row["kind"]), "event_id")), ("exec_hash", "exec_id")):
            key = row[column]
            if isinstance(key, int) and (key in fresh or key in self.seen):
                return {"class": "DUPLICATE", "field": name, "message": "identifier seen before"}
        time = row["event_us"]
        if isinstance(time, int) and time < self.watermark.value_us:
            behind_ms = (self.watermark.value_us - time) / 1000
            message = f"{behind_ms:.0f} ms older than the watermark"
            return {"class": "LATE", "field": _TIME_FIELD.get(str(row["kind"]), "event_us"), "message": message}
        return None
