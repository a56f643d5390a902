"""Hand-made messages and the exact rows they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.streaming.conftest import START_US, at, order, quote, trade

if TYPE_CHECKING:
    from tests.streaming.conftest import Route

LIFE = [
    quote(0, 1, 9.98, 10.02),
    order("NEW", "O1", 10, "e1", price=9.97),
    quote(20, 2, 9.99, 10.03),
    order("REPLACE", "O1", 30, "e2", price=9.99, order_qty=120.0, leaves_qty=120.0),
    # A quote at the very moment of the fill is what the fill caused, not the market that it met.
    order("FILL", "O1", 40, "e3", price=9.99, order_qty=120.0, last_qty=20.0, last_price=9.99, leaves_qty=100.0,
          cum_qty=20.0, avg_price=9.99, exec_id="X1", liquidity="ADDED"),
    quote(40, 3, 9.90, 10.10),
    order("CANCEL", "O1", 1040, "e4", price=9.99, order_qty=120.0, leaves_qty=0.0, cum_qty=20.0,
          cancel_reason="TRADER"),
    order("NEW", "O2", 50, "e5", side="SELL_SHORT", order_type="MARKET", price=None, trader_id="T2", account_id="E1"),
    trade(5, "t1", 10.0, 30.0),
    trade(15, "t2", 10.1, 10.0),
]  # fmt: skip


def only(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    assert len(found) == 1, (wanted, rows)
    return found[0]


def subset(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


@pytest.fixture
def lived(route: Route) -> Route:
    """LIFE in two batches, cut in the middle of the first order's life."""
    route.feed(LIFE[:4])
    route.feed(LIFE[4:])
    return route


def test_every_view_has_the_catalogues_columns_and_types(lived: Route) -> None:
    with lived.snapshot() as snapshot:
        session = lived.spark.newSession()
        for name, view in lived.catalogue.views.items():
            fields = snapshot.frame(name, session).schema.fields
            assert [(f.name, f.dataType.simpleString().upper()) for f in fields] == [
                (c.name, c.type) for c in view.columns.values()
            ], name


def test_an_orders_row_is_its_state_carried_across_batches(lived: Route) -> None:
    orders = lived.rows("orders")
    ended = only(orders, order_id="O1")
    assert subset(ended, "entry_ts", "end_ts", "status", "limit_price", "order_qty", "filled_qty", "cancelled_qty",
                  "leaves_qty", "avg_fill_price", "n_replaces", "lifetime_ms", "cancel_reason") == {
        "entry_ts": at(10), "end_ts": at(1040), "status": "CANCELLED", "limit_price": 9.99, "order_qty": 120.0,
        "filled_qty": 20.0, "cancelled_qty": 100.0, "leaves_qty": 0.0, "avg_fill_price": 9.99, "n_replaces": 1,
        "lifetime_ms": 1030, "cancel_reason": "TRADER",
    }  # fmt: skip
    assert ended["mid_at_entry"] == 10.0
    assert ended["distance_bps"] == pytest.approx((9.98 - 9.97) / 10.0 * 1e4)
    assert ended["order_notional"] == pytest.approx(120 * 9.99)
    working = only(orders, order_id="O2")
    assert subset(working, "status", "end_ts", "limit_price", "lifetime_ms", "trader_name", "account_type") == {
        "status": "WORKING", "end_ts": None, "limit_price": None, "lifetime_ms": None,
        "trader_name": "Bo Lindström", "account_type": "EMPLOYEE",
    }  # fmt: skip
    assert working["order_notional"] == pytest.approx(100 * 10.0), "a market order counts at mid at entry"
    assert len(orders) == 2


def test_a_fill_meets_the_quote_strictly_before_it(lived: Route) -> None:
    fill = only(lived.rows("executions"), exec_id="X1")
    assert subset(fill, "bid_price", "ask_price", "status", "qty", "price", "in_earnings_window",
                  "in_last_earnings_window", "is_restricted") == {
        "bid_price": 9.99, "ask_price": 10.03, "status": "VALID", "qty": 20.0, "price": 9.99,
        "in_earnings_window": True, "in_last_earnings_window": True, "is_restricted": False,
    }  # fmt: skip
    mid, effective = 10.01, 2 * 0.02 / 10.01 * 1e4
    assert fill["mid_price"] == pytest.approx(mid)
    assert fill["effective_spread_bps"] == pytest.approx(effective)
    assert fill["spread_deviation_pct"] == pytest.approx((effective / 5.0 - 1) * 100)
    assert fill["mid_deviation_pct"] == pytest.approx((9.99 / mid - 1) * 100)
    assert str(fill["trade_date"]) == "2025-11-20"


def test_a_bust_and_a_correction_annul_their_fills(lived: Route) -> None:
    lived.feed([
        order("BUST", "O1", 2000, "e6", ref_exec_id="X1"),
        order("NEW", "O3", 2010, "e7", symbol="XYZ", venue="XNYS"),
        order("FILL", "O3", 2020, "e8", symbol="XYZ", venue="XNYS", last_qty=10.0, last_price=5.0, leaves_qty=90.0,
              cum_qty=10.0, exec_id="X2"),
        order("CORRECT", "O3", 2030, "e9", symbol="XYZ", venue="XNYS", last_qty=10.0, last_price=5.5, exec_id="X3",
              ref_exec_id="X2"),
    ])  # fmt: skip
    fills = lived.rows("executions")
    assert [(f["exec_id"], f["status"], f["price"]) for f in fills] == [
        ("X1", "BUSTED", 9.99), ("X2", "CORRECTED", 5.0), ("X3", "VALID", 5.5)
    ]  # fmt: skip
    assert [f["is_restricted"] for f in fills] == [False, True, True]
    assert only(lived.rows("orders"), order_id="O1")["filled_qty"] == 20.0, "the order stays as the venue reported it"
    assert {e["event_type"] for e in lived.rows("order_events")} == {"NEW", "REPLACE", "FILL", "CANCEL"}


def test_bars_hold_prints_and_quotes_of_their_minute(lived: Route) -> None:
    bar = only(lived.rows("trade_stats_1m"))
    assert subset(bar, "open_price", "high_price", "low_price", "close_price", "n_trades", "volume", "n_quotes",
                  "is_final") == {
        "open_price": 10.0, "high_price": 10.1, "low_price": 10.0, "close_price": 10.1, "n_trades": 2,
        "volume": 40.0, "n_quotes": 3, "is_final": False,
    }  # fmt: skip
    assert bar["vwap"] == pytest.approx((30 * 10.0 + 10 * 10.1) / 40)


def test_flow_windows_slide_and_know_the_traders_norm(lived: Route) -> None:
    flow = [row for row in lived.rows("order_flow_30s") if row["trader_id"] == "T1"]
    assert [row["window_start_ts"] for row in flow] == [at(-20_000), at(-10_000), at(0)]
    for row in flow:
        assert subset(row, "side", "n_new", "n_cancel", "n_fill", "qty_cancel", "qty_fill", "cancel_ratio",
                      "max_order_qty", "opposite_fill_qty", "baseline_cancel_ratio") == {
            "side": "BUY", "n_new": 1, "n_cancel": 1, "n_fill": 1, "qty_cancel": 100.0, "qty_fill": 20.0,
            "cancel_ratio": 1.0, "max_order_qty": 100.0, "opposite_fill_qty": 0.0, "baseline_cancel_ratio": 0.5,
        }  # fmt: skip
        assert row["deviation_score"] == pytest.approx(5.0)


def test_the_watermark_makes_windows_final(lived: Route) -> None:
    lived.feed([quote(100_000, 9, 9.99, 10.01), order("NEW", "O9", 100_000, "e99"), trade(100_000, "t9", 10.0, 1.0)])
    finals = {row["window_start_ts"]: row["is_final"] for row in lived.rows("trade_stats_1m")}
    assert finals == {at(0): True, at(60_000): False}


def test_a_snapshot_stays_while_the_stream_goes_on(lived: Route) -> None:
    with lived.snapshot() as snapshot:
        before = lived.rows("orders", snapshot), lived.rows("quotes", snapshot)
        lived.feed([order("CANCEL", "O2", 3000, "e10", side="SELL_SHORT", trader_id="T2", account_id="E1",
                          leaves_qty=0.0), quote(3000, 7, 1.0, 2.0)])  # fmt: skip
        assert (lived.rows("orders", snapshot), lived.rows("quotes", snapshot)) == before
        assert snapshot.as_of == at(1040)
    assert only(lived.rows("orders"), order_id="O2")["status"] == "CANCELLED"


def test_ingest_status_counts_the_offsets_that_answers_include(lived: Route) -> None:
    status = {row["topic"]: row["committed_offset"] for row in lived.rows("ingest_status")}
    assert status == {"orders": 4, "market_trades": 1, "quotes": 2}
    assert START_US > 0
