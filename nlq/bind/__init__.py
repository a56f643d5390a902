"""Stated things → conditions over one view. What finds no place is kept as a doubt, never dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlq.bind.codes import bind_either, bind_sense, merge_columns
from nlq.bind.dealing import bind_dealing
from nlq.bind.defaults import add_defaults
from nlq.bind.entities import bind_value
from nlq.bind.feeds import bind_feeds
from nlq.bind.nulls import bind_nulls
from nlq.bind.related import bind_related
from nlq.bind.state import Binder, Bound, World
from nlq.bind.when import bind_time, clock_of
from nlq.bind.written import bind_written

if TYPE_CHECKING:
    from nlq.contracts import Proposal
    from nlq.understand.reading import Reading

__all__ = ["Binder", "Bound", "World", "bind", "clock_of"]


def bind(
    world: World, reading: Reading, view: str, proposal: Proposal | None = None, *, venue: str | None = None
) -> Bound:
    """Values, codes, conditions and times of a question over one view: everything but numbers and shape.

    Args:
        world: catalogue, vocabulary, values and clock.
        reading: the question taken apart.
        view: the view that is asked about.
        proposal: what the learnt parser expects.
        venue: venue that holds when the question names none, such as that of the question before.
    """
    b = Binder(world, reading, view, proposal)
    b.venue = venue
    for i, mention in enumerate(reading.mentions):
        if mention.kind == "value":
            bind_value(b, i, mention)
        elif mention.kind == "unknown_value":
            b.bound.doubts.append(f"unknown name {mention.text!r}")
        elif mention.kind == "sense":
            bind_sense(b, i, mention)
    bind_written(b)
    bind_nulls(b)
    bind_feeds(b)
    bind_dealing(b)
    merge_columns(b)
    bind_either(b)
    bind_related(b)
    for i, mention in enumerate(reading.mentions):
        if mention.kind == "time" and mention.time is not None:
            bind_time(b, i, mention, mention.time)
    add_defaults(b)
    return b.bound
