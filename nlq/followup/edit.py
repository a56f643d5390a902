"""The earlier statement while a follow-up works on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from nlq.plan import Part

if TYPE_CHECKING:
    from nlq.bind import World
    from nlq.shape.state import Shaper
    from nlq.understand.reading import Reading

DIALECT = "databricks"


@dataclass
class Edit:
    """A follow-up's SQL and what remained open."""

    sql: str
    view: str
    used: set[int]
    doubts: list[str] = field(default_factory=list)
    where: list[Part] = field(default_factory=list)


@dataclass
class Work:
    """One follow-up: the words, the statement that they change, and what has been changed so far."""

    reading: Reading
    tree: exp.Select
    shaper: Shaper
    edit: Edit
    conditions: list[exp.Expr]
    fresh: list[exp.Expr] = field(default_factory=list)
    """Conditions that the follow-up has added."""

    @property
    def figures(self) -> list[exp.Expr]:
        """Outputs that aggregate."""
        return [e for e in self.tree.expressions if e.find(exp.AggFunc)]

    @property
    def keys(self) -> list[str]:
        """Columns that the statement groups by."""
        group = self.tree.args.get("group")
        return [str(g.name) for g in group.expressions if isinstance(g, exp.Column)] if group else []

    def note(self, sql: str, reason: str, i: int | None = None) -> None:
        """Put a change on the ledger, with the words that it comes from."""
        if i is None or i < 0:
            self.edit.where.append(Part(sql=sql, reason=reason))
            return
        m = self.reading.mentions[i]
        self.edit.where.append(Part(sql=sql, phrase=m.text, span=m.span, reason=reason))
        self.edit.used.add(i)


def parsed(sql: str) -> exp.Expr:
    """An expression or statement as a tree."""
    return sqlglot.parse_one(sql, dialect=DIALECT)


def view_of(sql: str, world: World) -> str | None:
    """The view of a single SELECT over one view; None for anything else."""
    try:
        tree = parsed(sql)
    except sqlglot.errors.SqlglotError:
        return None
    origin = tree.args.get("from_") or tree.args.get("from")
    if not isinstance(tree, exp.Select) or origin is None or not isinstance(origin.this, exp.Table):
        return None
    if tree.args.get("joins") or tree.args.get("with"):
        return None
    name = str(origin.this.name)
    return name if name in world.catalogue.views else None
