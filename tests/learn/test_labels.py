"""Sketches read off gold SQL: views, roles and shapes."""

from __future__ import annotations

import pytest

from nlq.learn.labels import ROLES, SHAPES, LabelError, sketch
from streaming.catalogue import Catalogue

SCHEMA = Catalogue.load().sqlglot_schema


def test_plain_count_with_value_and_time_conditions() -> None:
    found = sketch(
        "SELECT desk, count(*) AS n FROM orders WHERE status = 'CANCELLED' AND trade_date = {as_of_date} GROUP BY desk",
        SCHEMA,
    )
    assert found.main_view == "orders"
    assert found.columns[("orders", "status")] == {"filter", "filter_value"}
    assert found.columns[("orders", "trade_date")] == {"filter", "filter_time"}
    assert found.columns[("orders", "desk")] == {"group"}
    assert {"count_rows", "group", "aggregate", "single_block", "time_filter"} <= found.shapes
    assert "list" not in found.shapes


def test_columns_are_followed_through_derived_tables() -> None:
    found = sketch(
        "SELECT symbol, max(gap) AS g FROM (SELECT symbol, unix_micros(trade_ts) - unix_micros(lag(trade_ts) OVER "
        "(PARTITION BY symbol ORDER BY trade_ts)) AS gap FROM market_trades) t GROUP BY symbol",
        SCHEMA,
    )
    assert found.columns[("market_trades", "symbol")] == {"partition", "group"}
    assert {"window_order", "lag"} <= found.columns[("market_trades", "trade_ts")]
    assert {"previous_row", "group", "duration"} <= found.shapes


def test_condition_inside_an_aggregate_is_no_filter() -> None:
    found = sketch(
        "SELECT 100.0 * count(CASE WHEN status = 'FALSE_POSITIVE' THEN 1 END) / count(*) AS pct FROM alerts", SCHEMA
    )
    assert found.columns[("alerts", "status")] == {"condition"}
    assert {"ratio", "share", "percent", "conditional", "scalar"} <= found.shapes


@pytest.mark.parametrize(
    ("sql", "shapes", "views"),
    [
        (
            (
                "SELECT a.account_id FROM accounts a WHERE NOT EXISTS "
                "(SELECT 1 FROM executions e WHERE e.account_id = a.account_id)"
            ),
            {"anti_join", "negation", "list"},
            {"accounts", "executions"},
        ),
        (
            (
                "SELECT symbol, mid_price FROM (SELECT symbol, mid_price, row_number() OVER (PARTITION BY symbol "
                "ORDER BY quote_ts DESC) AS rn FROM quotes) t WHERE rn = 1"
            ),
            {"latest_row", "window", "single_view"},
            {"quotes"},
        ),
        (
            (
                "SELECT desk FROM (SELECT desk, trader_id, rank() OVER (PARTITION BY desk ORDER BY score DESC) AS r "
                "FROM alerts) t WHERE r = 1"
            ),
            {"top_per_group"},
            {"alerts"},
        ),
        (
            "SELECT order_id FROM orders WHERE order_qty = (SELECT max(order_qty) FROM orders)",
            {"scalar_subquery", "extreme_row"},
            {"orders"},
        ),
        (
            "SELECT date_trunc('HOUR', exec_ts) AS h, sum(qty) AS q FROM executions GROUP BY date_trunc('HOUR', exec_ts)",
            {"time_bucket", "group"},
            {"executions"},
        ),
        (
            (
                "SELECT window(entry_ts, '15 minutes').start AS w, count(*) FROM orders "
                "GROUP BY window(entry_ts, '15 minutes').start"
            ),
            {"time_bucket", "group", "count_rows"},
            {"orders"},
        ),
        ("SELECT trader_id FROM orders GROUP BY trader_id HAVING count(*) > 5", {"having", "group"}, {"orders"}),
        ("SELECT order_id FROM orders ORDER BY order_qty DESC LIMIT 5", {"order_desc", "limit", "list"}, {"orders"}),
    ],
)
def test_shapes(sql: str, shapes: set[str], views: set[str]) -> None:
    found = sketch(sql, SCHEMA)
    assert shapes <= found.shapes
    assert found.views == views


def test_median_is_told_from_other_percentiles() -> None:
    half = sketch("SELECT percentile(lifetime_ms, 0.5) FROM orders", SCHEMA)
    high = sketch("SELECT percentile(lifetime_ms, 0.95) FROM orders", SCHEMA)
    assert half.columns[("orders", "lifetime_ms")] == {"median"}
    assert high.columns[("orders", "lifetime_ms")] == {"percentile"}


def test_null_tests_on_times_stay_null_tests() -> None:
    found = sketch("SELECT alert_id FROM alerts WHERE closed_ts IS NULL AND assigned_to IS NOT NULL", SCHEMA)
    assert found.columns[("alerts", "closed_ts")] == {"filter", "filter_null"}
    assert found.columns[("alerts", "assigned_to")] == {"filter", "filter_not_null"}


@pytest.mark.parametrize("sql", ["SELECT FROM WHERE", "SELECT 1 AS x", "SELECT a FROM nowhere"])
def test_unreadable_statements_say_so(sql: str) -> None:
    with pytest.raises(LabelError):
        sketch(sql, SCHEMA)


def test_only_declared_names_are_used() -> None:
    found = sketch(
        "SELECT o.trader_id, o.r FROM (SELECT trader_id, count_if(status = 'CANCELLED') / count(*) AS r FROM orders "
        "GROUP BY trader_id) o JOIN trader_baselines b ON b.trader_id = o.trader_id AND b.metric = 'CANCEL_RATIO' "
        "WHERE o.r > b.p95 AND abs(b.mean) <> 3 ORDER BY o.r",
        SCHEMA,
    )
    assert found.shapes <= set(SHAPES)
    assert {r for roles in found.columns.values() for r in roles} <= set(ROLES)
