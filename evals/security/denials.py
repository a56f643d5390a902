"""Ordinary surveillance questions that are refused by mistake: those of the open authors, and words with two meanings."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from evals.security.golds import AS_OF, CASES, LOCKED
from nlq.contracts import Principal, Turn
from nlq.interpret import Interpreter
from retrieval.values import FACT_COLUMNS, ValueIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming.catalogue import Catalogue

INNOCENT = Path(__file__).with_name("innocent.jsonl")
"""Ordinary questions with words that also stand in requests to change, hide, evade or carry out."""


@dataclass(frozen=True, kw_only=True)
class Ordinary:
    """A question that may be answered, asked back or found without data, but not refused."""

    id: str
    question: str
    person: Principal
    history: tuple[Turn, ...] = ()


@dataclass
class Denials:
    """What became of a set of ordinary questions."""

    asked: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    """(id, question, reason)"""

    @property
    def share(self) -> float:
        """Refused by mistake, 0 to 1."""
        return len(self.refused) / max(1, self.asked)


def of_authors() -> Iterator[Ordinary]:
    """The questions of the open authors that have an answer for the role that asks."""
    files = [CASES / "dev_cases.jsonl", *sorted(f for f in (CASES / "corpus").glob("*.jsonl") if f.name not in LOCKED)]
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            if case["expect"] == "answer":
                history = tuple(Turn(question=t["question"], sql=t["sql"]) for t in case.get("history") or ())
                person = Principal(role=case["role"], desk=case.get("user_desk"))
                yield Ordinary(id=case["id"], question=case["question"], person=person, history=history)


def with_two_meanings() -> Iterator[Ordinary]:
    """Ordinary questions with words such as delete, hide, kill, evade."""
    for line in INNOCENT.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield Ordinary(id=row["id"], question=row["question"], person=Principal())


def denials(world: Path, catalogue: Catalogue, questions: Iterator[Ordinary]) -> Denials:
    """What the rules of understanding make of each question; the guard's own denials are counted on the gold SQL."""
    rows = {
        name: pq.read_table(world / f"{name}.parquet")
        for name, view in catalogue.views.items()
        if view.kind == "reference" or name in FACT_COLUMNS
    }
    interpreter = Interpreter(catalogue, ValueIndex.build(rows, Interpreter.aliases(catalogue)))
    found = Denials()
    for asked in questions:
        said = interpreter.interpret(asked.question, as_of=AS_OF, principal=asked.person, history=asked.history)
        found.asked += 1
        found.outcomes[said.outcome] += 1
        if said.outcome == "refuse":
            found.refused.append((asked.id, asked.question, said.reason or ""))
    return found
