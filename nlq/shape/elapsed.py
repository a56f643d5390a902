"""Time that has passed since an instant, or is left until one: "minutes since entry", "seconds from the newest event to now"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.figures import in_unit
from nlq.shape.state import AGG_SQL, DURATIONS, UNIT_WORDS, Measure
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


_FROM_TO = re.compile(
    r"\b(?:from|between|after)\b(?P<a>[^.?;]{1,50}?)\b(?:to|and|until|till?|before)\b(?P<b>[^.?;,]{1,50})"
)


def find_span(sh: Shaper) -> None:
    """The time between two instants of a row: "median hours from raised to closed"."""
    have = {x.name for x in sh.measures} | {name for _, name, _ in sh.loose}
    if have & DURATIONS or not unit_said(sh):
        return
    for found in _FROM_TO.finditer(sh.reading.question.lower()):
        first, last = _instant(sh, found["a"], last=True), _instant(sh, found["b"], last=False)
        if first is None or last is None or first == last:
            continue
        sql = f"(unix_micros({last}) - unix_micros({first})) / 1000.0"
        if (first, last) == ("entry_ts", "end_ts"):
            sql = "lifetime_ms"
        agg = next(
            ((i, s.name) for i, m in enumerate(sh.m) if sh.free(i) for s in m.of("agg") if s.name in AGG_SQL), None
        )
        inside = {i for i, m in enumerate(sh.m) if m.span[0] < found.end() and found.start() < m.span[1]}
        if agg is None:
            sh.loose.append((-1, "elapsed", sql))
        else:
            text = in_unit(sh, sql, "elapsed")
            sh.measures.append(
                Measure(agg[0], AGG_SQL[agg[1]].format(text), sql, f"{agg[1]}_elapsed", agg[1], "elapsed")
            )
            sh.used.add(agg[0])
        sh.used |= {i for i in inside if not sh.m[i].of("dim") and sh.m[i].kind != "time"}
        sh.loose = [x for x in sh.loose if x[0] not in inside or x[0] < 0]
        return


def _instant(sh: Shaper, words: str, *, last: bool) -> str | None:
    """The instant of this view that some words name."""
    columns = sh.world.catalogue.views[sh.view].columns
    found = [
        (m.start(), column)
        for column, pattern in sh.world.lexicon.instants.items()
        if column in columns
        for m in re.finditer(rf"\b(?:{pattern})\b", words)
    ]
    return (max(found) if last else min(found))[1] if found else None


def find_elapsed(sh: Shaper) -> None:
    """Add the elapsed time of the instant that the question names, or of the view's clock."""
    find_span(sh)
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
