"""Market data as people ask for it: the market as it stood, both ends of a price, widths, moves, aggressors, single minutes."""

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
    catalogue = Catalogue.load()
    names = ("instruments", "traders", "accounts", "trading_calendar", "thresholds", "restricted_list", "orders")
    rows = {name: pq.read_table(WORLD / f"{name}.parquet") for name in names}
    return Interpreter(catalogue, ValueIndex.build(rows, Interpreter.aliases(catalogue)))


def draft(interpreter: Interpreter, question: str) -> str:
    found = interpreter.interpret(question, as_of=AS_OF, principal=Principal(role="officer", desk=None)).draft
    assert found is not None, question
    return found.sql


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("Siemens bid and ask as of 14:10 UTC", ["FROM quotes", "quote_ts <= TIMESTAMP '2026-11-20 14:10:00'", "LIMIT 1"]),
        ("what was the mid in Vodafone at two o'clock UTC", ["FROM quotes", "2026-11-20 14:00:00", "LIMIT 1"]),
        ("best bid and best offer in Tesla stock ninety minutes ago", ["FROM quotes", "INTERVAL 90 MINUTES", "LIMIT 1"]),
        ("highest and lowest price of Ford on the tape today", ["FROM market_trades", "max(price)", "min(price)"]),
        ("what was the tightest spread of Siemens today", ["FROM quotes", "min(spread_bps)"]),
        ("Tesla stock on the tape today: first print against the latest, percent change", ["max_by(price, trade_ts) / min_by"]),
        (
            "tape volume in Ford today initiated by buyers versus sellers",
            ["aggressor_side IS NOT NULL", "GROUP BY aggressor_side", "sum(qty)"],
        ),
        ("maximum one-minute volume in Ford today and which minute it was", ["ORDER BY volume DESC LIMIT 1", "window_start_ts"]),
        ("quotes today per venue where the bid was at or through the ask", ["bid_price >= ask_price", "GROUP BY venue"]),
        ("Ford quotes today with bid size five times the offer or more", ["bid_qty >= 5 * ask_qty"]),
    ],
)  # fmt: skip
def test_market_data_is_read_as_it_is_asked_for(interpreter: Interpreter, question: str, parts: list[str]) -> None:
    sql = draft(interpreter, question)
    assert [p for p in parts if p not in sql] == [], sql


def test_an_instant_says_nothing_about_what_happens_and_is_over(interpreter: Interpreter) -> None:
    """ "Orders at 14:10" has no safe meaning: neither every order up to then nor those of that second."""
    found = interpreter.interpret("orders at 14:10 UTC", as_of=AS_OF, principal=Principal(role="officer", desk=None))
    assert any("14:10" in doubt for doubt in found.doubts)


def test_own_fills_stay_own_fills(interpreter: Interpreter) -> None:
    assert "FROM executions" in draft(interpreter, "our fills in Siemens today with bid and ask")
