"""The time from an order's entry to its first fill or change, and first and last instants beside a count."""

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


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("average seconds from entry to the first fill of Ford limit orders entered today",
         ["avg((unix_micros(f.first_ts) - unix_micros(o.entry_ts)) / 1000000.0)", "FROM executions", "symbol = 'F'", "'LIMIT'"]),
        ("how long do orders of the Frankfurt desk wait for their first execution, median in ms, by venue",
         ["percentile(", "/ 1000.0", "desk = 'EQ-FRA'", "GROUP BY o.venue"]),
        ("time-to-first-amendment in minutes, p95 per desk, orders of today",
         ["0.95)", "/ 60000000.0", "event_type = 'REPLACE'", "GROUP BY o.desk"]),
        ("number of prints and first and last print time per venue today",
         ["count(*)", "min(trade_ts)", "max(trade_ts)", "GROUP BY venue"]),
    ],
)  # fmt: skip
def test_instants_become_figures(interpreter: Interpreter, question: str, parts: list[str]) -> None:
    draft = interpreter.interpret(question, as_of=AS_OF, principal=Principal(role="officer")).draft
    assert draft is not None
    for part in parts:
        assert part in draft.sql, draft.sql


def test_a_first_fill_without_a_wait_is_a_row(interpreter: Interpreter) -> None:
    draft = interpreter.interpret(
        "the first fill in Ford today", as_of=AS_OF, principal=Principal(role="officer")
    ).draft
    assert draft is not None
    assert "first_ts" not in draft.sql
    assert "ORDER BY exec_ts ASC" in draft.sql
