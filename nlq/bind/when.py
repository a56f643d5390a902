"""Time phrases → predicates over the clock of the view."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from nlq.bind.state import Binder
from nlq.plan import Part
from nlq.understand.times import Clock, interval, predicates
from nlq.views import has

if TYPE_CHECKING:
    from nlq.understand.reading import Mention
    from nlq.understand.time_phrases import TimePhrase

_CLOCKS = {
    "thresholds": ("effective_from_ts", None), "restricted_list": ("start_ts", None), "accounts": (None, "opened_date"),
    "traders": (None, "end_date"), "trading_calendar": (None, "trade_date"), "ingest_status": ("last_event_ts", None),
}  # fmt: skip


def clock_of(b: Binder) -> Clock:
    """The view's clock, with the venue that the question names or implies."""
    catalogue = b.world.catalogue
    view = catalogue.views[b.view]
    if b.view in _CLOCKS:
        time, day = _CLOCKS[b.view]
    else:
        time = view.time
        if b.proposal is not None:
            stamps = [c.name for c in view.columns.values() if c.type == "TIMESTAMP"]
            likely = max(stamps, key=lambda c: b.role(c, "filter_time"), default=time)
            if (
                likely != time
                and likely
                and b.role(likely, "filter_time") > 0.6
                and b.role(time or "", "filter_time") < 0.4
            ):
                return Clock(as_of=b.world.as_of, time=likely, day=None, venue=_venue(b))
        day = "trade_date" if has(catalogue, b.view, "trade_date") else None
    return Clock(as_of=b.world.as_of, time=time, day=day, venue=_venue(b))


def _venue(b: Binder) -> str | None:
    venues = {v for _, vs, neg in b.bound.columns.get("venue", []) for v in vs if not neg}
    if len(venues) == 1:
        return next(iter(venues))
    symbols = {v for _, vs, neg in b.bound.columns.get("symbol", []) for v in vs if not neg}
    homes = {b.world.values.venue_of.get(s) for s in symbols}
    return homes.pop() if len(homes) == 1 else b.venue


def bind_time(b: Binder, i: int, mention: Mention, phrase: TimePhrase) -> None:
    """One time phrase as conditions, or as a doubt where the view has no clock for it."""
    clock = _clock_for(b)
    if phrase.kind == "the_day":
        if any(m.time is not None and m.time.kind not in ("the_day", "all", "now") for m in b.reading.mentions):
            b.bound.used.add(i)
            return
        phrase = replace(phrase, kind="today")
    if phrase.kind == "now" and b.view in ("restricted_list", "thresholds"):
        _in_force(b, i, mention, clock.now)
        return
    if b.view in ("restricted_list", "thresholds") and _was_in_force(b):
        instant = _instant_of(phrase, clock)
        if instant is not None:
            _in_force(b, i, mention, instant)
            return
    if phrase.kind in ("clock", "at", "venue_window"):
        clock = replace(clock, base=_day_beside(b, clock))
    found = _as_it_stood(b, phrase, clock) if phrase.kind in ("at", "ago") else predicates(phrase, clock)
    if found is None:
        b.bound.doubts.append(f"{mention.text!r} has no clock in {b.view}")
        return
    others = {p.kind for _, p in b.bound.times}
    every = {m.time.kind for m in b.reading.mentions if m.time is not None}
    if phrase.kind == "month" and "future" in every and clock.time:
        found = [f"date_trunc('MONTH', {clock.time}) = date_trunc('MONTH', {clock.now})"]
    if phrase.kind == "today" and others & {"rolling", "clock", "venue_window", "at", "ago"}:
        b.bound.used.add(i)
        return
    b.bound.used.add(i)
    earlier = _other_day(b, phrase)
    b.bound.times.append((i, phrase))
    if earlier is not None and len(found) == 1:
        either = replace(earlier, sql=f"({earlier.sql} OR {found[0]})", phrase=f"{earlier.phrase}, {mention.text}")
        b.bound.where = [either if p is earlier else p for p in b.bound.where]
        return
    for sql in found:
        if all(p.sql != sql for p in b.bound.where):
            b.bound.where.append(Part(sql=sql, phrase=mention.text, span=mention.span, reason="time"))


def _clock_for(b: Binder) -> Clock:
    """The clock that the verb asks for: when an alert was closed, when an entry ended, when somebody joined."""
    clock = clock_of(b)
    text = b.reading.question.lower()
    if b.view == "alerts" and re.search(r"\b(?:updated|changed|touched|modified)\b", text):
        return Clock(as_of=clock.as_of, time="updated_ts", day=None, venue=clock.venue)
    if b.view == "alerts" and _closing(b):
        return Clock(as_of=clock.as_of, time="closed_ts", day=None, venue=clock.venue)
    ended = r"dropped off|fell away|fall away|ended|lapsed|lifted|came off|expired|removed|ran out"
    if b.view == "restricted_list" and re.search(ended, text):
        return Clock(as_of=clock.as_of, time="end_ts", day=None)
    if b.view == "traders" and any(w in text for w in ("joined", "started", "hired", "new joiner")):
        return Clock(as_of=clock.as_of, time=None, day="start_date")
    return clock


def _in_force(b: Binder, i: int, mention: Mention, instant: str) -> None:
    """The version or entry that held at an instant; for now the glossary's own words."""
    now = Clock(as_of=b.world.as_of, time=None, day=None).now
    sql = b.world.lexicon.conditions["current"].get(b.view, "").replace("{now}", now)
    if instant != now:
        first, last = ("effective_from_ts", "effective_to_ts") if b.view == "thresholds" else ("start_ts", "end_ts")
        sql = f"{first} <= {instant} AND ({last} IS NULL OR {last} > {instant})"
        b.bound.where = [p for p in b.bound.where if last not in p.sql]
    if sql and all(p.sql != sql for p in b.bound.where):
        b.bound.where.append(Part(sql=sql, phrase=mention.text, span=mention.span, reason="glossary: in force"))
    b.bound.used.add(i)


def _was_in_force(b: Binder) -> bool:
    return bool(
        re.search(
            r"\b(?:in force|live|active|applied|valid|in effect|on the list|restricted|were|was)\b",
            b.reading.question.lower(),
        )
    ) and not re.search(
        r"\b(?:changed|added|put on|approved|superseded|started|came into|took effect|went live|new|since)\b",
        b.reading.question.lower(),
    )


def _instant_of(phrase: TimePhrase, clock: Clock) -> str | None:
    """The instant that a phrase names: "two weeks ago", "at 14:00"; None for a range."""
    if phrase.kind == "ago":
        return f"{clock.now} - {interval(phrase.n, phrase.unit)}"
    found = predicates(phrase, replace(clock, time="t", day=None)) if phrase.kind == "at" else None
    return found[0].removeprefix("t <= ") if found else None


def _as_it_stood(b: Binder, phrase: TimePhrase, clock: Clock) -> list[str] | None:
    """The market as it stood at an instant; an instant says nothing about rows that happen and are over."""
    instant = _instant_of(phrase, clock) if b.view in ("quotes", "market_trades", "trade_stats_1m") else None
    return [f"{clock.time} <= {instant}"] if instant and clock.time else None


_DAYS = ("today", "yesterday", "on_day", "on_date", "days_ago")


def _day_beside(b: Binder, clock: Clock) -> str | None:
    """The day that a clock time is of when the question names another one than today: "14:00 to 15:00 yesterday"."""
    for m in b.reading.mentions:
        if m.time is not None and m.time.kind in _DAYS and m.time.kind != "today":
            found = predicates(m.time, replace(clock, day="d", base=None))
            return found[0].removeprefix("d = ") if found else None
    return None


def _other_day(b: Binder, phrase: TimePhrase) -> Part | None:
    """The condition of a day named before: "yesterday and today" are both wanted, no row is of both."""
    if phrase.kind not in _DAYS:
        return None
    days = [i for i, p in b.bound.times if p.kind in _DAYS and p != phrase]
    if len(days) != 1:
        return None
    said = b.reading.mentions[days[0]].text
    return next((p for p in b.bound.where if p.reason == "time" and p.phrase == said), None)


def _closing(b: Binder) -> bool:
    for j, m in enumerate(b.reading.mentions):
        if m.text.lower() in ("closed", "shut", "close") and j in b.bound.used:
            after = b.reading.mentions[j + 1 : j + 3]
            return any(x.kind == "time" for x in after)
    return False
