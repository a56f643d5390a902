"""Ranking: biggest, latest, top five, second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlq.shape.state import Rank, Shaper

if TYPE_CHECKING:
    pass


def find_rank(sh: Shaper) -> Rank | None:
    """The ranking word with its number; None when nothing is ranked."""
    for i, mention in enumerate(sh.m):
        if mention.kind != "sense" or not sh.free(i):
            continue
        name = next(
            (s.name for s in mention.of("op") if s.name in ("top", "bottom", "newest", "oldest", "second", "third")),
            None,
        )
        if name is None:
            continue
        text = mention.text.lower()
        rank = Rank(i, name, offset={"second": 1, "third": 2}.get(name, 0))
        for j in [*sh.near(i, -1, 1), *sh.near(i, 1, 1)]:
            number = sh.m[j].compare
            if (
                number is not None
                and not number.explicit
                and number.number.unit in (None, "times")
                and number.number.value < 1000
                and float(number.number.value).is_integer()
            ):
                rank.limit = int(number.number.value)
                sh.used.add(j)
                break
        else:
            follows = [m.text.lower() for m in sh.m[i + 1 : i + 4]]
            if (
                text.endswith(" first")
                or "first" in follows
                or text
                in (
                    "descending",
                    "desc",
                    "ascending",
                    "asc",
                    "high to low",
                    "low to high",
                    "chronologically",
                    "chronological",
                    "in time order",
                    "rank",
                    "ranked",
                    "ranking",
                    "league table",
                    "in order of time",
                    "time order",
                    "from the top",
                    "by time",
                    "in sequence",
                )
            ):
                rank.limit = None
        if rank.limit == 1 and not rank.offset:
            for j in [*sh.near(i, -1, 5), *sh.near(i, 1, 3)]:
                number = sh.m[j].compare
                minute = number is not None and number.number.unit == "min" and sh.view == "trade_stats_1m"
                if (
                    number is not None
                    and not number.explicit
                    and sh.free(j)
                    and (number.number.unit in (None,) or minute)
                    and 2 <= number.number.value <= 100
                    and float(number.number.value).is_integer()
                ):
                    rank.limit = int(number.number.value)
                    sh.used.add(j)
                    break
        sh.used.add(i)
        for j, other in enumerate(sh.m):
            if j != i and other.is_op("top", "bottom", "newest", "oldest") and sh.free(j):
                sh.used.add(j)
                if rank.limit is None:
                    for k in [*sh.near(j, -1, 1), *sh.near(j, 1, 1)]:
                        number = sh.m[k].compare
                        if (
                            number is not None
                            and not number.explicit
                            and sh.free(k)
                            and number.number.unit in (None, "times")
                        ):
                            rank.limit = int(number.number.value)
                            sh.used.add(k)
        if any(m.is_op("tie") for m in sh.m):
            rank.ties = True
            sh.used |= {j for j, m in enumerate(sh.m) if m.is_op("tie")}
        return rank
    return None


def ranks_rows(sh: Shaper, rank: Rank) -> bool:
    """Whether the ranking word stands at the view's own noun: "the heaviest order per desk"."""
    for j in sh.near(rank.i, 1, 2):
        mention = sh.m[j]
        if any(s.name == sh.view for s in mention.of("view")) or mention.is_op("trades"):
            return True
        if mention.of("dim"):
            return False
    return False
