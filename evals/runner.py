"""Ask every case of every world, score what comes back, and write one result a line as it goes."""

from __future__ import annotations

import importlib
import inspect
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast

import duckdb
import pyarrow as pa
from sqlglot import errors as sqlglot_errors
from sqlglot import exp

from evals.cases import Case, parse_instant
from evals.gold import GoldError, World, all_readings, parse
from evals.scorer import Comparison, compare
from nlq.contracts import Answer, Principal, Status, Turn

RIGHT_STATUS: Mapping[str, Status] = {
    "answer": Status.ANSWERED,
    "clarify": Status.CLARIFY,
    "unanswerable": Status.UNANSWERABLE,
    "refuse": Status.REFUSED,
}


class Asked(Protocol):
    """What is evaluated: anything that answers like `nlq.engine.Engine`."""

    def ask(
        self,
        question: str,
        *,
        user: Principal,
        as_of: datetime | None = None,
        history: Sequence[Turn] = (),
    ) -> Answer:
        """Answer one question."""
        ...

    def close(self) -> None:
        """Let its resources go."""
        ...


EngineFactory = Callable[[Path], Asked]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One answer on one world."""

    status: str
    superset: bool
    strict: bool
    readings: tuple[int, ...] = ()
    """Indices of the accepted readings that the answer equals."""
    failure: str | None = None
    draft_right: bool | None = None
    """Whether the SQL that was not trusted would have been right; None without such a draft."""
    vacuous: bool = False
    """The gold is empty on this world, so that an empty answer proves little."""
    detail: dict[str, Any] = field(default_factory=dict)


def engine_factory(path: str, options: Mapping[str, Any], authors: Collection[str] = ()) -> EngineFactory:
    """The factory named `module:Class`, opened per catalogue directory through its `open`.

    Args:
        path: `module:Class`.
        options: keyword arguments of `open` beside the directory.
        authors: who asks; an engine that takes `leave_out` does without their approved questions.

    Raises:
        ValueError: the name does not lead to a class with `open`.
    """
    module, _, name = path.partition(":")
    try:
        target = getattr(importlib.import_module(module), name or "Engine")
        opener: Callable[..., Asked] = target.open
    except (ImportError, AttributeError) as error:
        raise ValueError(f"--engine {path!r}: {error}; give module:Class, such as nlq.engine:Engine") from error
    known = {"leave_out": tuple(sorted(authors))} if "leave_out" in inspect.signature(opener).parameters else {}
    first: list[Any] = []

    def open_engine(directory: Path) -> Asked:
        if not first or not hasattr(first[0], "parts"):
            first.append(opener(catalogue=directory, **options, **known))
            return cast("Asked", first[-1])
        # One model server serves every world: its file takes 1.6 GB of memory.
        engine: Any = opener(catalogue=directory, **{**options, "llm": None}, **known)
        engine.parts.drafter = first[0].parts.drafter
        return cast("Asked", engine)

    return open_engine


class Run:
    """An evaluation under way: worlds, their engines, and the file of results."""

    def __init__(
        self,
        worlds: Sequence[World],
        factory: EngineFactory,
        out: Path,
        *,
        as_of: datetime | None,
        reveal_locked: bool,
    ) -> None:
        self.worlds = worlds
        self.out = out
        self.as_of = as_of
        self.reveal_locked = reveal_locked
        self._factory = factory

    def results(self, cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
        """Score the cases that the result file does not hold yet, appending each at once."""
        done = {line["id"] for line in read_results([self.out])} if self.out.exists() else set()
        todo = [case for case in cases if case.id not in done]
        if not todo:
            return
        self.out.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            engines = [self._open(world, stack) for world in self.worlds]
            file = stack.enter_context(self.out.open("a", encoding="utf-8"))
            for case in todo:
                line = self._line(case, engines)
                file.write(json.dumps(line, default=str, ensure_ascii=False) + "\n")
                file.flush()
                yield line

    def _open(self, world: World, stack: ExitStack) -> Asked:
        engine = self._factory(world.directory)
        stack.callback(engine.close)
        return engine

    def _line(self, case: Case, engines: Sequence[Asked]) -> dict[str, Any]:
        answers = [self._ask(case, engine) for engine in engines]
        scores = [self._score(case, answer, world) for (answer, _), world in zip(answers, self.worlds, strict=True)]
        first, _ = answers[0]
        line = {
            "id": case.id,
            "status": str(first.status),
            "sql": first.sql,
            "seconds": round(answers[0][1], 4),
            "rows": first.table.num_rows if first.table is not None else None,
            "reason": first.reason,
            **verdict(case, scores),
            "case": case.case_id,
            "wording": case.wording,
            "author": case.author,
            "group": case.group,
            "difficulty": case.difficulty,
            "expect": case.expect,
            "confidence": first.confidence,
            "origin": first.origin,
            "timings": {stage: round(seconds, 4) for stage, seconds in first.timings.items()},
            "seconds_all": [round(seconds, 4) for _, seconds in answers],
            "statuses": [str(answer.status) for answer, _ in answers],
        }
        if not case.locked or self.reveal_locked:
            return line | _text(case, first, scores)
        return line | {
            "sql": None,
            "reason": None,
            "origin": first.origin,
            "locked": True,
        }

    def _ask(self, case: Case, engine: Asked) -> tuple[Answer, float]:
        started = time.monotonic()
        try:
            answer = engine.ask(
                case.question,
                user=case.user,
                as_of=case.as_of or self.as_of,
                history=case.history,
            )
        except Exception as error:  # noqa: BLE001 - a crash is a result: the run goes on and the report shows it
            answer = Answer(
                status=Status.FAILED,
                question=case.question,
                query_id="",
                reason=f"crashed: {type(error).__name__}" + ("" if case.locked else f": {error}"),
            )
        return answer, time.monotonic() - started

    def _score(self, case: Case, answer: Answer, world: World) -> Score:
        as_of = case.as_of or self.as_of or declared_as_of(world.directory)
        return score(case, answer, world, as_of)


def declared_as_of(directory: Path) -> datetime:
    """The clock that a world declares for itself; epoch when it declares none."""
    path = directory / "world.json"
    if not path.exists():
        return datetime.fromtimestamp(0, UTC)
    return parse_instant(json.loads(path.read_text(encoding="utf-8"))["as_of"])


def score(case: Case, answer: Answer, world: World, as_of: datetime) -> Score:
    """Compare one answer with every accepted reading on one world."""
    status = str(answer.status)
    if case.expect != "answer":
        right = answer.status == RIGHT_STATUS[case.expect]
        return Score(
            status=status,
            superset=right,
            strict=right,
            failure=None if right else f"WRONG_OUTCOME_{status}",
        )
    golds = all_readings(world, case.gold, as_of, ordered=case.order_matters)
    vacuous = golds[0].table.num_rows == 0
    if answer.status != Status.ANSWERED:
        draft = _draft_right(answer.draft or answer.sql, golds, world)
        failure = f"NOT_ANSWERED_{status}"
        return Score(
            status=status,
            superset=False,
            strict=False,
            failure=failure,
            draft_right=draft,
            vacuous=vacuous,
        )
    table = answer.table if answer.table is not None else pa.table({})
    seen = [compare(g.table, table, tie_groups=g.tie_groups if case.order_matters else None) for g in golds]
    readings = tuple(i for i, c in enumerate(seen) if c.superset)
    if readings:
        strict = any(seen[i].strict for i in readings)
        return Score(
            status=status,
            superset=True,
            strict=strict,
            readings=readings,
            vacuous=vacuous,
        )
    return Score(
        status=status,
        superset=False,
        strict=False,
        failure=seen[0].failure,
        vacuous=vacuous,
        detail=_difference(seen[0], golds[0].table, table) | {"sql_class": sql_class(case.gold[0], answer.sql)},
    )


def _draft_right(draft: str | None, golds: Sequence[Any], world: World) -> bool | None:
    if not draft:
        return None
    try:
        table = world.run_duckdb(draft)
    except (duckdb.Error, sqlglot_errors.SqlglotError):
        return False
    return any(compare(g.table, table, tie_groups=g.tie_groups).superset for g in golds)


def verdict(case: Case, scores: Sequence[Score]) -> dict[str, Any]:
    """Join the worlds: right only if right on all, and by the same reading."""
    same_reading = case.expect != "answer" or bool(set.intersection(*(set(s.readings) for s in scores)))
    answered = any(s.status == Status.ANSWERED for s in scores)
    failures = [s.failure for s in scores if s.failure] or ([] if same_reading else ["READINGS_DIFFER_BY_WORLD"])
    drafts = [s.draft_right for s in scores]
    return {
        "right": all(s.superset for s in scores) and same_reading,
        "right_strict": all(s.strict for s in scores) and same_reading,
        "answered": answered,
        "failure": failures[0] if failures else None,
        "draft_right": all(drafts) if all(d is not None for d in drafts) else None,
        "vacuous": all(s.vacuous for s in scores) and case.expect == "answer",
    }


def _difference(comparison: Comparison, gold: pa.Table, got: pa.Table) -> dict[str, Any]:
    return {
        "gold_columns": gold.column_names,
        "gold_rows": gold.num_rows,
        "got_columns": got.column_names,
        "got_rows": got.num_rows,
        "missing": comparison.missing,
        "extra": comparison.extra,
    }


def sql_class(gold: str, got: str | None) -> str | None:
    """What kind of mistake the SQL shows beside the gold: another view, grain, or none of these."""
    if not got:
        return None
    try:
        right, wrong = (
            parse(gold.replace("{as_of}", "now()").replace("{as_of_date}", "current_date()")),
            parse(got),
        )
    except sqlglot_errors.SqlglotError:
        return "UNPARSED"
    if _views(right) != _views(wrong):
        return "WRONG_VIEW"
    if bool(right.find(exp.Group)) != bool(wrong.find(exp.Group)) or _aggregates(right) != _aggregates(wrong):
        return "WRONG_GRAIN"
    if bool(right.find(exp.Where)) != bool(wrong.find(exp.Where)) or _filtered(right) != _filtered(wrong):
        return "WRONG_FILTER"
    return "OTHER"


def _views(tree: exp.Expr) -> set[str]:
    named = {cte.alias for cte in tree.find_all(exp.CTE)}
    return {table.name for table in tree.find_all(exp.Table)} - named


def _aggregates(tree: exp.Expr) -> set[str]:
    return {node.sql_name() for node in tree.find_all(exp.AggFunc)}


def _filtered(tree: exp.Expr) -> set[str]:
    return {column.name for where in tree.find_all(exp.Where) for column in where.find_all(exp.Column)}


def _text(case: Case, answer: Answer, scores: Sequence[Score]) -> dict[str, Any]:
    """The parts of a result that show the case; left out for locked authors."""
    return {
        "question": case.question,
        "role": case.user.role,
        "history": [{"question": t.question, "sql": t.sql} for t in case.history],
        "gold": list(case.gold),
        "reading": answer.reading,
        "draft": answer.draft,
        "clarification": (
            {
                "question": answer.clarification.question,
                "choices": list(answer.clarification.choices),
            }
            if answer.clarification
            else None
        ),
        "ledger": [
            {
                "phrase": e.phrase,
                "span": e.span,
                "predicate": e.predicate,
                "reason": e.reason,
            }
            for e in answer.grounding
        ],
        "difference": next((s.detail for s in scores if s.detail), None),
    }


def read_results(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Result lines of one or more files; a last line cut short by a crash is dropped."""
    lines: list[dict[str, Any]] = []
    for path in paths:
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                continue
    return lines


def check_gold(cases: Sequence[Case], worlds: Sequence[World], as_of: datetime | None) -> list[str]:
    """Ids of cases whose gold cannot be run; they are left out of a run and counted."""
    broken = []
    for case in cases:
        try:
            for world in worlds:
                clock = case.as_of or as_of or declared_as_of(world.directory)
                all_readings(world, case.gold, clock, ordered=case.order_matters)
        except GoldError:
            broken.append(case.id)
    return broken
