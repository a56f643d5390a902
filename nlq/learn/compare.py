"""Two statements side by side: which conditions, keys, figures and limits only one of them has.

Names of tables and columns that a statement gives itself don't count, nor does the order of conditions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

_PLURAL = re.compile(r"INTERVAL '?(\d+)'? (SECOND|MINUTE|HOUR|DAY)S?")
_NOW = re.compile(r"(?:QUOTE|EXEC|TRADE|ENTRY|CREATED|EVENT|INGEST)_TS <= CAST\('[^']*' AS TIMESTAMP\)")
"""No event is younger than the as-of time, so this condition says nothing."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a statement, over all its SELECTs; each as normalised text."""

    views: frozenset[str]
    where: frozenset[str]
    keys: frozenset[str]
    having: frozenset[str]
    shown: frozenset[str]
    """Of the outermost SELECT."""
    order: tuple[str, ...]
    limit: str
    distinct: bool
    blocks: int


def parts_of(sql: str) -> Parts | None:
    """The parts of a statement in Databricks dialect; None when it does not parse."""
    try:
        tree = sqlglot.parse_one(sql, dialect="databricks")
    except (SqlglotError, RecursionError):
        return None
    ctes = {c.alias for c in tree.find_all(exp.CTE)}
    views = frozenset(t.name for t in tree.find_all(exp.Table) if t.name not in ctes)
    selects = [tree, *(x for x in tree.find_all(exp.Select) if x is not tree)] if isinstance(tree, exp.Select) else []
    if not selects or isinstance(tree, exp.SetOperation):
        return None
    top = selects[0]
    named = {p.alias: p.this for s in selects for p in s.expressions if isinstance(p, exp.Alias)}
    where: set[str] = set()
    keys: set[str] = set()
    having: set[str] = set()
    for select in selects:
        for name, held in (("where", where), ("having", having), ("qualify", having)):
            clause = select.args.get(name)
            if clause is not None:
                held.update(t for c in _conjuncts(clause.this) if not _NOW.fullmatch(t := _plain(c, named)))
        group = select.args.get("group")
        keys |= {_plain(k, named) for k in group.expressions} if group is not None else set()
    order = top.args.get("order")
    limit = top.args.get("limit")
    compared = {c.split(" ")[0] for c in where if " IS " not in c}
    return Parts(
        views=views,
        where=frozenset(
            c for c in where if not c.endswith("IS NULL") or not c.startswith("NOT ") or c.split(" ")[1] not in compared
        ),
        keys=frozenset(k for k in keys if not any(k != other and other in k for other in keys)),
        having=frozenset(having),
        shown=frozenset(_plain(p.unalias(), named) for p in top.expressions),
        order=tuple(_plain(o.this, named) + (" DESC" if o.args.get("desc") else "") for o in order.expressions)
        if order is not None
        else (),
        limit=limit.expression.name if limit is not None else "",
        distinct=bool(top.args.get("distinct")),
        blocks=len(selects),
    )


def compare(one: Parts, other: Parts) -> dict[str, float]:
    """Counts of what only `one` (`extra`) or only `other` (`missing`) has; `same` where nothing of weight differs."""
    shown = {s for s in other.shown if s not in one.shown and s not in other.keys}
    limited = one.limit == other.limit and (not one.limit or one.order[:1] == other.order[:1])
    out = {
        "views": float(one.views == other.views),
        "where_extra": float(len(one.where - other.where)),
        "where_missing": float(len(other.where - one.where)),
        "keys_extra": float(len(one.keys - other.keys)),
        "keys_missing": float(len(other.keys - one.keys)),
        "having": float(len(one.having ^ other.having)),
        "shown_missing": float(len(shown)),
        "limit": float(limited),
        "distinct": float(one.distinct == other.distinct),
        "blocks": float(one.blocks == other.blocks),
    }
    differs = sum(out[n] for n in ("where_extra", "where_missing", "keys_extra", "keys_missing", "having"))
    settled = bool(out["views"] and limited and not differs and out["blocks"])
    out["same"] = float(settled and not shown and bool(out["distinct"]))
    out["nearly"] = float(settled)
    out["differs"] = differs + out["shown_missing"] + (not limited) + 2.0 * (not out["views"])
    return out


def _conjuncts(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Paren):
        return _conjuncts(node.this)
    if isinstance(node, exp.And):
        return [*_conjuncts(node.left), *_conjuncts(node.right)]
    return [node]


def _plain(node: exp.Expr, named: dict[str, exp.Expr]) -> str:
    """Normalised text: no table names, no names of figures, sorted lists."""
    made = node.copy()
    root = exp.Paren(this=made)
    for column in list(root.find_all(exp.Column)):
        column.set("table", None)
        body = named.get(column.name)
        if body is not None and not body.find(exp.Window) and not (isinstance(body, exp.Column)) and len(named) < 40:
            if body.find(exp.Column) is None or all(c.name != column.name for c in body.find_all(exp.Column)):
                inner = body.copy()
                for c in inner.find_all(exp.Column):
                    c.set("table", None)
                column.replace(inner)
    for test in root.find_all(exp.In):
        if test.expressions:
            test.set("expressions", sorted(test.expressions, key=lambda e: e.sql()))
    for found in list(root.find_all(exp.Count, exp.Avg, exp.Sum, exp.Nullif, exp.GT)):
        _one_spelling(found)
    for literal in root.find_all(exp.Literal):
        if not literal.is_string:
            literal.set("this", f"{float(literal.name):g}" if literal.name.replace(".", "").isdigit() else literal.name)
    text = root.this.sql(dialect="databricks", comments=False).upper()
    return _PLURAL.sub(r"INTERVAL \1 \2", text)


def _one_spelling(node: exp.Expr) -> None:
    """Figures that are the same in other words: a share as an average, a conditional count as a sum, above 1 as 2 or more."""
    inner = node.this
    if isinstance(node, exp.Nullif):
        node.replace(inner)
    elif isinstance(node, exp.Count) and isinstance(inner, exp.Column):
        node.set("this", exp.Star())
    elif isinstance(node, exp.Count | exp.Sum | exp.Avg) and isinstance(inner, exp.Case) and _is_flag(inner):
        counted: exp.Expr = exp.CountIf(this=inner.args["ifs"][0].this)
        node.replace(
            exp.Div(this=counted, expression=exp.Count(this=exp.Star())) if isinstance(node, exp.Avg) else counted
        )
    elif isinstance(node, exp.Avg) and isinstance(inner, exp.Div) and isinstance(inner.expression, exp.Literal):
        divisor = inner.expression
        node.set("this", inner.this)
        node.replace(exp.Div(this=node.copy(), expression=divisor))
    elif isinstance(node, exp.GT) and isinstance(inner, exp.Count) and node.expression.name.isdigit():
        node.replace(exp.GTE(this=inner, expression=exp.Literal.number(int(node.expression.name) + 1)))


def _is_flag(case: exp.Case) -> bool:
    """CASE WHEN … THEN 1 [ELSE 0] END."""
    branches, default = case.args.get("ifs") or [], case.args.get("default")
    if len(branches) != 1 or case.this is not None:
        return False
    ends = [branches[0].args.get("true"), default]
    values = [e.find(exp.Literal).name if e.find(exp.Literal) is not None else "" for e in ends if e is not None]
    return [v.rstrip("D") for v in values] in (["1", "0"], ["1.0", "0.0"], ["1"], ["1.0"], ["1.0", "0"])
