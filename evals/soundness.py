"""Are the golds sound? Not empty, free of ties where the order or a limit counts, and different from near misses.

A mutant is the gold with one thing changed: a condition left out, a comparison turned, a value or number moved, another
aggregate, a dropped DISTINCT. A gold that gives the same rows as its mutants on every world cannot tell a right answer
from a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb
from sqlglot import errors, exp

from evals.cases import bind_clock
from evals.gold import DIALECT, GoldError, parse
from evals.runner import declared_as_of
from evals.scorer import compare
from evals.statistics import Rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    import pyarrow as pa

    from evals.cases import Case
    from evals.gold import World

LEFT_OUT = "condition left out"
AT_NOW = "end at now left out (equal by nature, not counted)"
_TURNED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.LTE, exp.GTE: exp.LT, exp.LT: exp.GTE, exp.LTE: exp.GT, exp.EQ: exp.NEQ, exp.NEQ: exp.EQ,
}  # fmt: skip
_SWAPPED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.Sum: exp.Avg, exp.Avg: exp.Sum, exp.Min: exp.Max, exp.Max: exp.Min, exp.Median: exp.Avg,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Soundness:
    """What was found over some cases."""

    cases: int
    not_empty: Rate
    """Main golds with rows on at least one world."""
    tie_free: Rate
    """Of the golds with ORDER BY and LIMIT: the cut falls between different sort keys on every world."""
    killed: Rate
    """Mutants that give other rows than the gold on at least one world."""
    by_mutation: dict[str, Rate] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    """Ids of open cases with mutants that survive."""


def soundness(
    cases: Sequence[Case], worlds: Sequence[World], progress: Callable[[int], None] = lambda _: None
) -> Soundness:
    """Examine the main gold of every answerable case."""
    answerable = [case for case in cases if case.expect == "answer"]
    full: list[bool] = []
    free: list[bool] = []
    killed: dict[str, list[bool]] = {}
    empty: list[str] = []
    tied: list[str] = []
    weak: list[str] = []
    for n, case in enumerate(answerable, start=1):
        clock = case.as_of or declared_as_of(worlds[0].directory)
        sql = bind_clock(case.gold[0], clock)
        tables = [_gold(case, world, clock) for world in worlds]
        full.append(any(t is not None and t.num_rows > 0 for t in tables))
        _note(empty, case, sound=full[-1])
        ties = _cut_is_clean(sql, worlds)
        if ties is not None:
            free.append(ties)
            _note(tied, case, sound=ties)
        survived = False
        for kind, mutant in mutants(sql, clock):
            dead = _killed(mutant, tables, worlds)
            if dead is not None:
                killed.setdefault(kind, []).append(dead)
                survived = survived or not (dead or kind == AT_NOW)
        _note(weak, case, sound=not survived)
        progress(n)
    every = [dead for kind, found in killed.items() if kind != AT_NOW for dead in found]
    return Soundness(
        cases=len(answerable),
        not_empty=Rate(sum(full), len(full)),
        tie_free=Rate(sum(free), len(free)),
        killed=Rate(sum(every), len(every)),
        by_mutation={kind: Rate(sum(found), len(found)) for kind, found in sorted(killed.items())},
        empty=tuple(empty),
        tied=tuple(tied),
        weak=tuple(weak),
    )


def _note(ids: list[str], case: Case, *, sound: bool) -> None:
    if not sound and not case.locked:
        ids.append(case.id)


def _gold(case: Case, world: World, clock: datetime) -> pa.Table | None:
    try:
        return world.gold(case.gold[0], clock).table
    except GoldError:
        return None


def mutants(sql: str, clock: datetime) -> Iterator[tuple[str, str]]:
    """Kind and SQL of every mutant of a statement that has one thing changed."""
    tree = parse(sql)
    for number, node in enumerate(tree.walk()):
        for kind, changed in _changes(node):
            at_now = kind == LEFT_OUT and isinstance(node, exp.And) and _ends_now(node, changed, clock)
            yield (AT_NOW if at_now else kind), _with(tree, number, changed)


def _ends_now(both: exp.And, kept: exp.Expr, clock: datetime) -> bool:
    """Whether the condition left out only says "not after now", which holds of every row of a world."""
    dropped = both.expression if kept == both.this else both.this
    return isinstance(dropped, exp.LTE) and f"{clock:%Y-%m-%d}" in dropped.expression.sql()


def _changes(node: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
    if isinstance(node, exp.And):
        yield LEFT_OUT, node.this.copy()
        yield LEFT_OUT, node.expression.copy()
    if type(node) in _TURNED and not isinstance(node.parent, exp.Join):
        yield "comparison turned", _TURNED[type(node)](this=node.this.copy(), expression=node.expression.copy())
    if type(node) in _SWAPPED:
        yield "another aggregate", _SWAPPED[type(node)](this=node.this.copy())
    if isinstance(node, exp.Literal) and not node.is_string and isinstance(node.parent, (exp.Binary, exp.Limit)):
        yield "number moved", exp.Literal.number(_moved(node.name))
    if isinstance(node, exp.Ordered):
        yield "order turned", exp.Ordered(this=node.this.copy(), desc=not node.args.get("desc"))
    if isinstance(node, exp.Select) and node.args.get("distinct"):
        plain = node.copy()
        plain.set("distinct", None)
        yield "DISTINCT dropped", plain


def _moved(number: str) -> str:
    value = float(number)
    return str(int(value * 2 + 1)) if value.is_integer() else str(value * 2 + 0.5)


def _with(tree: exp.Expr, number: int, changed: exp.Expr) -> str:
    """The statement with its node of this number, in walking order, replaced."""
    copy = tree.copy()
    for n, node in enumerate(copy.walk()):
        if n == number:
            if node is copy:
                copy = changed
            else:
                node.replace(changed)
            break
    return copy.sql(dialect=DIALECT).replace("TUMBLING_WINDOW(", "window(").replace("tumbling_window(", "window(")


def _killed(mutant: str, golds: Sequence[pa.Table | None], worlds: Sequence[World]) -> bool | None:
    """Whether some world tells the mutant from the gold; None when the mutant does not run."""
    for gold, world in zip(golds, worlds, strict=True):
        if gold is None:
            continue
        try:
            table = world.run_duckdb(mutant)
        except (duckdb.Error, errors.SqlglotError):
            return None
        if not compare(gold, table).superset:
            return True
    return False


def _cut_is_clean(sql: str, worlds: Sequence[World]) -> bool | None:
    """Whether ORDER BY … LIMIT n cuts between different keys on every world; None without both."""
    tree = parse(sql)
    order, limit = tree.args.get("order"), tree.args.get("limit")
    if not isinstance(tree, exp.Select) or order is None or limit is None or not limit.expression.name.isdigit():
        return None
    one_more = tree.copy().limit(int(limit.expression.name) + 1, copy=False)
    text = one_more.sql(dialect=DIALECT)
    for world in worlds:
        try:
            groups = world.gold(text, declared_as_of(world.directory), ordered=True).tie_groups
        except GoldError:
            return None
        if groups is None:
            return None
        if len(groups) > int(limit.expression.name) and groups[-1] == groups[-2]:
            return False
    return True
