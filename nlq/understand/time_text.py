"""The question as time phrases are sought in it: simple words, numbers as digits, "p.m." as one word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.understand.numbers import number_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlq.understand.tokens import Token

MONTHS = "january february march april may june july august september october november december".split()
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
).split()


class TimeText:
    """The question as one string of simple words in which numbers are digits, with the way back to the tokens."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        pieces: list[tuple[str, int, int]] = []
        i = 0
        while i < len(tokens):
            low = tokens[i].low
            if (
                low[0].isdigit()
                and low != "2day"
                and (m := re.fullmatch(r"(\d+)(s|sec|m|min|mins|h|hr|hrs|d|am|pm|day|z)", low))
            ):
                pieces += [(m.group(1), i, i + 1), (m.group(2), i, i + 1)]
                i += 1
                continue
            if m := re.fullmatch(r"(\d{1,2})h(\d{2})", low):
                pieces.append((f"{m[1]}:{m[2]}", i, i + 1))
                i += 1
                continue
            number = number_at(tokens, i) if not low[0].isdigit() and low not in "$€£" else None
            if number is not None:
                # The unit stays outside: it is the pattern's to read.
                end = number.end - (1 if number.unit else 0)
                pieces.append((f"{number.value:g}", i, max(end, i + 1)))
                i = max(end, i + 1)
                continue
            if low not in ("-", ",", "."):
                pieces.append((low, i, i + 1))
            i += 1
        self.text, self.at = "", []
        for word, a, b in _simplified(pieces):
            self.at.append((len(self.text), a, b))
            self.text += word + " "

    def tokens_of(self, match: re.Match[str]) -> tuple[int, int]:
        """First token of a match and the one after its last."""
        inside = [(a, b) for offset, a, b in self.at if match.start() <= offset < match.end()]
        return inside[0][0], inside[-1][1]


def _simplified(pieces: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """ "P.m." and a dictated "p m" as one word, "the twentieth of November" with its number."""
    out: list[tuple[str, int, int]] = []
    for k, (word, a, b) in enumerate(pieces):
        if word == "m" and out and out[-1][0] in ("a", "p"):
            out[-1] = (f"{out[-1][0]}m", out[-1][1], b)
        elif word in ("p.m", "a.m"):
            out.append((f"{word[0]}m", a, b))
        elif word in _ORDINALS and _before_month([w for w, _, _ in pieces[k + 1 : k + 3]]):
            day = _ORDINALS.index(word) + 1
            if day < 10 and out and out[-1][0] in ("20", "30"):
                out[-1] = (str(int(out[-1][0]) + day), out[-1][1], b)
            else:
                out.append((str(day), a, b))
        else:
            out.append((word, a, b))
    return out


def _before_month(following: list[str]) -> bool:
    """Whether a month comes next, "of" between or not."""
    word = following[1] if following[:1] == ["of"] and len(following) > 1 else (following or [""])[0]
    return len(word) >= 3 and any(m == word or (len(word) == 3 and m.startswith(word)) for m in MONTHS)
