"""A word that says again what the statement says is no doubt; beside a statement that lacks it, it stays one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nlq.contracts import Principal
from nlq.explained import restatements
from nlq.implausible import implausible
from nlq.interpret import Interpreter
from retrieval.values import ValueIndex
from streaming.catalogue import Catalogue

WORLD = Path(__file__).parents[2] / "evals" / "worlds" / "w101"
REFERENCE = (
    "traders",
    "accounts",
    "instruments",
    "thresholds",
    "trader_baselines",
    "ingest_status",
    "trading_calendar",
)


@pytest.fixture(scope="module")
def ask():
    catalogue = Catalogue.load()
    tables = {name: pq.read_table(WORLD / f"{name}.parquet") for name in REFERENCE}
    interpreter = Interpreter(catalogue, ValueIndex.build(tables, Interpreter.aliases(catalogue)))
    clock = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
    return lambda question: interpreter.interpret(question, as_of=clock, principal=Principal(role="officer"))


SAID_AND_DONE = [
    "alerts raised since Tuesday, count per desk",
    "what share of the orders on Xetra today ended up cancelled",
    "dead letters received today per topic",
    "committed vs end offset on market.trades partition 2",
    "my manager wants fills in Tesla today, i mean the valid ones",
    "restricted entries in force right now, symbol and start",
    "algos excluded, headcount per city",
    "producers by number of dead letters since Monday, runner-up with count",
    "Fat fingers: orders today over the trader's own per-order notional limit, order id and trader",
    "bid and offer of Ford as it stood at 14:00 UTC today",
]


@pytest.mark.parametrize("question", SAID_AND_DONE)
def test_words_that_the_statement_carries_out_are_no_doubt(ask, question):
    assert not [d for d in ask(question).doubts if d.endswith("not understood")]


SAID_AND_NOT_DONE = [
    ("executions raised today per desk", "raised"),
    ("orders today by desk vs the month before last year", "vs"),
    ("count of fills today with the slippage absolute", "absolute"),
]


@pytest.mark.parametrize(("question", "word"), SAID_AND_NOT_DONE)
def test_the_same_words_stay_a_doubt_where_the_statement_has_nothing_of_them(ask, question, word):
    assert any(word in d for d in ask(question).doubts)


def test_what_is_excluded_behind_its_noun_is_left_out(ask):
    sql = ask(
        "highest deviation score per trader in the flow windows of the last hour, provisional ones excluded"
    ).draft.sql
    assert "NOT is_final" not in sql and "is_final" in sql


def test_every_line_of_the_file_can_be_read():
    assert len(restatements()) > 40


UNDOING = [
    "SELECT avg(CASE WHEN status = 'FILLED' THEN 1.0D ELSE 0.0D END) AS s FROM orders WHERE status = 'FILLED'",
    "SELECT desk FROM orders GROUP BY desk HAVING avg(CASE WHEN status = 'FILLED' THEN 1.0D ELSE 0.0D END) >= 40",
    "SELECT desk FROM alerts GROUP BY desk HAVING count(*) >= 2 AND count(*) >= 2",
    "SELECT count(*) AS n FROM orders WHERE trade_date >= DATE '2026-11-16' AND trade_date = DATE '2026-11-20'",
    "SELECT sum(lag) AS n FROM ingest_status WHERE lag = 0",
    "SELECT trader_id FROM executions WHERE side = 'BUY' AND NOT side IN ('SELL', 'SELL_SHORT')",
]
SOUND = [
    "SELECT avg(CASE WHEN status = 'FILLED' THEN 1.0D ELSE 0.0D END) AS s FROM orders WHERE desk = 'EQ-NY'",
    "SELECT desk FROM orders GROUP BY desk HAVING avg(CASE WHEN status = 'FILLED' THEN 1.0D ELSE 0.0D END) >= 0.4",
    "SELECT count(*) AS n FROM orders WHERE trade_date >= DATE '2026-11-16' AND trade_date <= DATE '2026-11-20'",
    "SELECT sum(qty) AS n FROM executions WHERE side = 'BUY'",
]


@pytest.mark.parametrize("sql", UNDOING)
def test_a_statement_whose_conditions_undo_its_figures_is_a_doubt(sql):
    assert implausible(sql)


@pytest.mark.parametrize("sql", SOUND)
def test_a_sound_statement_is_none(sql):
    assert implausible(sql) == []


VIEWS = [
    ("sell tickets entered in Barclays over the last half hour", "orders"),
    ("median order size by venue today", "orders"),
    ("which clients bought Ford today and how much", "executions"),
    ("order-to-trade ratio per desk today", "orders"),
]


@pytest.mark.parametrize(("question", "view"), VIEWS)
def test_what_is_entered_is_an_order_and_what_is_bought_a_fill(ask, question, view):
    found = ask(question)
    assert f"FROM {view}" in found.draft.sql
    assert not [d for d in found.doubts if " or " in d and "_" not in d.split(" or ")[0]]


def test_the_one_noun_that_became_the_key_is_no_doubt_beside_it(ask):
    found = ask("traders with over 80 orders this session and the count")
    assert "GROUP BY trader_id" in found.draft.sql
    assert not [d for d in found.doubts if "beside the grouping" in d]


def test_a_name_that_may_be_a_person_or_a_stock_stays_a_doubt(ask):
    assert any("beside the grouping" in d for d in ask("names flagged by more than two detectors today").doubts)
