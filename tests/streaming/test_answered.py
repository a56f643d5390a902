"""Every view of the live route can be read through both walls: what a question does, without the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nlq.contracts import Principal
from nlq.execute import Executor
from nlq.guard import check
from streaming.maintenance import Maintenance
from tests.streaming.conftest import order, quote, trade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.streaming.conftest import Route


@pytest.fixture
def executor(route: Route) -> Iterator[Executor]:
    """The real executor over the route."""
    with_orders: list[Any] = [
        quote(0, 1, 9.99, 10.01),
        order("NEW", "O-1", 1, "EV-1"),
        order("FILL", "O-1", 2, "EV-2", last_qty=40.0, last_price=10.0, cum_qty=40.0, leaves_qty=60.0, exec_id="X-1"),
        trade(2, "TR-1", 10.0, 40.0),
    ]
    route.feed(with_orders)
    made = Executor(route)  # type: ignore[arg-type]
    yield made
    made.close()


@pytest.mark.parametrize("history", [False, True])
def test_every_view_answers_through_both_walls(route: Route, executor: Executor, history: bool) -> None:
    officer, auditor = Principal(), Principal(role="auditor")
    if history:
        old = route.maintenance
        route.maintenance = Maintenance(old.session, old.live, old.ingest, old.history, old.reference,
                                        replace(old.settings, live_rows=0, history_every_s=0.0), old.publish, None)  # fmt: skip
        for n in range(4):
            route.feed([quote(10 + n, 2 + n, 9.99, 10.01)])
            route.maintenance.tick()
        assert route.live.newest.base_version is not None
    with route.snapshot() as snapshot:
        for view in route.catalogue.views:
            user = auditor if view == "query_audit" else officer
            verdict = check(f"SELECT count(*) AS n FROM {view}", route.catalogue, user, as_of=snapshot.as_of)
            assert verdict.allowed, (view, verdict.rule)
            rows = executor.run(verdict, snapshot, user).table.to_pylist()
            assert rows[0]["n"] >= 0, view
        verdict = check(
            "SELECT sum(notional) AS s FROM executions WHERE desk = 'EQ-NY' AND status = 'VALID'",
            route.catalogue, officer, as_of=snapshot.as_of,
        )  # fmt: skip
        assert executor.run(verdict, snapshot, officer).table.to_pylist() == [{"s": 400.0}]
