"""A follow-up edits the statement before it: "only the cancelled ones", "same for Tesla", "by desk", "make it 60 seconds".

The earlier SQL is taken apart with sqlglot; what the new words state replaces the condition on the same column, or is
added. Statements that are no single SELECT over one view are left alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from nlq.bind import World, bind
from nlq.followup.conditions import (
    change_numbers,
    conditions_of,
    late_conditions,
    replace_condition,
    stated,
    venue_of,
)
from nlq.followup.edit import DIALECT, Edit, Work, parsed, view_of
from nlq.followup.figures import change_shown
from nlq.followup.shares import as_share
from nlq.plan import Plan
from nlq.shape.dims import find_dims
from nlq.shape.figures import find_measures
from nlq.shape.state import Shaper

if TYPE_CHECKING:
    from nlq.understand.reading import Reading

__all__ = ["Edit", "follow", "is_followup", "plan_of", "view_of"]

_OPENING = re.compile(
    r"^\W*(?:and|or|but|ok|okay|k|now|same|the same|again|what about|what abt|how about|only|just|of those|of these|those|these|which of|split|by|per|cut|regroup|"
    r"group|redo|narrow|keep|drop|instead|also|add|without|limit|restrict|make it|then|oh|nice|hmm|so|repeat|n |forget|high and|with|in|sort|sorted|"
    r"exclude|leave out|take out)\b",
    re.I,
)
_DIVIDED = re.compile(
    r"\bdivid|normali[sz]e|relative to|as an? (?:share|percentage|percent|fraction|multiple) of", re.I
)
_SPENT = frozenset(
    "instead not rather than only same forget under else rest list them make it add sort sorted order exclude drop skip count".split()
)
"""Words that say that something changes, not what."""


def is_followup(reading: Reading, view: str | None) -> bool:
    """Whether the question leans on the one before it rather than standing alone."""
    if _OPENING.search(reading.question):
        return True
    nouns = [
        m for m in reading.mentions if m.kind == "sense" and any(s.kind == "view" for s in m.senses) and not m.of("dim")
    ]
    return len(reading.tokens) <= 9 or not nouns


def follow(reading: Reading, sql: str, world: World) -> Edit | None:
    """The earlier statement with the new words worked in; None when it cannot be edited."""
    view = view_of(sql, world)
    if view is None:
        return None
    tree = parsed(sql)
    assert isinstance(tree, exp.Select)
    before = tree.sql(dialect=DIALECT)
    conditions = conditions_of(tree)
    bound = bind(world, reading, view, venue=venue_of(conditions))
    parts = stated(bound)
    bound.where = [p for p in bound.where if not p.reason.startswith("default")]
    shaper = Shaper(world, reading, bound)
    shaper.dims = find_dims(shaper)
    edit = Edit("", view, shaper.used, list(bound.doubts))
    work = Work(reading, tree, shaper, edit, conditions)
    for part in parts:
        if part.sql.split(" ")[0] in {d.sql for d in shaper.dims if d.led} and "split" in reading.question.lower():
            continue  # "split buys and sells": both stay
        work.conditions = replace_condition(work.conditions, part, world, view, work.fresh)
        edit.where.append(part)
    change_numbers(work)
    if not work.figures:
        _, shaper.loose = find_measures(Shaper(world, reading, bound))
    shared = as_share(work)
    if not shared:
        change_shown(work)
        late_conditions(work)
    tree.set("where", exp.Where(this=exp.and_(*work.conditions)) if work.conditions else None)
    edit.sql = tree.sql(dialect=DIALECT)
    edit.used |= {
        i
        for i, m in enumerate(reading.mentions)
        if m.is_op("only", "same", "then", "own", "newest", "list") or m.text.lower() in _SPENT
    }
    if _DIVIDED.search(reading.question) and not shared:
        edit.doubts.append("a division of the earlier figure")
    if not edit.where and edit.sql == before:
        edit.doubts.append("nothing in the follow-up changes the earlier answer")
    return edit


def plan_of(edit: Edit) -> Plan:
    """A plan stub for the ledger and the reading of an edited statement."""
    return Plan(view=edit.view, where=tuple(edit.where))
