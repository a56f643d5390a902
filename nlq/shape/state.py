"""What is known of the answer's shape while it is being recognised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nlq.bind import Bound, World
    from nlq.contracts import Proposal
    from nlq.plan import Part, Plan
    from nlq.understand.reading import Reading

SUMMED = {
    "qty",
    "notional",
    "filled_qty",
    "cancelled_qty",
    "leaves",
    "lag",
    "n_trades",
    "n_quotes",
    "replaces",
    "n_new",
    "n_cancel",
    "n_fill",
    "opp_fill",
}
"""Measures that add up; the others are averaged when no aggregate is said."""
DURATIONS = {
    "lifetime",
    "to_close",
    "age",
    "ran",
    "hours_late",
    "delay",
    "elapsed",
    "session_length",
    "time_left",
    "minutes_behind",
}
"""Measures in milliseconds."""
PEAKS = {"deviation", "max_order_qty", "cancel_ratio", "elapsed"}
UNITS_OF_TIME = ((3_600_000.0, {"hours", "hour", "hrs", "h"}), (60_000.0, {"minutes", "mins", "minute", "min"}), (86_400_000.0, {"days"}),
                 (1000.0, {"seconds", "secs", "sec", "second", "s"}), (1.0, {"milliseconds", "millisecond", "millis", "msec", "msecs", "ms"}))  # fmt: skip
"""Milliseconds of a unit, and the words that ask for it."""
UNIT_WORDS = {
    "hours",
    "hrs",
    "minutes",
    "mins",
    "days",
    "seconds",
    "secs",
    "minute",
    "milliseconds",
    "millis",
    "ms",
    "sec",
    "msec",
}
AGG_SQL = {"sum": "sum({})", "avg": "avg({})", "median": "percentile({}, 0.5)", "max": "max({})", "min": "min({})",
            "stddev": "stddev({})", "p95": "percentile({}, 0.95)", "p90": "percentile({}, 0.9)", "p99": "percentile({}, 0.99)",
            "p75": "percentile({}, 0.75)", "p25": "percentile({}, 0.25)"}  # fmt: skip
MILLISECONDS = {"ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
HEADLINE = ("symbol", "issuer_name", "venue", "trader_id", "desk", "account_id", "account_type", "side", "qty", "price",
            "notional", "order_qty", "limit_price", "order_notional", "filled_qty", "status", "order_id")  # fmt: skip
"""Columns that a list shows beside the key, where the view has them: what, where, who, how much."""


@dataclass
class Dim:
    """A column that the result may be cut by."""

    i: int
    sql: str
    alias: str
    grouped: bool
    target: bool
    """Whether it is asked for: "which desk", "who"."""
    led: bool = False
    """Whether a grouping word stands before it."""


@dataclass
class Measure:
    """A figure of the answer."""

    i: int
    sql: str
    """Aggregate expression."""
    row: str
    """Row-level expression; empty for counts and ratios."""
    alias: str
    agg: str
    name: str = ""


@dataclass
class Rank:
    """A ranking word and what it says."""

    i: int
    name: str
    """top, bottom, newest, oldest, second, third."""
    limit: int | None = 1
    offset: int = 0
    ties: bool = False
    by: str = ""
    """Expression that is ranked by, when it is known already."""


@dataclass
class Shape:
    """What was recognised, and the plan that follows from it."""

    plan: Plan
    used: set[int]
    doubts: list[str] = field(default_factory=list)
    mode: str = "list"
    raw: str = ""
    """SQL of a template that the plan cannot express."""
    settled: bool = False
    """Whether a template chose the views by itself."""


class Shaper:
    """One question over one view: bound conditions, and what the shape words add to them."""

    def __init__(self, world: World, reading: Reading, bound: Bound, proposal: Proposal | None = None) -> None:
        self.world, self.reading, self.bound = world, reading, bound
        self.view = bound.view
        self.proposal = proposal
        self.sees_names = True
        self.rows = False
        """Whether the rows themselves are wanted, with the named columns."""
        self.raw = ""
        self.settled = False
        """Whether a template chose the views by itself: the vote for the main view no longer matters."""
        self.m = reading.mentions
        self.used = set(bound.used)
        self.doubts = list(bound.doubts)
        self.where: list[Part] = list(bound.where)
        self.having: list[Part] = []
        self.dims: list[Dim] = []
        self.measures: list[Measure] = []
        self.loose: list[tuple[int, str, str]] = []
        """Measures without an aggregate: (mention, name, expression)."""

    def free(self, i: int) -> bool:
        """Whether mention `i` has found no place yet."""
        return i not in self.used

    def near(self, i: int, step: int, reach_: int = 4) -> list[int]:
        """Positions of meaning-bearing mentions on one side of `i`, nearest first."""
        out: list[int] = []
        j = i + step
        while 0 <= j < len(self.m) and len(out) < reach_:
            if self.m[j].kind not in ("filler", "sign"):
                out.append(j)
            elif self.m[j].text in (".", ";", "?"):
                break
            j += step
        return out

    def p(self, shape: str) -> float:
        """The learnt probability of a shape; a half when there is no parser."""
        return self.proposal.shape.get(shape, 0.0) if self.proposal is not None else 0.5

    def role(self, column: str, role: str) -> float:
        """The learnt probability that a column of this view has a role; a half when there is no parser."""
        if self.proposal is None:
            return 0.5
        view, _, name = column.rpartition(".")
        return self.proposal.columns.get((view or self.view, name), {}).get(role, 0.0)
