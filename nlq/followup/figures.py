"""What a follow-up shows: figures added or put in the place of others, another grouping, more columns, another order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from nlq.compile import LINKS
from nlq.followup.edit import DIALECT, parsed
from nlq.shape.figures import find_measures, in_unit
from nlq.shape.rank import find_rank
from nlq.shape.state import AGG_SQL, SUMMED
from nlq.views import has, reach

if TYPE_CHECKING:
    from nlq.followup.edit import Work
    from nlq.shape.state import Dim

_INSTEAD = re.compile(
    r"\binstead\b|\brather than\b|\bnot per\b|\bnot by\b|\bregroup\b|\bnot each\b|\bnot (?:trader|desk|detector|alert)",
    re.I,
)
_FURTHER = re.compile(r"\balso|as well|and by|and per|further|within|in addition|on top|too\b", re.I)
_WHICH = re.compile(r"^\W*(?:and |so )?(?:which|what|who)\b", re.I)
_NAME = re.compile(r"(?:by )?names?", re.I)
_SORT = re.compile(
    r"^\W*(?:and |now |then |please )*(?:sort|order|rank)(?:ed)?\b|\b(?:sort|order|rank)(?:ed)? (?:it |them |that )?by\b",
    re.I,
)


def change_shown(work: Work) -> None:
    """Work the follow-up's words on figures, keys, columns and order into the statement."""
    dims = _dims(work)
    aggregated = bool(work.figures)
    counts = [
        i for i, m in enumerate(work.reading.mentions) if any(s.name in ("count", "distinct") for s in m.of("agg"))
    ]
    led = [d for d in dims if d.led]
    if not aggregated and (counts or led) and not _SORT.search(work.reading.question):
        _counted(work, dims, led, counts)
        return
    asked = [d for d in dims if d.target]
    if not aggregated and asked and _WHICH.search(work.reading.question) and not work.shaper.loose:
        _distinct(work, asked)
        return
    market = any(
        m.is_op("market") or any(s.name == "market_trades" for s in m.of("view")) for m in work.reading.mentions
    )
    own = any(m.is_op("own") for m in work.reading.mentions)
    if (own and work.edit.view == "market_trades") or (market and work.edit.view == "executions"):
        work.edit.doubts.append("our own trades or the market's")
    if not aggregated and _figure_of_list(work, dims):
        return
    if aggregated:
        _other_figure(work, counts)
        _regroup(work, dims)
    else:
        work.edit.used |= set(counts)
        _columns_added(work, dims)
    _ranked(work)


def _distinct(work: Work, dims: list[Dim]) -> None:
    """ "Which desks": the values in the place of the rows."""
    work.tree.set("expressions", [exp.column(d.sql) for d in dims])
    work.tree.set("distinct", exp.Distinct())
    work.tree.set("order", None)
    for d in dims:
        work.note(d.sql, "column", d.i)


def _dims(work: Work) -> list[Dim]:
    """Columns that the follow-up names for their own sake: "the London desk" names a value, not the column."""
    world, view = work.shaper.world, work.edit.view
    named = set(work.shaper.bound.columns)
    kept = []
    for d in work.shaper.dims:
        if not d.sql.isidentifier() or not has(world.catalogue, view, d.sql):
            continue
        if d.led and _NAME.fullmatch(work.reading.mentions[d.i].text) and d.sql == "symbol":
            d.led = d.grouped = False  # "by name" asks for names, not for a grouping
        if d.led or d.sql not in named:
            kept.append(d)
        else:
            work.edit.used.add(d.i)
    return kept


def _counted(work: Work, dims: list[Dim], led: list[Dim], counts: list[int]) -> None:
    """A list turned into counts: all in all, of different values, or by a column."""
    tree, mentions = work.tree, work.reading.mentions
    distinct = re.search(r"\b(?:different|distinct|unique|each (?:\w+ )?once)\b", work.reading.question, re.I)
    if led:
        keys = [exp.column(d.sql) for d in led]
        tree.set("expressions", [*keys, parsed("count(*) AS n")])
        tree.set("group", exp.Group(expressions=[k.copy() for k in keys]))
        for d in led:
            work.note(d.sql, "grouping", d.i)
    else:
        values = dims and (distinct or dims[0].alias == "trader_id")
        tree.set("expressions", [parsed(f"count(DISTINCT {dims[0].sql}) AS n" if values else "count(*) AS n")])
    for name in ("order", "limit", "distinct"):
        tree.set(name, None)
    work.note("count", "measure", counts[0] if counts else None)
    work.edit.used |= {*counts, *(d.i for d in dims)}
    work.edit.used |= {
        i for i, m in enumerate(mentions) if m.is_op("group") or any(s.name == "distinct" for s in m.of("agg"))
    }


def _figure_of_list(work: Work, dims: list[Dim]) -> bool:
    """ "How long did those live on average": a figure over the rows of the earlier list."""
    found, work.shaper.loose = find_measures(work.shaper)
    measures = [x for x in found if x.agg != "count"]
    if not measures:
        return False
    keys = [exp.column(d.sql) for d in dims if d.grouped]
    work.tree.set("expressions", [*keys, *(parsed(f"{x.sql} AS {x.alias}") for x in measures)])
    work.tree.set("order", None)
    if keys:
        work.tree.set("group", exp.Group(expressions=[k.copy() for k in keys]))
    work.edit.used |= work.shaper.used
    for x in measures:
        work.note(x.sql, "measure", x.i)
    return True


def _other_figure(work: Work, counts: list[int]) -> None:
    """Another figure beside the earlier one, or in its place: "and the notional", "median instead", "by number of fills"."""
    sh, mentions = work.shaper, work.reading.mentions
    found, loose = find_measures(sh)
    fresh = [(x.i, x.sql, x.alias) for x in found if x.agg != "count" or x.i in counts]
    for i, name, sql in loose:
        agg = "sum" if name in SUMMED else "avg"
        fresh.append((i, AGG_SQL[agg].format(in_unit(sh, sql.split("#")[0], name)), f"{agg}_{name}"))
    if not fresh:
        fresh = _other_aggregate(work)
    have = {e.unalias().sql(dialect=DIALECT).lower() for e in work.figures}
    fresh = [x for x in fresh if parsed(x[1]).sql(dialect=DIALECT).lower() not in have]
    work.edit.used |= set(counts)
    if not fresh:
        return
    ranked = any(m.is_op("top", "bottom") for m in mentions)
    swap = bool(_INSTEAD.search(work.reading.question)) or (
        re.match(r"^\W*(?:and |now )?by\b", work.reading.question, re.I) and not ranked
    )
    new = [parsed(f"{sql} AS {alias}") for _, sql, alias in fresh]
    if swap and len(work.figures) == 1:
        old = work.figures[0]
        work.tree.set("expressions", [e for x in work.tree.expressions for e in (new if x is old else [x])])
        order = work.tree.args.get("order")
        if order is not None and order.expressions[0].this.name == old.alias_or_name:
            order.expressions[0].set("this", exp.column(fresh[0][2]))
    else:
        work.tree.set("expressions", [*work.tree.expressions, *new])
    for i, sql, _ in fresh:
        work.note(sql, "measure", i)
    work.edit.used |= sh.used


def _other_aggregate(work: Work) -> list[tuple[int, str, str]]:
    """The earlier figure's column under another aggregate."""
    simple = [e.unalias() for e in work.figures if isinstance(e.unalias(), exp.AggFunc)]
    columns = [c for e in simple[:1] for c in e.find_all(exp.Column)]
    if len(work.figures) != 1 or len(columns) != 1:
        return []
    name = columns[0].name
    return [
        (i, AGG_SQL[s.name].format(name), f"{s.name}_{name}")
        for i, m in enumerate(work.reading.mentions)
        for s in m.of("agg")
        if s.name in AGG_SQL
    ][:1]


def _regroup(work: Work, dims: list[Dim]) -> None:
    """Cut by another column, or further by one more."""
    tree, old = work.tree, work.keys
    fresh = [d for d in dims if d.sql not in old]
    work.edit.used |= {d.i for d in dims}
    fresh = [d for d in fresh if d.led or not work.reading.mentions[d.i].of("meas")]
    if not fresh:
        return
    if not fresh[0].led and len(work.reading.tokens) > 6:
        work.edit.doubts.append("whether the figures are to be cut by this")
    new = exp.column(fresh[0].sql)
    group = tree.args.get("group")
    instead = _INSTEAD.search(work.reading.question) or any(d.sql in old for d in dims)
    if group is not None and old and (instead or not _FURTHER.search(work.reading.question)):
        tree.set("expressions", [_swapped(e, old[0], new) for e in tree.expressions])
        tree.set("group", exp.Group(expressions=[_swapped(g, old[0], new) for g in group.expressions]))
    else:
        tree.set("expressions", [new.copy(), *tree.expressions])
        tree.set("group", exp.Group(expressions=[*(group.expressions if group else []), new.copy()]))
    work.note(fresh[0].sql, "grouping", fresh[0].i)


def _swapped(node: exp.Expr, gone: str, new: exp.Expr) -> exp.Expr:
    return new.copy() if isinstance(node, exp.Column) and node.name == gone else node


def _columns_added(work: Work, dims: list[Dim]) -> None:
    tree, sh = work.tree, work.shaper
    if tree.args.get("distinct"):
        return
    have = {e.alias_or_name for e in tree.expressions}
    columns = [(d.i, d.sql) for d in dims]
    person = next((c for c in ("trader_name",) if has(sh.world.catalogue, work.edit.view, c)), None)
    said = next((i for i, m in enumerate(work.reading.mentions) if _NAME.fullmatch(m.text)), None)
    if person is not None and said is not None:
        columns.append((said, person))
    for i, m in enumerate(work.reading.mentions):
        for s in m.of("col") if m.kind == "sense" else ():
            found = reach(sh.world.catalogue, work.edit.view, s.name)
            if found:
                columns.append((i, found))
    columns += [(i, sql) for i, _, sql in sh.loose if sql.isidentifier()]
    for i, column in columns:
        work.edit.used.add(i)
        if column not in have:
            _append(tree, column, work.edit.view)
            have.add(column)
            work.note(column, "column", i)


def _append(tree: exp.Select, column: str, view: str) -> None:
    """Show one more column, joining its reference view where it has to."""
    reference, _, name = column.rpartition(".")
    if not reference:
        tree.append("expressions", exp.column(name))
        return
    for found in tree.find_all(exp.Column):
        if not found.table and found.find_ancestor(exp.Subquery) is None:
            found.set("table", exp.to_identifier(view))
    on = f"{reference}.{LINKS[reference]} = {view}.{LINKS[reference]}"
    tree.join(reference, on=on, copy=False, dialect=DIALECT)
    tree.append("expressions", exp.column(name, table=reference))


def _ranked(work: Work) -> None:
    """Another order or another number of rows."""
    sh, tree = work.shaper, work.tree
    rank = find_rank(sh)
    work.edit.used |= sh.used
    sort = _SORT.search(work.reading.question)
    if rank is None and not sort:
        return
    target = _target(work)
    if target is None:
        if rank is not None:
            work.edit.doubts.append("ranked by what is not said")
        return
    desc = rank is None or rank.name not in ("bottom", "oldest")
    if rank is not None and rank.name in ("newest", "oldest") and work.figures:
        return
    tree.set("order", exp.Order(expressions=[exp.Ordered(this=exp.column(target), desc=desc)]))
    if rank is not None and rank.limit:
        tree.set("limit", exp.Limit(expression=exp.Literal.number(rank.limit)))
    work.note(f"ORDER BY {target}", "ranking", rank.i if rank else None)
    work.edit.used |= {i for i, m in enumerate(work.reading.mentions) if _SORT.match(m.text)}


def _target(work: Work) -> str | None:
    """What is ranked by: the figure, the named column, or for a list the one column that the earlier order or words say."""
    if work.figures:
        last = work.figures[-1]
        return str(last.alias or last.sql(dialect=DIALECT))
    named = [sql for _, _, sql in work.shaper.loose if sql.isidentifier()]
    order = work.tree.args.get("order")
    if named:
        return named[0]
    if order is not None:
        return str(order.expressions[0].this.name) or None
    return None
