"""Cost bounds before running: what a statement may take is decided on its form, without looking at data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from nlq.guard.facts import FEW, LISTED, ROW_MAKERS, Facts, Scope, conditions, pinned
from nlq.guard.rules import Refused

if TYPE_CHECKING:
    from nlq.guard.limits import GuardLimits

_PATTERNS = (exp.Like, exp.ILike, exp.RegexpLike, exp.RegexpExtract, exp.RegexpReplace, exp.RegexpSplit)
_TIES = (exp.EQ, exp.NullSafeEQ, exp.ArrayContains)
_GROWING = (exp.Concat, exp.ConcatWs, exp.Array)
_MICROS = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 604_800_000_000,
}
_MAX_DIGITS = 40
_MAX_GROWTH = 5_000
"""How many times longer than its inputs a text built by concatenation may become."""
_MAX_OVERLAP = 100
"""Windows that one row may fall into."""


def check_literals(tree: exp.Expr, limits: GuardLimits) -> None:
    """Refuse literals, lists and growth factors beyond their bounds.

    Raises:
        Refused: LITERAL_TOO_LONG, SUBSTITUTION, LIST_TOO_LONG, ARGUMENT_VALUE, WINDOW_SIZE or LIMIT.
    """
    growth = 1
    for node in tree.walk():
        if isinstance(node, exp.Literal):
            _check_literal(node, limits)
        elif isinstance(node, exp.In) and len(node.expressions) > limits.max_in_list:
            raise Refused("LIST_TOO_LONG")
        elif isinstance(node, _PATTERNS):
            pattern = node.expression
            if not isinstance(pattern, exp.Literal) or len(pattern.this) > limits.max_pattern:
                raise Refused("LITERAL_TOO_LONG")
        elif isinstance(node, exp.Pad):
            _small_number(node.expression, "lpad", 1_000)
        elif isinstance(node, exp.Anonymous) and node.name.lower() == "window":
            _check_window(node)
        elif isinstance(node, (exp.Limit, exp.Offset)):
            _check_limit(node, limits)
        if isinstance(node, _GROWING):
            growth *= max(1, sum(not isinstance(part, exp.Literal) for part in node.expressions))
        elif isinstance(node, (exp.DPipe, exp.Replace, exp.RegexpReplace, exp.Translate)):
            growth *= 2 if isinstance(node, exp.DPipe) else 4
        if growth > _MAX_GROWTH:
            raise Refused("ARGUMENT_VALUE", "concat")


def check_cost(tree: exp.Expr, facts: Facts, limits: GuardLimits) -> None:
    """Refuse a statement that could read or multiply too much.

    Raises:
        Refused: TOO_MANY_SCANS, TOO_DEEP, TOO_MANY_JOINS, TOO_MANY_KEYS or CROSS_JOIN.
    """
    if facts.scans > limits.max_scans:
        raise Refused("TOO_MANY_SCANS")
    if facts.nesting > limits.max_queries_deep:
        raise Refused("TOO_DEEP")
    if sum(1 for _ in tree.find_all(*ROW_MAKERS)) > limits.max_generators:
        raise Refused("ARGUMENT_VALUE", "explode")
    for scope in facts.scopes:
        if len(scope.select.args.get("joins") or ()) > limits.max_joins:
            raise Refused("TOO_MANY_JOINS")
        group = scope.select.args.get("group")
        if group is not None:
            rolled = sum(len(rollup.expressions) for rollup in group.find_all(exp.Rollup))
            if len(group.expressions) + 2 * rolled > limits.max_group_keys:
                raise Refused("TOO_MANY_KEYS")
        _check_joins(scope, facts)


def _check_literal(node: exp.Literal, limits: GuardLimits) -> None:
    if node.is_string:
        if len(node.this) > limits.max_literal:
            raise Refused("LITERAL_TOO_LONG")
        if "${" in node.this or not node.this.replace("\n", " ").replace("\t", " ").isprintable():
            raise Refused("SUBSTITUTION" if "${" in node.this else "CHARACTER")
    elif len(node.this) > _MAX_DIGITS:
        raise Refused("LITERAL_TOO_LONG")


def _small_number(node: exp.Expr | None, function: str, most: int) -> None:
    if not isinstance(node, exp.Literal) or not node.this.isdigit() or int(node.this) > most:
        raise Refused("ARGUMENT_VALUE", function)


def _check_limit(node: exp.Limit | exp.Offset, limits: GuardLimits) -> None:
    value = node.expression
    if not isinstance(value, exp.Literal) or value.is_string or not value.this.isdigit():
        raise Refused("LIMIT")
    if isinstance(node, exp.Offset) and int(value.this) > limits.max_offset:
        raise Refused("LIMIT")


def _check_window(node: exp.Anonymous) -> None:
    lengths = [_micros(part) for part in node.expressions[1:]]
    if not 1 <= len(lengths) <= 3 or any(length is None for length in lengths[:2]):
        raise Refused("WINDOW_SIZE")
    slide = lengths[1] if len(lengths) > 1 else lengths[0]
    if not lengths[0] or not slide or lengths[0] > _MAX_OVERLAP * slide:
        raise Refused("WINDOW_SIZE")


def _micros(node: exp.Expr) -> int | None:
    if not isinstance(node, exp.Literal) or not node.is_string:
        return None
    words = node.this.lower().removeprefix("interval ").split()
    if len(words) != 2 or not words[0].isdigit():
        return None
    unit = _MICROS.get(words[1].removesuffix("s"))
    return int(words[0]) * unit if unit else None


# -- joins ------------------------------------------------------------------------------------------------------


def _check_joins(scope: Scope, facts: Facts) -> None:
    """Refuse a SELECT whose sources are not tied together by equal columns.

    Sources of one row, and reference rows picked by their key, multiply nothing and may stand beside the others.
    """
    groups = {alias: alias for alias in scope.sources}

    def root(alias: str) -> str:
        while groups[alias] != alias:
            alias = groups[alias]
        return alias

    tied_out = False
    for equal in conditions(scope.select):
        if not isinstance(equal, _TIES):
            continue
        left, right = _owners(equal.this, scope, facts), _owners(equal.expression, scope, facts)
        inner = (left | right) - {""}
        if left and right and left != right:
            tied_out |= "" in left | right and bool(inner)
            first, *others = inner
            for other in others:
                groups[root(other)] = root(first)
    for join in scope.select.args.get("joins") or ():
        names = {name.name.lower() for name in join.args.get("using") or ()}
        alias = join.this.alias_or_name.lower()
        for other, source in scope.sources.items():
            if names & set(source.columns) and alias in groups and other != alias:
                groups[root(other)] = root(alias)
    if scope.reaches_out and not tied_out and scope.sources and max(pinned(a, scope) for a in scope.sources) > FEW:
        raise Refused("CROSS_JOIN")
    sizes: dict[str, int] = {}
    for alias in scope.sources:
        sizes[root(alias)] = max(sizes.get(root(alias), 0), pinned(alias, scope))
    large = [rows for rows in sizes.values() if rows > FEW]
    if len(large) > 1 and not (len(large) == 2 and max(large) == LISTED):
        raise Refused("CROSS_JOIN")


def _owners(node: exp.Expr, scope: Scope, facts: Facts) -> set[str]:
    """Aliases of this SELECT under an expression; "" stands for a column of a SELECT around it."""
    owners = set()
    for column in node.find_all(exp.Column):
        if (owner := facts.owners.get(id(column))) is not None:
            owners.add(owner[1] if owner[0] is scope else "")
    return owners
