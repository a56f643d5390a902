"""Figures, cut by keys, with their order, limit and conditions."""

from __future__ import annotations

import re

from nlq.plan import Order, Part, Plan
from nlq.shape.both import both_columns, require_both
from nlq.shape.figures import in_unit
from nlq.shape.state import AGG_SQL, PEAKS, SUMMED, Dim, Measure, Rank, Shaper

_LEVELS = ("price", "mid_price", "spread_bps", "bid_price", "ask_price", "limit_price")
"""Columns whose first or last value is meant where a sum would be for amounts."""


def grouped(sh: Shaper, rank: Rank | None) -> Plan:
    """The plan of figures over keys."""
    keys, per = _keys(sh, rank)
    _loose_figures(sh, rank)
    if not sh.measures:
        sh.measures.append(Measure(-1, "count(*)", "", "n", "count"))
    if any(m.is_op("yesno") for m in sh.m) and not keys:
        sh.used |= {i for i, m in enumerate(sh.m) if m.is_op("yesno")}
        sh.measures.insert(0, Measure(-1, "count(*) > 0", "", "answer", "yesno"))
    if sh.having and not keys:
        sh.doubts.append("a condition on a count of what is not clear")
    require_both(sh, keys)
    _by_quantity(sh)
    _defaults(sh, keys)
    _extremes(sh, keys)
    hour = next((d for d in keys if d.sql.startswith("date_trunc('HOUR'")), None)
    if hour is not None:
        keys.append(Dim(hour.i, f"hour({hour.sql})", "hour_of_day", True, False))
    measures = _unique(sh, sh.measures)
    rank = _first_or_last(sh, measures, rank)
    if sh.bound.joins:
        sh.doubts.append("a row for each entry of the list, and figures over them")
    order, limit, offset = _ranking(sh, keys, measures, rank)
    return Plan(
        view=sh.view,
        where=tuple(sh.where),
        keys=tuple(_part(sh, d.i, d.sql, d.alias, "grouping", "learnt") for d in keys),
        measures=tuple(_part(sh, x.i, x.sql, x.alias, "measure", "default: count") for x in measures),
        having=tuple(sh.having),
        order=order,
        limit=limit,
        offset=offset,
        per=per,
        joins=tuple(sh.bound.joins),
        ties=bool(rank and rank.ties),
    )


def _part(sh: Shaper, i: int, sql: str, alias: str, reason: str, unsaid: str) -> Part:
    """An output with the words that it comes from, or the reason why it is there without any."""
    if i < 0:
        return Part(sql=sql, alias=alias, reason=unsaid)
    return Part(sql=sql, alias=alias, phrase=sh.m[i].text, span=sh.m[i].span, reason=reason)


def _keys(sh: Shaper, rank: Rank | None) -> tuple[list[Dim], tuple[str, ...]]:
    """Columns to group by, and those within which the best are picked."""
    led = [d for d in sh.dims if d.grouped]
    others = [d for d in sh.dims if not d.grouped]
    if rank is not None and led and others and rank.limit is not None and sh.proposal is None:
        return [*led, *others], tuple(d.alias for d in led)
    within = [d for d in led if d.led]
    if rank is not None and rank.limit is not None and within and len(within) < len(led):
        # "For each desk, which trader …": the best of each desk, not the best of all.
        return led, tuple(d.alias for d in within)
    keys = list(led)
    both = {column for column, _, _ in both_columns(sh)}
    others = [d for d in others if d.sql not in both]
    if both and not keys and sh.proposal is None and any(m.is_op("both") for m in sh.m):
        return others, ()
    idle = []
    for d in others:
        if sh.proposal is not None:
            if sh.role(d.sql, "group") > 0.3:
                keys.append(d)
        elif _of_all(sh, d):
            continue
        elif d.target or (_enumerated(sh, d) and not _single(sh, d)) or _heading(sh, d):
            keys.append(d)
        elif not _single(sh, d) and sh.m[d.i].text.lower() not in ("day", "days", "line", "name", "market"):
            idle.append(d)
    if sh.having and not keys:
        keys += [d for d in others if not _single(sh, d)] or _clock_noun(sh)
    counted = rank is not None or re.search(r"\bcounts?\b", sh.reading.question, re.IGNORECASE)
    if not keys and len(others) == 1 and not _single(sh, others[0]) and sh.proposal is None and counted:
        keys += others
    # "Traders with over 100 orders": the only noun that could be the key is no doubt once it is.
    sh.doubts += [
        f"{sh.m[d.i].text!r} beside the grouping"
        for d in idle
        if keys != [d] or sh.m[d.i].text.lower() in ("name", "names", "whos", "who's", "person")
    ]
    return keys, ()


def _of_all(sh: Shaper, d: Dim) -> bool:
    """ "Any desk", "all partitions together": said to leave none out, not to divide by."""
    return d.i > 0 and not d.target and sh.m[d.i - 1].text.lower() in ("any", "whichever", "whatever", "all", "either")


def _heading(sh: Shaper, d: Dim) -> bool:
    """ "Technology issuers: mean print size": a plural before the colon is what the figures behind it are of."""
    colon = sh.reading.question.find(":")
    m = sh.m[d.i]
    plural = m.text.lower().rstrip().endswith("s") or m.text.lower() in ("people", "who")
    first = not any(o.i < d.i for o in sh.dims if o.i >= 0)
    figures = [x.i for x in sh.measures if x.i >= 0] + [i for i, _, _ in sh.loose]
    return plural and first and m.span[1] <= colon and bool(figures) and all(sh.m[i].span[0] > colon for i in figures)


def _clock_noun(sh: Shaper) -> list[Dim]:
    """ "Hours with eight or more dead letters": the hour is the key."""
    time = sh.world.catalogue.views[sh.view].time
    for i, m in enumerate(sh.m):
        unit = m.text.lower().rstrip("s")
        if time and m.kind == "filler" and unit in ("hour", "minute", "day"):
            sql = f"CAST({time} AS DATE)" if unit == "day" else f"date_trunc('{unit.upper()}', {time})"
            return [Dim(i, sql, unit, True, False)]
    return []


def _loose_figures(sh: Shaper, rank: Rank | None) -> None:
    """Figures without an aggregate get the one that their kind asks for."""
    for i, name, expression in sh.loose:
        agg = "sum" if name in SUMMED else "max" if name in PEAKS else "avg"
        sql, _, said = expression.partition("#")
        agg = said or agg
        if name in ("age", "elapsed") and rank is not None and rank.name in ("newest", "oldest"):
            agg = "min" if rank.name == "newest" else "max"
        if i >= 0:
            sh.used.add(i)
        sh.measures.append(Measure(i, AGG_SQL[agg].format(in_unit(sh, sql, name)), sql, f"{agg}_{name}", agg, name))
        if (noun := _rows_beside(sh, i)) is not None and not any(x.agg == "count" for x in sh.measures):
            sh.measures.append(Measure(noun, "count(*)", "", "n", "count"))
            sh.used.add(noun)


_COORDINATED = re.compile(r"^\s*(?:,|and|&|\+|plus|as well as)\s*(?:the |their |total |traded |own )*$", re.IGNORECASE)


def _rows_beside(sh: Shaper, i: int) -> int | None:
    """ "Trades and quantity per venue": the rows' noun in one breath with a figure asks how many there are."""
    text = sh.reading.question
    for j in (i - 1, i - 2, i - 3, i + 1, i + 2, i + 3):
        if not 0 <= j < len(sh.m):
            continue
        m = sh.m[j]
        plural = m.text.lower() in (
            "trades",
            "fills",
            "prints",
            "executions",
            "orders",
            "deals",
            "transactions",
            "alerts",
            "quotes",
        )
        rows = any(s.name == sh.view for s in m.of("view")) or m.is_op("trades")
        first, second = (j, i) if j < i else (i, j)
        if plural and rows and _COORDINATED.match(text[sh.m[first].span[1] : sh.m[second].span[0]]):
            return j
    return None


def _by_quantity(sh: Shaper) -> None:
    """A cancel ratio by quantity in place of one by count."""
    wanted = r"by (?:quantity|volume|size|qty)|in shares|qty[- ]weighted|cancelled qty over|by notional"
    ratio = next((x for x in sh.measures if x.name == "cancel_ratio"), None)
    if ratio is None or sh.view != "orders" or not re.search(wanted, sh.reading.question, re.IGNORECASE):
        return
    counted = sh.world.lexicon.aggregates["cancel_ratio"]["orders"]
    ratio.sql = ratio.sql.replace(counted, "sum(cancelled_qty) / sum(order_qty)")
    sh.measures = [x for x in sh.measures if x is ratio or x.name not in ("qty", "notional")]


def _defaults(sh: Shaper, keys: list[Dim]) -> None:
    """Rows that a figure is about when the question does not say: decided, assigned or closed alerts."""
    conditions = " ".join(p.sql for p in sh.where)
    names = {x.name for x in sh.measures}
    if "fp_rate" in names and "CONFIRMED" not in conditions:
        decided = "status IN ('FALSE_POSITIVE', 'CONFIRMED', 'REPORTED')"
        sh.where = [p for p in sh.where if not p.sql.startswith("status ")]
        sh.where.append(Part(sql=decided, reason="default: of the decided alerts"))
    if any(d.sql == "assigned_to" for d in keys) and "assigned_to" not in conditions:
        sh.where.append(Part(sql="assigned_to IS NOT NULL", reason="default: alerts in somebody's charge"))
    if "to_close" in names and "closed_ts" not in conditions:
        sh.where.append(Part(sql="closed_ts IS NOT NULL", reason="default: closed alerts"))


def _first_or_last(sh: Shaper, measures: list[Measure], rank: Rank | None) -> Rank | None:
    """ "The last price of each": the value of the first or last row in place of a ranking."""
    if rank is None or rank.name not in ("newest", "oldest"):
        return rank
    time = sh.world.catalogue.views[sh.view].time
    picked = [x for x in measures if x.row in _LEVELS]
    aged = [x for x in measures if x.name in ("age", "elapsed")]
    if time and picked:
        pick = "max_by" if rank.name == "newest" else "min_by"
        for x in picked:
            x.sql, x.alias = f"{pick}({x.row}, {time})", f"{'last' if pick == 'max_by' else 'first'}_{x.row}"
        return None
    if aged:
        return None
    if time and _instants_asked(sh, measures, rank, time):
        return None
    if time and len(measures) == 1 and measures[0].i < 0 and measures[0].sql == "count(*)":
        # "When did each producer last …": the instant itself is the figure.
        agg = "max" if rank.name == "newest" else "min"
        measures[0].sql, measures[0].alias, measures[0].i = f"{agg}({time})", f"{agg}_{time}", rank.i
        return None
    sh.doubts.append("first or last of a group")
    return rank


def _instants_asked(sh: Shaper, measures: list[Measure], rank: Rank, time: str) -> bool:
    """ "How many are there, and what is the earliest": first and last instant are figures beside a count."""
    marks = {name: i for i, m in enumerate(sh.m) for name in ("oldest", "newest") if m.is_op(name)}
    counted = [x for x in measures if x.sql == "count(*)"]
    if len(counted) != len(measures) or not (len(marks) == 2 or (counted and counted[0].i >= 0 and rank.limit == 1)):
        return False
    for name, i in marks.items():
        agg = "min" if name == "oldest" else "max"
        measures.append(Measure(i, f"{agg}({time})", time, f"{agg}_{time}", agg))
        sh.used.add(i)
    return True


def _ranking(
    sh: Shaper, keys: list[Dim], measures: list[Measure], rank: Rank | None
) -> tuple[tuple[Order, ...], int | None, int]:
    """Order, limit and offset over the figures."""
    if rank is None:
        return (), None, 0
    if not keys:
        if rank.limit is not None:
            sh.doubts.append("ranked over nothing")
        return (), None, rank.offset
    main = _ranked_measure(sh, measures, rank)
    return (Order(sql=main.alias, desc=rank.name not in ("bottom", "oldest")),), rank.limit, rank.offset


def _extremes(sh: Shaper, keys: list[Dim]) -> None:
    """ "The highest price and the lowest": both ends of one column."""
    tops = [m for m in sh.m if m.is_op("top") and "high" in m.text.lower()]
    lows = [m for m in sh.m if m.is_op("bottom") and "low" in m.text.lower()]
    price = next((x for x in sh.measures if x.row == "price"), None)
    if tops and lows and price is not None:
        sh.measures = [
            Measure(price.i, "max(price)", "price", "high", "max", "price"),
            Measure(price.i, "min(price)", "price", "low", "min", "price"),
        ]


def _single(sh: Shaper, d: Dim) -> bool:
    before = sh.m[d.i - 1].text.lower() if d.i else ""
    return d.sql in sh.bound.filtered or before in ("my", "our", "this", "that", "the same", "same")


def _enumerated(sh: Shaper, d: Dim) -> bool:
    """A dim in a list of asked columns: behind a comma, "with", "and" or a full stop."""
    before = [m.text.lower() for m in sh.m[max(0, d.i - 3) : d.i]]
    return bool(set(before) & {",", ".", "with", "and", ":", "-", "/", "both"})


def _unique(sh: Shaper, measures: list[Measure]) -> list[Measure]:
    out: dict[str, Measure] = {}
    for x in measures:
        alias, n = x.alias, 2
        while alias in {o.alias for o in out.values()} and x.sql not in out:
            alias, n = f"{x.alias}_{n}", n + 1
        x.alias = alias
        out.setdefault(x.sql, x)
    return list(out.values())


def _ranked_measure(sh: Shaper, measures: list[Measure], rank: Rank) -> Measure:
    at = rank.i
    return min(measures, key=lambda x: (abs(x.i - at), x.i < at))
