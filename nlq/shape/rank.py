"""Ranking: biggest, latest, top five, second."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.state import Rank, Shaper

if TYPE_CHECKING:
    pass


_RANKS = ("top", "bottom", "newest", "oldest", "second", "third")
_ALL_ROWS = frozenset(
    (
        "descending", "desc", "ascending", "asc", "high to low", "low to high", "chronologically", "chronological", "in time order",
        "rank", "ranked", "ranking", "league table", "in order of time", "time order", "from the top", "by time", "in sequence",
    )
)  # fmt: skip
"""Words that ask for an order and leave no row out."""


_END_TO_END = re.compile(r"\b(?:to|order|ordered|down|decreasing|increasing|sorted|by)\b")
"""An order from one end to the other leaves no row out either: "from worst to least bad", "in descending order"."""


def find_rank(sh: Shaper) -> Rank | None:
    """The ranking word with its number; None when nothing is ranked."""
    places = [i for i, m in enumerate(sh.m) if m.is_op("second", "third") and m.kind == "sense" and sh.free(i)]
    for i, mention in [*((i, sh.m[i]) for i in places), *enumerate(sh.m)]:
        if mention.kind != "sense" or not sh.free(i):
            continue
        name = next((s.name for s in mention.of("op") if s.name in _RANKS), None)
        if name is None:
            continue
        rank = Rank(i, name, offset={"second": 1, "third": 2}.get(name, 0))
        _limit(sh, rank, mention.text.lower())
        sh.used.add(i)
        _further_words(sh, rank)
        if any(m.is_op("tie") for m in sh.m):
            rank.ties = True
            sh.used |= {j for j, m in enumerate(sh.m) if m.is_op("tie")}
        return rank
    return None


def _limit(sh: Shaper, rank: Rank, word: str) -> None:
    """How many: the number beside the word, one without any, all for "most common first"."""
    i = rank.i
    for j in [*sh.near(i, -1, 1), *sh.near(i, 1, 1)]:
        if (n := _plain(sh, j)) is not None and n < 1000:
            rank.limit = n
            sh.used.add(j)
            break
    else:
        follows = [m.text.lower() for m in sh.m[i + 1 : i + 4]]
        if (
            word.endswith((" first", " at the top", " on top"))
            or "first" in follows
            or word in _ALL_ROWS
            or _END_TO_END.search(word)
        ):
            rank.limit = None
    if rank.limit != 1 or rank.offset:
        return
    for j in [*sh.near(i, -1, 5), *sh.near(i, 1, 3)]:
        n = _plain(sh, j, minutes=sh.view == "trade_stats_1m")
        unit = sh.m[j].compare.number.unit if n is not None else ""  # type: ignore[union-attr]
        if n is not None and sh.free(j) and unit != "times" and 2 <= n <= 100:
            rank.limit = n
            sh.used.add(j)
            return


def _plain(sh: Shaper, j: int, *, minutes: bool = False) -> int | None:
    """A whole number without comparison and unit, or of minutes where the rows are minutes."""
    compare = sh.m[j].compare
    if compare is None or compare.explicit or not float(compare.number.value).is_integer():
        return None
    units = (None, "times", "min") if minutes else (None, "times")
    return int(compare.number.value) if compare.number.unit in units else None


def _further_words(sh: Shaper, rank: Rank) -> None:
    """Other ranking words belong to the first; one of them may bring the number."""
    for j, other in enumerate(sh.m):
        if j == rank.i or not other.is_op("top", "bottom", "newest", "oldest") or not sh.free(j):
            continue
        sh.used.add(j)
        for k in [*sh.near(j, -1, 1), *sh.near(j, 1, 1)] if rank.limit is None else []:
            n = _plain(sh, k)
            if n is not None and sh.free(k):
                rank.limit = n
                sh.used.add(k)


def ranks_rows(sh: Shaper, rank: Rank) -> bool:
    """Whether the ranking word stands at the view's own noun: "the heaviest order per desk"."""
    for j in sh.near(rank.i, 1, 2):
        mention = sh.m[j]
        if any(s.name == sh.view for s in mention.of("view")) or mention.is_op("trades"):
            return True
        if mention.of("dim"):
            return False
    return False
