"""History and memory are one: no row twice, none missing, wherever the boundary stands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from streaming.maintenance import Maintenance
from tests.streaming.conftest import order, quote, trade

if TYPE_CHECKING:
    from streaming.snapshot import Snapshot
    from tests.streaming.conftest import Route


def totals(route: Route, snapshot: Snapshot | None = None) -> dict[str, Any]:
    rows = {
        view: route.rows(view, snapshot) for view in ("order_events", "orders", "executions", "quotes", "dead_letters")
    }
    return {
        "events": [row["event_id"] for row in rows["order_events"]],
        "quotes": [row["quote_seq"] for row in rows["quotes"]],
        "orders": [(row["order_id"], row["status"], row["filled_qty"]) for row in rows["orders"]],
        "fills": [(row["exec_id"], row["status"]) for row in rows["executions"]],
        "dead": len(rows["dead_letters"]),
    }


def batch(i: int) -> list[Any]:
    t = i * 100
    return [
        quote(t, i, 9.9, 10.0),
        order("NEW", f"O{i}", t + 1, f"n{i}"),
        order("FILL", f"O{i}", t + 2, f"f{i}", last_qty=50.0, last_price=10.0, leaves_qty=50.0, cum_qty=50.0,
              exec_id=f"X{i}"),
        *([order("CANCEL", f"O{i - 2}", t + 3, f"c{i}", leaves_qty=0.0, cum_qty=50.0)] if i > 1 else []),
        *([order("BUST", f"O{i - 3}", t + 4, f"b{i}", ref_exec_id=f"X{i - 3}")] if i > 2 else []),
        ("orders", b"{broken"),
        trade(t, f"t{i}", 10.0, 1.0),
    ]  # fmt: skip


@pytest.fixture
def small(route: Route) -> Route:
    """Every step is retired at once: memory holds next to nothing."""
    old = route.maintenance
    route.maintenance = Maintenance(old.session, old.live, old.ingest, old.history, old.reference,
                                    replace(old.settings, live_rows=0, history_every_s=0.0), old.publish, None)  # fmt: skip
    return route


def test_the_union_is_exact_while_the_boundary_moves_and_pinned_views_stay(small: Route) -> None:
    boundaries, early, kept = set(), None, None
    for i in range(4):
        small.feed(batch(i))
        before = totals(small)
        assert len(before["events"]) == len(set(before["events"])) == sum(2 + (k > 1) for k in range(i + 1))
        assert len(before["quotes"]) == before["dead"] == i + 1
        if i == 1:
            early = small.snapshot()
            kept = totals(small, early)
        small.maintenance.tick()
        boundaries.add(small.live.newest.base_version)
        assert totals(small) == before, "writing, sealing and retiring must not be seen"
    assert len(boundaries) > 1, "the boundary did move"
    assert early is not None
    assert totals(small, early) == kept, "a pinned snapshot outlives the retirement of its segments"
    early.release()
    assert small.live.sweep() >= 0
    assert small.live.pinned == 0
    final = totals(small)
    assert [order for order in final["orders"] if order[1] == "WORKING"] == [
        ("O2", "WORKING", 50.0),
        ("O3", "WORKING", 50.0),
    ]
    assert ("X0", "BUSTED") in final["fills"]


def test_an_old_snapshot_opens_again_with_the_same_rows(small: Route) -> None:
    told = []
    for i in range(3):
        small.feed(batch(i))
        with small.snapshot() as snapshot:
            told.append((snapshot.as_of, snapshot.offsets, totals(small, snapshot)))
        small.maintenance.tick()
    for as_of, offsets, rows in told:
        with small.snapshot(as_of) as again:
            assert (again.as_of, again.offsets, totals(small, again)) == (as_of, offsets, rows)
    with pytest.raises(LookupError, match="reach from"):
        small.snapshot(told[0][0].replace(year=2001))


def test_a_step_that_is_repeated_writes_nothing_twice(route: Route) -> None:
    route.feed(batch(0))
    generation = route.live.pin()
    fresh = [s for s in generation.segments if s.rows]
    first = route.maintenance._append(generation, fresh)
    again = route.maintenance._append(generation, fresh)
    assert first.version == again.version
    assert route.history.frame(route.session, again.version).count() == 4 + 1


def test_merging_keeps_rows_and_memory_is_bounded(route: Route) -> None:
    for i in range(10):
        route.feed(batch(i)[:3])
    before = totals(route)
    segments = len(route.live.newest.segments)
    route.maintenance._merge_fresh()
    assert len(route.live.newest.segments) == segments - 7
    assert totals(route) == before
    assert route.live.sweep() == 8
