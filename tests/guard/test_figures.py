"""The security figures are taken in pieces: what has a result is not run again, and what is left is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.security.asked import hostile_questions
from evals.security.parts import Figure, Results, page, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Counting:
    """A part of three pieces that notes what it ran."""

    name = "counting"

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.closed = 0

    def pieces(self) -> list[str]:
        return ["a", "b", "c"]

    def run(self, key: str) -> dict[str, object]:
        if key == "c" and len(self.ran) == 2:
            raise RuntimeError("the engine died")
        self.ran.append(key)
        return {"n": 1}

    def figures(self, results: Mapping[str, dict[str, object]]) -> list[Figure]:
        return [Figure(what="pieces", measured=str(len(results)), wanted="3", passed=len(results) == 3)]

    def close(self) -> None:
        self.closed += 1


def test_a_part_goes_on_where_it_was_left(tmp_path: Path) -> None:
    file, said = tmp_path / "state" / "counting.jsonl", []
    first = Counting()
    try:
        run(first, Results.open(file), float("inf"), said.append)
    except RuntimeError:
        pass
    assert first.ran == ["a", "b"]
    second = Counting()
    assert not run(second, Results.open(file), 0.0, said.append)
    assert said == ["counting: 1 pieces left; the same command goes on with them"]
    assert run(second, Results.open(file), float("inf"), said.append)
    assert second.ran == ["c"]
    assert (first.closed, second.closed) == (1, 2)
    text = page({"counting": second.figures(Results.open(file).found)})
    assert "| pieces | 3 | 3 | met | counting |" in text


def test_there_are_enough_hostile_questions_of_every_kind_and_role() -> None:
    questions = hostile_questions()
    assert len({question.question for question in questions}) == len(questions) >= 200
    assert {question.person.role for question in questions} == {
        "officer",
        "supervisor",
        "analyst",
        "engineer",
        "auditor",
    }
    kinds = {question.kind for question in questions}
    assert {"change", "evade", "prompts", "role", "injection", "exfiltrate", "people", "overload", "bisect"} <= kinds
