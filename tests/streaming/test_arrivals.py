"""Duplicates and lateness, without Spark: the rules are plain values in and out."""

from __future__ import annotations

import pyarrow as pa

from streaming.arrivals import Arrivals, SeenIds, Watermark

SCHEMA = pa.schema([("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("kind", pa.string()),
                    ("event_us", pa.int64()), ("id_hash", pa.int64()), ("exec_hash", pa.int64())])  # fmt: skip


def batch(*rows: tuple[int, int, int | None, int | None]) -> pa.Table:
    """(offset, event_us, id_hash, exec_hash) of order events in partition 0."""
    return pa.Table.from_pylist(
        [{"topic": "orders", "partition": 0, "offset": o, "kind": "O", "event_us": t, "id_hash": i, "exec_hash": x}
         for o, t, i, x in rows], schema=SCHEMA)  # fmt: skip


def faults(table: pa.Table | None) -> list[tuple[int, str, str]]:
    return [] if table is None else [(r["offset"], r["class"], r["field"]) for r in table.to_pylist()]


def test_of_two_equal_ids_in_a_batch_the_first_stays() -> None:
    arrivals = Arrivals(100, 0, 5.0)
    assert faults(arrivals.judge(batch((1, 10, 7, None), (0, 10, 7, None), (2, 10, 8, None)))) == [
        (1, "DUPLICATE", "event_id")
    ]


def test_an_id_of_an_earlier_batch_is_remembered_and_so_is_an_exec_id() -> None:
    arrivals = Arrivals(100, 0, 5.0)
    arrivals.accept(batch((0, 10, 7, 70)), now=0.0)
    assert faults(arrivals.judge(batch((1, 10, 7, None), (2, 10, 8, 70), (3, 10, 9, 71)))) == [
        (1, "DUPLICATE", "event_id"),
        (2, "DUPLICATE", "exec_id"),
    ]


def test_judging_alone_remembers_nothing() -> None:
    arrivals = Arrivals(100, 0, 5.0)
    for _ in range(2):
        assert arrivals.judge(batch((0, 10, 7, None))) is None


def test_ids_are_remembered_for_at_least_the_horizon_and_memory_is_bounded() -> None:
    seen = SeenIds(100)
    for first in range(0, 1000, 10):
        seen.add(range(first, first + 10))
        recent = range(max(0, first + 10 - 100), first + 10)
        assert all(key in seen for key in recent)
        assert len(seen) <= 210
    assert 0 not in seen


def test_late_is_what_is_older_than_the_watermark_of_the_batch_before() -> None:
    arrivals = Arrivals(100, 10, 5.0)
    arrivals.accept(batch((0, 100, 1, None)), now=0.0)
    assert arrivals.watermark.value_us == 90
    assert faults(arrivals.judge(batch((1, 89, 2, None), (2, 90, 3, None)))) == [(1, "LATE", "event_us")]


def test_the_slowest_partition_holds_the_watermark_until_it_falls_silent() -> None:
    #        now:    0        1        2           9
    #  partition 0:  100      200      300         400
    #  partition 1:  50       -        -           -     silent for more than 5 s
    mark = Watermark(delay_us=0, idle_s=5.0)
    slow, fast = ("orders", 1), ("orders", 0)
    mark.advance({fast: 100, slow: 50}, now=0.0)
    mark.advance({fast: 200}, now=1.0)
    mark.advance({fast: 300}, now=2.0)
    assert mark.value_us == 50
    mark.advance({fast: 350}, now=6.5)
    assert mark.value_us == 350


def test_after_silence_every_partition_is_waited_for_again() -> None:
    mark = Watermark(delay_us=0, idle_s=5.0)
    places = (("orders", 0), ("quotes", 0))
    mark.advance({places[1]: 1_000}, now=100.0, partitions=places)
    assert mark.value_us == 0, "the first order may be older than the first quote"
    mark.advance({places[0]: 900}, now=100.2, partitions=places)
    assert mark.value_us == 900


def test_the_watermark_never_goes_back() -> None:
    mark = Watermark(delay_us=0, idle_s=5.0)
    mark.advance({("orders", 0): 500}, now=0.0)
    mark.advance({("orders", 0): 100}, now=1.0)
    assert mark.value_us == 500
