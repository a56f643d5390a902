"""The shape of an answer: shares of a whole, spans between two instants, orders without a limit, values side by side."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nlq.contracts import Principal, Turn
from nlq.interpret import Interpretation, Interpreter
from retrieval.values import ValueIndex
from streaming.catalogue import Catalogue

WORLD = Path(__file__).parents[2] / "evals" / "worlds" / "w101"


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    catalogue = Catalogue.load()
    small = (
        "traders",
        "accounts",
        "instruments",
        "thresholds",
        "trader_baselines",
        "ingest_status",
        "trading_calendar",
    )
    tables = {name: pq.read_table(WORLD / f"{name}.parquet") for name in small}
    return Interpreter(catalogue, ValueIndex.build(tables, Interpreter.aliases(catalogue)))


def ask(interpreter: Interpreter, question: str) -> Interpretation:
    return interpreter.interpret(
        question, as_of=datetime(2026, 11, 20, 18, 30, tzinfo=UTC), principal=Principal(role="officer")
    )


def sql(interpreter: Interpreter, question: str) -> str:
    draft = ask(interpreter, question).draft
    assert draft is not None
    return draft.sql


@pytest.mark.parametrize(
    ("question", "figure", "key"),
    [
        ("what percentage of today's alerts came from each detector", "100.0 * count(*) / sum(count(*)) OVER ()", "detector"),
        ("share of our notional today by desk", "sum(notional) / sum(sum(notional)) OVER ()", "desk"),
        ("percentage split of this week's rejected orders by reject reason", "100.0 * count(*) / sum(count(*)) OVER ()", "reject_reason"),
    ],
)  # fmt: skip
def test_a_share_with_no_part_named_is_each_groups_part_of_all(
    interpreter: Interpreter, question: str, figure: str, key: str
) -> None:
    got = sql(interpreter, question)
    assert figure in got
    assert f"GROUP BY {key}" in got


def test_a_named_part_is_still_a_part_of_its_own_group(interpreter: Interpreter) -> None:
    got = sql(interpreter, "what percentage of today's orders was cancelled, by desk")
    assert "OVER ()" not in got
    assert "avg(CASE WHEN status = 'CANCELLED'" in got


def test_a_limit_on_a_part_of_all_groups_is_a_doubt(interpreter: Interpreter) -> None:
    got = ask(interpreter, "which desks did more than 30% of our notional today, as a share of the total by desk")
    assert got.draft is None or got.draft.confidence < interpreter.threshold


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("median of receive time minus quote time per venue today in ms", "(unix_micros(ingest_ts) - unix_micros(quote_ts)) / 1000.0, 0.5)"),
        ("how long after the window ends does each detector raise its alert, average in minutes", "avg((unix_micros(created_ts) - unix_micros(window_end_ts)) / 60000000.0)"),
        ("p50 and p99 ingest latency of today's order events in milliseconds", "percentile((unix_micros(ingest_ts) - unix_micros(event_ts)) / 1000.0, 0.99)"),
    ],
)  # fmt: skip
def test_time_between_two_instants_is_measured_from_the_earlier_to_the_later(
    interpreter: Interpreter, question: str, expected: str
) -> None:
    assert expected in sql(interpreter, question)


@pytest.mark.parametrize(
    ("question", "tail"),
    [
        ("critical alerts of today from worst to mildest by score", "ORDER BY score DESC"),
        ("unassigned open alerts, oldest at the top", "ORDER BY created_ts ASC"),
        ("today's fills in descending order of notional", "ORDER BY notional DESC"),
    ],
)
def test_an_order_from_end_to_end_leaves_no_row_out(interpreter: Interpreter, question: str, tail: str) -> None:
    assert sql(interpreter, question).endswith(tail)


def test_the_place_further_down_settles_the_limit(interpreter: Interpreter) -> None:
    got = sql(interpreter, "not the biggest fill of today but the next biggest by notional, who did it")
    assert got.endswith("ORDER BY notional DESC LIMIT 1 OFFSET 1")


def test_a_row_for_each_thing_is_listed_and_not_counted(interpreter: Interpreter) -> None:
    got = sql(interpreter, "layering detector as calibrated now, every parameter, value and unit")
    assert "count(" not in got
    assert "value" in got
    assert "unit" in got


def test_values_asked_for_separately_cut_the_figure(interpreter: Interpreter) -> None:
    got = sql(interpreter, "average notional of our fills today for client and for house accounts")
    assert got.endswith("GROUP BY account_type")


def test_both_of_two_values_is_asked_of_the_person(interpreter: Interpreter) -> None:
    got = sql(interpreter, "traders with fills in AAPL as well as TSLA today")
    assert got.endswith("GROUP BY trader_id HAVING count(DISTINCT symbol) = 2")


def test_state_asks_and_is_no_status(interpreter: Interpreter) -> None:
    got = ask(interpreter, "kindly state the number of orders per venue today")
    assert got.draft is not None
    assert "GROUP BY venue" in got.draft.sql
    assert not got.doubts


def test_some_of_those_counted_are_counted_beside_all(interpreter: Interpreter) -> None:
    got = sql(interpreter, "how many orders did each desk enter today and how many of those were rejected")
    assert "count(*) AS n, count(CASE WHEN status = 'REJECTED' THEN 1 END)" in got


def test_number_and_percentage_are_of_the_same_rows(interpreter: Interpreter) -> None:
    got = sql(interpreter, "number and percentage of today's orders that were cancelled, per desk")
    assert "count(CASE WHEN status = 'CANCELLED' THEN 1 END) AS n" in got


def test_a_percentage_as_unit_of_a_column_is_no_share(interpreter: Interpreter) -> None:
    assert "OVER ()" not in sql(interpreter, "average price move in percent by event type")


FILLS = (
    "SELECT desk, count(*) AS n FROM executions WHERE status = 'VALID' AND trade_date = DATE '2026-11-20' GROUP BY desk"
)


def follow(interpreter: Interpreter, earlier: str, question: str) -> Interpretation:
    return interpreter.interpret(
        question,
        as_of=datetime(2026, 11, 20, 18, 30, tzinfo=UTC),
        principal=Principal(role="officer"),
        history=[Turn(question="our fills today by desk", sql=earlier)],
    )


@pytest.mark.parametrize("question", ["now as a percentage of the total", "in % rather than counts"])
def test_a_followup_turns_figures_into_parts_of_their_total(interpreter: Interpreter, question: str) -> None:
    got = follow(interpreter, FILLS, question)
    assert got.draft is not None
    assert "100.0 * COUNT(*) / SUM(COUNT(*)) OVER ()" in got.draft.sql
    assert not got.doubts


@pytest.mark.parametrize(
    ("earlier", "question"),
    [
        (FILLS, "as a percentage of orders"),
        (FILLS.replace("status = 'VALID'", "liquidity = 'ADDED' AND status = 'VALID'"), "as a percentage of the total"),
        (FILLS.replace("desk", "desk, venue"), "percentages within desk rather than counts"),
    ],
)
def test_a_part_of_another_total_is_a_doubt(interpreter: Interpreter, earlier: str, question: str) -> None:
    assert follow(interpreter, earlier, question).doubts


def test_a_followup_cuts_and_limits_at_once(interpreter: Interpreter) -> None:
    earlier = "SELECT count(*) AS n FROM orders WHERE status = 'CANCELLED' AND trade_date = DATE '2026-11-20'"
    got = follow(interpreter, earlier, "by trader, only those above ten")
    assert got.draft is not None
    assert got.draft.sql.endswith("GROUP BY trader_id HAVING COUNT(*) > 10")
