"""Which of `labels.SHAPES` a qualified gold statement has; one small test a shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot.optimizer.scope import Scope

_RANKS = (exp.RowNumber, exp.Rank, exp.DenseRank)
_NEIGHBOURS = (exp.Lag, exp.Lead)
_NEWEST = (exp.ArgMax, exp.ArgMin)
_EPOCHS = (exp.UnixMicros, exp.UnixMillis, exp.UnixSeconds)


def shapes_of(
    tree: exp.Expr,
    scopes: list[Scope],
    root: Scope,
    views: frozenset[str],
    roles: Mapping[tuple[str, str], frozenset[str]],
) -> set[str]:
    """Names of the shapes; `roles` are the column roles already read from the same statement."""
    selects = [s.expression for s in scopes if isinstance(s.expression, exp.Select)]
    top = root.expression
    aggregates = [a for a in tree.find_all(exp.AggFunc) if not _windowed(a) and not isinstance(a, _NEWEST)]
    grouped = [s for s in selects if s.args.get("group")]
    found: set[str] = set()
    outer = [a for a in aggregates if _in_projection(a)]
    if not outer and not grouped:
        found.add("list")
    if outer:
        found.add("aggregate")
    if outer and not grouped:
        found.add("scalar")
    if any(_counts_rows(a) for a in aggregates):
        found.add("count_rows")
    if grouped:
        found.add("group")
    if any(s.args.get("distinct") for s in selects):
        found.add("distinct")
    if any(s.args.get("limit") for s in selects):
        found.add("limit")
    if isinstance(tree, exp.SetOperation) or tree.find(exp.Union):
        found.add("union")
    found |= _order(top)
    found |= _joins(tree, scopes)
    found |= _windows(tree)
    found |= _arithmetic(tree, selects)
    found |= _derived(scopes, aggregates)
    found |= _time(selects, roles)
    if _negated(tree):
        found.add("negation")
    if tree.find(exp.Abs):
        found.add("absolute")
    if "latest_row" not in found and "top_per_group" not in found and _extreme(tree, top):
        found.add("extreme_row")
    facts = [s for s in selects if any(a.find_ancestor(exp.Select) is s for a in outer)]
    if len({_source(s) for s in facts} - {""}) > 1:
        found.add("compare_views")
    if len(views) == 1:
        found.add("single_view")
    if len(selects) == 1 and len(views) == 1 and not found & {"join", "self_join", "window", "union"}:
        found.add("single_block")
    return found


def _windowed(node: exp.Expr) -> bool:
    return isinstance(node.parent, exp.Window) or (
        isinstance(node.parent, exp.Filter | exp.IgnoreNulls) and isinstance(node.parent.parent, exp.Window)
    )


def _in_projection(node: exp.Expr) -> bool:
    child: exp.Expr = node
    while child.parent is not None and not isinstance(child.parent, exp.Select):
        child = child.parent
    return child.arg_key == "expressions"


def _counts_rows(node: exp.Expr) -> bool:
    return isinstance(node, exp.CountIf) or (isinstance(node, exp.Count) and not isinstance(node.this, exp.Distinct))


def _source(select: exp.Select) -> str:
    origin = select.args.get("from_") or select.args.get("from")
    return str(origin.this.name) if origin is not None and isinstance(origin.this, exp.Table) else ""


def _order(top: exp.Expr) -> set[str]:
    order = top.args.get("order")
    if order is None:
        return set()
    first = order.expressions[0]
    return {"order_desc" if first.args.get("desc") else "order_asc"}


def _joins(tree: exp.Expr, scopes: list[Scope]) -> set[str]:
    found: set[str] = set()
    for join in tree.find_all(exp.Join):
        kind = f"{join.side} {join.kind}".upper()
        found.add("anti_join" if "ANTI" in kind else "semi_join" if "SEMI" in kind else "join")
    for scope in scopes:
        tables = [s.name for s in scope.sources.values() if isinstance(s, exp.Table)]
        if len(tables) != len(set(tables)):
            found.add("self_join")
        select = scope.expression
        left = {j.alias_or_name for j in select.args.get("joins") or () if j.side == "LEFT"}
        where = select.args.get("where")
        for test in where.find_all(exp.Is) if where is not None else ():
            is_null = isinstance(test.expression, exp.Null) and not isinstance(test.parent, exp.Not)
            if is_null and isinstance(test.this, exp.Column) and test.this.table in left:
                found.add("anti_join")
    for test in tree.find_all(exp.Exists, exp.In):
        if isinstance(test, exp.In) and test.args.get("query") is None:
            continue
        found.add("anti_join" if isinstance(test.parent, exp.Not) else "semi_join")
    for subquery in tree.find_all(exp.Subquery):
        place = subquery.parent
        if not isinstance(
            place,
            exp.From | exp.Join | exp.In | exp.Exists | exp.CTE | exp.SetOperation,
        ):
            found.add("scalar_subquery")
    return found


def _windows(tree: exp.Expr) -> set[str]:
    found: set[str] = set()
    for window in tree.find_all(exp.Window):
        found.add("window")
        order = window.args.get("order")
        by_time = order is not None and any(_is_time_name(c.name) for c in order.find_all(exp.Column))
        if isinstance(window.this, _RANKS):
            found.add("latest_row" if by_time else "top_per_group")
        elif window.find(*_NEIGHBOURS):
            found.add("previous_row")
        elif order is not None or window.args.get("spec"):
            found.add("running")
        elif isinstance(window.parent, exp.Div):
            found.add("share")
    if tree.find(*_NEWEST):
        found.add("latest_row")
    for select in tree.find_all(exp.Select):
        limit, order = select.args.get("limit"), select.args.get("order")
        if limit is not None and order is not None and limit.expression.name == "1":
            first = order.expressions[0]
            if isinstance(first.this, exp.Column) and _is_time_name(first.this.name):
                found.add("latest_row")
    return found


def _is_time_name(name: str) -> bool:
    return name.endswith(("_ts", "_seq", "_date"))


def _arithmetic(tree: exp.Expr, selects: list[exp.Select]) -> set[str]:
    found = _quotients(tree) | _conditionals(tree)
    for product in tree.find_all(exp.Mul):
        sides = (product.this.unnest(), product.expression.unnest())
        if any(isinstance(s, exp.Literal | exp.Cast) and _is_hundred(s) for s in sides):
            found.add("percent")
    if tree.find(exp.TimestampDiff, exp.DatetimeDiff, exp.DateDiff, *_EPOCHS):
        found.add("duration")
    for minus in tree.find_all(exp.Sub):
        constant = isinstance(minus.expression.unnest(), exp.Literal | exp.Interval | exp.Cast)
        if not constant and "duration" not in found and _in_projection(minus):
            found.add("difference")
    for projection in (p for s in selects for p in s.expressions if p.find(exp.AggFunc)):
        tests = projection.find_all(exp.Case, exp.CountIf, exp.If)
        if any(_is_time_name(c.name) for t in tests for c in t.find_all(exp.Column)):
            found.add("compare_periods")
    return found


def _quotients(tree: exp.Expr) -> set[str]:
    found: set[str] = set()
    for division in tree.find_all(exp.Div):
        if not isinstance(division.expression.unnest(), exp.Literal | exp.Neg):
            found.add("ratio")
            if division.this.find(exp.Case, exp.If, exp.CountIf, exp.Filter):
                found.add("share")
        elif division.this.find(*_EPOCHS):
            found.add("duration")
    return found


def _conditionals(tree: exp.Expr) -> set[str]:
    found: set[str] = set()
    for aggregate in tree.find_all(exp.AggFunc):
        tested = isinstance(aggregate, exp.CountIf) or isinstance(aggregate.parent, exp.Filter)
        if tested or aggregate.find(exp.Case, exp.If):
            found.add("conditional")
    for average in tree.find_all(exp.Avg):
        if isinstance(average.this, exp.Case | exp.If | exp.Cast) and average.this.find(exp.Predicate):
            found |= {"share", "conditional"}
    return found


def _is_hundred(node: exp.Expr) -> bool:
    literal = node.find(exp.Literal)
    try:
        return literal is not None and float(literal.this) in (100.0, 10000.0)
    except ValueError:
        return False


def _derived(scopes: list[Scope], aggregates: Sequence[exp.Expr]) -> set[str]:
    """Conditions and aggregates over what an inner SELECT has already aggregated."""
    found: set[str] = set()
    for scope in scopes:
        select = scope.expression
        if not isinstance(select, exp.Select):
            continue
        if select.args.get("having"):
            found.add("having")
        inner = {
            (name, projection.alias_or_name)
            for name, source in scope.sources.items()
            if not isinstance(source, exp.Table) and isinstance(source.expression, exp.Select)
            for projection in source.expression.selects
            if any(not _windowed(a) for a in projection.find_all(exp.AggFunc))
        }
        for column in scope.columns:
            if (column.table, column.name) not in inner:
                continue
            if column.find_ancestor(exp.Where, exp.Select) is select.args.get("where"):
                found.add("having")
            if any(
                a.find_ancestor(exp.Select) is select and column in list(a.find_all(exp.Column)) for a in aggregates
            ):
                found.add("nested_aggregate")
    return found


def _time(selects: list[exp.Select], roles: Mapping[tuple[str, str], frozenset[str]]) -> set[str]:
    found: set[str] = set()
    if any("filter_time" in r for r in roles.values()):
        found.add("time_filter")
    for select in selects:
        parts = list(select.expressions)
        if select.args.get("group"):
            parts += select.args["group"].expressions
        for part in parts:
            if any(_truncates(n) for n in part.walk()):
                found.add("time_bucket")
    return found


def _truncates(node: exp.Expr) -> bool:
    name = node.key
    return name in (
        "timestamptrunc",
        "datetrunc",
        "datetimetrunc",
        "hour",
        "minute",
        "dayofweek",
        "timetobucket",
    ) or (isinstance(node, exp.Anonymous) and node.name.lower() in ("hour", "minute", "window"))


def _negated(tree: exp.Expr) -> bool:
    return any(
        not (isinstance(n.this, exp.Is) and isinstance(n.this.expression, exp.Null)) for n in tree.find_all(exp.Not)
    ) or bool(tree.find(exp.NEQ))


def _extreme(tree: exp.Expr, top: exp.Expr) -> bool:
    limit = top.args.get("limit")
    if limit is not None and top.args.get("order") is not None and limit.expression.name == "1":
        return True
    for comparison in tree.find_all(exp.EQ):
        for side in (comparison.this, comparison.expression):
            inner = side.unnest() if isinstance(side, exp.Subquery) else None
            if inner is not None and inner.find(exp.Max, exp.Min):
                return True
    return False
