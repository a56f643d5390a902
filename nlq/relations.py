"""Turns of phrase that set a row against a row of another view: the order against its trader's limit.

Such a phrase is one condition, whatever its single words mean elsewhere: "after the trader left" names no time, "over the
trader's own limit" no column of the order. Its words are taken out of the reading, its condition is bound as it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from nlq.listed import list_entry
from nlq.understand.reading import Related

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlq.understand.reading import Mention, Reading

_FILE = Path(__file__).with_name("relations.yaml")


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One entry of `relations.yaml`."""

    name: str
    said: re.Pattern[str]
    needs: re.Pattern[str] | None
    never: re.Pattern[str] | None
    also: re.Pattern[str] | None
    """Words elsewhere in the question that say the same once more."""
    views: Mapping[str, str]
    shows: tuple[str, ...]
    votes: float | None

    def find(self, question: str) -> Related | None:
        """Where the question says it, and the condition of every view."""
        if (self.needs and not self.needs.search(question)) or (self.never and self.never.search(question)):
            return None
        found = self.said.search(question)
        if found is None:
            return None
        more = tuple(m.span() for m in self.also.finditer(question)) if self.also else ()
        return Related(
            name=self.name, span=found.span(), more=more, views=dict(self.views), shows=self.shows, votes=self.votes
        )


@cache
def relations() -> tuple[Relation, ...]:
    """The entries of the shipped file."""
    out = []
    for entry in yaml.safe_load(_FILE.read_text(encoding="utf-8")):
        out.append(
            Relation(
                name=entry["name"],
                said=_pattern(rf"(?<![\w-])(?:{entry['said']})(?!\w)"),
                needs=_pattern(entry["needs"]) if "needs" in entry else None,
                never=_pattern(entry["never"]) if "never" in entry else None,
                also=_pattern(entry["also"]) if "also" in entry else None,
                views={view: " ".join(sql.split()) for view, sql in entry["views"].items()},
                shows=tuple(entry.get("shows", ())),
                votes=entry.get("votes"),
            )
        )
    return tuple(out)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\n\s*", "", text), re.IGNORECASE)


def relate(reading: Reading) -> Reading:
    """The reading with every such phrase as one thing said; its words mean nothing else any more."""
    found = [
        r for r in (*(relation.find(reading.question) for relation in relations()), list_entry(reading.question)) if r
    ]
    if not found:
        return reading
    mentions = tuple(
        _emptied(m) if any(_inside(m, s) for r in found for s in (r.span, *r.more)) else m for m in reading.mentions
    )
    return replace(reading, mentions=mentions, related=tuple(found))


def _inside(mention: Mention, span: tuple[int, int]) -> bool:
    return mention.span[0] < span[1] and span[0] < mention.span[1]


def _emptied(mention: Mention) -> Mention:
    """A word that has found its place; a name, a number and a time keep their own meaning."""
    if mention.kind in ("value", "unknown_value", "number") or (mention.compare and mention.compare.explicit):
        return mention
    return replace(mention, kind="filler", senses=(), hits=(), time=None, compare=None)
