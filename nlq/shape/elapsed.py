"""Time that has passed since an instant, or is left until one: "minutes since entry", "seconds from the newest event to now"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.state import DURATIONS, UNIT_WORDS
from nlq.understand.times import Clock

if TYPE_CHECKING:
    from nlq.shape.state import Shaper

_SINCE = re.compile(
    r"\b(?:since|ago|old|aged?|stale|behind|to now|from now|before now|until now|waiting|outstanding for|how far back)\b"
)
_UNTIL = re.compile(r"\b(?:until|till?|'til|left|to go|remaining)\b")


def unit_said(sh: Shaper) -> bool:
    """Whether a unit of time stands alone, outside time phrases and numbers."""
    return any(
        set(m.text.lower().split()) & UNIT_WORDS for m in sh.m if m.kind not in ("time", "number") or m.time is None
    )


def direction(sh: Shaper) -> str:
    """`since`, `until`, or nothing."""
    text = re.sub(r"\b(?:until|till?) now\b", "to now", sh.reading.question.lower())
    if not unit_said(sh):
        return ""
    return "until" if _UNTIL.search(text) else "since" if _SINCE.search(text) else ""


def elapsed(sh: Shaper, column: str, way: str) -> str:
    """Milliseconds from an instant to now, or the other way round; `column` may be an aggregate."""
    now = Clock(as_of=sh.world.as_of, time=None, day=None).now
    first, last = (column, now) if way == "since" else (now, column)
    return f"(unix_micros({last}) - unix_micros({first})) / 1000.0"


def find_elapsed(sh: Shaper) -> None:
    """Add the elapsed time of the instant that the question names, or of the view's clock."""
    way = direction(sh)
    have = {x.name for x in sh.measures} | {name for _, name, _ in sh.loose}
    if not way or have & DURATIONS:
        return
    view = sh.world.catalogue.views[sh.view]
    instants = {c.name for c in view.columns.values() if c.type == "TIMESTAMP"}
    for i, m in enumerate(sh.m):
        for s in m.of("col") if m.kind == "sense" else ():
            if s.name in instants:
                sh.loose.append((i, "elapsed", elapsed(sh, s.name, way)))
                return
    if way == "since" and view.time and view.kind in ("state", "fact"):
        sh.loose.append((-1, "elapsed", elapsed(sh, view.time, way)))
