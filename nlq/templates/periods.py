"""One figure over two periods."""

from __future__ import annotations

import re

from nlq.bind import Binder, clock_of
from nlq.plan import Part, Plan
from nlq.shape.part_counts import DOUBT
from nlq.shape.state import Measure, Rank, Shaper
from nlq.templates.words import consume, likely
from nlq.understand.time_phrases import TimePhrase
from nlq.understand.times import Clock, interval, predicates

_BEFORE = re.compile(
    r"\b(?:the )?(?:(\d+|\w+) (?:minutes?|mins?|hours?|seconds?) |\d+ |hour |hr |half hour |quarter hour |same (?:time )?|one |quarter of an hour )?(?:right |just |immediately )?(?:before(?: that| it| those)?|preceding(?: it| that| \d+)?|prior(?: one| to that)?|previous one)\b",
    re.I,
)


_CUE = re.compile(
    r"against|versus|\bvs\b|compar|before (?:that|it)|\b(?:\d+|hour|hr|minutes|mins|half hour|one) (?:right )?before\b|preceding|next to|beside"
    r"|than (?:in )?(?:all of )?(?:last|yesterday|the)|prior|each of the two|previous one|multiple of",
    re.I,
)
_SPENT = (
    "against|versus|vs|compare|before|preceding|prior|previous|that|next to|last|latest|side by side|and|hour|minutes|two|both|change|"
    "quarter|half|15|30"
)
_COUNTED = frozenset("orders executions market_trades alerts quotes dead_letters order_events personal_trades".split())
"""Views whose rows are counted when no figure is said."""


def two_periods(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """One figure over two periods, side by side."""
    times = sh.bound.times
    if not times or not (_CUE.search(sh.reading.question) or (mode == "grouped" and _coordinated(sh, times))):
        return None
    if not likely(sh, "compare_periods", "conditional", "time_bucket") or mode not in ("grouped", "list"):
        return None
    if any(d.led and d.sql.startswith(("trade_date", "CAST(", "date_trunc")) for d in sh.dims):
        return None  # a figure a day or an hour, each against the one before
    _settle_figure(sh)
    binder = Binder(sh.world, sh.reading, sh.view, sh.proposal)
    binder.bound = sh.bound
    clock = clock_of(binder)
    pair = _pair(sh, times, clock)
    if pair is None or not sh.measures:
        return None
    first, second, phrase = pair
    a, b = " AND ".join(first), " AND ".join(second)
    measures = [part for x in sh.measures for part in _side_by_side(x, a, b)]
    if len(measures) < 5 * len(sh.measures):
        return None
    old = {sql for _, p in times for sql in predicates(p, clock) or []}
    where = [p for p in sh.where if p.sql not in old and not (p.reason == "time" and " OR " in p.sql)]
    keys = tuple(
        Part(sql=d.sql, alias=d.alias, reason="grouping")
        for d in sh.dims
        if (d.grouped or (sh.proposal is not None and sh.role(d.sql, "group") > 0.4)) and d.sql != "trade_date"
    )
    consume(sh, _SPENT)
    sh.doubts = [d for d in sh.doubts if d != DOUBT]  # one count in each period
    either = Part(sql=f"(({a}) OR ({b}))", reason="time", phrase=phrase)
    return Plan(view=sh.view, where=(*where, either), keys=keys, measures=tuple(measures))


_AND = re.compile(
    r"^[\s,/|&]*(?:and|&|,|/|\||as well as|how many|for|what|on|in|of|the|same|quantity|we|traded|did|n|count|number|fills|orders|trades|then)?"
    r"(?:[\s,/|&]+(?:and|how many|for|what|on|in|of|the|same|quantity|we|traded|did|n|count|number|fills|orders|trades|were|was|"
    r"london's|its))*[\s,/|&]*$",
    re.IGNORECASE,
)


def _coordinated(sh: Shaper, times: list[tuple[int, TimePhrase]]) -> bool:
    """ "Today and yesterday", "how many today, how many last week": two days or weeks of equal rank in one breath."""
    if len(times) != 2 or {p.kind for _, p in times} & {"rolling", "now", "at", "ago", "between"}:
        return False
    (i, _), (j, _) = sorted(times, key=lambda t: t[0])
    return bool(_AND.match(sh.reading.question[sh.m[i].span[1] : sh.m[j].span[0]]))


def _settle_figure(sh: Shaper) -> None:
    """The amount that is named without an aggregate, else the count of rows."""
    amount = next(((i, name, sql) for i, name, sql in sh.loose if name in ("qty", "notional")), None)
    counted = len(sh.measures) == 1 and sh.measures[0].sql == "count(*)"
    if amount is not None and (counted or (not sh.measures and sh.view in _COUNTED)):
        i, name, sql = amount
        sh.measures = [Measure(i, f"sum({sql})", sql, f"sum_{name}", "sum", name)]
        sh.used.add(i)
    elif not sh.measures and len(sh.bound.times) <= 2 and sh.view in _COUNTED:
        sh.measures = [Measure(-1, "count(*)", "", "n", "count")]


def _side_by_side(x: Measure, a: str, b: str) -> list[Part]:
    """The figure in both periods, and how the one differs from the other; nothing when it cannot be split."""
    one, two = _within(x, a), _within(x, b)
    if one is None or two is None:
        return []
    return [
        Part(sql=one, alias=f"{x.alias}_latest", reason="measure"),
        Part(sql=two, alias=f"{x.alias}_before", reason="measure"),
        Part(sql=f"100.0 * ({one} / nullif({two}, 0) - 1)", alias=f"{x.alias}_change_pct", reason="measure"),
        Part(sql=f"{one} - {two}", alias=f"{x.alias}_change", reason="measure"),
        Part(sql=f"{one} / nullif({two}, 0)", alias=f"{x.alias}_ratio", reason="measure"),
    ]


def _pair(sh: Shaper, times: list[tuple[int, TimePhrase]], clock: Clock) -> tuple[list[str], list[str], str] | None:
    if len(times) == 2 and {p.kind for _, p in times} != {"rolling"}:
        (_, one), (_, two) = times
        rank = ["today", "week", "month", "yesterday", "last_week", "last_month", "days_ago", "on_day"]
        if one.kind in rank and two.kind in rank and one != two:
            a, b = sorted((one, two), key=lambda p: rank.index(p.kind))
            return predicates(a, clock) or [], predicates(b, clock) or [], f"{one.kind}, {two.kind}"
        return None
    rolling = [p for _, p in times if p.kind == "rolling"]
    if len(rolling) >= 1 and clock.time and _BEFORE.search(sh.reading.question):
        p = rolling[0]
        span, twice = interval(p.n, p.unit), interval(2 * p.n, p.unit)
        t, now = clock.time, clock.now
        return (
            [f"{t} >= {now} - {span}", f"{t} <= {now}"],
            [f"{t} >= {now} - {twice}", f"{t} < {now} - {span}"],
            "two adjacent periods",
        )
    return None


def _within(x: Measure, condition: str) -> str | None:
    """The figure over the rows of one period."""
    if x.sql == "count(*)":
        return f"sum(CASE WHEN {condition} THEN 1 ELSE 0 END)"
    if found := re.fullmatch(r"(sum|avg|min|max)\((.*)\)", x.sql):
        other = " ELSE 0" if found[1] == "sum" else ""
        return f"{found[1]}(CASE WHEN {condition} THEN {found[2]}{other} END)" if _balanced(found[2]) else None
    if found := re.fullmatch(r"count\(DISTINCT (\w+)\)", x.sql):
        return f"count(DISTINCT CASE WHEN {condition} THEN {found[1]} END)"
    if found := re.fullmatch(r"sum\((.*)\) / sum\((.*)\)", x.sql):
        return f"sum(CASE WHEN {condition} THEN {found[1]} END) / sum(CASE WHEN {condition} THEN {found[2]} END)"
    return None


def _balanced(text: str) -> bool:
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return False
    return depth == 0
