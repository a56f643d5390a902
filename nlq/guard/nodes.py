"""The allow-list of syntax-tree classes, of their arguments, and of the plain values in those arguments."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from nlq.guard.functions import ALL
from nlq.guard.limits import GuardLimits
from nlq.guard.rules import Refused
from nlq.guard.text import generate, parse

if TYPE_CHECKING:
    from collections.abc import Callable

_BINARY = ("this", "expression")
_QUERY = ("order", "limit", "offset", "with_")

STRUCTURE: dict[type[exp.Expr], frozenset[str]] = {
    kind: frozenset(names)
    for kind, names in {
        exp.Select: (
            "expressions",
            "distinct",
            "from_",
            "joins",
            "laterals",
            "where",
            "group",
            "having",
            "qualify",
            *_QUERY,
        ),
        exp.Union: ("this", "expression", "distinct", *_QUERY),
        exp.Intersect: ("this", "expression", "distinct", *_QUERY),
        exp.Except: ("this", "expression", "distinct", *_QUERY),
        exp.Subquery: ("this", "alias"),
        exp.With: ("expressions",),
        exp.CTE: ("this", "alias"),
        exp.TableAlias: ("this", "columns"),
        exp.From: ("this",),
        exp.Table: ("this", "alias"),
        exp.Join: ("this", "on", "using", "side", "kind"),
        exp.Lateral: ("this", "view", "outer", "alias"),
        exp.Where: ("this",),
        exp.Group: ("expressions", "rollup"),
        exp.Rollup: ("expressions",),
        exp.Having: ("this",),
        exp.Qualify: ("this",),
        exp.Order: ("expressions",),
        exp.Ordered: ("this", "desc", "nulls_first"),
        exp.Limit: ("expression",),
        exp.Offset: ("expression",),
        exp.Distinct: ("expressions",),
        exp.Column: ("this", "table"),
        exp.Identifier: ("this", "quoted"),
        exp.Star: ("except_",),
        exp.Alias: ("this", "alias"),
        exp.Paren: ("this",),
        exp.Tuple: ("expressions",),
        exp.Literal: ("this", "is_string"),
        exp.Boolean: ("this",),
        exp.Null: (),
        exp.Window: ("this", "partition_by", "order", "spec", "over"),
        exp.WindowSpec: ("kind", "start", "start_side", "end", "end_side"),
        exp.IgnoreNulls: ("this",),
        exp.Filter: ("this", "expression"),
        exp.Case: ("this", "ifs", "default"),
        exp.If: ("this", "true", "false"),
        exp.In: ("this", "expressions", "query"),
        exp.Between: ("this", "low", "high"),
        exp.Exists: ("this",),
        exp.Is: _BINARY,
        exp.Not: ("this",),
        exp.And: _BINARY,
        exp.Or: _BINARY,
        exp.EQ: _BINARY,
        exp.NEQ: _BINARY,
        exp.GT: _BINARY,
        exp.GTE: _BINARY,
        exp.LT: _BINARY,
        exp.LTE: _BINARY,
        exp.NullSafeEQ: _BINARY,
        exp.DataType: ("this", "expressions", "nested"),
        exp.DataTypeParam: ("this",),
        exp.Interval: ("this", "unit"),
        exp.Var: ("this",),
        exp.Dot: _BINARY,
    }.items()
}
"""Classes that are no functions, with the arguments they may carry."""

VALUES: dict[tuple[type[exp.Expr], str], frozenset[Any]] = {
    (exp.Join, "side"): frozenset({"LEFT", "RIGHT", "FULL"}),
    (exp.Join, "kind"): frozenset({"INNER", "OUTER", "CROSS", "SEMI", "ANTI"}),
    (exp.WindowSpec, "kind"): frozenset({"ROWS", "RANGE"}),
    (exp.WindowSpec, "start"): frozenset({"UNBOUNDED", "CURRENT ROW"}),
    (exp.WindowSpec, "end"): frozenset({"UNBOUNDED", "CURRENT ROW"}),
    (exp.WindowSpec, "start_side"): frozenset({"PRECEDING", "FOLLOWING"}),
    (exp.WindowSpec, "end_side"): frozenset({"PRECEDING", "FOLLOWING"}),
    (exp.Window, "over"): frozenset({"OVER"}),
    (exp.Star, "this"): frozenset({"*"}),
    (exp.Var, "this"): frozenset(
        f"{unit}{plural}"
        for unit in [
            "MICROSECOND",
            "MILLISECOND",
            "SECOND",
            "MINUTE",
            "HOUR",
            "DAY",
            "WEEK",
            "MONTH",
            "QUARTER",
            "YEAR",
        ]
        for plural in ("", "S")
    )
    | {"WEEK(MONDAY)", "MM", "MON", "DD", "YYYY", "YY", "Q", "W", "D", "DOW", "DOY", "DAYOFWEEK", "EPOCH"},
    (exp.DataType, "this"): frozenset(
        {
            exp.DType.TEXT,
            exp.DType.VARCHAR,
            exp.DType.BOOLEAN,
            exp.DType.TINYINT,
            exp.DType.SMALLINT,
            exp.DType.INT,
            exp.DType.BIGINT,
            exp.DType.FLOAT,
            exp.DType.DOUBLE,
            exp.DType.DECIMAL,
            exp.DType.DATE,
            exp.DType.TIMESTAMP,
            exp.DType.TIMESTAMPTZ,
        }
    ),
}
"""Closed sets of the plain values that reach the generated text. Booleans are free; other plain values must be listed."""

_FREE = frozenset({(exp.Literal, "this"), (exp.Identifier, "this")})


def check_nodes(tree: exp.Expr, limits: GuardLimits) -> None:
    """Refuse a tree with anything that is not on the allow-list, or too large.

    Raises:
        Refused: NODE, ARGUMENT, FUNCTION, TYPE, IDENTIFIER, QUALIFIED_NAME, TOO_MANY_NODES or TOO_DEEP.
    """
    count = 0
    stack: list[tuple[exp.Expr, int]] = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        count += 1
        if count > limits.max_nodes:
            raise Refused("TOO_MANY_NODES")
        if depth > limits.max_depth:
            raise Refused("TOO_DEEP")
        _check_node(node)
        for value in node.args.values():
            if isinstance(value, exp.Expr):
                stack.append((value, _deeper(node, value, depth)))
            elif isinstance(value, list):
                stack.extend((item, depth + 1) for item in value if isinstance(item, exp.Expr))


def _deeper(parent: exp.Expr, child: exp.Expr, depth: int) -> int:
    # A chain of AND is one level: it grows with the number of conditions, not with their nesting.
    flat = type(parent) is type(child) and isinstance(parent, (exp.And, exp.Or, exp.Add, exp.DPipe))
    return depth if flat else depth + 1


def _check_node(node: exp.Expr) -> None:
    kind = type(node)
    if kind is exp.Anonymous:
        _check_anonymous(node)
        return
    allowed = STRUCTURE.get(kind)
    if allowed is None:
        allowed = FUNCTIONS.get(kind)
        if allowed is None:
            if isinstance(node, exp.Func):
                raise Refused("FUNCTION", node.sql_name().lower())
            raise Refused("NODE", kind.__name__)
    for name, value in node.args.items():
        if value is None or value is False or value == []:
            continue
        if name not in allowed:
            raise Refused("ARGUMENT", kind.__name__, name)
        _check_value(kind, name, value)
    if check := _SHAPES.get(kind):
        check(node)


def _check_value(kind: type[exp.Expr], name: str, value: Any) -> None:
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, (exp.Expr, bool)) or (kind, name) in _FREE:
            continue
        plain = item.upper() if isinstance(item, str) and kind is not exp.Anonymous else item
        if plain not in VALUES.get((kind, name), ()) and plain not in FUNCTION_VALUES.get((kind, name), ()):
            raise Refused("TYPE" if kind is exp.DataType else "ARGUMENT", kind.__name__, name)


def _check_anonymous(node: exp.Expr) -> None:
    # A quoted or qualified name has an Identifier here: reflection functions hide behind that.
    name = node.args.get("this")
    if not isinstance(name, str) or name.lower() not in ANONYMOUS:
        raise Refused("FUNCTION", name if isinstance(name, str) else "with a quoted or qualified name")
    if set(node.args) - {"this", "expressions"}:
        raise Refused("ARGUMENT", name, "modifier")


def _check_table(node: exp.Expr) -> None:
    if not isinstance(node.this, exp.Identifier):
        raise Refused("QUALIFIED_NAME")


def _check_column(node: exp.Expr) -> None:
    if not isinstance(node.this, (exp.Identifier, exp.Star)):
        raise Refused("NODE", "Column")
    if node.args.get("table") is not None and not isinstance(node.args["table"], exp.Identifier):
        raise Refused("NODE", "Column")


def _check_identifier(node: exp.Expr) -> None:
    name = node.this
    if not (isinstance(name, str) and 0 < len(name) <= 63 and name.isascii() and name.isidentifier()):
        raise Refused("IDENTIFIER")


def _check_dot(node: exp.Expr) -> None:
    # window(…).start and .end: the only struct that queries may open.
    part = node.expression
    if not (
        isinstance(node.this, exp.Anonymous)
        and str(node.this.this).lower() == "window"
        and isinstance(part, exp.Identifier)
        and part.this.lower() in ("start", "end")
    ):
        raise Refused("NODE", "Dot")


def _check_lateral(node: exp.Expr) -> None:
    if not isinstance(node.this, (exp.Explode, exp.ExplodeOuter, exp.Posexplode)) or not node.args.get("view"):
        raise Refused("NODE", "Lateral")


def _check_group(node: exp.Expr) -> None:
    if len(node.args.get("rollup") or ()) > 1:
        raise Refused("ARGUMENT", "Group", "rollup")


def _check_data_type(node: exp.Expr) -> None:
    if any(not isinstance(part, exp.DataTypeParam) for part in node.expressions):
        raise Refused("TYPE", "nested")


_SHAPES: dict[type[exp.Expr], Callable[[exp.Expr], None]] = {
    exp.Table: _check_table,
    exp.Column: _check_column,
    exp.Identifier: _check_identifier,
    exp.Dot: _check_dot,
    exp.Lateral: _check_lateral,
    exp.Group: _check_group,
    exp.DataType: _check_data_type,
}


def _read_examples() -> tuple[
    dict[type[exp.Expr], frozenset[str]], dict[tuple[type[exp.Expr], str], frozenset[Any]], frozenset[str]
]:
    """Classes, arguments and plain values that occur in the example calls, as written and after one regeneration."""
    classes: defaultdict[type[exp.Expr], set[str]] = defaultdict(set)
    values: defaultdict[tuple[type[exp.Expr], str], set[Any]] = defaultdict(set)
    names: set[str] = set()
    limits = GuardLimits()
    for call in ALL:
        first = parse(f"SELECT {call}", limits)
        for tree in (first, parse(generate(first), limits)):
            for node in tree.walk():
                kind = type(node)
                if kind is exp.Anonymous:
                    names.add(node.this.lower())
                if kind in STRUCTURE or kind is exp.Anonymous:
                    continue
                for name, value in node.args.items():
                    if value is None or value is False or value == []:
                        continue
                    classes[kind].add(name)
                    for item in value if isinstance(value, list) else [value]:
                        if not isinstance(item, (exp.Expr, bool)):
                            values[kind, name].add(item.upper() if isinstance(item, str) else item)
                classes[kind] |= set()
    return (
        {kind: frozenset(found) for kind, found in classes.items()},
        {key: frozenset(found) for key, found in values.items()},
        frozenset(names),
    )


FUNCTIONS, FUNCTION_VALUES, ANONYMOUS = _read_examples()
"""Function classes with their arguments, the plain values of these, and the names sqlglot has no class for."""
