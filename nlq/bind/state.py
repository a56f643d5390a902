"""What binding reads and what it fills."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nlq.plan import Part

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from nlq.contracts import Proposal
    from nlq.understand.lexicon import Lexicon
    from nlq.understand.reading import Reading
    from nlq.understand.time_phrases import TimePhrase
    from retrieval.values import ValueIndex
    from streaming.catalogue import Catalogue


def quote(value: str) -> str:
    """An SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def listed(column: str, values: Iterable[str], negated: bool = False) -> str:
    """`column = 'A'` or `column IN (…)`, or their opposites."""
    kept = list(dict.fromkeys(values))
    if len(kept) == 1:
        return f"{column} {'<>' if negated else '='} {quote(kept[0])}"
    return f"{column} {'NOT IN' if negated else 'IN'} ({', '.join(map(quote, kept))})"


@dataclass
class World:
    """What a binder reads beside the question."""

    catalogue: Catalogue
    lexicon: Lexicon
    values: ValueIndex
    as_of: datetime


@dataclass
class Bound:
    """Conditions of one view, and the mentions that they come from."""

    view: str
    where: list[Part] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    doubts: list[str] = field(default_factory=list)
    clarify: tuple[str, tuple[str, ...]] | None = None
    times: list[tuple[int, TimePhrase]] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    """Conditions that were stated together with their opposite: the result is cut by them."""
    joins: list[tuple[str, str]] = field(default_factory=list)
    """Further views that are joined: (view, condition)."""
    columns: dict[str, list[tuple[int, tuple[str, ...], bool]]] = field(default_factory=dict)
    """Column → (mention, values, negated)."""

    @property
    def filtered(self) -> set[str]:
        """Columns fixed to one value."""
        return {c for c, found in self.columns.items() if len({v for _, vs, neg in found for v in vs if not neg}) == 1}


_LINKING = frozenset(
    "any the a an in from were was is are been for of that by on anyone those who whos have has had already yet ones with "
    "anybody who's done at all just people ppl someone".split()
)
"""Words that may stand between a negation and what it negates."""
_OUT = frozenset("out aside excluded apart ignored omitted".split())
"""Words that take away what stands before them: "leave crypto out"."""
_BETWEEN = frozenset("ones are is being to be all desk left leaving".split())
_COUNTED = frozenset(
    "orders trades fills prints accounts desks traders names entries alerts messages events trades".split()
)
"""What may stand between the two: "provisional ones excluded", "the crypto desk left out", "client orders are to be excluded"."""
_TAKE = frozenset("drop remove bar skip exclude excl discard strip disregard ignore omit minus less".split())
_PERSONS = frozenset("who whos anyone anybody people ppl someone somebody those".split())


class Binder:
    """Conditions of one reading over one view, while they are being found."""

    def __init__(self, world: World, reading: Reading, view: str, proposal: Proposal | None = None) -> None:
        self.world, self.reading, self.view, self.proposal = world, reading, view, proposal
        self.bound = Bound(view)
        self.venue: str | None = None
        """Venue that holds when the question names none, such as that of the question before."""

    def role(self, column: str, *roles: str) -> float:
        """The learnt probability that a column has one of these roles; a half when there is no parser."""
        if self.proposal is None:
            return 0.5
        view, _, name = column.rpartition(".")
        known = self.proposal.columns.get((view or self.view, name), {})
        return max(known.get(r, 0.0) for r in roles)

    def _taken_away(self, i: int) -> bool:
        """ "Leave crypto out", "drop the price collar ones", "outside the derivatives desk"."""
        mentions = self.reading.mentions
        for j in range(i + 1, min(i + 4, len(mentions))):
            word = mentions[j].text.lower()
            if word in _OUT and not (j + 1 < len(mentions) and mentions[j + 1].text.lower().startswith("of")):
                self.bound.used.add(j)
                return True
            if word not in _BETWEEN and word not in _COUNTED:
                break
        for j in range(i - 1, max(-1, i - 4), -1):
            word = mentions[j].text.lower()
            if word in _TAKE:
                self.bound.used.add(j)
                return True
            if word == "take" and any(m.text.lower() == "off" for m in mentions[i + 1 : i + 5]):
                return True
            if word == "outside" and mentions[i].kind == "value":
                return True
            if mentions[j].kind != "filler":
                return False
        return False

    def negated(self, i: int) -> bool:
        """Whether a negating word governs mention `i`."""
        if self._taken_away(i):
            return True
        for j in range(i - 1, max(-1, i - 5), -1):
            mention = self.reading.mentions[j]
            if mention.is_op("not"):
                self.bound.used.add(j)
                return True
            person = mention.is_dim("trader") and mention.text.lower() in _PERSONS
            if not person and not (mention.kind == "filler" and mention.text.lower() in _LINKING):
                return False
        return False
