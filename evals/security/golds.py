"""Honest statements: the gold SQL of the evaluation set. Denials, rows after the rewrite, and the time of a verdict."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from sqlglot.errors import SqlglotError

from evals.security.rows import _rows, database
from nlq.contracts import Principal
from nlq.guard import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming.catalogue import Catalogue

AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
CASES = Path(__file__).parents[1] / "cases"
LOCKED = frozenset({"dsk.jsonl", "law.jsonl"})
"""Authors of the locked test split."""


@dataclass(frozen=True, kw_only=True)
class Gold:
    """One gold statement and who may ask it."""

    id: str
    sql: str
    person: Principal


@dataclass
class Honest:
    """What the guard did to honest statements."""

    statements: int = 0
    denied: list[tuple[str, str]] = field(default_factory=list)
    """(case, rule)"""
    milliseconds: list[float] = field(default_factory=list)
    """Processor time of each verdict."""
    compared: int = 0
    """Statements that DuckDB could run both ways."""
    different: list[str] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Milliseconds within which `share` of the verdicts were given."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def golds() -> Iterator[Gold]:
    """The gold statements of all open authors, with the clock put in."""
    files = [CASES / "dev_cases.jsonl", *sorted(f for f in (CASES / "corpus").glob("*.jsonl") if f.name not in LOCKED)]
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            person = Principal(role=case["role"], desk=case.get("user_desk"))
            for sql in case.get("sql") or ():
                filled = sql.replace("{as_of_date}", "DATE '2026-11-20'")
                filled = filled.replace("{as_of}", "TIMESTAMP '2026-11-20T18:30:00Z'")
                yield Gold(id=case["id"], sql=filled, person=person)


def verdicts(catalogue: Catalogue, every: int = 1) -> Honest:
    """The guard's verdict on every n-th gold statement, timed by the processor's clock."""
    found = Honest()
    for gold in islice(golds(), 0, None, every):
        started = time.thread_time()
        verdict = check(gold.sql, catalogue, gold.person, AS_OF)
        found.milliseconds.append((time.thread_time() - started) * 1000)
        found.statements += 1
        if not verdict.allowed:
            found.denied.append((gold.id, verdict.rule))
    return found


def same_rows(world: Path, catalogue: Catalogue, every: int = 1) -> Honest:
    """Rows of every n-th gold statement before and after the rewrite, for the role that sees everything."""
    found = Honest()
    whole = database(world, catalogue)
    for gold in islice(golds(), 0, None, every):
        found.statements += 1
        verdict = check(gold.sql, catalogue, Principal(), AS_OF)
        if verdict.sql is None:
            continue  # for other roles only
        try:
            wanted = _rows(whole, gold.sql)
            got = _rows(whole, verdict.sql)
        except (duckdb.Error, SqlglotError, ValueError):
            continue  # DuckDB lacks the function; the engine check covers it
        found.compared += 1
        if got != wanted and Counter(got) != Counter(wanted):
            found.different.append(gold.id)
    return found
