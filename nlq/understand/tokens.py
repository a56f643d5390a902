"""A question as tokens that remember where they stood."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(
    r"""
    \d{4}-\d{2}-\d{2}                                  # a date
  | \d{1,2}:\d{2}(?::\d{2})?z?                         # a time of day
  | [<>]=?|!=|=|≥|≤
  | w/o(?![a-z])|w/(?=\s|[a-z])
  | [$€£]
  | \d+(?:,\d{3})+(?:\.\d+)?[a-z%]*                    # 50,000
  | \d+\.\d+[a-z%]*                                    # 2.5m
  | \d+[a-z%]*(?![\w])                                 # 50k, 5%, 2day
  | [a-z0-9][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+           # orders.events, ABC.B
  | [a-z0-9_]+(?:['’](?=[a-z]))?[a-z]*
  | [%&?+/#|*,;:.!()-]
    """,
    re.IGNORECASE | re.VERBOSE,
)
_IRREGULAR = {
    "people": "person",
    "ppl": "person",
    "bought": "buy",
    "sold": "sell",
    "dealt": "deal",
    "put": "put",
    "sent": "send",
    "held": "hold",
    "indices": "index",
    "cos": "because",
    "news": "news",
    "highest": "highest",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or sign."""

    text: str
    low: str
    stem: str
    start: int
    end: int
    repaired: bool = False
    """Whether `low` is not what was typed but what must have been meant."""

    @property
    def is_sign(self) -> bool:
        """Punctuation that carries no meaning by itself."""
        return len(self.text) == 1 and not self.text.isalnum() and self.text not in "<>=%$€£+#"


def tokenize(text: str) -> list[Token]:
    """Split a question into tokens; `start` and `end` are character positions in `text`."""
    plain = fold(text)
    found = []
    for match in _TOKEN.finditer(plain):
        low = match.group().lower().replace("’", "'")
        low = low.removesuffix("'s")
        low = {"w/o": "without", "w/": "with"}.get(low, low.replace("'", ""))
        found.append(Token(text[match.start() : match.end()], low, stem(low), match.start(), match.end()))
    return found


def fold(text: str) -> str:
    """The text in plain Latin letters of the same length, so that positions stay true."""
    out = []
    for char in text:
        if ord(char) < 128:
            out.append(char)
            continue
        base = unicodedata.normalize("NFKD", char)
        out.append(base[0] if base and ord(base[0]) < 128 else char)
    return "".join(out)


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A crude stem that is the same for "cancel", "cancels", "cancelled" and "cancelling"."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 3 or not word.isalpha():
        return word
    for ending in ("ings", "ing", "ied", "ies", "ed", "es", "s"):
        if not word.endswith(ending) or len(word) - len(ending) < 3:
            continue
        if ending == "s" and word.endswith(("ss", "us", "is")):
            break
        root = word[: -len(ending)]
        if ending in ("ied", "ies"):
            return root + "y"
        if ending == "es":
            return root if len(root) > 2 else root + "e"
        if ending in ("ing", "ings", "ed"):
            if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "s":
                return _e(root[:-1])
            return _e(root)
        return _e(root)
    return _e(word)


def _e(root: str) -> str:
    return root[:-1] if root.endswith("e") and len(root) > 3 else root
