"""Figures, cut by keys, with their order, limit and conditions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Order, Part, Plan
from nlq.shape.figures import in_unit
from nlq.shape.state import AGG_SQL, PEAKS, SUMMED, Dim, Measure, Rank, Shaper

if TYPE_CHECKING:
    pass


def grouped(sh: Shaper, rank: Rank | None) -> Plan:
    """The plan of figures over keys."""
    grouped = [d for d in sh.dims if d.grouped]
    others = [d for d in sh.dims if not d.grouped]
    keys = list(grouped)
    per: tuple[str, ...] = ()
    if rank is not None and grouped and others and rank.limit is not None:
        per = tuple(d.alias for d in grouped)
        keys += others
    else:
        for d in others:
            if sh.proposal is not None:
                if sh.role(d.sql, "group") > 0.3:
                    keys.append(d)
            elif d.target or (_enumerated(sh, d) and not _single(sh, d)):
                keys.append(d)
            elif not _single(sh, d) and sh.m[d.i].text.lower() not in ("day", "days", "line", "name", "market"):
                sh.doubts.append(f"{sh.m[d.i].text!r} beside the grouping")
    if sh.having and not keys:
        keys += [d for d in others if not _single(sh, d)]
    if (
        not keys
        and len(others) == 1
        and not _single(sh, others[0])
        and sh.proposal is None
        and (rank is not None or re.search(r"\bcounts?\b", sh.reading.question, re.IGNORECASE))
    ):
        keys += others
    for i, name, sql in sh.loose:
        agg = "sum" if name in SUMMED else "max" if name in PEAKS else "avg"
        if "#" in sql:
            sql, agg = sql.split("#")
        sh.used.add(i)
        sh.measures.append(Measure(i, AGG_SQL[agg].format(in_unit(sh, sql, name)), sql, f"{agg}_{name}", agg, name))
    if not sh.measures:
        sh.measures.append(Measure(-1, "count(*)", "", "n", "count"))
    if any(m.is_op("yesno") for m in sh.m) and not keys:
        sh.used |= {i for i, m in enumerate(sh.m) if m.is_op("yesno")}
        sh.measures.insert(0, Measure(-1, "count(*) > 0", "", "answer", "yesno"))
    if sh.having and not keys:
        sh.doubts.append("a condition on a count of what is not clear")
    _both(sh, keys)
    if re.search(
        r"by (?:quantity|volume|size|qty)|in shares|qty[- ]weighted|cancelled qty over|by notional",
        sh.reading.question,
        re.IGNORECASE,
    ):
        for x in sh.measures:
            if x.name == "cancel_ratio" and sh.view == "orders":
                x.sql = x.sql.replace(
                    "avg(CASE WHEN status = 'CANCELLED' THEN 1.0D ELSE 0.0D END)",
                    "sum(cancelled_qty) / sum(order_qty)",
                )
                sh.measures = [y for y in sh.measures if y is x or y.name not in ("qty", "notional")]
                break
    if any(x.name == "fp_rate" for x in sh.measures) and not any("CONFIRMED" in p.sql for p in sh.where):
        sh.where = [p for p in sh.where if not p.sql.startswith("status ")]
        sh.where.append(
            Part(sql="status IN ('FALSE_POSITIVE', 'CONFIRMED', 'REPORTED')", reason="default: of the decided alerts")
        )
    if any(d.sql == "assigned_to" for d in keys) and not any("assigned_to" in p.sql for p in sh.where):
        sh.where.append(Part(sql="assigned_to IS NOT NULL", reason="default: alerts in somebody's charge"))
    if any(x.name == "to_close" for x in sh.measures) and not any("closed_ts" in p.sql for p in sh.where):
        sh.where.append(Part(sql="closed_ts IS NOT NULL", reason="default: closed alerts"))
    _extremes(sh, keys)
    hour = next((d for d in keys if d.sql.startswith("date_trunc('HOUR'")), None)
    if hour is not None:
        keys.append(Dim(hour.i, f"hour({hour.sql})", "hour_of_day", True, False))
    measures = _unique(sh, sh.measures)
    order: tuple[Order, ...] = ()
    limit = None
    offset = 0
    if (
        rank is not None
        and rank.name in ("newest", "oldest")
        and sh.world.catalogue.views[sh.view].time
        and any(x.row in ("price", "mid_price") for x in measures)
    ):
        pick = "max_by" if rank.name == "newest" else "min_by"
        for x in measures:
            if x.row in ("price", "mid_price"):
                x.sql, x.alias = (
                    f"{pick}({x.row}, {sh.world.catalogue.views[sh.view].time})",
                    f"{'last' if pick == 'max_by' else 'first'}_{x.row}",
                )
        rank = None
    if rank is not None and rank.name in ("newest", "oldest"):
        sh.doubts.append("first or last of a group")
    if rank is not None:
        main = _ranked_measure(sh, measures, rank)
        order = (Order(sql=main.alias, desc=rank.name not in ("bottom", "oldest")),)
        limit, offset = rank.limit, rank.offset
        if not keys:
            if limit is not None:
                sh.doubts.append("ranked over nothing")
            limit = None
            order = ()
    columns = list(keys)
    return Plan(
        view=sh.view, where=tuple(sh.where),
        keys=tuple(Part(sql=d.sql, alias=d.alias, phrase=sh.m[d.i].text if d.i >= 0 else "", span=sh.m[d.i].span if d.i >= 0 else None, reason="grouping" if d.i >= 0 else "learnt") for d in columns),
        measures=tuple(Part(sql=x.sql, alias=x.alias, phrase=sh.m[x.i].text if x.i >= 0 else "", span=sh.m[x.i].span if x.i >= 0 else None, reason="measure" if x.i >= 0 else "default: count") for x in measures),
        having=tuple(sh.having), order=order, limit=limit, offset=offset,
        per=per, ties=bool(rank and rank.ties),
    )  # fmt: skip


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


def _both(sh: Shaper, keys: list[Dim]) -> None:
    """ "Spoofing and layering both": every one of the named values must occur."""
    marks = [i for i, m in enumerate(sh.m) if m.is_op("both")]
    if not (marks or (sh.proposal is not None and sh.p("having") > 0.6)) or not keys or sh.having:
        return
    for column, found in sh.bound.columns.items():
        values = [v for _, vs, neg in found for v in vs if not neg]
        if len(found) >= 2 and len(set(values)) >= 2 and not any(d.sql == column for d in keys):
            sh.having.append(
                Part(
                    sql=f"count(DISTINCT {column}) = {len(set(values))}",
                    reason="both",
                    phrase=sh.m[marks[0]].text if marks else "",
                )
            )
            if column == "side" and not any(p.sql.startswith("side ") for p in sh.where):
                sh.where.append(
                    Part(sql=f"side IN ({', '.join(repr(v) for v in dict.fromkeys(values))})", reason="code")
                )
            sh.used |= set(marks)
            return


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
