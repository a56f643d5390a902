"""What a statement reads and how its parts hang together: the values between name resolution and the cost rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nlq.guard.policy import Policy

ROW_MAKERS = (exp.Explode, exp.ExplodeOuter, exp.Posexplode)
ONE, FEW, LISTED, MANY = range(4)
"""How many rows a source can have: one; a handful; a reference view; a view of events."""


@dataclass
class Output:
    """What a query or view offers to the query around it."""

    columns: dict[str, bool]
    """Lower-case name → masked."""
    rows: int = MANY
    scans: int = 0
    nesting: int = 0
    """Queries inside queries."""


@dataclass
class Scope:
    """One SELECT: its sources, and the SELECT around it when it is a subquery of an expression."""

    select: exp.Select
    outer: Scope | None = None
    sources: dict[str, Output] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    """Aliases of reference views."""
    aliases: dict[str, bool] = field(default_factory=dict)
    """SELECT item → masked."""
    merged: set[str] = field(default_factory=set)
    """Columns of JOIN … USING, which are not ambiguous."""
    reaches_out: bool = False
    """An expression of this SELECT reads a column of the SELECT around it."""


@dataclass
class Facts:
    """What a statement reads and how its parts hang together."""

    views: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    """`view.column` of every column named; `view.*` for a star."""
    names: set[str] = field(default_factory=set)
    """Every column name in the text, lower case."""
    starred: bool = False
    reads: list[exp.Table] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    owners: dict[int, tuple[Scope, str]] = field(default_factory=dict)
    """id(Column) → the scope and alias that it belongs to."""
    scans: int = 0
    nesting: int = 0

    def columns_of(self, view: str, policy: Policy) -> Iterable[str]:
        """The columns of `view` that the statement may need: all for a star, else those whose name it mentions."""
        known = policy.views[view.lower()].view
        if self.starred:
            return known.columns
        return [name for name in known.columns if name.lower() in self.names] or [*known.key[:1], *known.columns][:1]


def rows_of(node: exp.Select, scope: Scope) -> int:
    """An upper bound of the rows of a SELECT, as far as its form shows it."""
    limit = node.args.get("limit")
    if limit is not None and isinstance(limit.expression, exp.Literal) and limit.expression.this in ("0", "1"):
        return ONE
    makes_rows = any(isinstance(part, ROW_MAKERS) for part in node.walk())
    if node.args.get("group") is None and not makes_rows and any(_aggregates(item) for item in node.expressions):
        return ONE
    sources = [pinned(alias, scope) for alias in scope.sources]
    if not sources:
        return FEW if makes_rows else ONE
    return max(sources) if len([rows for rows in sources if rows > FEW]) < 2 else MANY


def _aggregates(item: exp.Expr) -> bool:
    """Whether a SELECT item holds an aggregate outside OVER (…) and outside subqueries."""
    stack = [item]
    while stack:
        node = stack.pop()
        if isinstance(node, exp.Window):
            continue
        if isinstance(node, exp.Query):
            continue
        if isinstance(node, exp.AggFunc):
            return True
        stack.extend(node.iter_expressions())
    return False


def pinned(alias: str, scope: Scope) -> int:
    """Rows of a source after `column = literal` conditions on a reference view."""
    rows = scope.sources[alias].rows
    if alias not in scope.listed:
        return rows
    for part in conditions(scope.select):
        if not isinstance(part, exp.EQ):
            continue
        column = part.this if isinstance(part.this, exp.Column) else part.expression
        value = part.expression if column is part.this else part.this
        if (
            isinstance(column, exp.Column)
            and column.table.lower() in ("", alias)
            and column.name.lower() in scope.sources[alias].columns
            and not any(True for _ in value.find_all(exp.Column, exp.Query))
        ):
            return min(rows, FEW)
    return rows


def conditions(select: exp.Select) -> list[exp.Expr]:
    """The conditions of ON and WHERE that must all hold."""
    stack = [join.args.get("on") for join in select.args.get("joins") or ()]
    where = select.args.get("where")
    stack.append(where.this if where is not None else None)
    found: list[exp.Expr] = []
    while stack:
        node = stack.pop()
        if isinstance(node, exp.And):
            stack += [node.this, node.expression]
        elif isinstance(node, exp.Paren):
            stack.append(node.this)
        elif node is not None:
            found.append(node)
    return found
