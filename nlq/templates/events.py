"""Activity around the news of a company: "fills in the two hours before the announcement", "buys up to five days ahead"."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from nlq.compile import qualify
from nlq.plan import Part, Plan
from nlq.shape.state import MILLISECONDS
from nlq.templates.words import bound_for, likely
from nlq.understand.times import Clock, interval, predicates
from nlq.views import has

if TYPE_CHECKING:
    from nlq.bind import Bound
    from nlq.shape.state import Rank, Shaper
    from nlq.understand.reading import Mention

_BEFORE = re.compile(
    r"^\W*(?:right |just |immediately )?(?:before|ahead of|prior to|up to|leading up to|preceding|in advance of|running up to)\b"
)
_AFTER = re.compile(r"^\W*(?:right |just |immediately )?(?:after|following|from|since)\b")
_LATEST = re.compile(r"\b(?:last|latest|most recent)\W+(?:\w+\W+)?$")


def around_event(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """Rows of the firm's activity within a span before or after a company's event."""
    found = _span(sh)
    if found is None or not likely(sh, "join", "semi_join", "exists"):
        return None
    i, before, event = found
    if rank is not None and not event - 3 <= rank.i < event:
        return None  # a ranking of the activity, not "the last announcement"
    view = _activity(sh)
    catalogue = sh.world.catalogue
    clock = catalogue.views[view].time
    ours, news = bound_for(sh, view), bound_for(sh, "corporate_events")
    number = sh.m[i].compare.number  # type: ignore[union-attr]
    span = interval(number.value, number.unit or "h")
    link = "issuer_name" if has(catalogue, view, "issuer_name") else "symbol"
    when = (
        f"m.{clock} >= c.announce_ts - {span} AND m.{clock} < c.announce_ts"
        if before
        else f"m.{clock} >= c.announce_ts AND m.{clock} <= c.announce_ts + {span}"
    )
    events = [p.sql for p in news.where if p.sql.startswith("event_type ")]
    text = sh.reading.question.lower()
    if _LATEST.search(text[: sh.m[event].span[0]]):
        events.append("is_latest")
    events += _their_times(sh, sh.m[i], sh.m[event])
    kept = tuple(p for p in ours.where if p.reason != "time" or not _their_times(sh, sh.m[i], sh.m[event]))
    keys = [d for d in sh.dims if d.led or (d.target and sh.measures)]
    shown = _shown(sh, view, mode, [d.sql for d in keys])
    join = " AND ".join([f"c.{link} = m.{link}", *(qualify(e, "c", ("c",)) for e in events), when])
    where = " AND ".join(qualify(p.sql, "m", ("m",)) for p in kept)
    sql = f"SELECT {shown} FROM {view} AS m JOIN corporate_events AS c ON {join}" + (f" WHERE {where}" if where else "")
    if mode == "grouped" and keys:
        sql += " GROUP BY " + ", ".join(f"m.{d.sql}" for d in keys)
    sh.raw = sql
    _take(sh, ours, news, i)
    sh.doubts = [d for d in ours.doubts if d in news.doubts] + ["through the events of the company"]
    said = Part(sql=when, phrase=sh.m[i].text, span=sh.m[i].span, reason="time around an event")
    return Plan(view=view, where=(*kept, said), measures=(Part(sql="*", alias="rows", reason="measure"),))


def _span(sh: Shaper) -> tuple[int, bool, int] | None:
    """The span, whether it lies before, and the event that it is counted from."""
    text = sh.reading.question.lower()
    for i, m in enumerate(sh.m):
        if m.compare is None or m.compare.number.unit not in (*MILLISECONDS, "w"):
            continue
        rest = text[m.span[1] :]
        before = bool(_BEFORE.match(rest))
        if not before and not _AFTER.match(rest):
            continue
        for j in range(i + 1, min(i + 9, len(sh.m))):
            codes = {c for s in sh.m[j].of("code") for _, c, _ in s.places}
            if "event_type" in codes or any(s.name == "corporate_events" for s in sh.m[j].of("view")):
                return i, before, j
    return None


def _activity(sh: Shaper) -> str:
    """What happened around the event: the view that is named, fills otherwise."""
    named = {s.name for m in sh.m for s in m.of("view")}
    return next((v for v in ("personal_trades", "orders", "market_trades") if v in named), "executions")


def _their_times(sh: Shaper, number: Mention, event: Mention) -> list[str]:
    """Times that belong to the event: "before today's news"."""
    clock = Clock(as_of=sh.world.as_of, time="announce_ts", day=None)
    between = [m for m in sh.m if m.time is not None and number.span[1] <= m.span[0] and m.span[1] <= event.span[0]]
    # "Two hours before today's news": the preposition is the span's, the day is the event's.
    said = [replace(m.time, kind="today") if m.time.kind == "before_today" else m.time for m in between if m.time]
    return [sql for phrase in said for sql in predicates(phrase, clock) or []]


def _shown(sh: Shaper, view: str, mode: str, keys: list[str]) -> str:
    if mode == "grouped":
        measures = [f"{qualify(x.sql, 'm', ('m',))} AS {x.alias}" for x in sh.measures] or ["count(*) AS n"]
        return ", ".join([*(f"m.{k}" for k in keys), *measures])
    columns = sh.world.catalogue.views[view].columns
    plain = [f"m.{c.name}" for c in columns.values() if c.sensitivity is None]
    return ", ".join([*plain, "c.event_id", "c.announce_ts"])


def _take(sh: Shaper, ours: Bound, news: Bound, i: int) -> None:
    sh.used |= ours.used | news.used | {i}
    sh.used |= {k for k, m in enumerate(sh.m) if m.text.lower() in ("before", "after", "ahead", "prior", "following")}
