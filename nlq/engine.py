"""The question route, readable top to bottom: `Engine.ask`."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nlq.contracts import Answer, Clarification, Draft, Principal, Status, Turn, Verdict
from nlq.explain import conditions_left_out, counts_rows
from nlq.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from nlq.build import Parts
    from nlq.interpret import Interpretation
    from streaming.snapshot import Snapshot

MAX_QUESTION = 2_000
"""Characters. Longer texts are documents, not questions, and would crowd the rules out of a model's context."""


@dataclass
class _Trace:
    """What the record needs to know of one question, gathered on the way."""

    query_id: str
    progress: Callable[[str], None]
    timings: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and announce it."""
        self.progress(name)
        start = time.monotonic()
        try:
            yield
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.monotonic() - start


class Engine:
    """Answers questions over one world. Safe to call from several threads."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    @classmethod
    def open(
        cls,
        catalogue: str | Path | None = None,
        llm: str | None = "embedded",
        *,
        as_of: datetime | None = None,
        leave_out: Collection[str] = (),
    ) -> Engine:
        """Open a catalogue directory in process.

        Args:
            catalogue: directory with `catalogue.yaml` and a file per view.
            llm: `embedded`, the URL of an OpenAI-compatible endpoint, or None for the deterministic path alone.
            as_of: the clock of the world, if not the one in its `world.json`.
            leave_out: authors whose approved questions are not used, as an evaluation on them must.

        Raises:
            streaming.catalogue.CatalogueError: the directory is not a world.
        """
        from nlq.build import parts_for_directory

        return cls(parts_for_directory(catalogue, llm=llm, as_of=as_of, leave_out=leave_out))

    def close(self) -> None:
        """Release what `open` started."""
        self.parts.close()

    def ask(
        self,
        question: str,
        user: Principal | None = None,
        as_of: datetime | None = None,
        history: Sequence[Turn] = (),
        progress: Callable[[str], None] | None = None,
    ) -> Answer:
        """Answer one question, or ask back, or say why not. Never raises for what a question or a model contains.

        Args:
            question: plain English.
            user: who asks; decides what is visible.
            as_of: ask of the world as it stood then, instead of the newest.
            history: earlier questions of the conversation with the SQL that answered them, oldest first.
            progress: called with the name of each stage as it begins.
        """
        user = user or Principal()
        trace = _Trace(query_id=uuid.uuid4().hex, progress=progress or (lambda _: None))
        trace.facts = {
            "asked_ts": datetime.now(UTC),
            "user_id": user.user_id,
            "role": user.role,
            "question": question,
            "purpose": user.purpose,
            "desk": user.desk,
        }
        start = time.monotonic()
        trace.query_id = self.parts.record.begin({**trace.facts, "query_id": trace.query_id})
        try:
            answer = self._route(question.strip(), user, as_of, tuple(history), trace)
        except Exception as error:  # noqa: BLE001 - whatever broke, the officer gets an outcome and the record a line
            trace.facts["error"] = f"{type(error).__name__}: {error}"
            answer = Answer(
                status=Status.FAILED, question=question, query_id=trace.query_id, reason=_fault(error, trace.query_id)
            )
        answer = replace(answer, timings={**trace.timings, "total": time.monotonic() - start})
        self.parts.record.complete(trace.query_id, {**trace.facts, **_recorded(answer)})
        return answer

    def _route(
        self, question: str, user: Principal, as_of: datetime | None, history: tuple[Turn, ...], trace: _Trace
    ) -> Answer:
        if problem := _unusable(question, user, self.parts.catalogue.roles):
            return replace(problem, query_id=trace.query_id)
        with self.parts.source.snapshot(as_of) as snapshot:
            pinned = _pinned(question, trace.query_id, snapshot)
            with trace.stage("understand"):
                understood = self.parts.interpreter(user, snapshot).interpret(
                    question, as_of=snapshot.as_of, principal=user, history=history
                )
            if understood.outcome != "answer":
                return _outcome(pinned, understood)
            draft = understood.draft
            if not self._trusted(draft):
                draft = self._model_draft(question, user, snapshot, understood, trace) or draft
            if draft is None or not self._trusted(draft):
                return _abstain(pinned, understood, draft)
            return self._run(pinned, draft, user, snapshot, trace)

    def _trusted(self, draft: Draft | None) -> bool:
        return draft is not None and draft.confidence >= self.parts.threshold

    def _model_draft(
        self, question: str, user: Principal, snapshot: Snapshot, understood: Interpretation, trace: _Trace
    ) -> Draft | None:
        """Let the model try what rules and learnt parser left open; its draft is grounded like any other."""
        from nlq.draft import DraftError

        if self.parts.drafter is None:
            return None
        with trace.stage("retrieve"):
            documents = self.parts.retrieve(question, user.role)
        trace.facts["documents"] = [document.id for document in documents]
        asked, facts = question, understood.facts
        if self.parts.people is not None:
            people = self.parts.people(snapshot)
            asked, facts = people.without(question), people.without_facts(facts)
            documents = people.without_in(documents)
        with trace.stage("draft"):
            try:
                drafted = self.parts.drafter.draft(asked, documents=documents, facts=facts)
            except DraftError as error:
                trace.facts["draft_error"] = str(error)
                return None
        trace.facts.update(drafted.provenance)
        with trace.stage("ground"):
            return self.parts.interpreter(user, snapshot).ground(
                question, drafted.sql, understood, as_of=snapshot.as_of, principal=user
            )

    def _run(self, pinned: Answer, draft: Draft, user: Principal, snapshot: Snapshot, trace: _Trace) -> Answer:
        with trace.stage("check"):
            verdict = self.check(draft.sql, user, as_of=snapshot.as_of)
        trace.facts.update(rule=verdict.rule, drafted_sql=draft.sql, sql=verdict.sql, origin=draft.origin)
        shown = replace(
            pinned, reading=draft.reading, grounding=draft.ledger, confidence=draft.confidence, origin=draft.origin
        )
        if not verdict.allowed:
            return replace(shown, status=Status.REFUSED, reason=f"{verdict.rule}: {verdict.message}")
        guarded = self.parts.purpose_views.intersection(verdict.views)
        if guarded and not (user.purpose or "").strip():
            needed = f"PURPOSE_NEEDED: give a case reference to read {', '.join(sorted(guarded))}."
            return replace(shown, status=Status.REFUSED, reason=needed)
        self.parts.record.note(
            trace.query_id,
            {
                **trace.facts,
                "views_read": list(verdict.views),
                "as_of_ts": snapshot.as_of,
                "offsets": snapshot.offsets,
                "versions": snapshot.versions,
            },
        )
        with trace.stage("execute"):
            result = self.parts.executor.run(verdict, snapshot, user)
        table = result.table
        reason: str | None = None
        if table.num_rows == 0 and not counts_rows(draft.sql):
            with trace.stage("explain"):
                reason = self._emptied_by(draft.sql, user, snapshot)
        return replace(
            shown,
            status=Status.ANSWERED,
            sql=verdict.sql,
            views=verdict.views,
            table=table,
            truncated=result.truncated,
            reason=reason,
        )

    def check(self, sql: str, user: Principal | None = None, as_of: datetime | None = None) -> Verdict:
        """The guard's verdict on one statement; runs nothing."""
        from nlq.guard import check

        return check(sql, self.parts.catalogue, user or Principal(), as_of=as_of)

    def run_sql(self, sql: str, user: Principal | None = None, as_of: datetime | None = None) -> Answer:
        """Run SQL written by a person, through the same two walls and onto the same record as a question."""
        user = user or Principal()
        trace = _Trace(query_id=uuid.uuid4().hex, progress=lambda _: None)
        trace.facts = {
            "asked_ts": datetime.now(UTC),
            "user_id": user.user_id,
            "role": user.role,
            "desk": user.desk,
            "question": sql,
        }
        trace.query_id = self.parts.record.begin({**trace.facts, "query_id": trace.query_id})
        try:
            with self.parts.source.snapshot(as_of) as snapshot:
                pinned = _pinned(sql, trace.query_id, snapshot)
                draft = Draft(sql=sql, origin="person", confidence=1.0, reading="SQL as given.")
                answer = self._run(pinned, draft, user, snapshot, trace)
        except Exception as error:  # noqa: BLE001 - same boundary as in ask
            trace.facts["error"] = f"{type(error).__name__}: {error}"
            answer = Answer(
                status=Status.FAILED, question=sql, query_id=trace.query_id, reason=f"Fault: {type(error).__name__}."
            )
        self.parts.record.complete(trace.query_id, {**trace.facts, **_recorded(answer)})
        return answer

    def _emptied_by(self, sql: str, user: Principal, snapshot: Snapshot) -> str:
        """Name the condition without which there would be rows; at most five short queries."""
        blamed = []
        for condition, without in list(conditions_left_out(sql))[:5]:
            verdict = self.check(without, user, as_of=snapshot.as_of)
            if verdict.allowed and self.parts.executor.run(verdict, snapshot, user).table.num_rows:
                blamed.append(condition)
        if blamed:
            return "No rows. There would be some without: " + "; or without: ".join(blamed)
        return "No rows, and no single condition is to blame: several together leave nothing."


def _pinned(question: str, query_id: str, snapshot: Snapshot) -> Answer:
    """An answer that has nothing yet but what it will have read; each outcome fills in the rest."""
    return Answer(
        status=Status.FAILED,
        question=question,
        query_id=query_id,
        as_of=snapshot.as_of,
        offsets=snapshot.offsets,
        versions=snapshot.versions,
    )


def _fault(error: Exception, query_id: str) -> str:
    """Why it failed, as far as it may be told: texts of unknown faults can hold rows."""
    from nlq.execute import ExecutionError

    if isinstance(error, ExecutionError | LookupError) and not isinstance(error, KeyError | IndexError):
        return str(error)
    return f"The question could not be answered because of a fault ({type(error).__name__}). It is on record as {query_id}."


def _unusable(question: str, user: Principal, roles: object) -> Answer | None:
    """Questions that need no world to be turned down."""
    refusal = Answer(status=Status.REFUSED, question=question[:200], query_id="")
    if user.role not in roles:  # type: ignore[operator]
        return replace(refusal, reason="ROLE_UNKNOWN: this role sees nothing.")
    if not question:
        ask_back = Clarification(question="What would you like to know?")
        return Answer(status=Status.CLARIFY, question="", query_id="", clarification=ask_back)
    if len(question) > MAX_QUESTION:
        return replace(refusal, reason=f"QUESTION_TOO_LONG: at most {MAX_QUESTION} characters.")
    return None


def _outcome(pinned: Answer, understood: Interpretation) -> Answer:
    status = {"clarify": Status.CLARIFY, "unanswerable": Status.UNANSWERABLE, "refuse": Status.REFUSED}
    return replace(
        pinned,
        status=status[understood.outcome],
        clarification=understood.clarification,
        reason=understood.reason,
        draft=understood.draft.sql if understood.draft and understood.outcome == "clarify" else None,
    )


def _abstain(pinned: Answer, understood: Interpretation, draft: Draft | None) -> Answer:
    """Not sure enough to show an answer: ask back, and keep the draft for who wants to look at it."""
    asked = understood.clarification or Clarification(
        question="I could not tie every part of this question to the data. Could you put it more plainly, "
        "naming what to list or count, of which instrument, trader or desk, and for which time?"
    )
    return replace(
        pinned,
        status=Status.CLARIFY,
        clarification=asked,
        reason=understood.reason,
        reading=draft.reading if draft else "",
        draft=draft.sql if draft else None,
        grounding=draft.ledger if draft else (),
        confidence=draft.confidence if draft else None,
        origin=draft.origin if draft else None,
    )


def _recorded(answer: Answer) -> dict[str, Any]:
    """The part of an answer that goes on the record: everything but the rows."""
    table: pa.Table | None = answer.table
    return {
        "status": str(answer.status),
        "sql": answer.sql,
        "views_read": list(answer.views),
        "as_of_ts": answer.as_of,
        "offsets": answer.offsets,
        "versions": answer.versions,
        "n_rows": table.num_rows if table is not None else None,
        "result_hash": fingerprint(table) if table is not None else None,
        "duration_ms": round(answer.timings.get("total", 0.0) * 1000),
        "reading": answer.reading,
        "reason": answer.reason,
        "confidence": answer.confidence,
        "origin": answer.origin,
        "draft": answer.draft,
    }
