"""Questions about one reference or engine view: feeds, sessions, staff dealing, the restricted list, norms."""

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
    names = ("instruments", "traders", "accounts", "trading_calendar", "thresholds", "restricted_list", "ingest_status",
             "dead_letters", "personal_trades", "corporate_events", "alerts", "trader_baselines")  # fmt: skip
    rows = {name: pq.read_table(WORLD / f"{name}.parquet") for name in names}
    return Interpreter(Catalogue.load(), ValueIndex.build(rows, Interpreter.aliases(Catalogue.load())))


def _read(interpreter: Interpreter, question: str) -> Interpretation:
    return interpreter.interpret(question, as_of=AS_OF, principal=Principal(role="officer"))


def _sql(interpreter: Interpreter, question: str) -> str:
    draft = _read(interpreter, question).draft
    assert draft is not None
    return draft.sql


@pytest.mark.parametrize(
    ("question", "view", "conditions"),
    [
        # a topic is named by itself or by the view that it fills
        ("dead letters on the quotes feed today", "dead_letters", ["topic = 'quotes'"]),
        ("tape messages in the DLQ today", "dead_letters", ["topic = 'market.trades'"]),
        ("partitions of every topic except reference with lag over 50", "ingest_status", ["topic <> 'reference'", "lag > 50"]),
        ("dead letters with a missing qty today", "dead_letters", ["error_field = 'qty'", "error_class = 'MISSING_FIELD'"]),
        ("dead letters with NVDA in the payload", "dead_letters", ["payload LIKE '%NVDA%'"]),
        ("which partitions are more than 300 messages behind", "ingest_status", ["lag > 300"]),
        # the holding period and the lapsed approval
        ("personal trades sold before the end of the holding period", "personal_trades", ["trade_date < min_holding_until"]),
        ("PA deals that broke the minimum holding rule", "personal_trades", ["side = 'SELL'", "trade_date < min_holding_until"]),
        ("personal trades done after the permission had lapsed", "personal_trades", ["trade_ts > preclearance_expiry_ts"]),
        ("PA deals this week where clearance was turned down", "personal_trades", ["preclearance_status = 'DENIED'"]),
        # the restricted list
        ("which companies may nobody in the firm trade at present", "restricted_list",
         ["list_type = 'RESTRICTED'", "scope = 'FIRM'", "start_ts <= "]),
        ("restricted list entries not yet in force", "restricted_list", ["start_ts > "]),
        # the calendar: no day is added that nobody asked for
        ("weekday closures last week, venue and name", "trading_calendar", ["holiday_name <> 'Weekend'"]),
        ("venues trading today without a closing auction", "trading_calendar", ["closing_auction_start_ts IS NULL"]),
    ],
)  # fmt: skip
def test_condition_is_read_from_the_words(
    interpreter: Interpreter, question: str, view: str, conditions: list[str]
) -> None:
    sql = _sql(interpreter, question)
    assert f" FROM {view}" in sql
    assert [c for c in conditions if c not in sql] == []


@pytest.mark.parametrize(
    "question",
    [
        "every parameter of the ramping detector in force, with value and unit",
        "T302's baseline, each metric with mean and p95",
        "metric / mean / stdev on file for T302",
        "trading hours today by venue",
    ],
)
def test_a_row_for_each_key_is_a_list(interpreter: Interpreter, question: str) -> None:
    sql = _sql(interpreter, question)
    assert "GROUP BY" not in sql
    assert "count(" not in sql


def test_short_days_get_no_unasked_today(interpreter: Interpreter) -> None:
    assert "trade_date = DATE" not in _sql(interpreter, "half days on file, venue and closing time")


def test_a_yes_or_no_about_one_day_shows_the_day(interpreter: Interpreter) -> None:
    sql = _sql(interpreter, "Is XLON a trading day tomorrow, yes or no?")
    assert "is_trading_day" in sql.split(" FROM ")[0]
    assert "is_trading_day" not in sql.split(" WHERE ")[1]


def test_a_denied_holding_rule_is_not_read_as_broken(interpreter: Interpreter) -> None:
    read = _read(interpreter, "personal sales not before the end of the holding period")
    assert read.draft is not None
    assert "trade_date < min_holding_until" not in read.draft.sql
    assert read.doubts


def test_a_word_of_a_phrase_alone_is_no_filler(interpreter: Interpreter) -> None:
    """ "Kicks" stands in "when the closing auction kicks off"; alone it is still a word that found no place."""
    doubts = _read(interpreter, "fills in VOD today with kicks").doubts
    assert any("kicks" in d for d in doubts)
