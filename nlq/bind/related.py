"""Phrases that set a row against a row of another view → their condition or join, as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlq.plan import Part
from nlq.understand.times import Clock

if TYPE_CHECKING:
    from nlq.bind.state import Binder


def bind_related(b: Binder) -> None:
    """Every such phrase as a condition, or as a doubt where the view has no place for it."""
    today = Clock(as_of=b.world.as_of, time=None, day=None).today
    for related in b.reading.related:
        phrase = b.reading.question[slice(*related.span)]
        if b.view in related.joins:
            b.bound.joins.append(related.joins[b.view])
        elif b.view in related.views:
            sql = related.views[b.view].replace("{today}", today)
            b.bound.where.append(Part(sql=sql, phrase=phrase, span=related.span, reason=f"relation: {related.name}"))
        else:
            b.bound.doubts.append(f"{phrase!r} fits no column of {b.view}")
