"""A follow-up edits the statement before it: "only the cancelled ones", "same for Tesla", "by desk", "make it 60 seconds".

The earlier SQL is taken apart with sqlglot; what the new words state replaces the condition on the same column, or is
added. Statements that are no single SELECT over one view are left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from nlq.bind import Bound, World, bind
from nlq.compile import LINKS
from nlq.plan import Part, Plan
from nlq.shape.comparisons import compare_number
from nlq.shape.dims import find_dims
from nlq.shape.figures import find_measures
from nlq.shape.rank import find_rank
from nlq.shape.state import Shaper
from nlq.understand.numbers import literal
from nlq.views import has, reach

if TYPE_CHECKING:
    from nlq.understand.reading import Reading

_FAMILIES = ({"symbol", "issuer_name"}, {"account_id", "account_type"})
_OPENING = re.compile(
    r"^\W*(?:and|or|but|ok|okay|k|now|same|again|what about|what abt|how about|only|just|of those|of these|those|these|which of|split|by|per|cut|regroup|"
    r"group|redo|narrow|keep|drop|instead|also|add|without|limit|restrict|make it|then|oh|nice|hmm|so|repeat|n |forget|high and|with|in)\b",
    re.I,
)
_INSTEAD = re.compile(
    r"\binstead\b|\brather than\b|\bnot per\b|\bnot by\b|\bregroup\b|\bnot each\b|\bnot (?:trader|desk|detector|alert)",
    re.I,
)


@dataclass
class Edit:
    """A follow-up's SQL and what remained open."""

    sql: str
    view: str
    used: set[int]
    doubts: list[str] = field(default_factory=list)
    where: list[Part] = field(default_factory=list)


def is_followup(reading: Reading, view: str | None) -> bool:
    """Whether the question leans on the one before it rather than standing alone."""
    if _OPENING.search(reading.question):
        return True
    nouns = [
        m for m in reading.mentions if m.kind == "sense" and any(s.kind == "view" for s in m.senses) and not m.of("dim")
    ]
    return len(reading.tokens) <= 9 or not nouns


def view_of(sql: str, world: World) -> str | None:
    """The view of a single SELECT over one view; None for anything else."""
    try:
        tree = sqlglot.parse_one(sql, dialect="databricks")
    except sqlglot.errors.SqlglotError:
        return None
    origin = tree.args.get("from_") or tree.args.get("from")
    if (
        not isinstance(tree, exp.Select)
        or origin is None
        or tree.args.get("joins")
        or not isinstance(origin.this, exp.Table)
    ):
        return None
    name = str(origin.this.name)
    return name if name in world.catalogue.views and not tree.args.get("with") else None


def follow(reading: Reading, sql: str, world: World) -> Edit | None:
    """The earlier statement with the new words worked in; None when it cannot be edited."""
    view = view_of(sql, world)
    if view is None:
        return None
    tree = sqlglot.parse_one(sql, dialect="databricks")
    assert isinstance(tree, exp.Select)
    conditions = _conditions(tree)
    bound = bind(world, reading, view, venue=_venue(conditions))
    bound.where = [p for p in bound.where if not p.reason.startswith("default")]
    shaper = Shaper(world, reading, bound)
    shaper.dims = find_dims(shaper)
    edit = Edit("", view, shaper.used, list(bound.doubts))
    for part in _time_groups(bound):
        conditions = _replace(conditions, part, world, view)
        edit.where.append(part)
    conditions = _numbers(reading, conditions, shaper, edit)
    _shape(reading, tree, shaper, edit)
    tree.set("where", exp.Where(this=exp.and_(*conditions)) if conditions else None)
    edit.sql = tree.sql(dialect="databricks")
    edit.used |= {
        i
        for i, m in enumerate(reading.mentions)
        if m.is_op("only", "same", "then", "own", "newest", "list")
        or m.text.lower()
        in ("instead", "not", "rather", "than", "only", "same", "forget", "under", "else", "rest", "list", "them")
    }
    if not edit.where and edit.sql == sqlglot.parse_one(sql, dialect="databricks").sql(dialect="databricks"):
        edit.doubts.append("nothing in the follow-up changes the earlier answer")
    return edit


def _conditions(tree: exp.Select) -> list[exp.Expr]:
    where = tree.args.get("where")
    if where is None:
        return []
    return list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]


def _venue(conditions: list[exp.Expr]) -> str | None:
    """The one venue that the earlier statement is about."""
    found = [
        c.expression.name
        for c in conditions
        if isinstance(c, exp.EQ) and c.this.name == "venue" and isinstance(c.expression, exp.Literal)
    ]
    return str(found[0]) if len(found) == 1 else None


def _time_groups(bound: Bound) -> list[Part]:
    """Conditions, with the pieces of one time phrase kept together."""
    times = [p for p in bound.where if p.reason == "time"]
    rest = [p for p in bound.where if p.reason != "time"]
    return [
        *rest,
        *(
            [Part(sql=" AND ".join(p.sql for p in times), reason="time", phrase=times[0].phrase, span=times[0].span)]
            if times
            else []
        ),
    ]


def _replace(conditions: list[exp.Expr], part: Part, world: World, view: str) -> list[exp.Expr]:
    fresh = sqlglot.parse_one(part.sql, dialect="databricks")
    touched = _columns(fresh)
    if part.reason == "time":
        clocks = {c.name for c in world.catalogue.views[view].columns.values() if c.type in ("TIMESTAMP", "DATE")}
        kept = [c for c in conditions if not (_columns(c) and _columns(c) <= clocks)]
    else:
        family = set(touched)
        for group in _FAMILIES[:1]:
            if group & touched:
                family |= group
        kept = [c for c in conditions if not _columns(c) & family]
    return [*kept, *(fresh.flatten() if isinstance(fresh, exp.And) else [fresh])]


def _columns(node: exp.Expr) -> set[str]:
    return {str(c.name) for c in node.find_all(exp.Column) if c.find_ancestor(exp.Subquery) is None}


def _numbers(reading: Reading, conditions: list[exp.Expr], shaper: Shaper, edit: Edit) -> list[exp.Expr]:
    for i, m in enumerate(reading.mentions):
        if m.compare is None or i in edit.used:
            continue
        number = m.compare.number
        numeric = [
            c
            for c in conditions
            if isinstance(c, exp.GT | exp.GTE | exp.LT | exp.LTE)
            and isinstance(c.expression, exp.Literal)
            and not c.expression.is_string
        ]
        value = number.value
        if number.unit in ("s", "min", "h") and has(shaper.world.catalogue, edit.view, "lifetime_ms"):
            value *= {"s": 1000, "min": 60_000, "h": 3_600_000}[number.unit]
            target = [c for c in numeric if "lifetime_ms" in _columns(c)]
            if m.compare.explicit and not target:
                from nlq.understand.times import Clock, interval

                clock = Clock(as_of=shaper.world.as_of, time=None, day=None)
                start = shaper.world.catalogue.views[edit.view].time
                if m.compare.op in (">", ">=") and start:
                    conditions = [
                        *conditions,
                        sqlglot.parse_one(
                            f"{start} < {clock.now} - {interval(number.value, number.unit)}", dialect="databricks"
                        ),
                    ]
                    edit.used.add(i)
                    continue
            numeric = target
        before = len(shaper.where)
        if m.compare.explicit and not numeric and compare_number(shaper, i, m, "list"):
            for part in shaper.where[before:]:
                conditions = _replace(conditions, part, shaper.world, edit.view)
                edit.where.append(part)
        elif len(numeric) == 1:
            node = numeric[0]
            node.set("expression", exp.Literal.number(literal(value)))
            edit.used.add(i)
            edit.where.append(Part(sql=node.sql(dialect="databricks"), phrase=m.text, span=m.span, reason="comparison"))
    edit.used |= shaper.used
    return conditions


def _shape(reading: Reading, tree: exp.Select, shaper: Shaper, edit: Edit) -> None:
    aggregated = any(e.find(exp.AggFunc) for e in tree.expressions)
    group = tree.args.get("group")
    dims = [d for d in shaper.dims if d.sql.isidentifier() and has(shaper.world.catalogue, edit.view, d.sql)]
    counts = (
        [
            i
            for i, m in enumerate(reading.mentions)
            if any(s.name in ("count", "distinct") for s in m.of("agg")) or re.fullmatch(r"how many", m.text, re.I)
        ]
        if reading.mentions
        else []
    )
    distinct = re.search(r"\bdifferent|distinct|unique|each (?:\w+ )?once\b", reading.question, re.I)
    if counts and not aggregated:
        body = f"count(DISTINCT {dims[0].sql})" if dims and (distinct or dims[0].alias == "trader_id") else "count(*)"
        tree.set("expressions", [sqlglot.parse_one(f"{body} AS n", dialect="databricks")])
        tree.set("order", None)
        edit.used |= (
            set(counts)
            | {d.i for d in dims}
            | {i for i, m in enumerate(reading.mentions) if any(s.name == "distinct" for s in m.of("agg"))}
        )
        return
    edit.used |= set(counts)
    if not aggregated and _figure(tree, shaper, edit):
        return
    market = any(m.is_op("market") or any(s.name == "market_trades" for s in m.of("view")) for m in reading.mentions)
    own = any(m.is_op("own") for m in reading.mentions)
    if (own and edit.view == "market_trades") or (market and edit.view == "executions"):
        edit.doubts.append("our own trades or the market's")
    if dims and aggregated:
        _regroup(reading, tree, dims, group, edit)
    elif not aggregated:
        _columns_added(reading, tree, dims, shaper, edit)
    _ranked(reading, tree, shaper, edit)


def _figure(tree: exp.Select, shaper: Shaper, edit: Edit) -> bool:
    """ "How long did those live on average": a figure over the rows of the earlier list."""
    found, shaper.loose = find_measures(shaper)
    measures = [x for x in found if x.agg != "count"]
    if not measures:
        return False
    keys = [exp.column(d.sql) for d in shaper.dims if d.grouped and d.sql.isidentifier()]
    tree.set(
        "expressions", [*keys, *(sqlglot.parse_one(f"{x.sql} AS {x.alias}", dialect="databricks") for x in measures)]
    )
    tree.set("order", None)
    if keys:
        tree.set("group", exp.Group(expressions=[k.copy() for k in keys]))
    edit.used |= shaper.used
    edit.where += [Part(sql=x.sql, reason="measure") for x in measures]
    return True


def _regroup(reading: Reading, tree: exp.Select, dims: list, group: exp.Expr | None, edit: Edit) -> None:  # type: ignore[type-arg]
    old = [str(g.name) for g in group.expressions if isinstance(g, exp.Column)] if group else []
    fresh = [d for d in dims if d.sql not in old]
    edit.used |= {d.i for d in dims}
    if not fresh:
        return
    wanted = fresh[0].sql
    new = exp.column(wanted)
    if (
        group is not None
        and old
        and (
            _INSTEAD.search(reading.question)
            or any(d.sql in old for d in dims)
            or not re.search(r"\balso|as well|and by|further|within\b", reading.question, re.I)
        )
    ):
        gone = old[0]
        tree.set(
            "expressions", [new.copy() if isinstance(e, exp.Column) and e.name == gone else e for e in tree.expressions]
        )
        tree.set(
            "group",
            exp.Group(
                expressions=[
                    new.copy() if isinstance(g, exp.Column) and g.name == gone else g for g in group.expressions
                ]
            ),
        )
    else:
        tree.set("expressions", [new.copy(), *tree.expressions])
        tree.set("group", exp.Group(expressions=[*(group.expressions if group else []), new.copy()]))
    edit.where.append(Part(sql=wanted, reason="grouping", phrase=reading.mentions[fresh[0].i].text))


def _columns_added(reading: Reading, tree: exp.Select, dims: list, shaper: Shaper, edit: Edit) -> None:  # type: ignore[type-arg]
    if tree.args.get("distinct"):
        return
    have = {e.alias_or_name for e in tree.expressions}
    columns = [d.sql for d in dims]
    for i, m in enumerate(reading.mentions):
        for s in m.of("col") if m.kind == "sense" else ():
            found = reach(shaper.world.catalogue, edit.view, s.name)
            if found:
                columns.append(found)
                edit.used.add(i)
    for i, _, sql in shaper.loose:
        if sql.isidentifier():
            columns.append(sql)
            edit.used.add(i)
    edit.used |= {d.i for d in dims}
    for column in dict.fromkeys(columns):
        if column not in have:
            _append(tree, column, edit.view)
            edit.where.append(Part(sql=column, reason="column"))


def _append(tree: exp.Select, column: str, view: str) -> None:
    """Show one more column, joining its reference view where it has to."""
    reference, _, name = column.rpartition(".")
    if reference:
        for found in tree.find_all(exp.Column):
            if not found.table and found.find_ancestor(exp.Subquery) is None:
                found.set("table", exp.to_identifier(view))
        tree.join(
            reference,
            on=f"{reference}.{LINKS[reference]} = {view}.{LINKS[reference]}",
            copy=False,
            dialect="databricks",
        )
        tree.append("expressions", exp.column(name, table=reference))
    else:
        tree.append("expressions", exp.column(name))


def _ranked(reading: Reading, tree: exp.Select, shaper: Shaper, edit: Edit) -> None:
    rank = find_rank(shaper)
    edit.used |= shaper.used
    if rank is None or (rank.name in ("newest", "oldest") and not tree.expressions):
        return
    named = [e for e in tree.expressions if e.find(exp.AggFunc)]
    if not named:
        return
    target = named[-1].alias or named[-1].sql(dialect="databricks")
    desc = rank.name not in ("bottom", "oldest")
    tree.set("order", exp.Order(expressions=[exp.Ordered(this=exp.column(target), desc=desc)]))
    if rank.limit:
        tree.set("limit", exp.Limit(expression=exp.Literal.number(rank.limit)))
    edit.where.append(Part(sql=f"ORDER BY {target}", reason="ranking"))


def plan_of(edit: Edit) -> Plan:
    """A plan stub for the ledger and the reading of an edited statement."""
    return Plan(view=edit.view, where=tuple(edit.where))
