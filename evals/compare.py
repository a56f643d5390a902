"""Two runs over the same cases: which is better, and is the difference more than luck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from evals.statistics import Rate, mcnemar, paired_difference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """One measure of two runs over the cases that both asked."""

    measure: str
    first: Rate
    second: Rate
    only_first: int
    """Cases of which it holds in the first run alone."""
    only_second: int
    p_value: float
    """McNemar's exact two-sided p."""
    difference: tuple[float, float]
    """95 % bootstrap interval of first minus second, as shares."""


MEASURES: dict[str, Callable[[Line], bool]] = {
    "right outcome or answer": lambda x: bool(x["right"]),
    "right answers": lambda x: bool(x["answered"] and x["right"] and x["expect"] == "answer"),
    "silently wrong": lambda x: bool(x["answered"] and not (x["right"] and x["expect"] == "answer")),
    "answered": lambda x: bool(x["answered"]),
}


def paired(first: Sequence[Line], second: Sequence[Line]) -> list[Paired]:
    """Each measure over the cases that both runs hold.

    Raises:
        ValueError: the runs share no case.
    """
    other = {x["id"]: x for x in second}
    pairs = [(x, other[x["id"]]) for x in first if x["id"] in other]
    if not pairs:
        raise ValueError("the two result files share no case id; compare runs of the same cases")
    return [_measure(name, holds, pairs) for name, holds in MEASURES.items()]


def _measure(name: str, holds: Callable[[Line], bool], pairs: Sequence[tuple[Line, Line]]) -> Paired:
    a, b = [holds(x) for x, _ in pairs], [holds(y) for _, y in pairs]
    only_first = sum(x and not y for x, y in zip(a, b, strict=True))
    only_second = sum(y and not x for x, y in zip(a, b, strict=True))
    return Paired(
        measure=name,
        first=Rate(sum(a), len(a)),
        second=Rate(sum(b), len(b)),
        only_first=only_first,
        only_second=only_second,
        p_value=mcnemar(only_first, only_second),
        difference=paired_difference(a, b),
    )


def show(first: Sequence[Line], second: Sequence[Line], console: Console, names: tuple[str, str] = ("A", "B")) -> None:
    """Print the comparison, and the ids of open cases that changed."""
    table = Table(title=f"{names[0]} against {names[1]}")
    for column in ("measure", names[0], names[1], f"only {names[0]}", f"only {names[1]}", "difference", "McNemar p"):
        table.add_column(column)
    for row in paired(first, second):
        low, high = row.difference
        table.add_row(
            row.measure,
            str(row.first),
            str(row.second),
            str(row.only_first),
            str(row.only_second),
            f"[{100 * low:+.1f}, {100 * high:+.1f}] points",
            f"{row.p_value:.4f}",
        )
    console.print(table)
    other = {x["id"]: x for x in second}
    for title, wanted in (("newly right", True), ("newly wrong", False)):
        ids = [
            x["id"]
            for x in first
            if not x.get("locked")
            and x["id"] in other
            and other[x["id"]]["right"] is wanted
            and x["right"] is not wanted
        ]
        if ids:
            console.print(f"{title} in {names[1]}: {', '.join(ids[:40])}{' …' if len(ids) > 40 else ''}")
