"""Case files: questions with the outcome that is expected of them. The format is fixed in the README of the corpus."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nlq.contracts import Principal, Turn
from nlq.verified_form import with_clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Expect = Literal["answer", "clarify", "unanswerable", "refuse"]
EXPECTED: tuple[Expect, ...] = ("answer", "clarify", "unanswerable", "refuse")

bind_clock = with_clock
"""Put the clock into gold SQL: `{as_of}` becomes a TIMESTAMP literal, `{as_of_date}` its UTC date."""

LOCKED_AUTHORS = frozenset({"dsk", "law"})
"""Authors of the test split. A program may score them; their text reaches neither screen nor repository."""

CORPUS = Path(__file__).with_name("cases") / "corpus"
SAMPLE_CASES = Path(__file__).with_name("cases") / "dev_cases.jsonl"
WORLDS = Path(__file__).with_name("worlds")
_CONTAMINATED = Path(__file__).with_name("contaminated.txt")


class CaseError(ValueError):
    """A case file breaks the format; the message names file, line and field, never the text of a question."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One question in one wording, with what a right answer is."""

    id: str
    """Unique in a run: the case's id, followed by `#1`, `#2` for a paraphrase."""
    case_id: str
    wording: int
    """0 is the question as first written, 1… its paraphrases."""
    author: str
    group: str
    difficulty: str
    question: str
    paraphrases: tuple[str, ...]
    user: Principal
    expect: Expect
    gold: tuple[str, ...]
    """Accepted readings in Spark SQL, the main one first; `{as_of}` and `{as_of_date}` stand for the clock."""
    order_matters: bool
    history: tuple[Turn, ...]
    as_of: datetime | None

    @property
    def locked(self) -> bool:
        """Whether the case belongs to the test split, whose text nobody may see."""
        return self.author in LOCKED_AUTHORS


def contaminated() -> frozenset[str]:
    """Ids of locked cases that were seen by a developer and count in no locked figure."""
    lines = _CONTAMINATED.read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def open_authors() -> tuple[Path, ...]:
    """Corpus files that may be read for development: all but the locked authors."""
    return tuple(path for path in sorted(CORPUS.glob("*.jsonl")) if path.stem not in LOCKED_AUTHORS)


def load_cases(paths: Iterable[str | Path], *, wordings: bool = False) -> list[Case]:
    """Read case files in the order given; contaminated locked cases are left out.

    Args:
        paths: JSONL files, one case a line.
        wordings: also yield each paraphrase as a case of its own.

    Raises:
        CaseError: a line is not JSON, lacks a field, or an id occurs twice.
    """
    left_out = contaminated()
    cases: list[Case] = []
    seen: set[str] = set()
    for path in map(Path, paths):
        for case in _read(path):
            if case.case_id in left_out:
                continue
            if case.case_id in seen:
                raise CaseError(f"{path}: the id {case.case_id!r} occurs twice; ids must be unique in a run")
            seen.add(case.case_id)
            cases.append(case)
            if wordings:
                cases += [
                    replace(case, id=f"{case.case_id}#{n}", wording=n, question=text)
                    for n, text in enumerate(case.paraphrases, start=1)
                ]
    return cases


def _read(path: Path) -> Iterator[Case]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CaseError(f"{path}: cannot be read ({error.strerror}); give a .jsonl file of cases") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _case(f"{path}:{number}", line)


def _case(place: str, line: str) -> Case:
    try:
        raw: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError as error:
        raise CaseError(f"{place}: not JSON ({error.msg} at column {error.colno})") from error
    if missing := {"id", "question"} - set(raw):
        raise CaseError(f"{place}: lacks {sorted(missing)}")
    expect = raw.get("expect", "answer")
    if expect not in EXPECTED:
        raise CaseError(f"{place}: 'expect' is {expect!r}, must be one of {', '.join(EXPECTED)}")
    gold = raw.get("sql") or []
    gold = [gold] if isinstance(gold, str) else gold
    if expect == "answer" and not gold:
        raise CaseError(f"{place}: expects an answer but gives no gold in 'sql'")
    identifier = str(raw["id"])
    return Case(
        id=identifier,
        case_id=identifier,
        wording=0,
        author=str(raw.get("author") or identifier.partition("-")[0]),
        group=str(raw.get("group") or ""),
        difficulty=str(raw.get("difficulty") or ""),
        question=str(raw["question"]),
        paraphrases=tuple(raw.get("paraphrases") or ()),
        user=Principal(
            user_id="evals",
            role=str(raw.get("role") or "officer"),
            desk=raw.get("user_desk"),
        ),
        expect=expect,
        gold=tuple(gold),
        order_matters=bool(raw.get("order_matters")),
        history=tuple(Turn(question=t["question"], sql=t.get("sql") or "") for t in raw.get("history") or ()),
        as_of=parse_instant(raw["as_of"]) if raw.get("as_of") else None,
    )


def parse_instant(text: str) -> datetime:
    """An ISO 8601 instant as aware UTC; one without a zone is taken as UTC."""
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
