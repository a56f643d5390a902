"""Names of people stay on this machine: what a model elsewhere reads holds ids in their place."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nlq.record.redact import redact

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nlq.understand.mentions import Extractor
    from retrieval.documents import Document
    from retrieval.values import ValueIndex

_PEOPLE = frozenset({"trader", "account"})
_NAMED = frozenset({"name", "surname", "typo"})
_GAP = re.compile(r"[\s,._-]+")
_SHORTEST = 3
"""Letters of a part of a name that is looked for on its own."""


def is_elsewhere(url: str) -> bool:
    """Whether an endpoint is on another machine."""
    host = urlsplit(url).hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


class People:
    """Everybody whom the reference data names, and a way to leave them out of a text."""

    def __init__(self, extractor: Extractor, values: ValueIndex) -> None:
        """Take the names from an index that holds all of them, whoever asks."""
        self._extractor = extractor
        known: dict[str, set[str]] = defaultdict(set)
        doubtful: dict[str, set[str]] = defaultdict(set)
        for words, hits in values.by_words.items():
            people = {hit.value for hit in hits if hit.category in _PEOPLE and hit.how in _NAMED}
            if people and len("".join(words)) >= _SHORTEST:
                (doubtful if self._means_more(words) else known)[" ".join(words)] |= people
        for owner in values.values.get("owner", ()):
            known[owner.lower()].add("[owner]")
        self._known = {_plain(name): people for name, people in (*doubtful.items(), *known.items())}
        self._patterns = (_any_of(known, re.IGNORECASE), _any_of([name.title() for name in doubtful], re.NOFLAG))

    def _means_more(self, words: tuple[str, ...]) -> bool:
        """Whether a surname is also a word of the field; then only its capital letter tells the two apart."""
        return len(words) == 1 and any(
            m.kind in ("sense", "time", "number") for m in self._extractor.read(words[0]).mentions
        )

    def without(self, text: str) -> str:
        """The text with an id in the place of each name, and without other personal data and secrets."""
        read = self._extractor.read(text)
        spans = {
            m.span: m
            for m in (*read.mentions, *read.dropped)
            if any(h.category in _PEOPLE and h.how in _NAMED for h in m.hits)
        }
        for (start, end), mention in sorted(spans.items(), reverse=True):
            text = text[:start] + _id({hit.value for hit in mention.hits if hit.category in _PEOPLE}) + text[end:]
        for pattern in self._patterns:
            text = pattern.sub(lambda found: _id(self._known[_plain(found[0])]), text)
        return redact(text)

    def without_in(self, documents: Sequence[Document]) -> list[Document]:
        """The documents without names."""
        return [replace(d, text=self.without(d.text), sql=self.without(d.sql) if d.sql else d.sql) for d in documents]

    def without_facts(self, facts: Any) -> Any:
        """What was understood, without names."""
        if isinstance(facts, str):
            return self.without(facts)
        if hasattr(facts, "items"):
            pairs: Mapping[str, Any] = facts
            return {self.without(str(name)): self.without(str(value)) for name, value in pairs.items()}
        return [self.without(str(fact)) for fact in facts or ()]


def _plain(name: str) -> str:
    return " ".join(_GAP.split(name.lower()))


def _any_of(names: Collection[str], flags: re.RegexFlag) -> re.Pattern[str]:
    """Any of the names as whole words, the longest first; nothing where there is none."""
    longest_first = sorted(names, key=len, reverse=True)
    alternatives = "|".join(_GAP.pattern.join(re.escape(word) for word in _GAP.split(name)) for name in longest_first)
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)" if names else r"(?!)", flags)


def _id(people: set[str]) -> str:
    return next(iter(people)) if len(people) == 1 else "[name]"
