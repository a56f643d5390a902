"""Role and shape names of the learnt parser, and how they are read off a gold SQL.

A *sketch* says which views a statement reads, what each column does in it and which shape the statement has, without
any value: values, times and numbers are the binder's. Learnt heads are trained towards sketches, and the binder reads
the same names from a `Proposal`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

from nlq.learn.roles import roles_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OUTCOMES = ("answer", "clarify", "unanswerable", "refuse")

AGGREGATES = (
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "count_distinct",
    "median",
    "percentile",
    "stddev",
    "corr",
)

FILTERS = (
    "filter_value",  # = or IN with literals
    "filter_not",  # <>, NOT IN, NOT LIKE
    "filter_range",  # <, <=, >, >=, BETWEEN on something that is no time
    "filter_time",  # any predicate on a date or timestamp against a literal or the as-of time
    "filter_flag",  # a boolean column, plain or negated
    "filter_null",  # IS NULL
    "filter_not_null",  # IS NOT NULL
    "filter_column",  # against another column of the same row
)

ROLES = (
    "select",  # shown as it stands (not when it is also grouped by)
    "derive",  # part of a shown expression that is no aggregate: differences, ratios of columns, dates of timestamps
    "group",
    "bucket",  # grouped by a part of it: minute, hour, day, size band
    "order",  # ordered by the plain column (an order by an aggregate is a shape)
    "filter",  # in WHERE in any way; one of FILTERS says how
    *FILTERS,
    "condition",  # inside a conditional aggregate: CASE in sum, count_if, avg of a comparison
    *AGGREGATES,
    "partition",  # PARTITION BY of a window function
    "window_order",  # ORDER BY of a window function
    "lag",  # argument of lag, lead, first_value, max_by and the like: a neighbouring row's value
    "join",  # links two views
)

SHAPES = (
    "list",  # rows as they are, no aggregate
    "count_rows",  # count(*) or count of the key
    "aggregate",  # some aggregate is shown
    "scalar",  # one row: aggregates without grouping
    "group",
    "order_asc",
    "order_desc",
    "limit",
    "having",  # a condition on an aggregate
    "distinct",
    "join",
    "semi_join",
    "anti_join",
    "self_join",
    "window",
    "ratio",  # a quotient of two measures
    "percent",  # shown times 100
    "share",  # part of a total: conditional numerator over all, or over a window total
    "conditional",  # an aggregate with a condition inside
    "difference",  # one measure minus another
    "duration",  # difference of two instants
    "time_bucket",
    "latest_row",  # newest row by time, overall or per key
    "top_per_group",  # best row of each group by a measure
    "previous_row",  # lag, lead
    "running",  # cumulative or moving frame
    "compare_periods",  # the same measure over two time ranges
    "compare_views",  # measures of two fact views side by side
    "scalar_subquery",
    "nested_aggregate",  # an aggregate of an aggregate
    "extreme_row",  # compared with min, max or avg of the same view, or ORDER BY … LIMIT 1
    "negation",
    "union",
    "absolute",  # abs()
    "time_filter",  # WHERE bounds a date or timestamp
    "single_view",
    "single_block",  # one SELECT over one view: no join, subquery, window or union
)

_AS_OF = "2026-11-20 15:30:00"
_WINDOW_CALL = re.compile(r"window\(([^(),]+),\s*('[^']*')(?:,\s*'[^']*')?\)\.(?:start|end)", re.IGNORECASE)


class LabelError(ValueError):
    """A gold SQL could not be read; the message says which and why."""


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """What a statement does, without its values."""

    main_view: str
    views: frozenset[str]
    columns: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    """(view, column) → roles."""
    shapes: frozenset[str] = frozenset()


def instantiate(sql: str, as_of: str = _AS_OF) -> str:
    """Fill the placeholders of a gold SQL so that it parses; `as_of` is `YYYY-MM-DD hh:mm:ss`, UTC."""
    sql = sql.replace("{as_of_date}", f"DATE'{as_of[:10]}'").replace("{as_of}", f"TIMESTAMP'{as_of}'")
    # sqlglot reads `window(` in GROUP BY as a WINDOW clause; the meaning for a sketch is that of date_trunc.
    return _WINDOW_CALL.sub(r"date_trunc('MINUTE', \1)", sql)


def sketch(sql: str, schema: Mapping[str, Mapping[str, str]]) -> Sketch:
    """Read the sketch of a SELECT in Databricks dialect; `schema` is `Catalogue.sqlglot_schema`.

    Raises:
        LabelError: the statement does not parse or names no view of the schema.
    """
    try:
        tree = sqlglot.parse_one(instantiate(sql), dialect="databricks")
        tree = qualify(
            tree,
            schema=dict(schema),
            dialect="databricks",
            validate_qualify_columns=False,
            quote_identifiers=False,
            identify=False,
        )
        scopes = traverse_scope(tree)
    except (SqlglotError, RecursionError) as error:
        raise LabelError(f"{sql[:80]!r}: {error}") from error
    if not scopes:
        raise LabelError(f"{sql[:80]!r}: not a query")
    try:
        return _Reader(tree, scopes, schema).read()
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        # Drafts of a model come through here too: a tree that cannot be followed must not end the question.
        raise LabelError(f"{sql[:80]!r}: {type(error).__name__} {error}") from error


class _Reader:
    """One pass over the scopes of a qualified statement."""

    def __init__(
        self,
        tree: exp.Expr,
        scopes: list[Scope],
        schema: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.tree, self.scopes, self.schema = tree, scopes, schema
        self.root = scopes[-1]
        self.columns: dict[tuple[str, str], set[str]] = {}
        self.shapes: set[str] = set()

    def read(self) -> Sketch:
        for scope in self.scopes:
            if isinstance(scope.expression, exp.Select):
                for column in scope.columns:
                    self._column(scope, column)
        tables = [t.name for s in self.scopes for t in s.sources.values() if isinstance(t, exp.Table)]
        views = frozenset(name for name in tables if name in self.schema)
        if not views:
            raise LabelError(f"no view of the catalogue in {self.tree.sql()[:80]!r}")
        from nlq.learn.shapes import shapes_of

        roles = {key: frozenset(found) for key, found in self.columns.items()}
        main = self._main_view() or min(views)
        shapes = shapes_of(self.tree, self.scopes, self.root, views, roles)
        return Sketch(main_view=main, views=views, columns=roles, shapes=frozenset(shapes))

    def _main_view(self) -> str | None:
        """The first view behind FROM, through derived tables; of a bare SELECT the first subquery's."""
        node: exp.Expr | None = self.tree
        ctes = {c.alias: c.this for c in self.tree.find_all(exp.CTE)}
        for _ in range(20):
            if node is None:
                return None
            if isinstance(node, exp.Table):
                if node.name in self.schema:
                    return str(node.name)
                node = ctes.get(node.name)
            elif isinstance(node, exp.SetOperation):
                node = node.left
            elif isinstance(node, exp.Subquery):
                node = node.this
            else:
                origin = node.args.get("from_") or node.args.get("from")
                node = (
                    origin.this
                    if origin is not None
                    else next((s for s in node.find_all(exp.Select) if s is not node), None)
                )
        return None

    def bases(self, scope: Scope, column: exp.Column, depth: int = 0) -> Iterator[tuple[tuple[str, str], bool]]:
        """Catalogue columns behind a reference, each with whether it passes unchanged."""
        source = scope.sources.get(column.table)
        if isinstance(source, exp.Table):
            if column.name in self.schema.get(source.name, {}):
                yield (source.name, column.name), True
        elif isinstance(source, Scope) and depth < 8:
            inner = source
            while isinstance(inner.expression, exp.SetOperation) and (branches := _branches(inner)):
                inner = branches[0]
            for projection in getattr(inner.expression, "selects", ()):
                if projection.alias_or_name != column.name:
                    continue
                body = projection.unalias()
                bare = isinstance(body, exp.Column)
                for found in [body] if bare else body.find_all(exp.Column):
                    for base, passed in self.bases(inner, found, depth + 1):
                        yield base, bare and passed

    def _column(self, scope: Scope, column: exp.Column) -> None:
        roles = set(roles_here(scope, column, root=scope is self.root or scope.parent is None))
        for base, passed in self.bases(scope, column):
            if not passed:
                continue
            kept = set(roles)
            timed = self.schema[base[0]][base[1]].upper() in ("TIMESTAMP", "DATE")
            if timed and kept & set(FILTERS) and not kept & {"filter_null", "filter_not_null", "filter_column"}:
                kept = (kept - set(FILTERS)) | {"filter_time"}
            if kept:
                self.columns.setdefault(base, set()).update(kept)


def _branches(scope: Scope) -> list[Scope]:
    """The scopes of a UNION's sides; sqlglot has renamed the attribute over time."""
    return getattr(scope, "union_scopes", None) or getattr(scope, "set_operation_scopes", None) or []
