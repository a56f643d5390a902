"""Trading sessions of the simulated venues: time zones with summer time, holidays, half days, phases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Phase = Literal["PRE_OPEN", "OPENING_AUCTION", "CONTINUOUS", "CLOSING_AUCTION", "POST_CLOSE", "CLOSED"]
Hours = Literal["real", "always"]
MINUTE_US = 60_000_000


@dataclass(frozen=True)
class Venue:
    """Usual local hours of one venue."""

    mic: str
    timezone: str
    opens: time
    closes: time
    half_day_closes: time | None = None
    closing_auction_min: int = 0
    """Length of the closing auction in minutes; 0 = none, and no opening auction either."""
    every_day: bool = False


VENUES = {
    v.mic: v
    for v in (
        Venue("XNAS", "America/New_York", time(9, 30), time(16, 0), time(13, 0), 10),
        Venue("XNYS", "America/New_York", time(9, 30), time(16, 0), time(13, 0), 10),
        Venue("XCBO", "America/New_York", time(9, 30), time(16, 0), time(13, 0)),
        Venue("XLON", "Europe/London", time(8, 0), time(16, 35), time(12, 35), 5),
        Venue("XETR", "Europe/Berlin", time(9, 0), time(17, 35), None, 5),
        # The real session opens at 17:00 the day before; here a trade date is one local day at every venue.
        Venue("XCME", "America/Chicago", time(0, 0), time(16, 0)),
        Venue("BTSP", "UTC", time(0, 0), time(0, 0), every_day=True),
    )
}
US = ("XNAS", "XNYS", "XCBO")
ALWAYS = ((0, 5), (23, 50), (23, 55))
"""Open, closing auction and close of a venue that never rests, local hour and minute."""
# (venues, ISO week modulo 4, weekday, name, or None for a half day): every four weeks have holidays and half days.
SPECIAL_DAYS: tuple[tuple[tuple[str, ...], int, int, str | None], ...] = (
    (US, 2, 3, "Founders Day"),
    (US, 2, 4, None),
    (("XLON",), 3, 3, "Bank Holiday"),
    (("XLON",), 3, 2, None),
    (("XETR",), 1, 2, "Day of Repentance"),
)


@dataclass(frozen=True)
class Session:
    """One venue's trading day. Instants are epoch microseconds; they are 0 on a closed day."""

    venue: str
    trade_date: date
    timezone: str
    is_open: bool
    open_us: int = 0
    close_us: int = 0
    closing_auction_us: int | None = None
    is_half_day: bool = False
    holiday_name: str | None = None
    lead_min: int = 30
    """Minutes of the phases before the open."""

    def phases(self) -> list[tuple[int, Phase]]:
        """When each phase begins, in order; ends with CLOSED."""
        if not self.is_open:
            return []
        if self.venue == "BTSP":
            return [(self.open_us, "CONTINUOUS"), (self.close_us, "CLOSED")]
        lead = self.lead_min * MINUTE_US
        found: list[tuple[int, Phase]] = [(self.open_us - lead, "PRE_OPEN")]
        if self.closing_auction_us is not None:
            found.append((self.open_us - lead // 3, "OPENING_AUCTION"))
        found.append((self.open_us, "CONTINUOUS"))
        if self.closing_auction_us is not None:
            found.append((self.closing_auction_us, "CLOSING_AUCTION"))
        after = 4 * MINUTE_US if self.lead_min < 30 else 15 * MINUTE_US
        return [*found, (self.close_us, "POST_CLOSE"), (self.close_us + after, "CLOSED")]


def to_us(moment: datetime) -> int:
    """Epoch microseconds of an aware datetime, exactly."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def from_us(instant_us: int) -> datetime:
    """Aware UTC datetime of epoch microseconds."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant_us)


def session(mic: str, day: date, hours: Hours = "real") -> Session:
    """The venue's session of that trade date.

    `hours="always"` keeps the venue open from 00:05 to 23:55 local time, weekends included: a demonstration that starts
    on a Sunday night has a market to ask about.
    """
    venue = VENUES[mic]
    zone = ZoneInfo(venue.timezone)
    if venue.every_day:
        start = datetime.combine(day, time(0), UTC)
        return Session(mic, day, venue.timezone, True, to_us(start), to_us(start + timedelta(days=1)))
    if hours == "always":
        begins, auction, ends = (to_us(datetime.combine(day, time(h, m), zone)) for h, m in ALWAYS)
        closing = auction if venue.closing_auction_min else None
        return Session(mic, day, venue.timezone, True, begins, ends, closing, lead_min=5)
    holiday = holiday_name(mic, day)
    if holiday:
        return Session(mic, day, venue.timezone, False, holiday_name=holiday)
    half = is_half_day(mic, day)
    opens = datetime.combine(day, venue.opens, zone)
    closes = venue.half_day_closes if half and venue.half_day_closes else venue.closes
    close_us = to_us(datetime.combine(day, closes, zone))
    closing = close_us - venue.closing_auction_min * MINUTE_US if venue.closing_auction_min else None
    return Session(mic, day, venue.timezone, True, to_us(opens), close_us, closing, is_half_day=half)


def holiday_name(mic: str, day: date) -> str | None:
    """Why the venue is closed that day; None when it is open."""
    if VENUES[mic].every_day:
        return None
    if day.weekday() >= 5:
        return "Weekend"
    week = day.isocalendar().week % 4
    return next(
        (name for mics, w, d, name in SPECIAL_DAYS if name and mic in mics and (w, d) == (week, day.weekday())), None
    )


def is_half_day(mic: str, day: date) -> bool:
    """Whether the session is shortened."""
    week = day.isocalendar().week % 4
    return any(name is None and mic in mics and (w, d) == (week, day.weekday()) for mics, w, d, name in SPECIAL_DAYS)


@dataclass(frozen=True)
class Calendar:
    """Sessions of all venues over a range of days."""

    first: date
    last: date
    always_from_us: int | None = None
    """Venues never rest from the local day of this instant on; None keeps real hours."""

    def session(self, mic: str, day: date) -> Session:
        """The venue's session of that trade date."""
        open_always = False
        if self.always_from_us is not None:
            open_always = day >= from_us(self.always_from_us).astimezone(ZoneInfo(VENUES[mic].timezone)).date()
        return session(mic, day, "always" if open_always else "real")

    def days(self) -> list[date]:
        """All days of the range."""
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]

    def sessions(self) -> list[Session]:
        """All venues' sessions, by venue and day."""
        return [self.session(mic, day) for mic in VENUES for day in self.days()]

    def trading_days_back(self, day: date, n: int) -> date:
        """The n-th day before `day` that XNAS trades on."""
        while n > 0:
            day -= timedelta(days=1)
            n -= session("XNAS", day).is_open
        return day
