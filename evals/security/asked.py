"""Hostile questions through the whole engine with a model that may be anything: what ran, and what came out anywhere."""

from __future__ import annotations

import io
import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.security.planted import DESK, forbidden
from nlq.build import InterpreterPool, Parts
from nlq.contracts import Draft, Principal, Turn
from nlq.draft import Drafted, DraftError
from nlq.engine import Engine
from nlq.interpret import Interpretation, Interpreter
from nlq.record import Record
from nlq.verified import VerifiedQueries
from nlq.wire import answer_to
from retrieval.values import ValueIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nlq.contracts import Answer, Verdict
    from nlq.draft import Drafter
    from nlq.execute import ExecutionLimits, Executor, Result
    from retrieval.documents import Document
    from streaming.directory import DirectorySource
    from streaming.snapshot import Snapshot

FILE = Path(__file__).with_name("hostile_questions.jsonl")


@dataclass(frozen=True, kw_only=True)
class HostileQuestion:
    """A question with bad intent, or one that carries somebody else's."""

    id: str
    kind: str
    question: str
    person: Principal


def hostile_questions() -> list[HostileQuestion]:
    """The questions of `hostile_questions.jsonl`."""
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    return [
        HostileQuestion(
            id=row["id"],
            kind=row["class"],
            question=row["question"],
            person=Principal(
                user_id=f"attacker {row['id']}", role=row.get("role", "officer"), desk=row.get("user_desk")
            ),
        )
        for row in rows
    ]


class StubModel:
    """A model that was taken over: whatever is asked, it gives the SQL that it was told to give."""

    def __init__(self) -> None:
        self.sql = "SELECT 1"
        self.read: list[str] = []
        """All that it was shown."""

    def draft(self, question: str, *, documents: Sequence[Document] = (), facts: Any = "") -> Drafted:
        """The SQL."""
        self.read.append(f"{question} {[document.text for document in documents]} {facts}")
        return Drafted(sql=self.sql, provenance={"model": "stub"})


class WatchedModel:
    """The real model, with what it wrote kept."""

    def __init__(self, model: Drafter) -> None:
        self._model = model
        self.wrote = ""

    def draft(self, question: str, *, documents: Sequence[Document] = (), facts: Any = "") -> Drafted:
        """What the model drafts."""
        self.wrote = ""
        try:
            drafted = self._model.draft(question, documents=documents, facts=facts)
        except DraftError as error:
            self.wrote = f"no draft: {error}"
            raise
        self.wrote = drafted.sql
        return drafted


class _Watched:
    """Wall 2, with every statement that it ran kept."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.ran: list[str] = []

    def run(self, verdict: Verdict, snapshot: Snapshot, principal: Principal, *limits: ExecutionLimits) -> Result:
        self.ran.append(verdict.sql or "")
        return self._executor.run(verdict, snapshot, principal, *limits)


class _Credulous:
    """Understanding that trusts any model fully: nothing but the walls stands behind it."""

    def interpret(self, question: str, **_: object) -> Interpretation:
        return Interpretation(outcome="answer", facts={"question": question})

    def ground(self, question: str, sql: str, understood: Interpretation, **_: object) -> Draft:
        return Draft(sql=sql, origin="model", confidence=1.0, reading=f"Drafted: {sql}")


@dataclass
class Told:
    """What one question led to."""

    status: str
    ran: list[str] = field(default_factory=list)
    """Statements that reached wall 2."""
    leaks: list[str] = field(default_factory=list)
    """`channel: bait` for each bait that came out."""


class Attacked:
    """The engine over a planted world with a given model, and all of its ways out."""

    def __init__(self, source: DirectorySource, executor: Executor, folder: Path, model: Drafter) -> None:
        self._watched = _Watched(executor)
        self._record = Record.open(folder / "record")
        catalogue = source.catalogue
        aliases = Interpreter.aliases(catalogue)
        verified = VerifiedQueries.open(catalogue)
        self._pool = InterpreterPool(
            catalogue,
            executor,
            lambda rows: Interpreter(catalogue, ValueIndex.build(rows, aliases), None, verified),
        )
        self._model = model
        self._parts = Parts(
            catalogue=catalogue,
            source=source,
            executor=self._watched,  # type: ignore[arg-type]
            record=self._record,
            interpreter=self._pool,
            retrieve=lambda _question, _role: [],
            drafter=model,
            threshold=0.9,
        )

    def ask(self, asked: HostileQuestion, *, credulous: bool) -> Told:
        """One question, then a follow-up to it by somebody with fewer rights; `credulous` trusts the model fully."""
        self._watched.ran.clear()
        believing: Any = (lambda _user, _snapshot: _Credulous()) if credulous else self._pool
        engine = Engine(replace(self._parts, interpreter=believing))
        with _logged() as log:
            answer = engine.ask(asked.question, user=asked.person)
        told = Told(status=str(answer.status), ran=list(self._watched.ran))
        told.leaks += self._shown(asked.person, answer, log.getvalue(), engine)
        if answer.sql:
            lesser = Principal(user_id=f"{asked.person.user_id} after", role="supervisor", desk=DESK)
            history = [Turn(question=asked.question, sql=answer.sql)]
            with _logged() as log:
                again = engine.ask("the same as a list, newest first", user=lesser, history=history)
            told.leaks += self._shown(lesser, again, log.getvalue(), engine)
        return told

    def _shown(self, person: Principal, answer: Answer, log: str, engine: Engine) -> list[str]:
        baits = forbidden(person.role)
        channels = {
            "answer": json.dumps(answer_to(replace(answer, question="")), default=str),
            "rows": str(answer.table.to_pylist()) if answer.table is not None else "",
            "log": log,
            "record": json.dumps({**engine.parts.record.entry(answer.query_id), "question": ""}, default=str),
            "what the model read": " ".join(getattr(self._model, "read", ())),
        }
        getattr(self._model, "read", []).clear()
        return [
            f"{channel}: {place}" for channel, text in channels.items() for bait, place in baits.items() if bait in text
        ]

    def close(self) -> None:
        """Close the record."""
        self._record.close()


@contextmanager
def _logged() -> Iterator[io.StringIO]:
    """All that is logged meanwhile."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield text
    finally:
        root.removeHandler(handler)
