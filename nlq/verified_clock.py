"""The clock of a statement that is to answer tomorrow, too: "now" as a slot, no instant that the question left open."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from nlq.verified_form import VerifiedError

_LITERAL = re.compile(r"\b(TIMESTAMP|DATE)\s*'([^']+)'", re.IGNORECASE)
_CLOCK_READ = re.compile(r"\bcurrent_(timestamp|date)\b(\s*\(\s*\))?|\bnow\s*\(\s*\)", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def timeless(sql: str, question: str, as_of: datetime | None) -> str:
    """The SQL with `{as_of}` and `{as_of_date}` in the place of its clock.

    A draft is bound to the time of its question: "today" stands in it as a date. Kept so, the approved question would
    answer every later day with the data of that one day.

    Args:
        sql: Spark SQL, drafted or written at `as_of`.
        question: whose words may state a day of their own.
        as_of: the time that the draft was bound to; None for SQL written by hand.

    Raises:
        VerifiedError: a day or instant is left that the question does not state.
    """

    def clock(found: re.Match[str]) -> str:
        kind, text = found.group(1).upper(), found.group(2).strip()
        try:
            moment = datetime.fromisoformat(text.replace(" ", "T", 1))
        except ValueError:
            return found.group(0)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        if as_of is not None:
            if kind == "DATE" and moment.date() == as_of.astimezone(UTC).date():
                return "{as_of_date}"
            if kind == "TIMESTAMP" and abs(moment - as_of) < timedelta(seconds=1):
                return "{as_of}"
        if _states_day(question, moment):
            return found.group(0)
        raise VerifiedError(
            f"{found.group(0)} is a fixed time that the question does not name, so the same question would be answered "
            "about that day for ever. Write it from {as_of} (now) or {as_of_date} (today), such as "
            "{as_of} - INTERVAL 5 MINUTES."
        )

    reads = _CLOCK_READ.sub(lambda m: "{as_of_date}" if (m.group(1) or "").lower() == "date" else "{as_of}", sql)
    return _LITERAL.sub(clock, reads)


def _states_day(question: str, moment: datetime) -> bool:
    """Whether the question names the day of an instant: as 2026-11-09, 9.11., 11/9 or "9 November"."""
    text = question.lower()
    if f"{moment:%Y-%m-%d}" in text:
        return True
    day, month = str(moment.day), str(moment.month)
    pairs = {(day.zfill(2), month.zfill(2)), (day, month), (month.zfill(2), day.zfill(2)), (month, day)}
    if any(re.search(rf"(?<!\d){a}[./]{b}(?!\d)", text) for a, b in pairs):
        return True
    named = _MONTHS[moment.month - 1]
    return bool(
        re.search(rf"\b{named}[a-z]*\.?\s+{day}(?:st|nd|rd|th)?\b|\b{day}(?:st|nd|rd|th)?\s+(?:of\s+)?{named}", text)
    )
