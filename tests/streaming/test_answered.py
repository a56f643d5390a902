"""Every view of the live route can be read through both walls: what a question does, without the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nlq.contracts import Principal
from nlq.execute import Executor
from nlq.guard import check
from tests.streaming.conftest import order, quote, trade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

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


def test_every_view_answers_through_both_walls(route: Route, executor: Executor, spark: SparkSession) -> None:
    officer, auditor = Principal(), Principal(role="auditor")
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
