"""What one column reference does, by its place in its own SELECT: the roles of `labels.ROLES`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot.optimizer.scope import Scope

_AGGREGATE_CLASSES: tuple[tuple[type[exp.Expr], str], ...] = (
    (exp.Sum, "sum"),
    (exp.Avg, "avg"),
    (exp.Min, "min"),
    (exp.Max, "max"),
    (exp.Median, "median"),
    (exp.PercentileCont, "percentile"),
    (exp.PercentileDisc, "percentile"),
    (exp.Quantile, "percentile"),
    (exp.ApproxQuantile, "percentile"),
    (exp.Stddev, "stddev"),
    (exp.StddevSamp, "stddev"),
    (exp.StddevPop, "stddev"),
    (exp.Variance, "stddev"),
    (exp.Corr, "corr"),
    (exp.ApproxDistinct, "count_distinct"),
)
_LAGS = (
    exp.Lag,
    exp.Lead,
    exp.FirstValue,
    exp.LastValue,
    exp.First,
    exp.Last,
    exp.ArgMax,
    exp.ArgMin,
)
_BUCKETS = (
    exp.TimestampTrunc,
    exp.DateTrunc,
    exp.Hour,
    exp.Minute,
    exp.DayOfWeek,
    exp.Month,
    exp.Floor,
    exp.Case,
)


def aggregate_of(node: exp.Expr) -> str | None:
    """Role name of an aggregate call; None when the node is something else."""
    if isinstance(node, exp.Count):
        return "count_distinct" if isinstance(node.this, exp.Distinct) else "count"
    if isinstance(node, exp.CountIf):
        return "count"
    for kind, name in _AGGREGATE_CLASSES:
        if isinstance(node, kind):
            is_median = name == "percentile" and any(x.name in ("0.5", "5E-1") for x in node.find_all(exp.Literal))
            return "median" if is_median else name
    if isinstance(node, exp.Anonymous) and node.name.lower() in (
        "percentile",
        "percentile_approx",
        "approx_percentile",
    ):
        return "percentile"
    return None


def roles_here(scope: Scope, column: exp.Column, *, root: bool) -> Iterator[str]:
    """Roles that one reference has by its place in its own SELECT."""
    select = scope.expression
    chain: list[exp.Expr] = []
    node: exp.Expr = column
    clause = ""
    while node is not select and node.parent is not None:
        clause = node.arg_key or clause
        chain.append(node)
        node = node.parent
        if isinstance(node, exp.Subquery | exp.Select) and node is not select:
            # A correlated reference: it links the inner view with an outer one.
            break
    if node is not select:
        yield "join"
        return
    above = chain[1:]
    window = next((a for a in above if isinstance(a, exp.Window)), None)
    if window is not None:
        place = next(a.arg_key for a, b in itertools.pairwise(chain) if b is window)
        if place in ("partition_by", "order"):
            yield "partition" if place == "partition_by" else "window_order"
            return
    if any(isinstance(a, _LAGS) for a in above):
        yield "lag"
        return
    for above_node, child in zip(above, chain, strict=False):
        name = aggregate_of(above_node)
        if name is None:
            continue
        yield ("condition" if _is_condition(chain, above_node) or isinstance(above_node, exp.CountIf) else name)
        if child.arg_key == "order":
            break
        return
    yield from _clause_roles(select, column, clause, above, root=root)


def _clause_roles(
    select: exp.Expr,
    column: exp.Column,
    clause: str,
    above: list[exp.Expr],
    *,
    root: bool,
) -> Iterator[str]:
    if clause == "expressions":
        in_condition = any(isinstance(a, exp.Filter) and a.expression.find(exp.Column) for a in above)
        if in_condition:
            yield "condition"
            return
        grouped = select.args.get("group")
        if grouped is not None and any(column in set(g.find_all(exp.Column)) for g in grouped.expressions):
            return
        bare = all(isinstance(a, exp.Alias | exp.Paren) for a in above)
        if bare and root:
            yield "select"
        elif not bare:
            yield "derive"
    elif clause == "group":
        yield "group"
        if any(isinstance(a, _BUCKETS) or a.key in ("timestamptrunc", "datetrunc") for a in above):
            yield "bucket"
    elif clause == "order":
        yield "order"
    elif clause in ("where", "having", "qualify"):
        yield from _filter_roles(column, above)
    elif clause == "joins":
        yield from _filter_roles(column, above, join=True)


def _filter_roles(column: exp.Column, above: list[exp.Expr], *, join: bool = False) -> Iterator[str]:
    """Which kind of predicate a WHERE or ON reference stands in."""
    chain = [column, *above]
    for child, node in zip(chain, above, strict=False):
        if isinstance(
            node,
            exp.Predicate | exp.Between | exp.In | exp.Is | exp.Like | exp.RegexpLike,
        ):
            negated = any(isinstance(a, exp.Not) for a in above[above.index(node) + 1 : above.index(node) + 3])
            if isinstance(node, exp.In) and node.args.get("query") is not None:
                yield "join"
                return
            others = [c for c in node.find_all(exp.Column) if c is not column and c.name != ""]
            if others and isinstance(node, exp.Binary | exp.Between):
                linked = isinstance(node, exp.EQ) and any(c.table != column.table for c in others)
                yield from ("join",) if linked else ("filter", "filter_column")
                return
            yield "filter"
            yield _predicate_kind(node, negated)
            return
        if isinstance(node, exp.And | exp.Or | exp.Not | exp.Where | exp.Join | exp.Having):
            if child is column or isinstance(child, exp.Paren):
                yield "filter"
                yield "filter_flag"
            return
    if join:
        yield "join"


def _predicate_kind(node: exp.Expr, negated: bool) -> str:
    if isinstance(node, exp.Is):
        if isinstance(node.expression, exp.Boolean):
            return "filter_flag"
        return "filter_not_null" if negated else "filter_null"
    if isinstance(node, exp.NEQ):
        return "filter_not"
    if isinstance(node, exp.GT | exp.GTE | exp.LT | exp.LTE | exp.Between):
        return "filter_range"
    if isinstance(node, exp.EQ) and isinstance(node.expression, exp.Boolean):
        return "filter_flag"
    return "filter_not" if negated else "filter_value"


def _is_condition(chain: list[exp.Expr], aggregate: exp.Expr) -> bool:
    """Whether the reference stands in the test of a CASE, IF or comparison inside the aggregate."""
    for child, node in itertools.pairwise(chain):
        if node is aggregate:
            return False
        if isinstance(node, exp.If) and child.arg_key == "this":
            return True
        if isinstance(node, exp.Predicate | exp.Is | exp.In | exp.Between):
            return True
    return False
