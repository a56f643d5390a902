"""Time phrases as SQL over a view's clock: half-open ranges, with "now" as a literal.

"Now" is the snapshot's as-of time. Days follow the trading calendar where the glossary says so: "yesterday" is the
previous trading day, not the previous date.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from nlq.understand.time_phrases import WEEKDAYS

if TYPE_CHECKING:
    from nlq.understand.time_phrases import TimePhrase

UNIT_SQL = {"s": "SECONDS", "min": "MINUTES", "h": "HOURS", "d": "DAYS", "w": "DAYS", "ms": "MILLISECONDS"}


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What a phrase is bound to."""

    as_of: datetime
    time: str | None
    """Timestamp column of the view."""
    day: str | None
    """Trade date column of the view."""
    venue: str | None = None
    base: str | None = None
    """Day that clock times and sessions are of, as SQL; None for the as-of date."""

    @property
    def now(self) -> str:
        """The as-of time as a literal."""
        return f"TIMESTAMP '{self.as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S}'"

    @property
    def today(self) -> str:
        """The as-of date as a literal."""
        return f"DATE '{self.as_of.astimezone(UTC):%Y-%m-%d}'"

    @property
    def date(self) -> date:
        """The as-of date."""
        return self.as_of.astimezone(UTC).date()


_CALENDAR = ("week", "month", "quarter", "year")


def predicates(phrase: TimePhrase, clock: Clock) -> list[str] | None:
    """The phrase as SQL over the clock's columns; [] when it needs none, None when it can't be bound there."""
    kind = phrase.kind
    if kind in ("all", "now"):
        return []
    if clock.time is None and clock.day is None:
        return None
    if kind == "rolling":
        return _rolling_sql(phrase, clock)
    if kind in (
        "today",
        "yesterday",
        "before_today",
        "before_week",
        "days_ago",
        "tomorrow",
        "on_day",
        "on_date",
        "before_date",
        "after_date",
    ):
        return _day_sql(phrase, clock)
    if kind in ("days", "dates"):
        return _range_sql(phrase, clock)
    if kind in (*_CALENDAR, "since_day", "since_date", "last_week", "last_month"):
        return _calendar_sql(phrase, clock)
    if kind in ("future", "ahead", "later_today", "older"):
        return _distance_sql(phrase, clock)
    if kind == "clock" and clock.time:
        return _clock_sql(phrase, clock)
    if kind == "at" and clock.time:
        return [f"{clock.time} <= {_instant(phrase.low, phrase.zone, clock)}"]
    if kind == "venue_window" and clock.time and clock.venue:
        return _venue_sql(phrase, clock)
    return None


def _date_column(clock: Clock) -> str:
    return clock.day or f"CAST({clock.time} AS DATE)"


def _day_sql(phrase: TimePhrase, clock: Clock) -> list[str]:
    column = _date_column(clock)
    if phrase.kind == "before_today":
        return [f"{column} < {clock.today}"]
    if phrase.kind == "before_week":
        return [f"{column} < CAST(date_trunc('WEEK', {clock.now}) AS DATE)"]
    if phrase.kind == "before_date":
        return [f"{column} < DATE '{_day_of(phrase, clock)}'"]
    if phrase.kind == "after_date":
        return [f"{column} > DATE '{_day_of(phrase, clock)}'", f"{column} <= {clock.today}"]
    if phrase.kind == "today":
        return [f"{column} = {clock.today}"]
    if phrase.kind == "yesterday":
        return [f"{column} = {previous_day(clock)}"]
    return [f"{column} = DATE '{_day_of(phrase, clock)}'"]


def _range_sql(phrase: TimePhrase, clock: Clock) -> list[str] | None:
    """From one day to another, both included."""
    if phrase.kind == "days":
        first, last = (str(_weekday(clock, name, last_week=False)) for name in (phrase.low, phrase.high))
    else:
        year = f"{clock.date:%Y}"
        first, last = (x if x[:4] != "0000" else year + x[4:] for x in (phrase.low, phrase.high))
    column = _date_column(clock)
    return [f"{column} >= DATE '{first}'", f"{column} <= DATE '{last}'"] if first <= last else None


def _calendar_sql(phrase: TimePhrase, clock: Clock) -> list[str]:
    """This week, last month, since Wednesday."""
    now, kind = clock.now, phrase.kind
    if kind in ("last_week", "last_month"):
        unit = kind[5:].upper()
        column = _date_column(clock)
        start = f"CAST(date_trunc('{unit}', {now}) AS DATE)"
        first = f"date_sub({start}, 7)" if unit == "WEEK" else f"add_months({start}, -1)"
        return [f"{column} >= {first}", f"{column} < {start}"]
    first = _first_day(phrase, clock)
    if clock.day:
        return [f"{clock.day} >= {first}", f"{clock.day} <= {clock.today}"]
    start = f"date_trunc('{kind.upper()}', {now})" if kind in _CALENDAR else f"CAST({first} AS TIMESTAMP)"
    return [f"{clock.time} >= {start}", f"{clock.time} <= {now}"]


def _distance_sql(phrase: TimePhrase, clock: Clock) -> list[str] | None:
    """Ahead of now, or longer ago than so much."""
    ts, day, now, today = clock.time, clock.day, clock.now, clock.today
    if phrase.kind == "older":
        if ts and phrase.unit != "mon":
            return [f"{ts} < {now} - {interval(phrase.n, phrase.unit)}"]
        return [f"{day} < date_sub({today}, {int(phrase.n)})"] if day and phrase.unit == "d" else None
    if phrase.kind == "ahead":
        if ts:
            return [f"{ts} > {now}", f"{ts} <= {now} + {interval(phrase.n, phrase.unit)}"]
        return [f"{day} > {today}", f"{day} <= date_add({today}, {int(phrase.n) * (7 if phrase.unit == 'w' else 1)})"]
    if ts is None:
        return None
    return [f"{ts} > {now}", *([f"CAST({ts} AS DATE) = {today}"] if phrase.kind == "later_today" else [])]


def interval(n: float, unit: str) -> str:
    """An INTERVAL of `n` units; fractions go down to a smaller unit."""
    if unit == "w":
        n, unit = n * 7, "d"
    smaller = {"h": ("min", 60), "min": ("s", 60), "d": ("h", 24)}
    while not float(n).is_integer() and unit in smaller:
        unit, factor = smaller[unit]
        n *= factor
    return f"INTERVAL {int(n)} {UNIT_SQL[unit]}"


def previous_day(clock: Clock) -> str:
    """The previous trading day as a subquery over the calendar."""
    at = f"venue = '{clock.venue}' AND " if clock.venue else ""
    return f"(SELECT max(trade_date) FROM trading_calendar WHERE {at}is_trading_day AND trade_date < {clock.today})"


def _rolling_sql(phrase: TimePhrase, clock: Clock) -> list[str] | None:
    ts, now = clock.time, clock.now
    if ts is None or phrase.unit == "mon":
        if clock.day is None or phrase.unit not in ("d", "w", "mon"):
            return None
        if phrase.unit == "mon":
            return [f"{clock.day} >= add_months({clock.today}, -{int(phrase.n)})", f"{clock.day} <= {clock.today}"]
        days = int(phrase.n * (7 if phrase.unit == "w" else 1))
        return [f"{clock.day} >= date_sub({clock.today}, {days})", f"{clock.day} <= {clock.today}"]
    return [f"{ts} >= {now} - {interval(phrase.n, phrase.unit)}", f"{ts} <= {now}"]


def _first_day(phrase: TimePhrase, clock: Clock) -> str:
    if phrase.kind in _CALENDAR:
        return f"CAST(date_trunc('{phrase.kind.upper()}', {clock.now}) AS DATE)"
    return f"DATE '{_day_of(phrase, clock)}'"


def _day_of(phrase: TimePhrase, clock: Clock) -> str:
    if phrase.kind == "days_ago":
        return str(clock.date - timedelta(days=int(phrase.n)))
    if phrase.kind == "tomorrow":
        return str(clock.date + timedelta(days=1))
    if phrase.kind in ("on_date", "since_date", "before_date", "after_date"):
        year = phrase.low[:4] if phrase.low[:4] != "0000" else f"{clock.date:%Y}"
        month = phrase.low[5:7] if phrase.low[5:7] != "00" else f"{clock.date:%m}"
        return f"{year}-{month}-{phrase.low[8:]}"
    if phrase.high == "last week":
        return str(_weekday(clock, phrase.low, last_week=True))
    back = (clock.date.weekday() - WEEKDAYS.index(phrase.low)) % 7
    if phrase.high == "last" and back == 0:
        back = 7
    return str(clock.date - timedelta(days=back))


def _weekday(clock: Clock, name: str, *, last_week: bool) -> date:
    """A day of the current calendar week, or of the one before."""
    monday = clock.date - timedelta(days=clock.date.weekday() + (7 if last_week else 0))
    return monday + timedelta(days=WEEKDAYS.index(name))


def _instant(text: str, zone: str, clock: Clock) -> str:
    hour, minute, second = (int(p) for p in text.split(":"))
    if clock.base is not None:
        midnight = datetime(clock.date.year, clock.date.month, clock.date.day, tzinfo=ZoneInfo(zone))
        shift = int((midnight.utcoffset() or timedelta()).total_seconds() // 60)
        return f"CAST({clock.base} AS TIMESTAMP) + INTERVAL {hour * 60 + minute - shift} MINUTES"
    local = datetime(clock.date.year, clock.date.month, clock.date.day, hour, minute, second, tzinfo=ZoneInfo(zone))
    return f"TIMESTAMP '{local.astimezone(UTC):%Y-%m-%d %H:%M:%S}'"


def _clock_sql(phrase: TimePhrase, clock: Clock) -> list[str]:
    out = []
    if phrase.low:
        out.append(f"{clock.time} >= {_instant(phrase.low, phrase.zone, clock)}")
        if not phrase.high:
            out.append(f"{clock.time} <= {clock.now}")
    if phrase.high:
        out.append(f"{clock.time} < {_instant(phrase.high, phrase.zone, clock)}")
        if not phrase.low:
            out.append(
                f"{clock.day} = {clock.base or clock.today}"
                if clock.day
                else f"{clock.time} >= date_trunc('DAY', {clock.now})"
            )
    return out


def _venue_sql(phrase: TimePhrase, clock: Clock) -> list[str]:
    column = {"open": "open_ts", "close": "close_ts", "auction": "closing_auction_start_ts"}[phrase.anchor]
    anchor = f"(SELECT {column} FROM trading_calendar WHERE venue = '{clock.venue}' AND trade_date = {clock.base or clock.today})"
    if not phrase.unit:
        return [f"{clock.time} >= {anchor}", f"{clock.time} <= {clock.now}"]
    span = interval(phrase.n, phrase.unit)
    if phrase.low == "after":
        return [f"{clock.time} >= {anchor}", f"{clock.time} < {anchor} + {span}"]
    return [f"{clock.time} >= {anchor} - {span}", f"{clock.time} < {anchor}"]
