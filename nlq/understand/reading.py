"""A question taken apart: what it states, each thing with its span."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlq.understand.lexicon import Sense
    from nlq.understand.numbers import Comparison
    from nlq.understand.time_phrases import TimePhrase
    from nlq.understand.tokens import Token
    from retrieval.values import Hit


@dataclass(frozen=True)
class Mention:
    """One thing stated."""

    kind: str
    """time, number, value, sense, unknown_value, filler, word, sign."""
    start: int
    end: int
    span: tuple[int, int]
    text: str
    senses: tuple[Sense, ...] = ()
    hits: tuple[Hit, ...] = ()
    time: TimePhrase | None = None
    compare: Comparison | None = None
    doubt: float = 0.0
    """Above 0 when the reading needed a guess, such as a spelling repair."""

    def of(self, kind: str) -> list[Sense]:
        """Senses of one kind."""
        return [s for s in self.senses if s.kind == kind]

    def is_dim(self, name: str) -> bool:
        """Whether this names one of the things that a result is cut by."""
        return any(s.kind == "dim" and s.name == name for s in self.senses)

    def is_op(self, *names: str) -> bool:
        """Whether this is one of the named shape words."""
        return any(s.kind == "op" and s.name in names for s in self.senses)


@dataclass(frozen=True, kw_only=True)
class Related:
    """A phrase that sets a row against a row of another view, as one condition."""

    name: str
    span: tuple[int, int]
    more: tuple[tuple[int, int], ...] = ()
    """Where the question says the same once more."""
    views: Mapping[str, str] = field(default_factory=dict)
    """View that is asked about → condition."""
    joins: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """View that is asked about → the other view and how it is joined, where its columns are wanted."""
    shows: tuple[str, ...] = ()
    """Columns that a list shows because of it."""
    votes: float | None = None
    """How much it speaks for the first of its views; None for the usual weight, on each of them."""


@dataclass(frozen=True)
class Reading:
    """A question taken apart."""

    question: str
    tokens: tuple[Token, ...]
    mentions: tuple[Mention, ...]
    dropped: tuple[Mention, ...] = ()
    """What the speaker took back."""
    notes: tuple[str, ...] = field(default=())
    related: tuple[Related, ...] = ()
    """Phrases that set a row against a row of another view."""

    @property
    def words(self) -> list[str]:
        """Content words that nothing explained."""
        return [m.text for m in self.mentions if m.kind == "word"]

    def named(self) -> list[tuple[int, int]]:
        """Character ranges of the names and values that the question mentions."""
        return [m.span for m in self.mentions if m.kind in ("value", "unknown_value")]
