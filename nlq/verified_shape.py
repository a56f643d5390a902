"""Other wordings of an approved question: the same statement but for its names, numbers and spans of time.

A draft counts as an approved question said otherwise when two things hold. Its statement has the approved one's shape:
same view, same columns under the same comparisons (polarity included), same keys, no figure that was not approved. And
the two questions state the same things, word by word through the vocabulary, with nothing left over in either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from nlq.verified_form import DIALECT, VerifiedQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nlq.understand.reading import Mention, Reading

_NAMES = frozenset(
    "symbol issuer_name trader_id desk venue account_id alert_id order_id exec_id sector country location".split()
)
"""Columns whose values are names: any may stand in the place of another. Codes are part of the shape."""
_KINDS = ("cond", "code", "agg", "meas", "dim", "col", "view", "op")
"""Kinds of senses, the most telling first: "mean" is the aggregate before it is a column."""
_SILENT = frozenset("list own only group market trades".split())
"""Shape words that state nothing by themselves."""


_COLUMN = re.compile(r"[a-z]+_[a-z_0-9]+")
_EITHER = frozenset(("as_of", "date_trunc", "issuer_name"))


@dataclass(frozen=True)
class Shape:
    """A statement without its values."""

    view: str
    conditions: tuple[str, ...]
    figures: frozenset[str]
    keys: tuple[str, ...]
    rest: tuple[str, ...]
    """Order with limit, distinct."""

    def covers(self, other: Shape) -> bool:
        """Whether the other statement asks for nothing but what this one was approved for."""
        same = (self.view, self.conditions, self.keys, self.rest) == (
            other.view,
            other.conditions,
            other.keys,
            other.rest,
        )
        return same and other.figures <= self.figures and bool(self.figures) == bool(other.figures)


@lru_cache(maxsize=8192)
def shape(sql: str) -> Shape | None:
    """The shape of a single SELECT over one view; None for anything else, which is only matched word by word."""
    try:
        tree = sqlglot.parse_one(sql, read=DIALECT)
    except sqlglot.errors.SqlglotError:
        return None
    tables = list(tree.find_all(exp.Table))
    if not isinstance(tree, exp.Select) or len(list(tree.find_all(exp.Select))) != 1 or len(tables) != 1:
        return None
    group, order = tree.args.get("group"), tree.args.get("order")
    filters = [part for part in (tree.args.get("where"), tree.args.get("having")) if part is not None]
    limited = tree.args.get("limit") is not None
    ranked = [f"{_text(o.this)} {bool(o.args.get('desc'))}" for o in order.expressions] if order and limited else []
    return Shape(
        view=tables[0].name,
        conditions=tuple(sorted({_condition(c) for part in filters for c in _conjuncts(part.this)})),
        figures=frozenset(_text(e.unalias()) for e in tree.expressions if e.find(exp.AggFunc)),
        keys=tuple(sorted(_text(k) for k in group.expressions)) if group else (),
        rest=(*ranked, "limit" if limited else "", "distinct" if tree.args.get("distinct") else ""),
    )


def _conjuncts(node: exp.Expr) -> list[exp.Expr]:
    return list(node.flatten()) if isinstance(node, exp.And) else [node]


def _condition(node: exp.Expr) -> str:
    """One condition with its values taken out: a name, a number or a span, never a code, an operator or a flag."""
    copy = exp.GT(**node.copy().args) if isinstance(node, exp.GTE) else node.copy()
    copy = exp.LT(**copy.args) if isinstance(copy, exp.LTE) else copy  # "at least" points the way of "more than"
    if isinstance(copy, exp.EQ | exp.In) and isinstance(copy.this, exp.Column) and copy.this.name in _NAMES:
        return f"{'instrument' if copy.this.name in ('symbol', 'issuer_name') else copy.this.name} = ?"
    for span in list(copy.find_all(exp.Interval)):
        span.replace(exp.Placeholder())
    for cast in list(copy.find_all(exp.Cast)):
        if isinstance(cast.this, exp.Literal):
            cast.replace(exp.Var(this="as_of"))
    for literal in list(copy.find_all(exp.Literal)):
        if not literal.is_string:
            literal.replace(exp.Placeholder())
    return _text(copy)


def _text(node: exp.Expr) -> str:
    return node.sql(dialect=DIALECT).lower()


def meaning(reading: Reading, view: str) -> frozenset[str]:
    """What a question states, without values: senses, kinds of names and times, comparisons."""
    return frozenset(s for m in reading.mentions if (s := _stated(m, view)))


def _stated(m: Mention, view: str) -> str:
    if m.kind in ("filler", "sign") or m.text.lower() in ("within", "inside"):
        return ""
    if m.kind == "time" and m.time is not None:
        return f"time {m.time.kind}"
    if m.kind == "number" and m.compare is not None:
        return f"number {m.compare.op[0]} {m.compare.number.unit}"
    if m.kind == "value" and m.hits:
        category = m.hits[0].category
        return f"name {'instrument' if category in ('symbol', 'issuer') else category}"
    if m.kind != "sense":
        return f"word {m.text.lower()}"
    if any(s.name == view for s in m.of("view")) or (m.is_op("trades") and view in ("executions", "market_trades")):
        return ""
    for kind in _KINDS:
        names = sorted({s.name for s in m.of(kind) if kind != "op" or s.name not in _SILENT})
        if names:
            return f"{kind} {' '.join(names)}"
    return ""


def said_otherwise(
    reading: Reading, sql: str, entries: Iterable[VerifiedQuery], read: Callable[[str], Reading]
) -> VerifiedQuery | None:
    """The approved question that a closed draft is another wording of.

    Args:
        reading: the question as understood.
        sql: its draft.
        entries: approved questions.
        read: takes an approved question apart, its values in place.
    """
    asked = shape(sql)
    if asked is None:
        return None
    stated = meaning(reading, asked.view)
    columns = {word for condition in asked.conditions for word in _COLUMN.findall(condition)}
    for entry in entries:
        if asked.view not in entry.views or not all(c in entry.sql for c in columns - _EITHER):
            continue
        text, statement = _with_values(entry)
        approved = shape(statement)
        if approved is not None and approved.covers(asked) and meaning(read(text), asked.view) == stated:
            return entry
    return None


def _with_values(entry: VerifiedQuery) -> tuple[str, str]:
    """Question and SQL of an entry with the values that were approved, and any clock."""
    question, sql = entry.question, entry.sql
    for slot in entry.slots:
        value = slot.value if slot.column == "number" else exp.Literal.string(slot.value).sql(DIALECT)
        question, sql = question.replace(f"{{{slot.name}}}", slot.value), sql.replace(f"{{{slot.name}}}", value)
    clock = {"{as_of_date}": "DATE '2000-01-01'", "{as_of}": "TIMESTAMP '2000-01-01 00:00:00'"}
    for name, text in clock.items():
        sql = sql.replace(name, text)
    return question, sql
