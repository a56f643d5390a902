"""Lists: of rows with their columns and order, or of distinct values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Order, Part, Plan
from nlq.shape.figures import in_unit, row_sql
from nlq.shape.state import HEADLINE, Rank, Shaper
from nlq.views import reach

if TYPE_CHECKING:
    pass


def _asked_columns(sh: Shaper) -> list[str]:
    out = []
    view = sh.world.catalogue.views[sh.view]
    for i, mention in enumerate(sh.m):
        if mention.kind != "sense":
            continue
        for s in mention.of("col"):
            found = reach(sh.world.catalogue, sh.view, s.name)
            if found and (found in view.columns or sh.free(i)):
                out.append(found)
                sh.used.add(i)
                break
    for d in sh.dims:
        out.append(d.sql)
    for i, name, sql in sh.loose:
        out.append(in_unit(sh, sql.split("#")[0], name))
        sh.used.add(i)
    return list(dict.fromkeys(out))


def listing(sh: Shaper, rank: Rank | None) -> Plan:
    """The plan of a list of rows."""
    view = sh.world.catalogue.views[sh.view]
    asked = _asked_columns(sh)
    extra = [c for c in HEADLINE if c in view.columns]
    if len(view.columns) <= 14:
        extra = [c.name for c in view.columns.values() if c.sensitivity is None or c.name in asked]
    if sh.proposal is not None:
        extra += [c for c in view.columns if sh.role(c, "select") > 0.3 and view.columns[c].sensitivity is None]
    times = [view.time] if view.time else []
    order = _row_order(sh, rank)
    asked += [c for r in sh.reading.related if sh.view in (*r.views, *r.joins) for c in r.shows]
    extra = [*[c for c in view.columns if any(re.search(rf"\b{c}\b", p.sql) for p in sh.where)], *extra]
    if sh.sees_names and (
        re.search(r"\bnames?\b|\bcalled\b", sh.reading.question, re.IGNORECASE) or sh.view in ("traders", "accounts")
    ):
        extra += [c for c in ("trader_name", "account_name") if c in view.columns]
    columns = list(dict.fromkeys([*view.key, *times, *asked, *[o.sql for o in order], *extra]))
    shown = tuple(_shown(sh, c) for c in columns)
    plan = Plan(view=sh.view, where=tuple(sh.where), shown=shown, order=order, joins=tuple(sh.bound.joins))
    if rank and rank.limit is not None:
        groups = [d for d in sh.dims if d.grouped]
        plan = Plan(
            **{
                **plan.__dict__,
                "limit": rank.limit,
                "offset": rank.offset,
                "per": tuple(d.alias for d in groups),
                "ties": rank.ties,
            }
        )
    elif (
        sh.view == "quotes"
        and "symbol" in sh.bound.filtered
        and not any(m.compare and m.compare.explicit for m in sh.m)
        and all(p.kind in ("at", "ago", "now", *_DAYS_OF_AN_INSTANT) for _, p in sh.bound.times)
        and (not sh.bound.times or any(p.kind in ("at", "ago", "now") for _, p in sh.bound.times))
    ):
        plan = Plan(
            **{
                **plan.__dict__,
                "order": (Order(sql="quote_ts", desc=True), Order(sql="quote_seq", desc=True)),
                "limit": 1,
            }
        )
    return plan


_DAYS_OF_AN_INSTANT = ("today", "yesterday", "on_day", "on_date", "days_ago")


def _shown(sh: Shaper, sql: str) -> Part:
    alias = sql.rpartition(".")[2] if sql.replace(".", "").replace("_", "").isalnum() else "value"
    return Part(sql=sql, alias=alias)


def _row_order(sh: Shaper, rank: Rank | None) -> tuple[Order, ...]:
    if rank is None:
        return ()
    view = sh.world.catalogue.views[sh.view]
    if rank.by:
        return (Order(sql=rank.by, desc=rank.name != "bottom"),)
    if rank.name in ("newest", "oldest") and view.time:
        desc = rank.name == "newest"
        keys = (Order(sql=view.time, desc=desc),)
        return (*keys, Order(sql="quote_seq", desc=desc)) if sh.view == "quotes" else keys
    at = rank.i
    likely = max(((sh.role(c, "order"), c) for c in view.columns), default=(0.0, ""))
    if sh.proposal is not None and likely[0] > 0.6:
        return (Order(sql=likely[1], desc=rank.name != "bottom"),)
    options = sorted([*_all_measures(sh), *_numeric_columns(sh)], key=lambda x: (abs(x[0] - at), x[0] < at))
    if not options:
        if sh.view in _RANKED_BY:
            return (Order(sql=_RANKED_BY[sh.view], desc=rank.name != "bottom"),)
        sql = row_sql(sh, "qty")
        if sql is None:
            sh.doubts.append("ranked by what is not said")
            return ()
        sh.doubts.append("ranked by size, which is not said")
        return (Order(sql=sql, desc=rank.name != "bottom"),)
    i, _, sql = options[0]
    sh.used.add(i)
    desc = rank.name != "bottom"
    return (Order(sql=sql.split("#")[0], desc=desc),)


_RANKED_BY = {"trader_baselines": "mean", "ingest_status": "lag"}
"""What rows are ranked by where the view has one figure that matters."""


def _all_measures(sh: Shaper) -> list[tuple[int, str, str]]:
    out = []
    for i, m in enumerate(sh.m):
        for s in m.of("meas")[:1] if m.kind == "sense" else ():
            sql = row_sql(sh, s.name)
            if sql:
                out.append((i, s.name, sql))
    return out


def _numeric_columns(sh: Shaper) -> list[tuple[int, str, str]]:
    """Numeric columns that are named as such: "by p95"."""
    columns = sh.world.catalogue.views[sh.view].columns
    return [
        (i, s.name, s.name)
        for i, m in enumerate(sh.m)
        for s in (m.of("col") if m.kind == "sense" else ())
        if s.name in columns and columns[s.name].type in ("DOUBLE", "INT", "BIGINT")
    ]


def distinct_values(sh: Shaper) -> Plan:
    """The plan of a list of distinct values."""
    columns = list(dict.fromkeys(d.sql for d in sh.dims))
    if sh.proposal is not None:
        likely = [c for c in sh.world.catalogue.views[sh.view].columns if sh.role(c, "select") > 0.5]
        columns = likely or [c for c in columns if sh.role(c, "select") > 0.2 or c not in sh.bound.filtered]
    if not columns:
        columns = list(sh.world.catalogue.views[sh.view].key)
    shown = tuple(_shown(sh, c) for c in columns)
    return Plan(view=sh.view, where=tuple(sh.where), shown=shown, distinct=True, joins=tuple(sh.bound.joins))
