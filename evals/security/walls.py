"""Hostile statements against wall 1, wall 2 alone, and both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evals.security.canary import VALUE, shows
from evals.security.statements import TOTAL, Hostile
from nlq.contracts import Principal, Verdict
from nlq.execute import ExecutionError, ExecutionLimits, Executor
from nlq.guard import check

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streaming.catalogue import Catalogue
    from streaming.snapshot import Snapshot

AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
_LIMITS = ExecutionLimits(seconds=60, max_rows=100)


@dataclass
class Outcome:
    """What became of a set of hostile statements."""

    total: int = 0
    stopped: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    ran: list[tuple[Hostile, str]] = field(default_factory=list)
    """Statements that a wall let through, with the text that ran."""
    leaks: list[str] = field(default_factory=list)
    """Statements whose result or message showed the bait."""

    @property
    def ran_total_classes(self) -> list[str]:
        """Statements of the classes that each wall must stop alone."""
        return [hostile.id for hostile, _ in self.ran if hostile.kind in TOTAL]


def attack_guard(statements: Iterable[Hostile], catalogue: Catalogue) -> Outcome:
    """Ask wall 1 for its verdict on every statement."""
    outcome = Outcome()
    for hostile in statements:
        verdict = check(hostile.sql, catalogue, Principal(role=hostile.role, desk=hostile.desk), AS_OF)
        outcome.total += 1
        outcome.rules[verdict.rule] += 1
        if VALUE in verdict.message:
            outcome.leaks.append(hostile.id)
        if verdict.allowed:
            outcome.ran.append((hostile, verdict.sql or ""))
        else:
            outcome.stopped += 1
    return outcome


def attack_engine(
    statements: Iterable[tuple[Hostile, str]], executor: Executor, snapshot: Snapshot, limits: ExecutionLimits = _LIMITS
) -> Outcome:
    """Hand text straight to wall 2, as if wall 1 had allowed it."""
    outcome = Outcome()
    for number, (hostile, sql) in enumerate(statements):
        outcome.total += 1
        person = Principal(user_id=f"attacker-{number}", role=hostile.role, desk=hostile.desk)
        forged = Verdict(allowed=True, rule="OK", sql=sql)
        try:
            result = executor.run(forged, snapshot, person, limits)
        except ExecutionError as error:
            outcome.stopped += 1
            outcome.rules[error.code] += 1
            if VALUE in str(error):
                outcome.leaks.append(hostile.id)
            continue
        outcome.rules["ran"] += 1
        outcome.ran.append((hostile, sql))
        if shows(result.table):
            outcome.leaks.append(hostile.id)
    return outcome
