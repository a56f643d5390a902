"""Conditions of a follow-up: a stated one replaces what stood on the same column; a number finds its comparison."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from nlq.followup.edit import DIALECT, parsed
from nlq.plan import Part
from nlq.shape.comparisons import compare_number
from nlq.understand.numbers import literal
from nlq.understand.times import Clock, interval
from nlq.views import has

if TYPE_CHECKING:
    from nlq.bind import Bound, World
    from nlq.followup.edit import Work
    from nlq.understand.numbers import Comparison

_FAMILIES = ({"symbol", "issuer_name", "asset_class", "sector"},)
"""Columns of which one settles the other: an instrument has one company, one class and one sector."""
_ORDERED = (exp.GT, exp.GTE, exp.LT, exp.LTE)
_WIDTH = re.compile(r"^\d+ (?:second|minute|hour)s?$")
_RATIOS = ("ratio", "rate", "share")


def conditions_of(tree: exp.Select) -> list[exp.Expr]:
    """The statement's conditions, one by one."""
    where = tree.args.get("where")
    if where is None:
        return []
    return list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]


def venue_of(conditions: list[exp.Expr]) -> str | None:
    """The one venue that the earlier statement is about."""
    found = [
        c.expression.name
        for c in conditions
        if isinstance(c, exp.EQ) and c.this.name == "venue" and isinstance(c.expression, exp.Literal)
    ]
    return str(found[0]) if len(found) == 1 else None


def stated(bound: Bound) -> list[Part]:
    """Conditions of the follow-up, with the pieces of one time phrase kept together."""
    said = [p for p in bound.where if not p.reason.startswith("default")]
    times = [p for p in said if p.reason == "time"]
    rest = [p for p in said if p.reason != "time"]
    if not times:
        return rest
    whole = " AND ".join(p.sql for p in times)
    return [*rest, Part(sql=whole, reason="time", phrase=times[0].phrase, span=times[0].span)]


def replace_condition(
    conditions: list[exp.Expr], part: Part, world: World, view: str, fresh_ones: list[exp.Expr]
) -> list[exp.Expr]:
    """The conditions with a new one in the place of those on the same columns; those that are new themselves stay."""
    fresh = parsed(part.sql)
    touched = columns_of(fresh)
    if part.reason == "time":
        clocks = {c.name for c in world.catalogue.views[view].columns.values() if c.type in ("TIMESTAMP", "DATE")}
        kept = [c for c in conditions if not (columns_of(c) and columns_of(c) <= clocks)]
    else:
        family = set(touched).union(*(group for group in _FAMILIES if group & touched))
        kept = [c for c in conditions if not columns_of(c) & family]
    kept = [c for c in conditions if c in kept or any(c is x for x in fresh_ones)]
    new = list(fresh.flatten()) if isinstance(fresh, exp.And) else [fresh]
    fresh_ones += new
    return [*kept, *new]


def columns_of(node: exp.Expr) -> set[str]:
    """Columns outside subqueries."""
    return {str(c.name) for c in node.find_all(exp.Column) if c.find_ancestor(exp.Subquery) is None}


def change_numbers(work: Work) -> None:
    """Every number of the follow-up: in the place of the one that stood there, or as a new condition."""
    for i, m in enumerate(work.reading.mentions):
        if m.compare is not None and m.compare.number.unit in ("s", "min", "h") and _bucket(work, i, m.compare):
            continue
        if m.compare is None or i in work.edit.used:
            continue
        number = m.compare.number
        unit = number.unit
        if unit in ("s", "min", "h", "d") and (_lifetime(work, i, m.compare) or _span(work, i, m.compare)):
            continue
        if m.compare.explicit and _having(work, i, m.compare):
            continue
        numeric = [c for c in work.conditions if _is_numeric(c)]
        before = len(work.shaper.where)
        if m.compare.explicit and not numeric and compare_number(work.shaper, i, m, "list"):
            for part in work.shaper.where[before:]:
                work.conditions = replace_condition(
                    work.conditions, part, work.shaper.world, work.edit.view, work.fresh
                )
                work.edit.where.append(part)
        elif len(numeric) == 1 and unit not in ("s", "h", "d"):
            # "over 2m" of a notional is two million; spans of time have been tried before.
            _put(work, i, numeric[0], number.value * (1_000_000 if unit == "min" else 1))
    work.edit.used |= work.shaper.used


def late_conditions(work: Work) -> None:
    """ "By trader, and only those above ten": a number that had nothing to hold on to before the figures were cut."""
    if work.tree.args.get("having"):
        return
    for i, m in enumerate(work.reading.mentions):
        if i in work.edit.used or m.compare is None or not m.compare.explicit:
            continue
        if _having(work, i, m.compare):
            return


def _is_numeric(c: exp.Expr) -> bool:
    return isinstance(c, _ORDERED) and isinstance(c.expression, exp.Literal) and not c.expression.is_string


def _put(work: Work, i: int, node: exp.Expr, value: float) -> None:
    node.set("expression", exp.Literal.number(literal(value)))
    work.note(node.sql(dialect=DIALECT), "comparison", i)


def _lifetime(work: Work, i: int, compare: Comparison) -> bool:
    """ "Make it 500 ms" of a condition on how long an order lived; a new one where the words speak of age."""
    world, view = work.shaper.world, work.edit.view
    if not has(world.catalogue, view, "lifetime_ms"):
        return False
    number = compare.number
    value = number.value * {"s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}[number.unit or "s"]
    target = [c for c in work.conditions if _is_numeric(c) and "lifetime_ms" in columns_of(c)]
    if len(target) == 1:
        _put(work, i, target[0], value)
        return True
    start = world.catalogue.views[view].time
    if compare.explicit and compare.op in (">", ">=") and start and not target:
        now = Clock(as_of=world.as_of, time=None, day=None).now
        old = parsed(f"{start} < {now} - {interval(number.value, number.unit or 's')}")
        work.conditions.append(old)
        work.note(old.sql(dialect=DIALECT), "comparison: age", i)
        return True
    return False


def _bucket(work: Work, i: int, compare: Comparison) -> bool:
    """ "In 10-minute bins": another width of the buckets."""
    after = work.reading.mentions[i + 1 : i + 2]
    widths = [x for e in work.tree.expressions for x in e.find_all(exp.Literal) if _WIDTH.match(str(x.this))]
    if not after or not after[0].is_op("bucket") or not widths:
        return False
    unit = {"s": "seconds", "min": "minutes", "h": "hours"}[compare.number.unit or "min"]
    text = f"{literal(compare.number.value)} {unit}"
    for node in work.tree.find_all(exp.Literal):
        if _WIDTH.match(str(node.this)):
            node.replace(exp.Literal.string(text))
    work.note(text, "grouping", i)
    work.edit.used.add(i + 1)
    return True


def _span(work: Work, i: int, compare: Comparison) -> bool:
    """ "Make it 10 minutes": the one span of time in the conditions gets another length."""
    spans = [s for c in work.conditions for s in c.find_all(exp.Interval)]
    if len(spans) != 1 or compare.number.unit is None:
        return False
    fresh = parsed(f"t > x - {interval(compare.number.value, compare.number.unit)}").find(exp.Interval)
    assert fresh is not None
    spans[0].replace(fresh)
    work.note(fresh.sql(dialect=DIALECT), "time", i)
    return True


def _having(work: Work, i: int, compare: Comparison) -> bool:
    """ "Only those above 90 %": a condition on the statement's one figure."""
    number = compare.number
    if len(work.figures) != 1 or not work.keys or number.unit not in (None, "pct", "qty", "money"):
        return False
    beside = [j for j in (i - 1, i + 1) if 0 <= j < len(work.reading.mentions)]
    if any(work.reading.mentions[j].of("meas") for j in beside):
        return False
    figure = work.figures[0]
    value = number.value
    if number.unit == "pct" and any(w in figure.alias_or_name for w in _RATIOS):
        value = round(value / 100, 10)
    sql = f"{figure.unalias().sql(dialect=DIALECT)} {compare.op} {literal(value)}"
    work.tree.set("having", exp.Having(this=parsed(sql)))
    work.note(sql, "comparison", i)
    return True
