"""Plan → SQL in the `databricks` dialect. One plan has one text: no choice is made here."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

if TYPE_CHECKING:
    from nlq.plan import Part, Plan

LINKS: dict[str, str] = {
    "traders": "trader_id",
    "accounts": "account_id",
    "instruments": "symbol",
}
"""Reference view → the column by which it is joined to any view that has that column."""

_REFERENCE = re.compile(r"\b(traders|accounts|instruments)\.(\w+)")


def compile_plan(plan: Plan) -> str:
    """The plan's SQL."""
    if plan.baseline is not None:
        return _with_baseline(plan)
    if plan.other is not None:
        return _beside(plan)
    if (plan.per and plan.limit is not None) or plan.ties:
        return _ranked(plan)
    return _tail(plan, _select(plan))


def _tail(plan: Plan, sql: str) -> str:
    if plan.order:
        sql += " ORDER BY " + ", ".join(f"{o.sql} {'DESC' if o.desc else 'ASC'}" for o in plan.order)
    if plan.limit is not None:
        sql += f" LIMIT {plan.limit}"
        if plan.offset:
            sql += f" OFFSET {plan.offset}"
    return sql


def _select(plan: Plan, extra: str = "") -> str:
    parts = [*plan.keys, *plan.measures] if plan.is_grouped else [*plan.shown]
    joined, others = _joined(plan), _others(plan)
    texts = [_output(p, plan.view, others) for p in parts]
    if extra:
        texts.append(extra)
    sql = f"SELECT {'DISTINCT ' if plan.distinct else ''}{', '.join(texts)} FROM {plan.view}"
    for view in joined:
        sql += f" JOIN {view} ON {view}.{LINKS[view]} = {plan.view}.{LINKS[view]}"
    for view, on in plan.joins:
        sql += f" JOIN {view} ON {on}"
    conditions = [qualify(p.sql, plan.view, others) for p in plan.where]
    if plan.absent is not None:
        key = plan.absent.keys[0].sql
        inner = [*plan.absent.where]
        body = " AND ".join([f"x.{key} = {plan.view}.{key}", *(qualify(p.sql, "x", ("x",)) for p in inner)])
        conditions.append(f"NOT EXISTS (SELECT 1 FROM {plan.absent.view} AS x WHERE {body})")
    if conditions:
        sql += " WHERE " + " AND ".join(conditions)
    if plan.keys:
        sql += " GROUP BY " + ", ".join(qualify(k.sql, plan.view, others) for k in plan.keys)
    if plan.having:
        sql += " HAVING " + " AND ".join(qualify(h.sql, plan.view, others) for h in plan.having)
    return sql


def _joined(plan: Plan) -> tuple[str, ...]:
    texts = [p.sql for p in (*plan.where, *plan.shown, *plan.keys, *plan.measures, *plan.having)]
    texts += [o.sql for o in plan.order]
    found = {m.group(1) for t in texts for m in _REFERENCE.finditer(t)}
    return tuple(sorted(found - {plan.view}))


def _others(plan: Plan) -> tuple[str, ...]:
    return (*_joined(plan), *(view for view, _ in plan.joins))


def _output(part: Part, view: str, joined: tuple[str, ...]) -> str:
    text = qualify(part.sql, view, joined)
    bare = re.fullmatch(r"(?:\w+\.)?(\w+)", text)
    if part.alias and not (bare and bare.group(1) == part.alias):
        return f"{text} AS {part.alias}"
    return text


@lru_cache(maxsize=8192)
def qualify(sql: str, view: str, joined: tuple[str, ...]) -> str:
    """Bare columns get the view's name when other views are joined; columns inside subqueries are left alone."""
    if not joined:
        return sql.replace(f"{view}.", "") if f"{view}." in sql and "SELECT" not in sql else sql
    if sql.startswith("EXISTS"):
        return sql
    tree = sqlglot.parse_one(sql, dialect="databricks")
    for column in tree.find_all(exp.Column):
        if not column.table and column.find_ancestor(exp.Subquery, exp.Select) is None:
            column.set("table", exp.to_identifier(view))
    return tree.sql(dialect="databricks")


def _ranked(plan: Plan) -> str:
    order = ", ".join(f"{o.sql} {'DESC' if o.desc else 'ASC'}" for o in plan.order)
    joined = _others(plan)
    parts = [*plan.keys, *plan.measures] if plan.is_grouped else [*plan.shown]
    by_alias = {p.alias: p.sql for p in parts}
    texts = ", ".join(
        f"{qualify(by_alias.get(o.sql, o.sql), plan.view, joined)} {'DESC' if o.desc else 'ASC'}" for o in plan.order
    )
    partition = ", ".join(qualify(by_alias.get(p, p), plan.view, joined) for p in plan.per)
    window = f"{'rank' if plan.ties else 'row_number'}() OVER ({f'PARTITION BY {partition} ' if partition else ''}ORDER BY {texts}) AS place"
    inner = _select(replace(plan, order=(), limit=None), window)
    names = ", ".join(p.alias or p.sql.rpartition(".")[2] for p in parts)
    place = f"place = {plan.offset + 1}" if plan.limit == 1 else f"place <= {plan.limit}"
    return f"SELECT {names} FROM ({inner}) AS ranked WHERE {place}" + (
        f" ORDER BY {order}" if not plan.per and plan.limit != 1 else ""
    )


def _with_baseline(plan: Plan) -> str:
    base = plan.baseline
    assert base is not None
    inner = _select(replace(plan, baseline=None, order=(), limit=None))
    keys = [k.alias for k in plan.keys]
    shown = [f"m.{k}" for k in keys] + [f"m.{p.alias}" for p in plan.measures]
    shown += [f"b.{f} AS {f if f not in keys else 'norm_' + f}" for f in base.figures]
    shown += [f"{e} AS {a}" for e, a in base.extra]
    on = f"b.{base.key} = m.{base.key}" + (f" AND {base.where}" if base.where else "")
    sql = f"SELECT {', '.join(shown)} FROM ({inner}) AS m JOIN {base.view} AS b ON {on}"
    if base.condition:
        sql += f" WHERE {base.condition}"
    return _tail(plan, sql)


def _beside(plan: Plan) -> str:
    other = plan.other
    assert other is not None
    first = _select(replace(plan, other=None, order=(), limit=None, having=()))
    second = _select(other)
    left, right = plan.measures[0].alias, other.measures[0].alias
    if not plan.keys:
        a, b = f"({first})", f"({second})"
        value = {"ratio": f"{a} / {b}", "percent": f"100.0 * {a} / {b}", "difference": f"{a} - {b}"}.get(plan.combine)
        return f"SELECT {value} AS {plan.combine}" if value else f"SELECT {a} AS {left}, {b} AS {right}"
    a, b = f"o.{left}", f"m.{right}"
    value = {"ratio": f"{a} / {b}", "percent": f"100.0 * {a} / {b}", "difference": f"{a} - {b}"}.get(plan.combine)
    keys = [k.alias for k in plan.keys]
    shown = [f"o.{k}" for k in keys] + [
        f"{a} AS {left}",
        f"{b} AS {right}" if left != right else f"{b} AS other_{right}",
    ]
    if value:
        shown.append(f"{value} AS {plan.combine}")
    on = " AND ".join(f"m.{k} = o.{k}" for k in keys)
    sql = f"SELECT {', '.join(shown)} FROM ({first}) AS o JOIN ({second}) AS m ON {on}"
    if plan.having and value:
        sql += " WHERE " + " AND ".join(h.sql.replace("{value}", value) for h in plan.having)
    return _tail(plan, sql)
