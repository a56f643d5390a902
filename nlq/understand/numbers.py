"""Numbers as people write and say them, with unit and comparison."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlq.understand.tokens import Token

ONES = {
    w: i
    for i, w in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
ONES["oh"] = 0
TENS = {w: 10 * i for i, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)}
SCALES = {"hundred": 100, "thousand": 1_000, "grand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
SUFFIX = {"": 1, "k": 1e3, "m": 1e6, "mm": 1e6, "mn": 1e6, "mio": 1e6, "bn": 1e9}
UNITS = {
    "%": "pct", "percent": "pct", "pct": "pct", "percentag": "pct", "bp": "bps", "bps": "bps", "bip": "bps",
    "bips": "bps", "ms": "ms", "msec": "ms", "millisecond": "ms", "millisec": "ms", "s": "s", "sec": "s", "secs": "s",
    "second": "s", "min": "min", "mins": "min", "minut": "min", "minute": "min", "m": "min", "h": "h", "hr": "h",
    "hrs": "h", "hour": "h", "d": "d", "day": "d", "week": "w", "wk": "w", "month": "mon", "shar": "qty",
    "lot": "qty", "contract": "qty", "unit": "qty", "coin": "qty", "x": "times", "tim": "times", "time": "times",
    "fold": "times", "sigma": "sd", "sd": "sd", "usd": "money", "eur": "money", "gbp": "money", "dollar": "money",
    "euro": "money", "pound": "money", "quid": "money", "buck": "money", "btc": "qty",
}  # fmt: skip
_NUMERIC = re.compile(r"^(\d[\d,]*(?:\.\d+)?)([a-z%]*)$")


@dataclass(frozen=True, slots=True)
class Number:
    """A number with its unit: pct, bps, ms, s, min, h, d, w, mon, qty, money, times, sd or nothing."""

    value: float
    unit: str | None
    start: int
    """First token."""
    end: int
    """Token after the last."""

    @property
    def text(self) -> str:
        """As an SQL literal."""
        return literal(self.value)


def literal(value: float) -> str:
    """A number as SQL text: no exponent, no needless zeros."""
    if float(value).is_integer():
        return str(int(value))
    return f"{value:.10f}".rstrip("0")


def number_at(tokens: Sequence[Token], i: int) -> Number | None:
    """The number that starts at token `i`, with the unit that follows it."""
    low = tokens[i].low
    if low in "$€£" and i + 1 < len(tokens):
        inner = number_at(tokens, i + 1)
        return Number(inner.value, "money", i, inner.end) if inner and inner.unit in (None, "min") else None
    plain = _digits(tokens, i) or _words(tokens, i)
    if plain is None:
        return None
    value, unit, end = plain
    end = min(end, len(tokens))
    if unit is None and end < len(tokens):
        unit, end = _unit(tokens, end)
    return Number(value, unit, i, end)


def _digits(tokens: Sequence[Token], i: int) -> tuple[float, str | None, int] | None:
    match = _NUMERIC.match(tokens[i].low)
    if not match:
        return None
    value, suffix = float(match.group(1).replace(",", "")), match.group(2)
    unit = None
    money = tokens[i - 1].low in "$€£" if i else False
    if suffix in ("m", "s", "h", "d") and not money:
        # "15m" is minutes when a time word precedes or nothing says money; the caller may still read it as a million.
        unit = UNITS[suffix]
    elif suffix in SUFFIX:
        value *= SUFFIX[suffix]
    elif suffix in UNITS:
        unit = UNITS[suffix]
    elif suffix:
        return None
    end = i + 1
    if end < len(tokens) and tokens[end].low in SCALES:
        value *= SCALES[tokens[end].low]
        end += 1
    elif end < len(tokens) and tokens[end].low in ("k", "mm", "bn", "mio"):
        value *= SUFFIX[tokens[end].low]
        end += 1
    return value, unit, end


def _words(tokens: Sequence[Token], i: int) -> tuple[float, str | None, int] | None:
    total, current, j, seen = 0.0, 0.0, i, False
    while j < len(tokens):
        low = tokens[j].low
        if low in ONES and low != "oh":
            current += ONES[low]
        elif low in TENS:
            current += TENS[low]
        elif low in SCALES and (seen or low in ("hundred", "thousand", "million")):
            scale = SCALES[low]
            if scale == 100:
                current = (current or 1) * 100
            else:
                total, current = total + (current or 1) * scale, 0
        elif (
            low in ("and", "-")
            and seen
            and j + 2 <= len(tokens)
            and j + 1 < len(tokens)
            and tokens[j + 1].low in (ONES | TENS)
        ):
            if low == "and" and not any(t.low in SCALES for t in tokens[i:j]):
                break
            j += 1
            continue
        else:
            break
        seen = True
        j += 1
    if not seen:
        return {"dozen": (12.0, None, i + 1)}.get(tokens[i].low)
    if j + 3 <= len(tokens) and [t.low for t in tokens[j : j + 3]] == ["and", "a", "half"]:
        return total + current + 0.5, None, j + 3
    if j + 1 < len(tokens) and tokens[j].low == "point" and tokens[j + 1].low in ONES:
        return total + current + ONES[tokens[j + 1].low] / 10, None, j + 2
    return total + current, None, j


def _unit(tokens: Sequence[Token], j: int) -> tuple[str | None, int]:
    if tokens[j].low == "-" and j + 1 < len(tokens) and UNITS.get(tokens[j + 1].stem) in ("d", "s", "min", "h", "w"):
        return UNITS[tokens[j + 1].stem], j + 2
    low, stem = tokens[j].low, tokens[j].stem
    pair = f"{low} {tokens[j + 1].low}" if j + 1 < len(tokens) else ""
    if pair in ("per cent",):
        return "pct", j + 2
    if pair.startswith("basis point"):
        return "bps", j + 2
    if pair in ("standard deviations", "standard deviation", "std devs", "std deviations"):
        return "sd", j + 2
    if low == "m":
        return "min", j + 1
    unit = UNITS.get(low) or UNITS.get(stem)
    return (unit, j + 1) if unit else (None, j)


BEFORE = {
    ">=": "at least|greater than or equal to|more than or equal to|no smaller than|no fewer than|no less than|not less than|minimum of|minimum|min|from|>=|≥|a minimum of",
    ">": "more than|over|above|greater than|bigger than|larger than|higher than|exceeding|exceed|exceeds|exceeded|upwards of|in excess of|surpassing|topping|greater then|more then|"
    "beyond|past|longer than|wider than|worse than|older than|north of|>|beats|topped|further than|better than|dearer than",
    "<=": "at most|no more than|not more than|up to|no longer than|maximum|max|<=|≤|less than or equal to|within|with in",
    "<": "less than|under|below|fewer than|smaller than|shorter than|lower than|quicker than|inside|<|short of|cheaper than|tighter than|faster than",
    "=": "exactly|equal to|equals|=",
    "<>": "other than|!=",
}
AFTER = {
    ">=": "or more|or bigger|or larger|or above|or over|or higher|or longer|and up|and above|and over|plus|minimum|up|or better|+|or greater|at least|or worse|or wider|upwards|or beyond",
    "<=": "or less|or fewer|or below|or under|and under|max|maximum|tops|or shorter|or smaller|or lower",
    ">": "clear",
}


def _phrases(table: dict[str, str]) -> dict[tuple[str, ...], str]:
    return {tuple(p.split()): op for op, text in table.items() for p in text.split("|")}


_BEFORE, _AFTER = _phrases(BEFORE), _phrases(AFTER)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A number with what it is compared by."""

    op: str
    number: Number
    start: int
    end: int
    explicit: bool
    """A comparing word stood there; False when only the number did."""


def comparison_at(tokens: Sequence[Token], i: int) -> Comparison | None:
    """The comparison that starts at token `i`: "at least three", "5 % or more", "> 10"."""
    lows = [t.low for t in tokens[i : i + 6]]
    for n in range(min(5, len(lows)), 0, -1):
        op = _BEFORE.get(tuple(lows[:n]))
        if op is None:
            continue
        j = i + n
        while (
            j < len(tokens)
            and tokens[j].low in ("a", "an", "the", "about", "or", "equal", "to", "like")
            and j < i + n + 3
        ):
            if tokens[j].low in ("a", "an") and (_fraction(tokens, j) or _one(tokens, j)):
                break
            j += 1
        number = _fraction(tokens, j) or (number_at(tokens, j) if j < len(tokens) else None) or _one(tokens, j)
        if number is None:
            continue
        return Comparison(op, number, i, number.end, True)
    number = number_at(tokens, i)
    if number is None and tokens[i].low in ("twice", "double", "triple", "once") and _after(tokens, i + 1):
        number = _fraction(tokens, i) or Number(1, "times", i, i + 1)
    if number is None:
        return None
    after = _after(tokens, number.end)
    if not after and number.unit is None and number.end + 1 < len(tokens) and tokens[number.end].stem in _COUNTED:
        after = _after(tokens, number.end + 1)
    if after:
        op, end = after
        unit = number.unit
        if unit is None and end < len(tokens):
            unit, end = _unit(tokens, end)
        return Comparison(op, Number(number.value, unit, number.start, end), i, end, True)
    return Comparison("=", number, i, number.end, False)


def _one(tokens: Sequence[Token], j: int) -> Number | None:
    """ "A minute", "an hour" behind a comparing word."""
    if j + 1 < len(tokens) and tokens[j].low in ("a", "an", "one"):
        unit = UNITS.get(tokens[j + 1].stem)
        if unit in ("s", "min", "h", "d", "w"):
            return Number(1, unit, j, j + 2)
    return None


_COUNTED = {
    "order",
    "fill",
    "trad",
    "alert",
    "print",
    "cancel",
    "quot",
    "replac",
    "nam",
    "venu",
    "event",
    "account",
    "amend",
}


def _after(tokens: Sequence[Token], j: int) -> tuple[str, int] | None:
    lows = [t.low for t in tokens[j : j + 3]]
    for n in (2, 1):
        if len(lows) >= n and (op := _AFTER.get(tuple(lows[:n]))):
            if lows[0] == "and" and j + n < len(tokens) and number_at(tokens, j + n) is not None:
                return None  # "over 100 and under 500": the word belongs to the next number
            return op, j + n
    return None


_FRACTION = {
    "half": 0.5, "a half": 0.5, "a quarter": 0.25, "a third": 1 / 3, "a fifth": 0.2, "a tenth": 0.1, "two thirds": 2 / 3,
    "three quarters": 0.75, "double": 2, "twice": 2, "triple": 3, "treble": 3, "twofold": 2, "threefold": 3, "fivefold": 5,
    "tenfold": 10, "quadruple": 4, "half a": 0.5,
}  # fmt: skip


def _fraction(tokens: Sequence[Token], j: int) -> Number | None:
    for n in (2, 1):
        text = " ".join(t.low for t in tokens[j : j + n])
        if len(tokens[j : j + n]) == n and text in _FRACTION:
            unit: str | None = "times"
            end = j + n
            if text in ("half a", "half", "a quarter", "three quarters") and end < len(tokens):
                k = end + (tokens[end].low in ("of", "a"))
                k += k < len(tokens) and tokens[k].low in ("a", "an")
                if k < len(tokens) and UNITS.get(tokens[k].stem) in ("s", "h", "pct", "min", "d"):
                    unit, end = UNITS[tokens[k].stem], k + 1
            return Number(_FRACTION[text], unit, j, end)
    return None


def fraction_at(tokens: Sequence[Token], j: int) -> Number | None:
    """A fraction or multiple in words that starts at token `j`."""
    return _fraction(tokens, j)
