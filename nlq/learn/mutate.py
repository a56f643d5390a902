"""Wrong variants of a gold SQL: one change each that a careless drafter might make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from nlq.learn.labels import instantiate

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

_SWAPS: dict[type[exp.Expr], type[exp.Expr]] = {exp.Sum: exp.Avg, exp.Avg: exp.Sum, exp.Max: exp.Min, exp.Min: exp.Max}


def mutations(sql: str, schema: Mapping[str, Mapping[str, str]], random: random.Random) -> list[tuple[str, str]]:
    """(kind, SQL) for each kind of change that the statement allows."""
    found = []
    makers: tuple[tuple[str, Callable[..., bool]], ...] = (
        ("dropped condition", _drop_condition),
        ("other aggregate", _other_aggregate),
        ("dropped grouping", _drop_group),
        ("other grouping", _other_group),
        ("extra condition", _extra_condition),
        ("other column", _other_column),
        ("dropped limit", _drop_limit),
        ("count of rows for distinct", _plain_count),
    )
    for kind, change in makers:
        tree = sqlglot.parse_one(instantiate(sql), dialect="databricks")
        if change(tree, schema, random):
            found.append((kind, tree.sql(dialect="databricks")))
    return found


def _drop_condition(tree: exp.Expr, _schema: object, random: random.Random) -> bool:
    parts = list(tree.find_all(exp.And))
    if not parts:
        return False
    part = random.choice(parts)
    part.replace(random.choice([part.this, part.expression]).copy())
    return True


def _other_aggregate(tree: exp.Expr, _schema: object, random: random.Random) -> bool:
    found = [a for a in tree.find_all(*_SWAPS) if not isinstance(a.parent, exp.Window)]
    if not found:
        return False
    chosen = random.choice(found)
    chosen.replace(_SWAPS[type(chosen)](this=chosen.this.copy()))
    return True


def _drop_group(tree: exp.Expr, _schema: object, _random: random.Random) -> bool:
    if not isinstance(tree, exp.Select) or not (group := tree.args.get("group")):
        return False
    names = {c.name for c in group.find_all(exp.Column)}
    kept = [e for e in tree.expressions if not (isinstance(e, exp.Column) and e.name in names)]
    if not kept:
        return False
    tree.set("expressions", kept)
    tree.set("group", None)
    return True


def _other_group(tree: exp.Expr, schema: Mapping[str, Mapping[str, str]], random: random.Random) -> bool:
    if not isinstance(tree, exp.Select) or not (group := tree.args.get("group")):
        return False
    columns = [c for c in group.expressions if isinstance(c, exp.Column)]
    return bool(columns) and _rename(tree, random.choice(columns).name, schema, random)


def _other_column(tree: exp.Expr, schema: Mapping[str, Mapping[str, str]], random: random.Random) -> bool:
    columns = [c.name for c in tree.find_all(exp.Column) if c.find_ancestor(exp.Where, exp.Group) is None]
    return bool(columns) and _rename(tree, random.choice(columns), schema, random)


def _rename(tree: exp.Expr, name: str, schema: Mapping[str, Mapping[str, str]], random: random.Random) -> bool:
    """Put another column of the same type for `name`, where one view is read."""
    tables = {t.name for t in tree.find_all(exp.Table)}
    if len(tables) != 1 or (view := schema.get(next(iter(tables)))) is None or name not in view:
        return False
    others = [c for c, kind in view.items() if kind == view[name] and c != name]
    if not others:
        return False
    chosen = random.choice(others)
    for column in tree.find_all(exp.Column):
        if column.name == name:
            column.set("this", exp.to_identifier(chosen))
    return True


def _extra_condition(tree: exp.Expr, schema: Mapping[str, Mapping[str, str]], random: random.Random) -> bool:
    tables = {t.name for t in tree.find_all(exp.Table)}
    if not isinstance(tree, exp.Select) or len(tables) != 1 or (view := schema.get(next(iter(tables)))) is None:
        return False
    used = {c.name for c in tree.find_all(exp.Column)}
    free = [c for c, kind in view.items() if kind == "STRING" and c not in used]
    if not free:
        return False
    tree.where(f"{random.choice(free)} = 'X'", copy=False)
    return True


def _drop_limit(tree: exp.Expr, _schema: object, _random: random.Random) -> bool:
    if not tree.args.get("limit"):
        return False
    tree.set("limit", None)
    return True


def _plain_count(tree: exp.Expr, _schema: object, _random: random.Random) -> bool:
    found = [c for c in tree.find_all(exp.Count) if isinstance(c.this, exp.Distinct)]
    for count in found:
        count.replace(exp.Count(this=exp.Star()))
    return bool(found)
