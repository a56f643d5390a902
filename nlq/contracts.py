"""The values that pass between the stages of a question. Frozen, keyword-only, no behaviour beyond reading them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa


class Status(StrEnum):
    """How a question ended; the codes of `query_audit.status`."""

    ANSWERED = "ANSWERED"
    CLARIFY = "CLARIFY"
    UNANSWERABLE = "UNANSWERABLE"
    REFUSED = "REFUSED"
    FAILED = "FAILED"


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who asks. Roles are looked up in the catalogue at every question, never cached from sign-in."""

    user_id: str = "local"
    role: str = "officer"
    desk: str | None = None
    """Desk of a supervisor; `user.desk` in row filters."""
    purpose: str | None = None
    """Case reference, where the catalogue or a setting demands one."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """An earlier question of the conversation and the SQL that answered it."""

    question: str
    sql: str


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One line of the grounding ledger: what in the question, what in the SQL, and why they belong together."""

    phrase: str
    """Words of the question; empty for a stated default."""
    span: tuple[int, int] | None
    """Character range of the phrase in the question, half open."""
    predicate: str
    """SQL fragment; empty when the phrase found no place in the SQL (an orphan)."""
    reason: str
    """`time`, `value`, `code`, `glossary: …`, `default: …`, `learnt`, `orphan`, …"""


@dataclass(frozen=True, kw_only=True)
class Clarification:
    """One short question back, with choices that each continue the conversation when asked as they stand."""

    question: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What the learnt parser believes about a question; probabilities, not decisions."""

    outcome: Mapping[str, float]
    """answer, clarify, unanswerable, refuse → probability; sums to 1."""
    main_view: Mapping[str, float]
    """View → probability that it is the one the answer is drawn from; sums to 1."""
    views: Mapping[str, float]
    """View → probability that the SQL needs it at all."""
    columns: Mapping[tuple[str, str], Mapping[str, float]]
    """(view, column) → role → probability; roles as in `nlq.learn.labels`."""
    shape: Mapping[str, float]
    """count, group, order, limit, having, distinct, join, window, ratio, … → probability."""
    forms: Sequence[tuple[tuple[str, ...], tuple[float, ...]]] = ()
    """Whole statements with open slots, best first: tokens, and the log probability of each with the end's."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A candidate SQL with where it came from and how far it may be trusted."""

    sql: str
    origin: str
    """`verified`, `plan`, `model`, …"""
    confidence: float
    """Calibrated probability that the answer is right."""
    ledger: tuple[LedgerEntry, ...] = ()
    reading: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The guard's decision about one statement."""

    allowed: bool
    rule: str
    """Stable code of the rule that decided, such as `ROOT_NOT_SELECT`; `OK` when allowed."""
    message: str = ""
    sql: str | None = None
    """The only text that may run: generated from the checked tree. None when refused."""
    views: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the officer gets. Stable surface: see architecture.md."""

    status: Status
    question: str
    query_id: str
    sql: str | None = None
    table: pa.Table | None = None
    truncated: bool = False
    """The row limit cut the result."""
    as_of: datetime | None = None
    offsets: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    views: tuple[str, ...] = ()
    reading: str = ""
    """How the question was understood, in one plain sentence."""
    grounding: tuple[LedgerEntry, ...] = ()
    clarification: Clarification | None = None
    reason: str | None = None
    """Why there is no answer: the rule, the missing data, the doubt, the fault."""
    draft: str | None = None
    """SQL that was not trusted enough to answer with; unverified, shown on request only."""
    confidence: float | None = None
    origin: str | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    """Stage → seconds."""

    def to_pandas(self) -> Any:
        """The table as a pandas DataFrame; an empty one when there is no table."""
        import pandas as pd

        return self.table.to_pandas() if self.table is not None else pd.DataFrame()
