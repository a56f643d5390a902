"""One number with its comparison, while a place is sought for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nlq.plan import Part

if TYPE_CHECKING:
    from nlq.shape.state import Shaper
    from nlq.understand.numbers import Number
    from nlq.understand.reading import Mention


@dataclass(frozen=True)
class Said:
    """A number as it was said, with the meaning-bearing words around it, nearest first."""

    i: int
    mention: Mention
    op: str
    number: Number
    explicit: bool
    """A comparing word stood there; False when only the number did."""
    before: list[int]
    after: list[int]


def keep(sh: Shaper, said: Said, sql: str, name: str) -> bool:
    """Put a condition on rows on the ledger, and take the words that name its column; always True."""
    sh.where.append(Part(sql=sql, phrase=said.mention.text, span=said.mention.span, reason=f"comparison: {name}"))
    sh.used.add(said.i)
    for j in [*sh.near(said.i, -1, 4), *sh.near(said.i, 1, 4)]:
        if sh.m[j].kind == "sense" and any(s.name == name for s in sh.m[j].of("meas")):
            sh.used.add(j)
            sh.loose = [x for x in sh.loose if x[0] != j]
    return True


def keep_having(sh: Shaper, said: Said, sql: str) -> bool:
    """Put a condition on a figure of a group on the ledger; always True."""
    sh.having.append(Part(sql=sql, phrase=said.mention.text, span=said.mention.span, reason="comparison"))
    sh.used.add(said.i)
    return True
