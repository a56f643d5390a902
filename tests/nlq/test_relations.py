"""Rows set against rows of another view, and what has no row at all, in sentences of nobody's collection."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nlq.contracts import Principal
from nlq.interpret import Interpretation, Interpreter
from retrieval.values import ValueIndex
from streaming.catalogue import Catalogue

WORLD = Path(__file__).parents[2] / "evals" / "worlds" / "w101"
AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    catalogue = Catalogue.load()
    names = ("instruments", "traders", "accounts", "trading_calendar", "thresholds", "restricted_list", "orders")
    rows = {name: pq.read_table(WORLD / f"{name}.parquet") for name in names}
    return Interpreter(catalogue, ValueIndex.build(rows, Interpreter.aliases(catalogue)))


def ask(interpreter: Interpreter, question: str) -> Interpretation:
    return interpreter.interpret(question, as_of=AS_OF, principal=Principal(role="officer"))


def sql_of(interpreter: Interpreter, question: str) -> str:
    draft = ask(interpreter, question).draft
    assert draft is not None
    return draft.sql


@pytest.mark.parametrize(
    ("question", "start", "missing"),
    [
        ("Which traders of the Tokyo desk have not sent a single order since Monday?", "FROM traders", "FROM orders AS x"),
        ("client accounts without any fill in the last 20 minutes", "FROM accounts", "FROM executions AS x"),
        ("instruments with no print on the tape today", "FROM instruments", "FROM market_trades AS x"),
        ("current traders who were never flagged by an alert", "FROM traders", "FROM alerts AS x"),
        ("How many accounts have had no order this week?", "count(*) AS n FROM accounts", "FROM orders AS x"),
    ],
)  # fmt: skip
def test_what_has_no_row_is_asked_of_the_reference_view(
    interpreter: Interpreter, question: str, start: str, missing: str
) -> None:
    sql = sql_of(interpreter, question)
    assert start in sql
    assert f"NOT EXISTS (SELECT 1 {missing}" in sql


def test_still_employed_describes_the_trader_not_the_missing_rows(interpreter: Interpreter) -> None:
    sql = sql_of(interpreter, "traders still employed with no fill in the past 10 minutes")
    outside, _, inside = sql.partition("NOT EXISTS")
    assert "end_date IS NULL" in outside
    assert "end_date" not in inside
    assert "EMPLOYEE" not in sql


def test_a_denied_code_describes_the_missing_rows(interpreter: Interpreter) -> None:
    sql = sql_of(interpreter, "accounts with no rejected order this week")
    assert "status = 'REJECTED'" in sql.partition("NOT EXISTS")[2]


def test_orders_without_a_fill_are_orders(interpreter: Interpreter) -> None:
    assert "NOT EXISTS" not in sql_of(interpreter, "orders today without a fill")


@pytest.mark.parametrize(
    "question",
    [
        "orders today that went over the limit of the trader who entered them",
        "which orders this week exceeded their trader's own ceiling per order?",
        "today's orders with a notional above the individual per-order maximum",
        "order notional > trader's max order notional, today, order id and cap",
    ],
)
def test_an_order_is_set_against_its_own_traders_limit(interpreter: Interpreter, question: str) -> None:
    got = sql_of(interpreter, question)
    assert "orders.order_notional > traders.max_order_notional" in got
    assert "traders.max_order_notional" in got.partition(" FROM ")[0]


@pytest.mark.parametrize(
    ("question", "view"),
    [
        ("fills booked after the trader had left the firm", "executions"),
        ("count orders dated later than the end date of their trader, by trader", "orders"),
        ("any order under an id whose last working day had already passed?", "orders"),
    ],
)
def test_activity_after_leaving_compares_the_day_with_the_last_one(
    interpreter: Interpreter, question: str, view: str
) -> None:
    assert f"{view}.trade_date > traders.end_date" in sql_of(interpreter, question)


@pytest.mark.parametrize(
    "question",
    [
        "alerts of this week raised under outdated thresholds",
        "open alerts whose threshold version is no longer in force",
        "how many alerts were fired with a calibration that has since been replaced?",
    ],
)
def test_an_alert_is_set_against_the_version_now_in_force(interpreter: Interpreter, question: str) -> None:
    assert "v.effective_to_ts IS NULL AND v.version > alerts.threshold_version" in sql_of(interpreter, question)


def test_a_list_of_the_whole_firm_counts_at_the_time_of_the_trade(interpreter: Interpreter) -> None:
    sql = sql_of(interpreter, "staff deals at outside brokers in a name while it was on the firm-wide restricted list")
    assert "FROM personal_trades" in sql
    assert "r.scope = 'FIRM'" in sql
    assert "personal_trades.trade_ts >= r.start_ts" in sql


def test_the_entry_itself_is_shown_when_it_is_asked_for(interpreter: Interpreter) -> None:
    sql = sql_of(interpreter, "personal trades in a firm-restricted stock at that moment: trade, person, list entry")
    assert "restricted_list.list_id" in sql.partition(" FROM ")[0]
    assert "JOIN restricted_list ON" in sql


@pytest.mark.parametrize(
    ("question", "link"),
    [
        ("thresholds changed since Monday: parameter, previous value and new value", "p.version = c.version - 1"),
        ("by how many percent did each setting move from its previous version to the current one", "p.version = c.version - 1"),
        ("spoofing parameters: original value beside the current one, percent change", "p.version = 1"),
    ],
)  # fmt: skip
def test_a_parameter_stands_beside_its_earlier_version(interpreter: Interpreter, question: str, link: str) -> None:
    assert link in sql_of(interpreter, question)


def test_the_manager_is_named(interpreter: Interpreter) -> None:
    sql = sql_of(interpreter, "What is the name of T302's line manager?")
    assert "m.trader_name" in sql
    assert "t.trader_id = 'T302'" in sql
    assert "m.trader_name" not in sql_of(interpreter, "who reports to T302?")


def test_words_of_a_relation_without_a_place_are_a_doubt(interpreter: Interpreter) -> None:
    got = ask(interpreter, "market trades on the tape after the trader left, order by order")
    assert got.doubts or got.outcome != "answer"


def test_alerts_are_counted_by_the_manager_of_their_trader(interpreter: Interpreter) -> None:
    sql = sql_of(interpreter, "number of open alerts under each line manager")
    assert "FROM alerts JOIN traders" in sql
    assert "GROUP BY traders.manager_id" in sql


def test_a_reason_that_begins_with_no_denies_nothing(interpreter: Interpreter) -> None:
    assert "NOT EXISTS" not in sql_of(interpreter, "no locate rejections since Monday: trader and order")
