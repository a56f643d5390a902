"""Our own cases hold on all three worlds: conversations, headline questions and odd input (`evals/cases/own`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.quick import AS_OF, WORLDS, fill, interpreter, right, rows_of, wordings
from nlq.contracts import Principal, Turn
from nlq.verified import VerifiedQueries

OWN = Path(__file__).parents[2] / "evals" / "cases" / "own"


def cases(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (OWN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def engine() -> Any:
    found = interpreter()
    found.verified = VerifiedQueries.open(found.catalogue)
    return found


def ask(engine: Any, case: dict[str, Any], question: str) -> Any:
    history = [Turn(question=h["question"], sql=fill(h["sql"])) for h in case["history"]]
    return engine.interpret(question, as_of=AS_OF, principal=Principal(role=case["role"]), history=history)


@pytest.mark.parametrize("case", cases("conversations"), ids=lambda c: c["question"])
def test_a_followup_changes_the_answer_before(engine: Any, case: dict[str, Any]) -> None:
    for question in wordings(case):
        got = ask(engine, case, question)
        assert got.outcome == "answer", (question, got.reason)
        assert right(case, got.draft.sql), (question, got.draft.sql)


@pytest.mark.parametrize("case", cases("headline"), ids=lambda c: c["question"])
def test_a_headline_question_is_answered_rightly(engine: Any, case: dict[str, Any]) -> None:
    for question in wordings(case):
        got = ask(engine, case, question)
        assert got.outcome == "answer"
        assert got.draft.confidence >= engine.threshold, (question, got.doubts)
        assert right(case, got.draft.sql), (question, got.draft.sql)


@pytest.mark.parametrize("case", cases("odd"), ids=lambda c: c["question"])
def test_odd_input_has_its_outcome(engine: Any, case: dict[str, Any]) -> None:
    for question in wordings(case):
        got = ask(engine, case, question)
        assert got.outcome == case["expect"], (question, got.reason)
        assert got.reason


def test_golds_of_the_own_cases_find_rows() -> None:
    for case in [*cases("conversations"), *cases("headline")]:
        for gold in case["sql"]:
            assert any(rows_of(world, fill(gold)) for world in WORLDS), case["id"]
