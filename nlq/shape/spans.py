"""Spans of time as conditions: how long an order lived, how old an instant is, how late a message came."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.said import Said, keep
from nlq.shape.state import MILLISECONDS
from nlq.understand.numbers import literal
from nlq.understand.times import Clock, interval
from nlq.views import has

if TYPE_CHECKING:
    from nlq.shape.state import Shaper

_LATENT = re.compile(r"\b(?:reach\w* us|receiv\w+|arriv\w+|captur\w+|ingest\w*|delay\w*|latency|behind the venue)\b")
_AGED = re.compile(
    r"\b(?:old|older|stale|open for|outstanding|sitting|sat|waiting|trail\w*|behind|ago|since|no event|nothing for)\b"
)


def bind_span(sh: Shaper, said: Said) -> bool:
    """Bind a number of seconds, minutes, hours or days; False when the view has nothing that lasts."""
    number, op = said.number, said.op
    if number.unit in MILLISECONDS and _against_instant(sh, said):
        return True
    if not said.explicit and "exactly" not in said.mention.text.lower():
        return False
    if number.unit in ("s", "min", "h", "d") and sh.view == "orders" and _still_there(sh):
        now = Clock(as_of=sh.world.as_of, time=None, day=None).now
        way = "<" if op in (">", ">=") else ">="
        return keep(sh, said, f"entry_ts {way} {now} - {interval(number.value, number.unit or 's')}", "age")
    if number.unit in MILLISECONDS and has(sh.world.catalogue, sh.view, "lifetime_ms"):
        return keep(sh, said, f"lifetime_ms {op} {literal(number.value * MILLISECONDS[number.unit])}", "lifetime")
    if number.unit in ("s", "min", "h", "d") and sh.view == "alerts" and op in (">", ">="):
        now = Clock(as_of=sh.world.as_of, time="created_ts", day=None).now
        return keep(sh, said, f"created_ts < {now} - {interval(number.value, number.unit)}", "age")
    return False


def _still_there(sh: Shaper) -> bool:
    """Whether only orders that still work are asked for: they have an age, and no lifetime yet."""
    return any(p.sql == "status = 'WORKING'" for p in sh.where)


def _against_instant(sh: Shaper, said: Said) -> bool:
    """A span of time set against an instant or a delay: "watermark more than 5 minutes old", "reached us over 5 min after"."""
    i, op, number = said.i, said.op, said.number
    text = sh.reading.question.lower()
    view = sh.world.catalogue.views[sh.view]
    span = (
        interval(number.value, number.unit or "s")
        if number.unit != "ms"
        else f"INTERVAL {int(number.value)} MILLISECONDS"
    )
    now = Clock(as_of=sh.world.as_of, time=None, day=None).now
    late = op in (">", ">=") or (op == "=" and not said.explicit)
    if (
        view.time
        and view.time != "ingest_ts"
        and has(sh.world.catalogue, sh.view, "ingest_ts")
        and _LATENT.search(text)
    ):
        return keep(sh, said, f"ingest_ts {'>' if late else '<'} {view.time} + {span}", "delay")
    named = [
        s.name
        for j in [*sh.near(i, -1, 4), *sh.near(i, 1, 3)]
        for s in (sh.m[j].of("col") if sh.m[j].kind == "sense" else ())
        if s.name in view.columns and view.columns[s.name].type == "TIMESTAMP"
    ]
    if sh.view == "ingest_status" and not named:
        named = ["last_event_ts"]
    if named and (_AGED.search(text) or sh.view == "ingest_status"):
        return keep(sh, said, f"{named[0]} {'<' if late else '>='} {now} - {span}", "age")
    return False
