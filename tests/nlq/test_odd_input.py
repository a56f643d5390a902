"""What is no question about the data gets an outcome that says what to do instead; none of it is answered."""

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


def asked(interpreter: Interpreter, question: str) -> Interpretation:
    return interpreter.interpret(question, as_of=AS_OF, principal=Principal(role="officer"))


NO_QUESTION = [
    ("", "no words"), ("   ", "no words"), ("?!", "no words"), ("🚀🚀", "no words"), ("12345", "no words"),
    ("asdf qwer zxcv", "do not understand"), ("hello", "would you like to know"), ("lorem ipsum dolor sit amet", "do not understand"),
    ("показать все сделки сегодня", "English"), ("显示今天的所有交易", "English"), ("qué órdenes canceló T44 hoy", "English"),
    ("Combien d'ordres sont annulés aujourd'hui ?", "English"), ("wie viele Orders wurden heute storniert", "English"),
    ("SELECT * FROM executions WHERE symbol = 'TSLA'", "SQL"), ("with x as (select 1) select * from x", "SQL"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "says"), NO_QUESTION, ids=[q or "empty" for q, _ in NO_QUESTION])
def test_no_question_is_asked_back_without_a_draft(interpreter: Interpreter, question: str, says: str) -> None:
    got = asked(interpreter, question)
    assert got.outcome == "clarify"
    assert got.draft is None
    assert got.clarification is not None
    assert says in got.clarification.question
    for choice in got.clarification.choices:
        follow_on = asked(interpreter, choice)
        assert follow_on.outcome == "answer", (choice, follow_on.reason)


def test_sql_is_offered_as_words_about_its_own_view(interpreter: Interpreter) -> None:
    got = asked(interpreter, "select count(*) from market_trades")
    assert got.clarification is not None
    assert all("market trades" in choice for choice in got.clarification.choices)


def test_two_questions_are_offered_one_by_one(interpreter: Interpreter) -> None:
    got = asked(interpreter, "How many alerts are open? Who traded Tesla today?")
    assert got.outcome == "clarify"
    assert got.clarification is not None
    assert got.clarification.choices == ("How many alerts are open", "Who traded Tesla today")


@pytest.mark.parametrize(
    ("question", "choice"),
    [
        ("trades in Telsa today", "trades in Tesla today"),
        ("fills by Okafer today", "fills by Okafor today"),
        ("orders of T9999 today", "orders of today"),
    ],
)
def test_an_unknown_name_is_not_left_out_silently(interpreter: Interpreter, question: str, choice: str) -> None:
    got = asked(interpreter, question)
    assert got.outcome == "clarify"
    assert got.clarification is not None
    assert choice in got.clarification.choices


@pytest.mark.parametrize(
    "question",
    ["orders today with a quantity above 100 and below 50", "orders cancelled today that were not cancelled"],
)
def test_conditions_that_no_row_can_meet_are_named(interpreter: Interpreter, question: str) -> None:
    got = asked(interpreter, question)
    assert got.outcome == "clarify"
    assert got.clarification is not None
    assert "Nothing can be both" in got.clarification.question
    assert len(got.clarification.choices) == 2


@pytest.mark.parametrize(
    "question", ["orders on 31 February", "trades on 2026-13-45", "orders between 15:00 and 14:00", "fills next Monday"]
)
def test_a_time_that_cannot_be_is_never_shown_as_another_one(interpreter: Interpreter, question: str) -> None:
    got = asked(interpreter, question)
    assert got.draft is not None
    assert got.draft.confidence < 0.2


def test_ten_thousand_characters_are_read_in_bounded_time(interpreter: Interpreter) -> None:
    start = datetime.now(UTC)
    got = asked(interpreter, "orders of the London desk today " * 320)
    assert got.outcome in ("answer", "clarify")
    assert (datetime.now(UTC) - start).total_seconds() < 20
