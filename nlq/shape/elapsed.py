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


_MINUS = re.compile(r"(?P<b>[\w ]{2,40}?)\s*(?:\bminus\b|\bless\b|-|\u2013|\u2212)\s*(?P<a>[\w ]{2,40})")
_AFTER = re.compile(
    r"\b(?:how (?:long|much later|late|far|quickly|soon|fast)|delay|lag|time|latency)\b[^.?;]{0,25}?\b(?:after|behind)\b(?P<a>[^.?;]{2,40}?)"
    r"\b(?:do|does|did|is|are|was|were|until|till?|to|that)\b(?P<b>[^.?;]{2,60})"
)
_LASTING = re.compile(
    r"\b(?:delay|latency|lag|how long|how late|time|took|takes?|elaps\w+|pass(?:ed|es)?|gap|duration|interval)\b"
)
_MEASURING = frozenset(
    "delay latency lag difference gap elapsed elapse pass passed passes measured interval between time after until minus timestamp ts lapse "
    "lapsed it took takes take long how".split()
)
"""Words that speak of the time between two instants; the expression stands for them."""


def _ends(question: str) -> list[tuple[re.Match[str], str, str]]:
    """Where two ends of a span are named, the earlier one first."""
    text = question.lower()
    found = [(m, m["a"], m["b"]) for m in _FROM_TO.finditer(text)]
    found += [(m, m["a"], m["b"]) for m in _MINUS.finditer(text)]
    return found + [(m, m["a"], m["b"]) for m in _AFTER.finditer(text)]


def find_span(sh: Shaper) -> None:
    """The time between two instants of a row: "median hours from raised to closed", "created minus window end"."""
    have = {x.name for x in sh.measures} | {name for _, name, _ in sh.loose}
    if have & DURATIONS:
        return
    for found, early, late in _ends(sh.reading.question):
        first, last = _instant(sh, early, last=found.re is not _MINUS), _instant(sh, late, last=found.re is _MINUS)
        if first is None or last is None or first == last:
            continue
        if found.re is _FROM_TO and not unit_said(sh) and not _LASTING.search(sh.reading.question.lower()):
            continue
        _add_span(sh, found, first, last)
        return


def _add_span(sh: Shaper, found: re.Match[str], first: str, last: str) -> None:
    """Put the span among the figures, under every aggregate that is asked for."""
    sql = f"(unix_micros({last}) - unix_micros({first})) / 1000.0"
    if (first, last) == ("entry_ts", "end_ts"):
        sql = "lifetime_ms"
    inside = {i for i, m in enumerate(sh.m) if m.span[0] < found.end() and found.start() < m.span[1]}
    sh.loose = [x for x in sh.loose if x[0] not in inside or x[0] < 0]
    aggs = [(i, s.name) for i, m in enumerate(sh.m) if sh.free(i) for s in m.of("agg") if s.name in AGG_SQL]
    if not aggs:
        sh.loose.append((-1, "elapsed", sql))
    for i, agg in aggs:
        text = in_unit(sh, sql, "elapsed")
        sh.measures.append(Measure(i, AGG_SQL[agg].format(text), sql, f"{agg}_elapsed", agg, "elapsed"))
        sh.used.add(i)
    keys = {d.i for d in sh.dims if d.grouped}
    gone = {i for i in inside if i not in keys and sh.m[i].kind not in ("time", "number", "value")}
    sh.dims = [d for d in sh.dims if d.i not in gone or d.grouped or d.target]
    sh.used |= {i for i in gone if not any(d.i == i for d in sh.dims)}
    sh.used |= {i for i, m in enumerate(sh.m) if m.kind == "word" and m.text.lower() in _MEASURING}


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
