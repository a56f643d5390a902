"""The typed plan: what a question asks for, in the terms of one main view. SQL comes from `nlq.compile`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of SQL with the words that it comes from."""

    sql: str
    """Expression or condition. Bare columns are the main view's; `traders.desk` names a reference view to join."""
    alias: str = ""
    phrase: str = ""
    span: tuple[int, int] | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One sort key."""

    sql: str
    desc: bool


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A grouped measure beside a figure of a reference view with the same key."""

    view: str
    key: str
    """Column that both sides have."""
    where: str
    """Condition on the reference view; empty for none."""
    figures: tuple[str, ...]
    """Columns shown from it."""
    condition: str
    """Over `m` (the measure) and `b` (the reference row); empty for none."""
    extra: tuple[tuple[str, str], ...] = ()
    """Further outputs: (expression over m and b, alias)."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One question over one main view."""

    view: str
    where: tuple[Part, ...] = ()
    shown: tuple[Part, ...] = ()
    """Columns of a list; empty when the plan aggregates."""
    keys: tuple[Part, ...] = ()
    measures: tuple[Part, ...] = ()
    having: tuple[Part, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    ties: bool = False
    per: tuple[str, ...] = ()
    """Partition of "the best of each": aliases among the keys or shown columns."""
    distinct: bool = False
    baseline: Baseline | None = None
    other: Plan | None = None
    """A second measure over the same keys, set beside the first: own volume and the tape's."""
    combine: str = ""
    """How the two are put together: `ratio`, `percent`, `beside`, `difference`."""
    absent: Plan | None = None
    """Rows whose key does not occur in this plan (anti-join on its first key)."""

    joins: tuple[tuple[str, str], ...] = ()
    """Further views that are joined: (view, condition)."""

    @property
    def is_grouped(self) -> bool:
        """Whether rows are aggregated."""
        return bool(self.keys or self.measures)


@dataclass
class Draftbook:
    """What the binder writes into while it reads the question."""

    where: list[Part] = field(default_factory=list)
    having: list[Part] = field(default_factory=list)
    shown: list[Part] = field(default_factory=list)
    keys: list[Part] = field(default_factory=list)
    measures: list[Part] = field(default_factory=list)
    order: list[Order] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    """Mentions (by position) that found their place."""
