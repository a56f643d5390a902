"""The figures that a question asks for: counts, sums, averages, ratios."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.part_counts import DOUBT
from nlq.shape.state import AGG_SQL, DURATIONS, UNITS_OF_TIME, Measure, Shaper
from nlq.views import reach

if TYPE_CHECKING:
    pass


def row_sql(sh: Shaper, name: str) -> str | None:
    """Row-level expression of a measure in this view, or one join away."""
    sql = sh.world.lexicon.measures.get(name, {}).get(sh.view)
    if sql is not None:
        return sql.replace("{now}", _now_literal(sh))
    for view in ("instruments", "traders"):
        column = sh.world.lexicon.measures.get(name, {}).get(view)
        if column and reach(sh.world.catalogue, sh.view, column):
            return reach(sh.world.catalogue, sh.view, column)
    return None


def _now_literal(sh: Shaper) -> str:
    from nlq.understand.times import Clock

    return Clock(as_of=sh.world.as_of, time=None, day=None).now


_MINUTES = re.compile(r"\bminutes? (?:where|when|with|in which|that)\b", re.IGNORECASE)


def find_measures(sh: Shaper) -> tuple[list[Measure], list[tuple[int, str, str]]]:
    """Figures with their aggregate, and measures without one."""
    out: list[Measure] = []
    taken: set[int] = set()
    if sh.view == "trader_baselines":
        sh.used |= {
            i for i, m in enumerate(sh.m) if sh.free(i) and any(s.name in ("avg", "stddev", "p95") for s in m.of("agg"))
        }
    aggs = [(i, s.name) for i, m in enumerate(sh.m) if sh.free(i) and m.kind == "sense" for s in m.of("agg")]
    for i, m in enumerate(sh.m):
        for s in m.of("meas") if m.kind == "sense" and sh.free(i) else ():
            whole = sh.world.lexicon.aggregates.get(s.name, {}).get(sh.view)
            if whole and not (s.name == "cancel_ratio" and sh.view != "orders"):
                out.append(Measure(i, whole, "", s.name, s.name, s.name))
                taken.add(i)
                sh.used.add(i)
                break
    if sh.view == "trade_stats_1m" and _MINUTES.search(sh.reading.question):
        # A bar's own averages are columns: "minutes where the average spread exceeded 20".
        sh.used |= {i for i, agg in aggs if agg == "avg"}
        aggs = [(i, agg) for i, agg in aggs if agg != "avg"]
    if _counted_values(sh, [(i, agg) for i, agg in aggs if i not in taken]):
        aggs = [(i, agg) for i, agg in aggs if agg != "distinct"]
    for i, agg in aggs:
        if i in taken:
            continue
        made = _aggregate(sh, i, agg, taken)
        if (
            made is not None
            and made.sql == "count(*)"
            and any(o.sql == made.sql for o in out)
            and sh.m[i].text.lower() not in ("count", "number", "tally")
        ):
            sh.doubts.append(DOUBT)
        if made is not None:
            if not any(o.sql == made.sql for o in out):
                out.append(made)
            taken.add(i)
            sh.used.add(i)
    _superlatives(sh, out, taken)
    loose = [
        (i, s.name, sql) for i, m in enumerate(sh.m) if m.kind == "sense" and i not in taken and sh.free(i)
        for s in m.of("meas")[:1] if (sql := row_sql(sh, s.name)) is not None
    ]  # fmt: skip
    return out, loose


def _counted_values(sh: Shaper, aggs: list[tuple[int, str]]) -> bool:
    """ "Distinct error classes with counts": every value with its number, not the number of values."""
    names = [agg for _, agg in aggs]
    if "distinct" not in names or "count" not in names:
        return False
    mark = next(i for i, agg in aggs if agg == "distinct")
    count = next(i for i, agg in aggs if agg == "count")
    dim = next((d for d in sh.dims if d.i > mark), None)
    if dim is None or count < dim.i or "count" not in sh.m[count].text.lower():
        return False
    dim.grouped = dim.led = True
    sh.used.add(mark)
    return True


def _superlatives(sh: Shaper, out: list[Measure], taken: set[int]) -> None:
    """ "The average age and the longest age": beside another figure a superlative is a figure, not a ranking."""
    if not any(x.row for x in out):
        return
    for i, m in enumerate(sh.m):
        word = m.text.lower()
        agg = "max" if word in _LARGEST else "min" if word in _SMALLEST else ""
        if not agg or not sh.free(i):
            continue
        for j in sh.near(i, 1, 1):
            for s in sh.m[j].of("meas")[:1]:
                sql = row_sql(sh, s.name)
                if sql is None:
                    continue
                sql = sql.split("#")[0]
                out.append(
                    Measure(i, AGG_SQL[agg].format(in_unit(sh, sql, s.name)), sql, f"{agg}_{s.name}", agg, s.name)
                )
                taken.add(j)
                sh.used |= {i, j}


_LARGEST = frozenset("longest highest largest biggest widest greatest maximum peak".split())
_SMALLEST = frozenset("shortest lowest smallest narrowest tightest least minimum".split())


def _aggregate(sh: Shaper, i: int, agg: str, taken: set[int]) -> Measure | None:
    if agg in ("count", "distinct"):
        after = sh.m[i + 1].text.lower() if i + 1 < len(sh.m) else ""
        if sh.m[i].text.lower() == "number" and after in (",", "and", "name", "&", "."):
            return None
        return _count(sh, i, agg)
    if agg == "corr":
        return None
    sides = [j for j in sh.near(i, 1, 4) if not sh.m[j].is_op("group")] + sh.near(i, -1, 2)
    for j in sides:
        if sh.m[j].kind != "sense" or (
            j in taken
            and not (
                j > i and all(sh.m[k].of("agg") for k in range(i + 1, j) if sh.m[k].kind not in ("filler", "sign"))
            )
        ):
            continue
        for s in sh.m[j].of("meas"):
            sql = row_sql(sh, s.name)
            if sql is None or (j in sh.used and not sh.m[j].of("meas")):
                continue
            taken.add(j)
            sh.used.add(j)
            sql = sql.split("#")[0]
            return Measure(i, AGG_SQL[agg].format(in_unit(sh, sql, s.name)), sql, f"{agg}_{s.name}", agg, s.name)
    return None


def in_unit(sh: Shaper, sql: str, name: str) -> str:
    """Milliseconds in the unit that the question asks for."""
    if name not in DURATIONS:
        return sql
    words = {w for m in sh.m if m.kind not in ("time", "number") for w in m.text.lower().split()}
    for per, units in UNITS_OF_TIME:
        if words & units:
            sh.used |= {k for k, m in enumerate(sh.m) if m.text.lower() in units}
            return _divided(sql, per)
    return sql


def _divided(sql: str, per: float) -> str:
    """An expression in milliseconds as one in a longer unit."""
    if per == 1.0:
        return sql
    if sql.endswith(" / 1000.0"):
        return f"{sql.removesuffix(' / 1000.0')} / {per * 1000:.1f}"
    return f"({sql}) / {per}" if " " in sql else f"{sql} / {per}"


_COUNTS = {"replaces", "lag", "n_trades", "n_quotes", "n_orders", "n_cancels", "n_new", "n_cancel", "n_fill"}
"""Columns that are counts themselves: "how many replaces" asks for the column."""


def _count(sh: Shaper, i: int, agg: str) -> Measure | None:
    following = sh.near(i, 1, 3)
    joined = i + 1 < len(sh.m) and sh.m[i + 1].text.lower() in ("+", "and", "&", ",", "/")
    if joined and agg == "count":
        return Measure(i, "count(*)", "", "n", "count")
    for j in following:
        mention = sh.m[j]
        if any(s.name == sh.view for s in mention.of("view")) or (mention.is_op("trades")):
            break
        dim = next((d for d in sh.dims if d.i == j), None)
        if dim is not None and not dim.grouped:
            if dim.alias in sh.world.catalogue.views[sh.view].key and len(sh.world.catalogue.views[sh.view].key) == 1:
                # "How many people per desk": a person is a row.
                sh.dims = [d for d in sh.dims if d is not dim]
                sh.used.add(j)
                break
            if sh.proposal is not None and sh.role(dim.sql, "count_distinct") < 0.3:
                break
            sh.dims = [d for d in sh.dims if d is not dim]
            sh.used.add(j)
            sh.used |= {k for k in following if any(s.name == "distinct" for s in sh.m[k].of("agg"))}
            return Measure(i, f"count(DISTINCT {dim.sql})", "", f"n_{dim.alias}", "count_distinct")
        if mention.of("code") or mention.of("cond") or mention.kind == "value" or mention.is_op("own"):
            continue
        if mention.of("meas"):
            name = mention.of("meas")[0].name
            if name in _COUNTS and row_sql(sh, name):
                return None
            if name in ("qty", "filled_qty") and (sql := row_sql(sh, name)):
                sh.used.add(j)
                return Measure(i, f"sum({sql})", sql, "total_qty", "sum", name)
        break
    if agg == "distinct":
        return None
    return Measure(i, "count(*)", "", "n", "count")
