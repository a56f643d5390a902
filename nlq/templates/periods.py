"""One figure over two periods."""

from __future__ import annotations

import re

from nlq.bind import Binder, clock_of
from nlq.plan import Part, Plan
from nlq.shape.state import Measure, Rank, Shaper
from nlq.templates.words import consume, likely
from nlq.understand.time_phrases import TimePhrase
from nlq.understand.times import Clock, interval, predicates

_BEFORE = re.compile(
    r"\b(?:the )?(?:(\d+|\w+) (?:minutes?|mins?|hours?|seconds?) |\d+ |hour |hr |half hour |quarter hour |same (?:time )?|one |quarter of an hour )?(?:right |just |immediately )?(?:before(?: that| it| those)?|preceding(?: it| that| \d+)?|prior(?: one| to that)?|previous one)\b",
    re.I,
)


def two_periods(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """One figure over two periods, side by side."""
    times = sh.bound.times
    kinds = [p.kind for _, p in times]
    if not likely(sh, "compare_periods", "conditional", "time_bucket") or len(times) < 1:
        return None
    if not re.search(
        r"against|versus|\bvs\b|compar|before (?:that|it)|\b(?:\d+|hour|hr|minutes|mins|half hour|one) (?:right )?before\b|preceding|next to|beside|than (?:in )?(?:all of )?(?:last|yesterday|the)|prior|each of the two|previous one|multiple of",
        sh.reading.question,
        re.I,
    ):
        return None
    if any(d.led and d.sql.startswith(("trade_date", "CAST(", "date_trunc")) for d in sh.dims):
        return None  # a figure a day or an hour, each against the one before
    if not sh.measures and len(times) <= 2:
        loose = next(((i, name, sql) for i, name, sql in sh.loose if name in ("qty", "notional")), None)
        figure = (
            Measure(loose[0], f"sum({loose[2]})", loose[2], f"sum_{loose[1]}", "sum", loose[1])
            if loose
            else Measure(-1, "count(*)", "", "n", "count")
        )
        if sh.view in (
            "orders",
            "executions",
            "market_trades",
            "alerts",
            "quotes",
            "dead_letters",
            "order_events",
            "personal_trades",
        ):
            sh.measures = [figure]
    if not sh.measures or mode not in ("grouped", "list"):
        return None
    amounts = [x for x in sh.loose if x[1] in ("qty", "notional")]
    if amounts and len(sh.measures) == 1 and sh.measures[0].sql == "count(*)":
        sh.measures = [
            Measure(amounts[0][0], f"sum({amounts[0][2]})", amounts[0][2], f"sum_{amounts[0][1]}", "sum", amounts[0][1])
        ]
        sh.used.add(amounts[0][0])
    clock = Binder(sh.world, sh.reading, sh.view, sh.proposal)
    clock.bound = sh.bound
    made = clock_of(clock)
    pair = _pair(sh, times, made)
    if pair is None:
        return None
    first, second, third = pair
    old = {sql for _, p in times for sql in predicates(p, made) or []}
    where = [p for p in sh.where if p.sql not in old and not (p.reason == "time" and " OR " in p.sql)]
    a, b = " AND ".join(first), " AND ".join(second)
    measures = []
    for x in sh.measures:
        one, two = _within(x, a), _within(x, b)
        if one is None or two is None:
            return None
        measures += [
            Part(sql=one, alias=f"{x.alias}_latest", reason="measure"),
            Part(sql=two, alias=f"{x.alias}_before", reason="measure"),
            Part(sql=f"100.0 * ({one} / nullif({two}, 0) - 1)", alias=f"{x.alias}_change_pct", reason="measure"),
            Part(sql=f"{one} - {two}", alias=f"{x.alias}_change", reason="measure"),
            Part(sql=f"{one} / nullif({two}, 0)", alias=f"{x.alias}_ratio", reason="measure"),
        ]
    where.append(Part(sql=f"(({a}) OR ({b}))", reason="time", phrase=third))
    keys = tuple(
        Part(sql=d.sql, alias=d.alias, reason="grouping")
        for d in sh.dims
        if (d.grouped or (sh.proposal is not None and sh.role(d.sql, "group") > 0.4)) and d.sql != "trade_date"
    )
    consume(
        sh,
        r"against|versus|vs|compare|before|preceding|prior|previous|that|next to|last|latest|side by side|and|hour|minutes|two|both|change|quarter|half|15|30",
    )
    if not keys and "today" in kinds and "yesterday" in kinds:
        pass
    return Plan(view=sh.view, where=tuple(where), keys=keys, measures=tuple(measures))


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
