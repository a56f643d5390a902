"""Words about a result: what it says, and which condition emptied it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator

DIALECT = "databricks"


def conditions_left_out(sql: str) -> Iterator[tuple[str, str]]:
    """Yield (condition, the same query without it) for each AND-ed condition of the outermost WHERE.

    Of a query that returned nothing, the conditions whose removal brings rows back are those that emptied it. Only the
    outermost WHERE is varied: inside subqueries a missing condition changes the meaning rather than the filter.
    """
    tree = sqlglot.parse_one(sql, dialect=DIALECT)
    where = tree.args.get("where")
    if not isinstance(tree, exp.Select) or where is None:
        return
    parts = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
    for index, part in enumerate(parts):
        rest = [other.copy() for position, other in enumerate(parts) if position != index]
        varied = tree.copy()
        varied.set("where", exp.Where(this=exp.and_(*rest)) if rest else None)
        yield part.sql(dialect=DIALECT), varied.sql(dialect=DIALECT)


def counts_rows(sql: str) -> bool:
    """Whether the query has one row whatever the data: an aggregate without GROUP BY never comes back empty."""
    tree = sqlglot.parse_one(sql, dialect=DIALECT)
    return (
        isinstance(tree, exp.Select)
        and not tree.args.get("group")
        and any(item.find(exp.AggFunc) and not item.find(exp.Window) for item in tree.expressions)
    )
