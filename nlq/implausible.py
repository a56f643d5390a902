"""Statements that nobody would ask for: valid SQL whose conditions undo each other or its own figures.

Like the demands, a look at the finished statement alone. A share of the rows whose every row is in the part, two periods
that one row cannot lie in, a share held against thirty: whatever the words were, they were not read as they were meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOWER, _UPPER = (exp.GT, exp.GTE), (exp.LT, exp.LTE)


def implausible(sql: str) -> list[str]:
    """What is wrong with the statement by itself, as doubts; statements that do not parse are no matter of this check."""
    try:
        tree = sqlglot.parse_one(sql, dialect="databricks")
    except sqlglot.errors.SqlglotError:
        return []
    doubts = [d for select in tree.find_all(exp.Select) for d in _of_select(select)]
    return list(dict.fromkeys(doubts))


def _of_select(select: exp.Select) -> Iterator[str]:
    where = _conditions(select.args.get("where"))
    having = _conditions(select.args.get("having"))
    texts = {c.sql() for c in where}
    for case in _cases(select):
        if all(c.sql() in texts for c in _conjuncts(case.this)):
            yield "a part is taken of rows that are all in it"
    fixed = {c.this.sql() for c in where if isinstance(c, exp.EQ) and isinstance(c.expression, exp.Literal)}
    if any(f.this.sql() in fixed for p in select.expressions for f in p.find_all(exp.Sum, exp.Avg, exp.Max, exp.Min)):
        yield "a figure is taken of a column that is fixed to one value"
    barred = {c.this.sql() for c in where if isinstance(c, exp.NEQ)}
    barred |= {c.this.this.sql() for c in where if isinstance(c, exp.Not) and isinstance(c.this, exp.In)}
    if fixed & barred:
        yield "a column is fixed to one value and barred from others"
    for condition in having:
        if isinstance(condition, (*_LOWER, *_UPPER)) and _is_share(condition.this) and _value(condition) > 1:
            yield "a share is held against a number above one"
    if len({c.sql() for c in having}) < len(having):
        yield "two conditions on a figure are the same one"
    for column, bounds in _bounds(where).items():
        if bounds["="] and (bounds[">"] or bounds["<"]):
            yield f"{column} is bound to a day and to a period"
        elif bounds["="] > 1 or (bounds[">"] > 1 and bounds["<"] > 1):
            yield f"{column} is bound to two periods at once"


def _conditions(clause: exp.Expr | None) -> list[exp.Expr]:
    return _conjuncts(clause.this) if clause is not None else []


def _conjuncts(tree: exp.Expr) -> list[exp.Expr]:
    if isinstance(tree, exp.Paren):
        return _conjuncts(tree.this)
    return [*_conjuncts(tree.left), *_conjuncts(tree.right)] if isinstance(tree, exp.And) else [tree]


def _cases(select: exp.Select) -> Iterator[exp.If]:
    """Conditions of the figures that count a part: CASE WHEN … inside an aggregate."""
    for projection in select.expressions:
        for figure in projection.find_all(exp.AggFunc):
            yield from (i for c in figure.find_all(exp.Case) for i in c.args.get("ifs") or ())


def _is_share(tree: exp.Expr) -> bool:
    """Whether an expression is an average of ones and zeros, not times a hundred."""
    if not isinstance(tree, exp.Avg) or not isinstance(tree.this, exp.Case):
        return False
    return all(
        x.is_number and float(x.name.rstrip("dD") or 0) <= 1 for x in tree.this.find_all(exp.Literal) if not x.is_string
    )


def _value(condition: exp.Expr) -> float:
    right = condition.expression
    return float(right.name) if isinstance(right, exp.Literal) and not right.is_string else 0.0


def _bounds(where: list[exp.Expr]) -> dict[str, dict[str, int]]:
    """Column that is a day → how many conditions bind it from below, from above and to one day."""
    out: dict[str, dict[str, int]] = {}
    for condition in where:
        if not isinstance(condition, (*_LOWER, *_UPPER, exp.EQ)) or not isinstance(condition.this, exp.Column):
            continue
        if condition.this.name != "trade_date" or condition.expression.find(exp.Column) is condition.expression:
            continue
        kind = ">" if isinstance(condition, _LOWER) else "<" if isinstance(condition, _UPPER) else "="
        out.setdefault(condition.this.sql(), {">": 0, "<": 0, "=": 0})[kind] += 1
    return out
