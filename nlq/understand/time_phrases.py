"""Time phrases as people say them: "the last 5 minutes", "yesterday", "14:00 to 14:05 UTC", "Monday of last week".

A `TimePhrase` says what was meant, independent of any column; `nlq.understand.times` binds it to a view's clock.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nlq.understand.time_offsets import OFFSETS
from nlq.understand.time_text import MONTHS, TimeText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nlq.understand.tokens import Token

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
TIME_WORDS = frozenset(
    "today todays yesterday before after since until between during minute minutes hour hours second seconds "
    "weeks month months morning afternoon session previous current midnight".split()
) | frozenset(WEEKDAYS)
"""Words of time that are worth a spelling repair."""
_DAY = "|".join([*WEEKDAYS, "mon", "tue", "tues", "wed", "thu", "thur", "thurs", "fri", "sat", "sun"])
_MONTH = "|".join([*MONTHS, *(m[:3] for m in MONTHS), "sept"])
_U = r"(?P<unit>seconds?|secs?|s|minutes?|mins?|min|m|hours?|hrs?|hr|h|days?|d|weeks?|wks?|calendar days|trading days|sessions|months?)"
_N = r"(?P<n>\d+(?:\.\d+)?)"
_ZONES = {"utc": "UTC", "z": "UTC", "gmt": "UTC", "new york": "America/New_York", "ny": "America/New_York",
          "est": "America/New_York", "eastern": "America/New_York", "london": "Europe/London",
          "frankfurt": "Europe/Berlin", "cet": "Europe/Berlin", "chicago": "America/Chicago", "ct": "America/Chicago",
          "bst": "Europe/London", "berlin": "Europe/Berlin"}  # fmt: skip
_CLOCK = r"(?:\d{1,2}:\d{2}(?::\d{2})?z?|noon|midday|midnight|\d{1,2} ?(?:am|pm|oclock)|[01]\d[0-5]\d(?= (?:utc|gmt|z|hours?|hrs)\b)|half \d{1,2}|(?:quarter|half) (?:past|to) \d{1,2}|\d{1,2} \d{2} (?:am|pm))(?: (?:am|pm|in the afternoon|in the morning|this afternoon|this morning))?"
_Z = r"(?: (?P<zone>utc|z|gmt|new york|ny|est|eastern|london|frankfurt|cet|chicago|ct|bst|berlin)(?: time)?)?"
_LAST = r"(?:last|past|previous|preceding|trailing|most recent|latest|final|prior)"


@dataclass(frozen=True, slots=True)
class TimePhrase:
    """One stated time."""

    kind: str
    """rolling, today, yesterday, week, last_week, month, last_month, since_day, on_day, days_ago, clock, before_today,
    future, ahead, month_rest, all, at, venue_window, older, prior_rolling, days, dates, ago, before_week, before_date,
    after_date, the_day (today unless another day is said),
    later_today, unclear (stated, but not bound)."""
    start: int
    """First token."""
    end: int
    """Token after the last."""
    n: float = 0
    unit: str = ""
    low: str = ""
    """Clock times as `hh:mm:ss`, or a date."""
    high: str = ""
    zone: str = "UTC"
    anchor: str = ""
    """open, close, auction for venue windows."""


def time_phrases(tokens: Sequence[Token]) -> list[TimePhrase]:
    """Every time phrase of the question; longer ones win over those inside them."""
    text = TimeText(tokens)
    found: list[TimePhrase] = []
    for build, pattern in _PATTERNS:
        for match in pattern.finditer(text.text):
            start, end = text.tokens_of(match)
            phrase = build(match)
            if phrase is not None:
                found.append(replace(phrase, start=start, end=end))
    found.sort(key=lambda p: (p.start - p.end, p.start))
    kept: list[TimePhrase] = []
    for phrase in found:
        if all(phrase.end <= other.start or phrase.start >= other.end for other in kept):
            kept.append(phrase)
    return sorted(kept, key=lambda p: p.start)


def unit_of(word: str) -> str:
    """Short unit of a time word."""
    for short, words in {"s": "s", "min": "m", "h": "h", "d": "d", "w": "w"}.items():
        if word.startswith(words) and not word.startswith("month"):
            return short
    if word.startswith(("calendar day",)):
        return "d"
    return "mon" if word.startswith("month") else "session"


def _simple(kind: str, **more: Any) -> Callable[[re.Match[str]], TimePhrase]:
    return lambda m: TimePhrase(kind, 0, 0, **more)


def _rolling(m: re.Match[str]) -> TimePhrase | None:
    groups = m.groupdict()
    unit = unit_of(groups["unit"]) if groups.get("unit") else "h"
    if unit in ("session",):
        return None
    return TimePhrase("rolling", 0, 0, n=float(groups.get("n") or 1), unit=unit)


def _fixed(n: float, unit: str, kind: str = "rolling") -> Callable[[re.Match[str]], TimePhrase]:
    return lambda m: TimePhrase(kind, 0, 0, n=n, unit=unit)


def _day_word(word: str) -> str:
    return next(d for d in WEEKDAYS if d.startswith(word[:3]))


def _offset(kind: str) -> Callable[[re.Match[str]], TimePhrase]:
    """A phrase of `time_offsets`: its span, where it has one."""

    def made(m: re.Match[str]) -> TimePhrase:
        groups = m.groupdict()
        unit = groups.get("unit") or groups.get("unit2")
        if not unit:
            return TimePhrase(kind, 0, 0)
        return TimePhrase(kind, 0, 0, n=float(groups.get("n") or groups.get("n2") or 1), unit=unit_of(unit))

    return made


def _since_day(m: re.Match[str]) -> TimePhrase:
    return TimePhrase("since_day", 0, 0, low=_day_word(m["day"]))


def _on_day(m: re.Match[str]) -> TimePhrase:
    return TimePhrase("on_day", 0, 0, low=_day_word(m["day"]), high=m.groupdict().get("which") or "")


def _day_of_last_week(m: re.Match[str]) -> TimePhrase:
    since = bool(m.groupdict().get("since"))
    day = next(m[g] for g in ("day", "day2") if m.groupdict().get(g))
    return TimePhrase("since_day" if since else "on_day", 0, 0, low=_day_word(day), high="last week")


def _days(m: re.Match[str]) -> TimePhrase:
    return TimePhrase("days", 0, 0, low=_day_word(m["low"]), high=_day_word(m["high"]))


def parse_clock(text: str, *, afternoon: bool = False) -> str | None:
    """`hh:mm:ss` of a spoken or written time of day."""
    text = text.strip()
    late = afternoon or bool(re.search(r"\bpm\b|afternoon", text))
    early = bool(re.search(r"\bam\b|morning", text))
    for _ in range(3):
        text = re.sub(
            r" ?(?:am|pm|in the afternoon|in the morning|this afternoon|this morning|oclock)$", "", text
        ).strip()
    if text in ("noon", "midday"):
        return "12:00:00"
    if text == "midnight":
        return "00:00:00"
    if m := re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?z?", text):
        hour, minute, second = int(m[1]), int(m[2]), int(m[3] or 0)
    elif m := re.fullmatch(r"(\d{1,2}) (\d{2})|(?=\d{4}$)(\d{2})(\d{2})", text):
        hour, minute, second = int(m[1] or m[3]), int(m[2] or m[4]), 0
    elif m := re.fullmatch(r"half (?:past )?(\d{1,2})", text):
        hour, minute, second = int(m[1]), 30, 0
    elif m := re.fullmatch(r"quarter past (\d{1,2})", text):
        hour, minute, second = int(m[1]), 15, 0
    elif m := re.fullmatch(r"quarter to (\d{1,2})", text):
        hour, minute, second = int(m[1]) - 1, 45, 0
    elif m := re.fullmatch(r"\d{1,2}", text):
        hour, minute, second = int(text), 0, 0
    else:
        return None
    if late and hour < 12:
        hour += 12
    elif not early and not late and 1 <= hour <= 6 and not text.startswith("0"):
        hour += 12  # nobody trades at three at night: bare small hours are the afternoon
    return f"{hour:02}:{minute:02}:{second:02}" if hour < 24 and minute < 60 and second < 60 else None


def _clock(m: re.Match[str]) -> TimePhrase | None:
    groups = m.groupdict()
    late = "afternoon" in m.group() or "pm" in m.group().split()
    low = parse_clock(groups["low"], afternoon=late and "am" not in groups["low"].split()) if groups.get("low") else ""
    high = parse_clock(groups["high"], afternoon=late) if groups.get("high") else ""
    if low is None or high is None:
        return None
    if low and high and low > high and low >= "13" and high < "12":
        return None
    if low and high and low >= high:
        return TimePhrase("unclear", 0, 0)
    zone = _ZONES[groups.get("zone") or "utc"]
    return TimePhrase("clock", 0, 0, low=low, high=high, zone=zone)


def _at(m: re.Match[str]) -> TimePhrase | None:
    low = parse_clock(m["low"])
    return (low and TimePhrase("at", 0, 0, low=low, zone=_ZONES[m.groupdict().get("zone") or "utc"])) or None


def _date(m: re.Match[str]) -> TimePhrase | None:
    groups = m.groupdict()
    word = (groups.get("since") or "").strip()
    sides = {"before": "before_date", "prior to": "before_date", "after": "after_date"}
    if word in ("until", "till", "up to"):
        return TimePhrase("unclear", 0, 0)
    kind = sides.get(word, "since_date" if word else "on_date")
    if groups.get("iso"):
        year, number, day = (int(x) for x in groups["iso"].split("-"))
        if not 1 <= number <= 12 or not 1 <= day <= monthrange(year, number)[1]:
            return TimePhrase("unclear", 0, 0)
        return TimePhrase(kind, 0, 0, low=groups["iso"])
    month = next(i for i, name in enumerate(MONTHS, start=1) if name.startswith(groups["month"][:3]))
    if int(groups["dom"]) > monthrange(int(groups.get("year") or 2024), month)[1]:
        return TimePhrase("unclear", 0, 0)
    return TimePhrase(kind, 0, 0, low=f"{groups.get('year') or '0000'}-{month:02}-{int(groups['dom']):02}")


def _hour_at(m: re.Match[str]) -> TimePhrase | None:
    """ "In the hour from 14:00", "in the half hour before noon"."""
    at = parse_clock(m["low"])
    if at is None:
        return None
    minutes = 30 if m["half"] else 60
    start = int(at[:2]) * 60 + int(at[3:5]) - (minutes if m["side"] in ("before", "to", "until", "up to") else 0)
    if not 0 <= start <= 24 * 60 - minutes:
        return None
    low, high = (f"{x // 60:02}:{x % 60:02}:00" for x in (start, start + minutes))
    return TimePhrase("clock", 0, 0, low=low, high=high, zone=_ZONES[m.groupdict().get("zone") or "utc"])


def _month(m: re.Match[str]) -> TimePhrase:
    """ "In November 2026": the whole month."""
    month = MONTHS.index(m["month"]) + 1
    year = m.groupdict().get("year") or "0000"
    last = monthrange(int(year) or 2024, month)[1] if month != 2 or int(year) else 28
    return TimePhrase("dates", 0, 0, low=f"{year}-{month:02}-01", high=f"{year}-{month:02}-{last:02}")


def _dates(m: re.Match[str]) -> TimePhrase:
    groups = m.groupdict()
    if groups.get("first"):
        return TimePhrase("dates", 0, 0, low=groups["first"], high=groups["last"])
    month = next(i for i, name in enumerate(MONTHS, start=1) if name.startswith(groups["month"][:3]))
    year = groups.get("year") or "0000"
    low, high = (f"{year}-{month:02}-{int(groups[g]):02}" for g in ("from", "to"))
    return TimePhrase("dates", 0, 0, low=low, high=high)


def _slashed(m: re.Match[str]) -> TimePhrase | None:
    """18/11/2026 when only one reading is a date."""
    day, month = int(m["dom"]), int(m["mon"])
    if day <= 12 and month <= 12 and day != month:
        return TimePhrase("unclear", 0, 0)
    day, month = (month, day) if month > 12 else (day, month)
    return TimePhrase("on_date", 0, 0, low=f"{m['year']}-{month:02}-{day:02}")


def _session_part(m: re.Match[str]) -> TimePhrase:
    """ "The half hour before the close", "the opening hour": part of a session, counted from one of its ends."""
    groups = m.groupdict()
    text = m.group()
    anchor = groups.get("anchor") or ""
    first = bool(
        re.search(r"\b(?:first|opening)\b", text.replace(anchor, "")) or re.search(r"\b(?:after|following)\b", text)
    )
    name = "auction" if "auction" in anchor else "open" if first or "open" in anchor else "close"
    if groups.get("n"):
        n, unit = float(groups["n"]), unit_of(groups["unit"])
    else:
        n, unit = {"half": (30.0, "min"), "quar": (15.0, "min")}.get(groups["span"][:4], (1.0, "h"))
    return TimePhrase("venue_window", 0, 0, n=n, unit=unit, anchor=name, low="after" if first else "before")


def _venue_window(m: re.Match[str]) -> TimePhrase | None:
    groups = m.groupdict()
    if (
        (groups.get("anchor") or "open").startswith(("open", "session", "trading")) and "first" in m.group()
    ) or "open" in (groups.get("anchor") or ""):
        anchor = "open"
    else:
        anchor = "auction" if "auction" in (groups.get("anchor") or "") else "close"
    side = (
        "after"
        if re.match(r"(?:in |during |over )?(?:the )?first|.*\b(?:after|following|from|since)\b", m.group())
        else "before"
    )
    return TimePhrase(
        "venue_window", 0, 0, n=float(groups["n"]) if groups.get("n") else 0,
        unit=unit_of(groups["unit"]) if groups.get("unit") else "", anchor=anchor, low=side,
    )  # fmt: skip


def _p(text: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\S)(?:" + text + r")(?!\S)")


_FILL = r"(?:in |over |during |within |for |across |from |of |on |inside )?(?:the |these |this )?"
_UTC = r"(?: (?:utc|gmt))?"
_SPAN = r"(?P<span>half (?:an )?hour|hour|quarter of an hour)"
_PATTERNS = [
    (_simple("today"), _p(r"(?:in |during |for |over |on |throughout |across )?(?:the )?todays? (?:session|trading(?: day| session)?|business|trade date|activity|flow|market)(?: so far)?")),
    (_simple("today"), _p(r"(?:in|during|over|throughout|across) (?:the course of )?(?:today|the day|the (?:present|current|ongoing|running) (?:session|day))(?: so far)?")),
    (_simple("today"), _p(r"(?:over |in |during )?the course of (?:today|the day)|(?:for |on |in )?(?:the )?present (?:trading )?day|throughout (?:today|the day)|on the (?:day|as of date|business date|current date|current business (?:day|date))|(?:as at|as of|up to now|until now|only) today|this very day|today only|for the day|(?:on )?this trade date")),
    (_simple("today"), _p(r"(?:since|from) the (?:start|beginning|outset) of (?:today|the (?:trading )?(?:day|session)|trading|todays (?:session|trading))(?: (?:on ?wards?|(?:up )?(?:to|till?|until) now))?")),
    (_simple("today"), _p(r"since (?:the |todays )?(?:session|trading(?: day)?|day) (?:started|began|opened|start)|since this morning")),
    (_simple("later_today"), _p(r"(?:later|still to come|due|coming up) (?:today|this session)")),
    (_venue_window, _p(r"(?:since|from) (?:the )?(?:market |exchange )?(?P<anchor>open(?:ed|ing bell|ing)?)(?: bell)?(?: today| this morning)?(?: (?:on ?wards?|(?:up )?(?:to|till?|until) now))?")),
    (_venue_window, _p(r"since (?:the )?(?:market|exchange|venue) (?P<anchor>opened)")),
    (_fixed(2, "h"), _p(_FILL + r"(?:last|past) couple of hours")),
    (_fixed(2, "min"), _p(_FILL + r"(?:last|past) couple of minutes")),
    (_fixed(7, "d"), _p(_FILL + r"past week")),
    (_simple("week"), _p(_FILL + r"(?:this|current) (?:calendar|trading|business|working) week(?: so far)?")),
    (_simple("week"), _p(r"(?:since|from) the (?:start|beginning) of (?:this|the(?: current)?) week(?: (?:on ?wards?|(?:up )?(?:to|till?|until) (?:now|today)))?")),
    (_simple("last_week"), _p(_FILL + r"(?:last|previous|prior|preceding) (?:calendar|trading|business|working|full) week")),
    (_simple("before_week"), _p(r"(?:before|prior to|earlier than) (?:this|the current) week")),
    (_simple("before_today"), _p(r"(?:trade date |trade_date )?(?:<|before|earlier than) (?:today|2day)|(?:prior to|earlier than|ahead of|up to but not including|before) (?:today|the current (?:trading )?day|the as of date|this session)|(?:up to(?: and including)?|until|through) yesterday|on (?:any )?(?:earlier|previous|prior) (?:days?|dates?|sessions?)")),
    (_simple("yesterday"), _p(r"(?:on |in |during |for )?(?:the )?(?:last|previous|prior|preceding) (?:completed|full|business|trading|working) (?:session|day)(?: before today)?")),
    (_simple("unclear"), _p(r"(?:on )?(?:the )?day before yesterday|next (?:" + _DAY + r")|overnight|last night|(?:in the )?last full minute|(?:in |over |during |within )?(?:the )?(?:last|past) (?:year|quarter|few (?:minutes|hours|days|weeks)|" + _N + r" (?:trading days|sessions|business days|working days))|yesterday (?:morning|afternoon|evening)")),
    (_dates, _p(r"(?:from |between )?(?P<first>20\d\d-\d\d-\d\d) (?:and|to|till?|until|through) (?P<last>20\d\d-\d\d-\d\d)")),
    (_dates, _p(r"(?:(?:over|in|on|during) the (?:\d+ )?days (?:of )?)?(?:from |between )?(?:the )?(?P<from>\d{1,2})(?:st|nd|rd|th)? (?:and|to|till?|until|through) (?:the )?(?P<to>\d{1,2})(?:st|nd|rd|th)?(?: of)? (?P<month>" + _MONTH + r")(?: (?P<year>20\d\d))?")),
    (_slashed, _p(r"(?:on |for )?(?P<dom>\d{1,2}) (?:/ )?(?P<mon>\d{1,2}) (?:/ )?(?P<year>20\d\d)")),
    (lambda m: TimePhrase("on_date", 0, 0, low=f"0000-00-{int(m['dom']):02}"), _p(r"on the (?P<dom>\d{1,2})(?:st|nd|rd|th)")),
    (_simple("quarter"), _p(_FILL + r"(?:this|current) quarter(?: so far| to date)?|qtd|quarter to date")),
    (_simple("year"), _p(_FILL + r"(?:this|current) year(?: so far| to date)?|ytd|year to date")),
    (_hour_at, _p(_FILL + r"(?:(?P<half>half) (?:an )?)?hour (?P<side>from|starting(?: at)?|beginning(?: at)?|after|following|before|up to|to|until) (?P<low>" + _CLOCK + r")" + _Z + r"(?: today)?")),
    (lambda m: TimePhrase("clock", 0, 0, high="12:00:00"), _p(r"(?:in |during |over )?this morning")),
    (lambda m: TimePhrase("clock", 0, 0, low="12:00:00"), _p(r"(?:in |during |over )?this afternoon")),
    (_session_part, _p(r"(?:in |during |over )?(?:the )?(?:first|opening) (?:" + _N + r" " + _U + r"|" + _SPAN + r")(?: of (?:the |todays )?(?:session|day|trading|continuous trading))?(?: (?:after|following) (?:the |todays )?(?P<anchor>open))?(?: today)?")),
    (_session_part, _p(r"(?:in |during |over )?(?:the )?(?:last|final|closing) (?:" + _N + r" " + _U + r"|" + _SPAN + r") (?:of (?:the |todays )?(?:session|day|trading|continuous trading)|(?:before|to|into) (?:the |todays )?(?P<anchor>close|closing auction))(?: today)?")),
    (_session_part, _p(r"(?:in |during |over )?(?:the )?(?:" + _N + r" " + _U + r"|" + _SPAN + r") (?:after|following|before|ahead of|into|up to) (?:the |todays )?(?:market |official |regular )?(?P<anchor>open(?:ing)?|close|closing bell|closing auction)(?: today)?")),
    (lambda m: TimePhrase("older", 0, 0, n=float(m["n"]), unit=unit_of(m["unit"])), _p(r"(?:more than|over|at least|longer than|upwards of) " + _N + r" (?P<unit>days?|hours?|hrs?|minutes?|mins?|weeks?) ago")),
    (lambda m: TimePhrase("rolling", 0, 0, n=float(m["n"]), unit=unit_of(m["unit"])), _p(r"(?:less than|under|not more than|no more than) " + _N + r" (?P<unit>days?|hours?|hrs?|minutes?|mins?|weeks?) ago")),
    (_simple("all"), _p(r"historically|of all time|on any date|across all dates|whatever the date|regardless of date|irrespective of date|in our history")),
    (_rolling, _p(_FILL + _LAST + r" (?:couple of )?" + _N + r" " + _U + r"(?: (?:up )?to now)?")),
    (_rolling, _p(r"(?:in |within )?the " + _N + r" " + _U + r" (?:up )?to (?:now|this moment)")),
    (_rolling, _p(_N + r" " + _U + r" (?:up )?to now")),
    (_rolling, _p(r"(?:from |since )?" + _N + r" " + _U + r" ago (?:up )?(?:to|til|till|until) now")),
    (_rolling, _p(r"within " + _N + r" (?P<unit>days?) of today")),
    (_fixed(1, "h"), _p(_FILL + r"(?:last|past|previous|trailing|most recent|latest|final) (?:hour|hr|60 min)(?: (?:up )?to now)?")),
    (_fixed(1, "h"), _p(r"(?:in |over )?the hour (?:up )?to now")),
    (_fixed(1, "min"), _p(_FILL + r"(?:last|past|previous) minute")),
    (_fixed(30, "min"), _p(_FILL + _LAST + r" (?:half (?:an |a )?hour|1/2 hour)(?: (?:up )?to now)?")),
    (_fixed(15, "min"), _p(_FILL + _LAST + r" quarter (?:of an |of a )?hour(?: (?:up )?to now)?")),
    (_fixed(15, "min"), _p(_FILL + r"(?:most recent|latest|last) quarter hour")),
    (_fixed(45, "min"), _p(_FILL + _LAST + r" (?:3|three) quarters of an hour")),
    (_fixed(90, "min"), _p(_FILL + _LAST + r" (?:hour and a half|1\.5 hours?)")),
    (_fixed(24, "h"), _p(_FILL + r"(?:last|past) (?:24 ?h|24 hours|24hrs)")),
    (_fixed(14, "d"), _p(_FILL + r"(?:last|past) (?:fortnight|two weeks|2 weeks|couple of weeks)")),
    (_simple("today"), _p(r"(?:on |for |in |of |during |as of |within |from |at )?(?:the )?(?:today|2day|todays|this session|current session|this trading day|current trading day|this date|current day|this day|the session|todays session|todays trade date|trade date today|current trade date|todays trading day|session today)(?: so far| to date)?")),
    (_simple("today"), _p(r"(?:today|2day|so far) (?:so far|today)")),
    (_simple("today"), _p(r"(?:on )?trade date (?:=|is|equals|equal to|of) (?:today|as of date)|(?:so far )?(?:this )?(?:session|day) to date|intraday|earlier today|all day(?: today)?|since midnight(?: utc)?")),
    (_simple("yesterday"), _p(r"(?:on |for |in |of |during |from )?(?:the )?(?:yesterday|yday|yesterdays|yesterdays session|previous trading day|prior trading day|previous session|prior session|last trading day|previous trading session|trading day before(?: today)?|session before(?: today)?|last session|prior day|previous day|previous business day|preceding session|preceding trading day|preceding day|day before today|t -1|t 1)(?: yesterday)?")),
    (_simple("week"), _p(r"(?:in |during |for |over |so far )?(?:this week|week to date|wtd|wk to date|current week|the current week|the week to date|the week so far|this wk|week so far)(?: so far| to date| to now)?")),
    (_simple("week"), _p(r"(?:counting )?(?:since|from|starting|as of) (?:this )?(?:monday|mon|the start of the week|start of week|the beginning of the week)(?: (?:this|of this) week)?(?: (?:on ?wards?|(?:up )?(?:to|til|till|until) (?:now|today|date)|so far))?")),
    (_simple("week"), _p(r"(?:between )?(?:monday|mon) (?:to|til|till|and|until|through) (?:now|today|date)")),
    (_simple("week"), _p(r"from the start of the week (?:till|until|to) now")),
    (_simple("last_week"), _p(r"(?:in |during |for |over |of |on )?(?:the )?(?:last week|previous week|prior week|last wk|prev wk|lastweek|week before|preceding week|last weeks|last calendar week|week before this(?: one)?|previous mon sun|previous monday to sunday|last full week)")),
    (_simple("last_week"), _p(r"(?:monday|mon) (?:to|through|-) ?(?:sunday|sun)(?: of (?:the )?(?:last|previous|prior) week)?")),
    (_simple("last_week"), _p(r"mon sun(?: of the (?:previous|last) week)?")),
    (_simple("month"), _p(r"(?:in |during |for |over |so far )?(?:this month|month to date|mtd|this month so far|the current month|current month|this calendar month|the current calendar month|current calendar month|the calendar month)(?: so far| to date| up to today| up to now| to now)?")),
    (_simple("month"), _p(r"(?:since|from) (?:the )?(?:1st|1|first|start)(?: day)?(?: of (?:the|this) (?:current )?month)?(?! of )(?: (?:on ?wards?|up to (?:today|now)|to now|to today|until now|till now))?")),
    (_simple("last_month"), _p(r"(?:in |during |for )?(?:the )?(?:last|previous|prior) (?:calendar )?month")),
    (_day_of_last_week, _p(r"(?P<since>since |from |starting (?:at |on |from |with )?|beginning (?:on |with )?)?(?:on |the )?(?:(?:last )?(?P<day>" + _DAY + r") (?:of )?(?:the )?(?:last|previous|prior) week|(?:last|previous|prior) weeks? (?P<day2>" + _DAY + r"))")),
    (_day_of_last_week, _p(r"(?P<since>since |from )?(?:last )?(?P<day>" + _DAY + r") (?:= ?)?(?:the |that is )?(?P<day2>" + _DAY + r") (?:of )?(?:the )?last week")),
    (_days, _p(r"(?:from |between )?(?P<low>" + _DAY + r") (?:and|to|till?|until|through|thru) (?P<high>" + _DAY + r")(?: this week)?")),
    (_since_day, _p(r"(?:since|from) (?:this |last )?(?P<day>" + _DAY + r")(?: (?:on ?wards?|(?:up )?(?:to|till|until) (?:now|today)))?")),
    (_on_day, _p(r"(?:on |of )?(?:(?P<which>this|last) )?(?P<day>" + "|".join(WEEKDAYS) + r")(?:s)?(?: (?:of )?this week)?")),
    (_fixed(0, "d", "before_today"), _p(r"(?:(?:entered |placed |put in |from |on )?(?:before today|(?:an )?earlier (?:trading )?days?|previous days|prior days|earlier sessions?|an earlier session|earlier trade dates?))")),
    (lambda m: TimePhrase("days_ago", 0, 0, n=float(m["n"])), _p(r"(?:exactly )?" + _N + r" (?:calendar )?days ago")),
    (lambda m: TimePhrase("days_ago", 0, 0, n=float(m["n"])), _p(r"(?:trade date )?today minus " + _N + r"(?: days)?")),
    (lambda m: TimePhrase("rolling", 0, 0, n=float(m["n"]), unit=unit_of(m["unit"])), _p(r"(?:since|from|starting) (?:about )?" + _N + r" (?P<unit>hours?|hrs?|h|minutes?|mins?|weeks?|wks?) ago")),
    (lambda m: TimePhrase("ago", 0, 0, n=float(m["n"]), unit=unit_of(m["unit"])), _p(r"(?:exactly |as of |at )?" + _N + r" (?P<unit>hours?|hrs?|h|minutes?|mins?|weeks?|wks?) ago(?: to the (?:minute|second|hour))?")),
    (lambda m: TimePhrase("tomorrow", 0, 0), _p(r"(?:on )?tomorrow")),
    (lambda m: TimePhrase("ahead", 0, 0, n=float(m["n"]), unit=unit_of(m["unit"])), _p(r"(?:in |over |within |during |for )?(?:the )?(?:next|coming|following) " + _N + r" " + _U)),
    (_fixed(7, "d", "ahead"), _p(r"(?:in |over |within )?(?:the )?(?:next|coming) week|(?:between now and )?a week (?:from now|ahead|out)")),
    (_simple("future"), _p(r"(?:still )?(?:upcoming|still to come|in the future|still in the future|yet to come|coming up|scheduled|from now on|after now|still ahead|not (?:yet )?happened|are due|due)")),
    (_clock, _p(r"(?:(?:in the window |window )?(?:between|from) )?(?P<low>" + _CLOCK + r"|\d{1,2}) (?:utc )?(?:\( ?inclusive ?\) |inclusive )?(?:and|to|till|until|til|through|up to) (?P<high>" + _CLOCK + r"|\d{1,2}(?= (?:utc|this afternoon|this morning|in the afternoon|pm)))(?: this (?:afternoon|morning))?" + _Z + r"(?: today)?")),
    (_clock, _p(r"(?P<low>\d{1,2}:\d{2}) (?P<high>\d{1,2}:\d{2})" + _Z + r"(?: today)?")),
    (_clock, _p(r"(?:since|after|from|later than|starting(?: after| at)?|going from) (?P<low>" + _CLOCK + r"|\d{1,2}(?= utc))(?: this (?:afternoon|morning))?" + _Z + r"(?: today)?(?: (?:on ?wards?|(?:up )?to (?:now|this moment)|till now|until now))?")),
    (_clock, _p(r"(?:before|until|till|by|earlier than|up to) (?P<high>" + _CLOCK + r"|\d{1,2}(?= utc))(?: this (?:afternoon|morning))?" + _Z + r"(?: today)?")),
    (_at, _p(r"(?P<low>" + _CLOCK.replace("noon|midday|midnight|", "") + r")" + _Z + r"(?: today)?")),
    (_at, _p(r"(?:as of |at |as at |at exactly |exactly )(?P<low>" + _CLOCK + r"|\d{1,2}(?= utc))" + _Z + r"(?: today)?")),
    (_month, _p(r"(?:in|during|throughout|for) (?:the month of )?(?P<month>" + "|".join(x for x in MONTHS if x not in ("may", "march")) + r")(?: (?P<year>20\d\d))?(?! \d)")),
    (_date, _p(r"(?P<since>since |from |before |until |till |after |prior to |up to )?(?:on |for )?(?:the )?(?P<dom>\d{1,2})(?: (?:st|nd|rd|th))?(?: of)? (?P<month>" + _MONTH + r")(?: (?P<year>20\d\d))?")),
    (_date, _p(r"(?P<since>since |from |before |until |till |after |prior to |up to )?(?:on |for )?(?P<month>" + _MONTH + r") (?P<dom>\d{1,2})(?:st|nd|rd|th)?(?: (?P<year>20\d\d))?")),
    (_date, _p(r"(?P<since>since |from |before |until |till |after |prior to |up to )?(?:on |for )?(?P<iso>20\d\d-\d\d-\d\d)")),
    (_venue_window, _p(r"(?:in |during |over )?(?:the )?(?:first|opening) " + _N + r" " + _U + r" (?:of|after|from) (?:the )?(?:continuous(?: trading)?|(?P<anchor>open(?:ing)?(?: bell)?|session|trading))(?: opened)?")),
    (_venue_window, _p(r"(?:in |during |over )?(?:the )?(?:last|final) " + _N + r" " + _U + r" (?:of|before|to|ahead of|running into|leading up to|up to) (?:the |todays )?(?:\w+ ){0,2}?(?P<anchor>session|close|closing auction|trading|auction)(?: (?:started|starts|begins|began))?")),
    (_venue_window, _p(r"(?:in |during |over )?(?:the )?" + _N + r" " + _U + r" (?:before|to|ahead of|running into|leading up to|up to|leading into|into) (?:the |todays )?(?:\w+ ){0,2}?(?P<anchor>close|closing auction|auction)(?: (?:started|starts|begins|began))?")),
    (_venue_window, _p(r"since (?:the |todays )?(?P<anchor>open)(?: today| this morning)?")),
    *((_offset(kind), _p(words)) for kind, words in OFFSETS),
    (_simple("now"), _p(r"(?:as (?:it|things) stands?(?: (?:now|at present|this minute|right now))?|as of (?:right )?now|right now|at the moment|at this moment|currently|this minute|this (?:very )?second|at present|this very moment|presently|at this point|rn|atm|these days|as we speak|this instant|as at now|now|at the as of time|still)")),
    (_simple("all"), _p(r"(?:over |for |in |across )?(?:all time|all dates|any date|ever|whole history|the whole history|full history|all history|no matter what day|all records|to date|on record|overall|at any time|all days|so far|everything we (?:have|hold))")),
]  # fmt: skip
