"""Conditions written as on a data sheet, names inside "for each", counts called "n", lists of columns after a comparison."""

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
        ("restricted list entries with scope person that are in force now", ["scope = 'PERSON'"]),
        ("scope: firm, list entries in force now", ["scope = 'FIRM'"]),
        ("one-minute bars of Ford in the last hour, is_final = false", ["NOT is_final"]),
        ("one-minute bars of Ford in the last hour, is_final is true", [" is_final AND"]),
        ("earnings where the announce time is after now: issuer", ["announce_ts > TIMESTAMP '2026-11-20 18:30:00'"]),
        ("earnings with announce time < as-of: issuer", ["announce_ts < TIMESTAMP '2026-11-20 18:30:00'"]),
        ("lag > 500: topic, partition, lag", ["SELECT topic", "lag > 500"]),
        ("for each XETR instrument, what quantity did we trade today", ["GROUP BY symbol", "sum(qty)", "venue = 'XETR'"]),
        ("fills by desk today: n, avg qty", ["count(*) AS n", "avg(qty)", "GROUP BY desk"]),
        ("fills and quantity by desk today", ["count(*) AS n", "sum(qty)", "GROUP BY desk"]),
        ("our notional today by instrument currency", ["GROUP BY instruments.currency"]),
        ("questions asked today by role of the user", ["GROUP BY role"]),
        ("question log today: status REFUSED or FAILED, count per role", ["status IN ('REFUSED', 'FAILED')", "GROUP BY role"]),
        ("traders per city, algos excluded", ["NOT is_algo", "GROUP BY location"]),
        ("our fills today, hour x venue: n", ["date_trunc('HOUR', exec_ts)", ", venue"]),
        ("Energy issuers: average print size today", ["GROUP BY issuer_name"]),
        ("deviation per trader over the order flow windows of the last hour, provisional ones excluded", ["WHERE is_final"]),
        ("orders of today that ended up cancelled", ["status = 'CANCELLED'"]),
        ("orders of today in the closing auction or with the instruction at close",
         ["(session_phase = 'CLOSING_AUCTION' OR time_in_force = 'AT_CLOSE')"]),
        ("fills per desk today and yesterday", ["THEN 1 ELSE 0 END) AS n_latest", "AS n_before", "GROUP BY desk"]),
    ],
)  # fmt: skip
def test_it_is_read_as_written(interpreter: Interpreter, question: str, parts: list[str]) -> None:
    role = "auditor" if question.startswith("question") else "officer"
    draft = interpreter.interpret(question, as_of=AS_OF, principal=Principal(role=role)).draft
    assert draft is not None
    for part in parts:
        assert part in draft.sql, draft.sql


def test_n_between_words_is_and(interpreter: Interpreter) -> None:
    draft = interpreter.interpret("fills n orders in Ford today y/n", as_of=AS_OF, principal=Principal()).draft
    assert draft is not None
    assert "count(*) AS n," not in draft.sql
