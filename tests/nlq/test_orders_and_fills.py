"""Questions about orders, fills and 30-second windows: which rows are wanted, and the conditions that words state."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nlq.contracts import Principal
from nlq.interpret import Interpreter
from retrieval.values import ValueIndex
from streaming.catalogue import Catalogue

WORLD = Path(__file__).parents[2] / "evals" / "worlds" / "w101"
AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    names = ("instruments", "traders", "accounts", "trading_calendar", "thresholds", "restricted_list", "orders")
    rows = {name: pq.read_table(WORLD / f"{name}.parquet") for name in names}
    return Interpreter(Catalogue.load(), ValueIndex.build(rows, Interpreter.aliases(Catalogue.load())))


def drafted(interpreter: Interpreter, question: str) -> str:
    found = interpreter.interpret(question, as_of=AS_OF, principal=Principal(role="officer"))
    assert found.draft is not None
    return found.draft.sql


@pytest.mark.parametrize(
    "question",
    [
        "Vodafone orders rejected today: order id, trader, quantity",
        "fills of T44 in ABC today - exec / side / qty / px",
        "Which orders of T44 today were amended at least twice, whose account and how many amends each?",
        "desk CRYPTO, cancelled this week -> order, account, replaces",
    ],
)
def test_a_list_of_columns_asks_for_rows(interpreter: Interpreter, question: str) -> None:
    sql = drafted(interpreter, question)
    assert "GROUP BY" not in sql and sql.startswith(("SELECT order_id", "SELECT exec_id"))


@pytest.mark.parametrize(
    "question",
    [
        "how many fills per trader today",
        "Which customer accounts did more than 20 trades today, and how many was it?",
        "turnover by desk today: desk, notional",
    ],
)
def test_a_count_or_a_grouping_word_still_makes_figures(interpreter: Interpreter, question: str) -> None:
    assert "GROUP BY" in drafted(interpreter, question)


@pytest.mark.parametrize(
    ("question", "condition"),
    [
        ("VOD orders that haven't finished", "status = 'WORKING'"),
        ("open stop limit orders in ABC", "status = 'WORKING'"),
        ("orders of T44 still hanging around", "status = 'WORKING'"),
        ("orders of T44 today that are no longer working", "status <> 'WORKING'"),
        ("executions today that were annulled by the exchange", "status = 'BUSTED'"),
        ("manually entered orders today", "NOT is_algo"),
        ("listed derivs orders today", "asset_class IN ('FUTURE', 'OPTION')"),
        ("our fills today not inside the spread", "price > ask_price OR price < bid_price"),
        ("cancel messages of T44 in the last hour", "event_type = 'CANCEL'"),
    ],
)
def test_everyday_words_are_conditions(interpreter: Interpreter, question: str, condition: str) -> None:
    assert condition in drafted(interpreter, question)


def test_an_order_that_works_has_an_age_and_no_lifetime(interpreter: Interpreter) -> None:
    sql = drafted(interpreter, "working orders in ABC older than 2 hours")
    assert "entry_ts < TIMESTAMP '2026-11-20 18:30:00' - INTERVAL 2 HOURS" in sql and "lifetime_ms >" not in sql
    assert "lifetime_ms > 7200000" in drafted(interpreter, "cancelled orders in ABC that lived longer than 2 hours")


@pytest.mark.parametrize(
    ("question", "condition"),
    [
        ("fills today over 2 percent either side of mid", "abs(mid_deviation_pct) > 2"),
        ("our fills today more than 3% above the midpoint", "mid_deviation_pct > 3"),
        ("our fills today more than 3% below the midpoint", "-mid_deviation_pct > 3"),
        (
            "trades today straying at least 40% from the usual spread, wider or tighter",
            "abs(spread_deviation_pct) >= 40",
        ),
        ("trades today at least 40% wider than the usual spread", "spread_deviation_pct >= 40"),
    ],
)
def test_deviations_keep_their_direction(interpreter: Interpreter, question: str, condition: str) -> None:
    sql = drafted(interpreter, question)
    assert condition in sql and (condition.startswith("abs") or "abs(" not in sql)


@pytest.mark.parametrize(
    ("question", "conditions"),
    [
        ("30-second windows today with at least 6 new orders and a deviation score over 2", ("n_new >= 6", "deviation_score > 2")),
        ("flow windows today where T44 pulled four or more orders while filled on the other side", ("n_cancel >= 4", "opposite_fill_qty > 0")),
        ("sliding windows of today in which at least 80% were cancelled", ("cancel_ratio >= 0.8",)),
        ("flow windows of T44 where the watermark hasn't passed", ("NOT is_final",)),
    ],
)  # fmt: skip
def test_windows_of_order_flow(interpreter: Interpreter, question: str, conditions: tuple[str, ...]) -> None:
    sql = drafted(interpreter, question)
    assert "FROM order_flow_30s" in sql and all(c in sql for c in conditions)
