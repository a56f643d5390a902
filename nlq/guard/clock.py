"""Now is the as-of time of the answer: every function and word that reads a clock becomes a literal of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from sqlglot import exp

from nlq.guard.rules import Refused

_INSTANTS = (exp.CurrentTimestamp, exp.Localtimestamp)
_WORDS = {"now", "today", "tomorrow", "yesterday"}
_CASTS = (exp.Cast, exp.TryCast, exp.TsOrDsToDate, exp.StrToTime, exp.TimeStrToTime)


def pin_clock(tree: exp.Expr, as_of: datetime | None) -> exp.Expr:
    """Replace clock reads in place; `as_of` is aware.

    Raises:
        Refused: CLOCK without `as_of`, CLOCK_WORD for a special time word that is not cast.
    """
    found = [
        node
        for node in tree.walk()
        if isinstance(node, (*_INSTANTS, exp.CurrentDate)) or (isinstance(node, exp.Literal) and _is_word(node))
    ]
    for node in found:
        if as_of is None:
            raise Refused("CLOCK")
        now = as_of.astimezone(UTC)
        if isinstance(node, exp.Literal):
            _replace_word(node, now)
        elif isinstance(node, exp.CurrentDate):
            node.replace(date_literal(now.date()))
        else:
            node.replace(timestamp_literal(now))
    return tree


def timestamp_literal(instant: datetime) -> exp.Expr:
    """`CAST('2026-11-20 18:30:00' AS TIMESTAMP)`, with microseconds where there are any."""
    utc = instant.astimezone(UTC).replace(tzinfo=None)
    return exp.cast(exp.Literal.string(utc.isoformat(sep=" ")), exp.DType.TIMESTAMPTZ)


def date_literal(day: date) -> exp.Expr:
    """`CAST('2026-11-20' AS DATE)`."""
    return exp.cast(exp.Literal.string(day.isoformat()), exp.DType.DATE)


def _is_word(literal: exp.Literal) -> bool:
    return bool(literal.is_string) and literal.this.strip().lower() in _WORDS


def _replace_word(literal: exp.Literal, now: datetime) -> None:
    if not isinstance(literal.parent, _CASTS):
        raise Refused("CLOCK_WORD")
    word = literal.this.strip().lower()
    if word == "now":
        literal.replace(exp.Literal.string(now.replace(tzinfo=None).isoformat(sep=" ")))
        return
    day = now.date() + timedelta(days={"today": 0, "tomorrow": 1, "yesterday": -1}[word])
    literal.replace(exp.Literal.string(day.isoformat()))
