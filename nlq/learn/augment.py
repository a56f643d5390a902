"""Other wordings of a training question that leave its sketch as it is. Deterministic for a given generator."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_FILLER = frozenset(
    [
        "the",
        "a",
        "an",
        "of",
        "please",
        "kindly",
        "me",
        "is",
        "are",
        "was",
        "were",
        "do",
        "did",
        "does",
        "for",
        "to",
        "have",
        "has",
        "had",
        "been",
        "there",
        "any",
        "i",
        "we",
        "you",
        "want",
    ]
)
_OPENINGS = (
    "please ",
    "show me ",
    "can you tell me ",
    "i need ",
    "quick one: ",
    "uh ",
    "hi, ",
    "list: ",
    "for my report, ",
)
_TODAY = ("today", "this session", "so far today", "today so far", "in today's session")
_PERIOD = re.compile(
    r"\b(last|past|previous) (?:\d+|two|three|five|ten|fifteen|twenty|thirty) (minutes|hours|days)\b", re.IGNORECASE
)
_NUMBER = re.compile(r"(?<![\w-])\d+(?![\w-])")
_AMOUNTS = ("2", "3", "5", "10", "15", "20", "30")


def vary(question: str, names: Sequence[Sequence[str]], random: random.Random) -> str:
    """One random rewording. `names` are groups of interchangeable names, such as the symbols of equities."""
    text = question
    if random.random() < 0.5:
        text = _swap_names(text, names, random)
    if random.random() < 0.4:
        text = _PERIOD.sub(lambda m: f"{random.choice(('last', 'past'))} {random.choice(_AMOUNTS)} {m[2]}", text)
        text = _NUMBER.sub(lambda m: _number_like(m[0], random), text)
    if random.random() < 0.2:
        text = re.sub(r"\b(?:today|this session)\b", random.choice(_TODAY), text)
    if random.random() < 0.15:
        text = " ".join(w for w in text.split() if w.lower() not in _FILLER)
    if random.random() < 0.15:
        text = random.choice(_OPENINGS) + text
    if random.random() < 0.3:
        text = _typo(text, random)
    return text


def _swap_names(text: str, names: Sequence[Sequence[str]], random: random.Random) -> str:
    for group in names:
        for name in group:
            if name in text and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text):
                return re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", random.choice(group), text)
    return text


def _number_like(number: str, random: random.Random) -> str:
    if len(number) == 1:
        return number if number in "01" else str(random.randint(2, 9))
    return str(random.randint(1, 9)) + "".join(random.choice("0005") for _ in number[1:])


def _typo(text: str, random: random.Random) -> str:
    words = text.split(" ")
    long = [i for i, w in enumerate(words) if len(w) > 4 and w.isalpha()]
    if not long:
        return text
    place = random.choice(long)
    word = words[place]
    at = random.randint(1, len(word) - 2)
    match random.randint(0, 2):
        case 0:
            word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            word = word[:at] + word[at + 1 :]
        case _:
            word = word[:at] + word[at] + word[at:]
    words[place] = word
    return " ".join(words)
