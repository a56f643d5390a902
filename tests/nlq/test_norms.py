"""A figure of today against the own norm: recognised in other people's words, and left alone where it is not meant."""

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


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("which traders' cancel ratio today is above their baseline p95?", ["'CANCEL_RATIO'", "cancel_ratio > b.p95"]),
        ("today's order count against the own ORDERS_PER_DAY norm, per trader, z-score above 3 only",
         ["'ORDERS_PER_DAY'", "> b.mean + 3 * b.stddev"]),
        ("cancel ratio today at least two standard deviations above the trader's own norm",
         ["'CANCEL_RATIO'", ">= b.mean + 2 * b.stddev"]),
        ("who has an average order size today more than three times the usual one",
         ["'AVG_ORDER_QTY'", "> 3 * b.mean"]),
        ("today's cancel ratio over the 95th percentile of the baseline, only traders with at least 30 orders",
         ["HAVING count(*) >= 30", "cancel_ratio > b.p95"]),
    ],
)  # fmt: skip
def test_todays_figure_is_held_against_the_norm(interpreter: Interpreter, question: str, parts: list[str]) -> None:
    draft = ask(interpreter, question).draft
    assert draft is not None
    for part in ("FROM orders", "trade_date = DATE '2026-11-20'", "trader_baselines", *parts):
        assert part in draft.sql, draft.sql


def test_traders_over_their_norm_are_counted(interpreter: Interpreter) -> None:
    draft = ask(interpreter, "how many traders have entered more orders today than their 95th percentile?").draft
    assert draft is not None
    assert draft.sql.startswith("SELECT count(*) AS n FROM (SELECT m.trader_id")
    assert "m.n_orders > b.p95" in draft.sql


@pytest.mark.parametrize(
    "question",
    [
        "baseline cancel ratio of T302",
        "open alerts today with a deviation of more than 3 sigma",
    ],
)
def test_a_norm_by_itself_reads_no_orders(interpreter: Interpreter, question: str) -> None:
    draft = ask(interpreter, question).draft
    assert draft is not None
    assert "FROM orders" not in draft.sql


def test_an_unread_word_stays_a_doubt(interpreter: Interpreter) -> None:
    known = ask(interpreter, "traders with today's cancel ratio above their baseline p95")
    odd = ask(interpreter, "traders with today's flurbish cancel ratio above their baseline p95")
    assert any("flurbish" in doubt for doubt in odd.doubts)
    assert known.draft is not None and odd.draft is not None
    assert odd.draft.confidence < known.draft.confidence
