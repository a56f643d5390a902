"""Keyword search: BM25 over a few thousand short texts, in memory, with no library and the same order every time."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_K1 = 1.2
"""How fast a repeated word stops counting more (the usual value)."""
_B = 0.75
"""How much long texts are discounted (the usual value)."""
_STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "by",
        "for",
        "from",
        "to",
        "and",
        "or",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "do",
        "does",
        "did",
        "i",
        "me",
        "my",
        "we",
        "our",
        "us",
        "you",
        "it",
        "its",
        "this",
        "that",
        "these",
        "those",
        "there",
        "what",
        "which",
        "who",
        "whom",
        "how",
        "many",
        "much",
        "show",
        "give",
        "list",
        "get",
        "tell",
        "please",
        "with",
        "as",
        "all",
        "any",
    ]
)
_ENDINGS = (
    "ations",
    "ation",
    "ings",
    "ing",
    "ions",
    "ion",
    "ies",
    "ers",
    "er",
    "ed",
    "es",
    "s",
    "ly",
)


def words(text: str) -> list[str]:
    """Words in a form in which plural, tense and case do not matter; stop words are dropped."""
    found = re.findall(r"[a-z0-9]+", text.lower())
    return [_stem(word) for word in found if word not in _STOP]


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            # "cancelled" and "cancel" meet when the doubled letter goes too.
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem
    return word


class KeywordIndex:
    """BM25 scores of fixed texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        bags = [Counter(words(text)) for text in texts]
        lengths = [sum(bag.values()) for bag in bags]
        average = sum(lengths) / len(lengths) if lengths else 1.0
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for n, (bag, length) in enumerate(zip(bags, lengths, strict=True)):
            for word, count in bag.items():
                weight = count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * length / average))
                self._postings[word].append((n, weight))
        self._rarity = {
            word: math.log(1 + (len(texts) - len(found) + 0.5) / (len(found) + 0.5))
            for word, found in self._postings.items()
        }

    def search(self, question: str, k: int) -> list[tuple[int, float]]:
        """Numbers and scores of the best `k` texts that share a word with the question, best first."""
        scores: dict[int, float] = defaultdict(float)
        for word in sorted(set(words(question))):
            for n, weight in self._postings.get(word, ()):
                scores[n] += weight * self._rarity[word]
        return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
