"""What the trading calendar is asked: which venues are open, short days, holidays, the next session."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.bind.when import clock_of
from nlq.plan import Part

if TYPE_CHECKING:
    from nlq.bind.state import Binder

_OPEN = ("open", "shut", "closed", "close")
_WEEKDAY = re.compile(
    r"\bweekdays?\b|\bmon(?:day)?[- ](?:to|-|through)[- ]fri(?:day)?s?\b|\b(?:not|isn'?t|aren'?t|other than|no|excl\w*|except)\b[^.;]{0,20}"
    r"\b(?:sat(?:urdays?)?|sun(?:days?)?|weekends?)(?:\W*(?:/|or|and|nor)\W*(?:sat(?:urdays?)?|sun(?:days?)?))?",
    re.IGNORECASE,
)
_POLAR = re.compile(
    r"^\W*(?:is|are|will|does|do|was|did)\b|\bor not\b|\byes\W{0,3}(?:or )?no\b|\bopen (?:tomorrow|today)\W*\?|\bwhether\b",
    re.IGNORECASE,
)
_NO_AUCTION = re.compile(
    r"\b(?:no|without(?: an?)?|lack\w*(?: an?)?|not have an?|never)\b[^.;]{0,15}\b(?:closing )?auction(?: at the (?:end|close))?|closing auction (?:n/?a|missing|none|null)",
    re.IGNORECASE,
)
_NEXT = re.compile(r"\b(?:next|following|first)\b[^.;?]{0,40}\b(?:trading day|trading date|session|open(?:s|ed)?|trades?|day)\b", re.IGNORECASE)  # fmt: skip


def bind_sessions(b: Binder) -> None:
    """Sessions: which are open now, those without an auction, and today's where no day is said."""
    if b.view != "trading_calendar":
        return
    _closures(b)
    _short_or_shut(b)
    _auctions(b)
    words = {m.text.lower() for m in b.reading.mentions}
    now = clock_of(b).now
    today = f"trade_date = {clock_of(b).today}"
    if any(m.time is not None and m.time.kind == "now" for m in b.reading.mentions) and words & set(_OPEN):
        sql = f"is_trading_day AND open_ts <= {now} AND close_ts > {now}"
        sql = sql if "open" in words else f"NOT ({sql}) AND {today}"
        said = next(m for m in b.reading.mentions if m.text.lower() in _OPEN)
        b.bound.where = [p for p in b.bound.where if "is_trading_day" not in p.sql]
        b.bound.where.append(Part(sql=sql, phrase=said.text, span=said.span, reason="glossary: in session now"))
        b.bound.used |= {i for i, m in enumerate(b.reading.mentions) if m is said}
        return
    dated = any("_date" in p.sql or "_ts" in p.sql for p in b.bound.where)
    if dated and _POLAR.search(b.reading.question) and "venue" in b.bound.columns:
        # One venue on one day: the row says whether it is open.
        said_open = [p for p in b.bound.where if p.sql in ("is_trading_day", "NOT is_trading_day")]
        b.bound.where = [p for p in b.bound.where if p not in said_open]
        b.bound.used |= {
            i for i, m in enumerate(b.reading.mentions) if m.is_op("yesno", "not") or m.text.lower() in _OPEN
        }
        return
    hours = {"open_ts", "close_ts", "closing_auction_start_ts"}
    asked = any(s.name in hours for m in b.reading.mentions for s in m.of("col"))
    special = any("is_half_day" in p.sql or "NOT is_trading_day" in p.sql for p in b.bound.where)
    timed = any(m.time is not None for m in b.reading.mentions)
    if asked and not (dated or special or timed) and not {"holiday", "holidays", "usually", "normally"} & words:
        b.bound.where.append(Part(sql=today, reason="default: today's session"))


def _closures(b: Binder) -> None:
    """ "Weekday closures", "not just a Saturday or Sunday": days that are shut for a holiday."""
    found = _WEEKDAY.search(b.reading.question)
    if found is None or not any(p.sql.startswith("NOT is_trading_day") for p in b.bound.where):
        return
    sql = "NOT is_trading_day AND holiday_name <> 'Weekend'"
    loose = ("NOT is_trading_day", sql, "holiday_name <> 'Weekend'", "holiday_name = 'Weekend'")
    b.bound.where = [p for p in b.bound.where if p.sql not in loose]
    b.bound.where.append(Part(sql=sql, phrase=found.group(), span=found.span(), reason="glossary: holiday"))
    b.bound.used |= {
        i for i, m in enumerate(b.reading.mentions) if m.span[0] < found.end() and found.start() < m.span[1]
    }


def _short_or_shut(b: Binder) -> None:
    """ "Half days and holidays": either of the two, since no day is both."""
    half = next((p for p in b.bound.where if p.sql == "is_half_day"), None)
    shut = next((p for p in b.bound.where if p.sql.startswith("NOT is_trading_day")), None)
    if half is None or shut is None:
        return
    rest = [p for p in b.bound.where if p is not half and not p.sql.startswith("NOT is_trading_day")]
    if not re.search(r"holiday|closure|full", b.reading.question, re.IGNORECASE):
        # "The half days: what time did they shut": shutting is what every session does.
        b.bound.where = [*rest, half]
        return
    holiday = next((p for p in b.bound.where if "holiday_name" in p.sql), shut)
    either = f"({half.sql} OR ({holiday.sql}))"
    phrase = f"{half.phrase}, {shut.phrase}"
    b.bound.where = [*rest, Part(sql=either, phrase=phrase, span=half.span, reason=half.reason)]


def _auctions(b: Binder) -> None:
    """ "Venues that run no closing auction"."""
    found = _NO_AUCTION.search(b.reading.question)
    if found is None:
        return
    b.bound.where = [p for p in b.bound.where if "session_phase" not in p.sql]
    b.bound.where.append(
        Part(sql="closing_auction_start_ts IS NULL", phrase=found.group(), span=found.span(), reason="glossary: missing value")
    )  # fmt: skip
    if all("is_trading_day" not in p.sql for p in b.bound.where):
        b.bound.where.append(Part(sql="is_trading_day", reason="default: sessions"))
    b.bound.used |= {
        i for i, m in enumerate(b.reading.mentions) if m.span[0] < found.end() and found.start() < m.span[1]
    }
