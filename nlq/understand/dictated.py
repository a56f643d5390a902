"""Identifiers spoken letter by letter and digit by digit: "T forty four", "A B C dot B"."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from nlq.understand.numbers import ONES, TENS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlq.understand.tokens import Token

_SPOKEN = {
    **{w: str(i) for i, w in enumerate("zero one two three four five six seven eight nine".split())},
    "oh": "0", "dot": ".", "dash": "-", "hyphen": "-", "point": ".",
}  # fmt: skip


def question_form(tokens: Sequence[Token]) -> str:
    """Tokens as they stood, with a blank where there was one."""
    out = tokens[0].text
    for before, token in pairwise(tokens):
        out += (" " if token.start > before.end else "") + token.text
    return out.strip(".,;:?!")


def spoken(tokens: Sequence[Token]) -> list[str] | None:
    """Ways to write down what was spelled: digits one by one, in tens, or as one number."""
    letters, digits, whole = "", "", 0
    for token in tokens:
        low = token.low
        if low in TENS:
            digits += str(TENS[low])
            whole += TENS[low]
        elif (low in ONES and low != "oh") or low == "oh":
            value = ONES[low]
            if digits.endswith("0") and len(digits) >= 2 and 0 < value < 10 and tokens and _was_tens(tokens, token):
                digits = digits[:-1] + str(value)
            else:
                digits += str(value)
            whole += value
        elif low == "hundred":
            digits += "00"
            whole *= 100
        elif low == "thousand":
            digits += "000"
            whole *= 1000
        elif low == "-" or low in _SPOKEN:
            continue
        elif (len(low) == 1 and low.isalpha()) or low == "algo" or (low.isdigit() and len(low) <= 4):
            if low.isdigit():
                digits += low
            elif digits:
                letters += digits
                digits = ""
                letters += low
            else:
                letters += low
        elif low in ("deriv", "crypto", "mm", "ldn", "fra", "ny"):
            letters += low
        else:
            return None
    return [letters + digits] + ([letters + str(whole)] if whole else [])


def _was_tens(tokens: Sequence[Token], token: Token) -> bool:
    from nlq.understand.numbers import TENS

    k = list(tokens).index(token)
    return k > 0 and tokens[k - 1].low in TENS
