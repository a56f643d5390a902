"""Which messages of a batch came twice or too late: the two checks that need memory of earlier batches.

Guarantees
- DUPLICATE: an id is recognised if it was accepted among the last `horizon` ids at least (at most twice as many), also
  across a restart. Ids are compared by a 64-bit hash; with a million remembered ids a good message is taken for a
  duplicate about once in 10^13, and it is then a visible dead letter.
- LATE: an event is late if it is older than the watermark that was declared before its batch. The watermark never goes
  back. It trails the newest event of the slowest partition by `delay`, so that a partition that is filled or read later
  than another loses nothing, also in a replay at many times real speed. A partition without messages for `idle` seconds
  of real time holds nothing back; when all were silent and messages come again, each is waited for anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Place = tuple[str, int]
"""(topic, partition)."""

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
    idle_s: float
    value_us: int = 0
    """Declared watermark."""
    high_us: dict[Place, int] = field(default_factory=dict)
    """Newest event of each partition."""
    _awaited: dict[Place, float] = field(default_factory=dict)
    """Partition → when it last had messages, or when the wait for its first ones began; monotonic seconds."""
    _last: float = float("-inf")

    @property
    def newest_us(self) -> int:
        """Newest event of all: the as-of time of the views."""
        return max(self.high_us.values(), default=0)

    def advance(self, batch: Mapping[Place, int], *, now: float, partitions: Iterable[Place] = ()) -> None:
        """Take in a batch.

        Args:
            batch: newest event of each partition that the batch holds rows of.
            now: monotonic seconds.
            partitions: all partitions that are read.
        """
        if not batch:
            return
        if now - self._last > self.idle_s:
            self._awaited = dict.fromkeys((*partitions, *self.high_us), now)
        self._last = now
        for place, newest in batch.items():
            self.high_us[place] = max(newest, self.high_us.get(place, 0))
            self._awaited[place] = now
        awaited = [self.high_us.get(place, 0) for place, at in self._awaited.items() if now - at <= self.idle_s]
        self.value_us = max(self.value_us, min(awaited) - self.delay_us)


class Arrivals:
    """Judges batches one after the other. `judge` changes nothing; `accept` remembers what was published."""

    def __init__(self, horizon: int, delay_us: int, idle_s: float) -> None:
        self.seen = SeenIds(horizon)
        self.watermark = Watermark(delay_us, idle_s)

    def judge(self, batch: pa.Table) -> pa.Table | None:
        """The messages to turn into dead letters (schema `DROP_SCHEMA`); None when there are none, as usual."""
        known = [*_present(batch, "id_hash"), *_present(batch, "exec_hash")]
        oldest = pc.min(batch.column("event_us")).as_py()
        late = oldest is not None and oldest < self.watermark.value_us
        if not late and len(set(known)) == len(known) and not self.seen.meets(known):
            return None
        return self._drops(batch)

    def accept(self, batch: pa.Table, *, now: float, partitions: Iterable[Place] = ()) -> None:
        """Remember the ids and times of a batch that is published; see `Watermark.advance`."""
        self.seen.add(keys_of(batch).tolist())
        good = batch.filter(pc.not_equal(batch.column("kind"), "D"))
        newest = good.group_by(["topic", "partition"]).aggregate([("event_us", "max")]).to_pylist()
        places = {(row["topic"], row["partition"]): row["event_us_max"] for row in newest}
        self.watermark.advance(places, now=now, partitions=partitions)

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


def keys_of(batch: pa.Table) -> np.ndarray:
    """Hashes of all ids of a batch."""
    columns = (batch.column(name).drop_null() for name in ("id_hash", "exec_hash"))
    return np.concatenate([column.to_numpy().astype("<i8", copy=False) for column in columns])


def _present(batch: pa.Table, column: str) -> list[int]:
    return list(batch.column(column).drop_null().to_pylist())
