"""Is this table the right answer? Bags of rows compared, whatever the columns are called and in whatever order.

Strict: the same columns under some permutation and the same rows, each as often. Superset: every column of the gold is
there with the same rows, and there may be helpful ones besides. Numbers agree within a relative 1e-6; instants compare
as UTC microseconds, a DATE as its midnight; decimals as numbers. Row order counts only when the case says so, and rows
that tie on the gold's sort key may swap.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-9
"""Around zero, where a relative tolerance means nothing; differences of sums leave about 1e-12 of their terms."""
SHOWN_DIFFERENCES = 5
_ASSIGNMENTS_TRIED = 20_000
"""Columns with equal contents can be matched in factorially many ways; beyond this many the tables count as different."""

Row = tuple[Hashable, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How an answer's table relates to the gold's."""

    strict: bool
    superset: bool
    failure: str | None
    """Class of the difference; None when `superset` holds."""
    missing: tuple[tuple[Any, ...], ...] = ()
    """A few rows of the gold that the answer lacks, as the gold gives them."""
    extra: tuple[tuple[Any, ...], ...] = ()
    """A few rows of the answer that the gold lacks, in the answer's columns."""


def compare(gold: pa.Table, got: pa.Table, *, tie_groups: Sequence[int] | None = None) -> Comparison:
    """Compare an answer's table with the gold's.

    Args:
        gold: the right rows.
        got: the answer's rows.
        tie_groups: where order matters, for each gold row the number of its tie group, ascending; else None.
    """
    gold_columns, got_columns = _columns(gold), _columns(got)
    if gold.num_rows != got.num_rows:
        return _different(gold_columns, got_columns, gold.num_rows, got.num_rows)
    ordered = False
    for assignment in _assignments(gold_columns, got_columns):
        ordered = True
        if tie_groups is None or _in_order(gold_columns, [got_columns[i] for i in assignment], tie_groups):
            return Comparison(
                strict=len(got_columns) == len(gold_columns),
                superset=True,
                failure=None,
            )
    if ordered:
        return Comparison(strict=False, superset=False, failure="WRONG_ORDER")
    return _different(gold_columns, got_columns, gold.num_rows, got.num_rows)


@dataclass(frozen=True)
class _Column:
    keys: list[Hashable]
    """Cells in a form in which equal means equal within the tolerance."""
    shown: list[Any]


def _columns(table: pa.Table) -> list[_Column]:
    return [_Column([cell_key(v) for v in values], values) for values in (c.to_pylist() for c in table.columns)]


def cell_key(value: Any) -> Hashable:
    """A cell in its comparable form: a kind and a value. Numbers stay floats until both tables are known."""
    match value:
        case None:
            return None
        case bool():
            return ("bool", value)
        case int() | float() | Decimal() | np.number():
            number = float(value)
            return ("nan",) if math.isnan(number) else ("number", number + 0.0)
        case datetime():
            instant = value if value.tzinfo else value.replace(tzinfo=UTC)
            return ("instant", round(instant.timestamp() * 1_000_000))
        case date():
            return (
                "instant",
                round(datetime.combine(value, time(), UTC).timestamp() * 1_000_000),
            )
        case timedelta():
            return ("number", value.total_seconds())
        case list() | tuple():
            return ("list", tuple(cell_key(item) for item in value))
        case dict():
            return ("list", tuple(cell_key(item) for item in value.values()))
        case _:
            return ("text", str(value))


def _clustered(first: list[_Column], second: list[_Column]) -> tuple[list[list[Hashable]], list[list[Hashable]]]:
    """Replace each number by the number of its cluster: neighbours within the tolerance, over both tables, are one.

    Rounding would part two values at the edge of a bucket; chaining neighbours cannot.
    """
    numbers: set[float] = set()
    for column in (*first, *second):
        for key in column.keys:
            _collect(key, numbers)
    cluster: dict[float, int] = {}
    previous, current = None, 0
    for number in sorted(numbers):
        if previous is not None and not _close(previous, number):
            current += 1
        cluster[number] = current
        previous = number
    return (
        [[_replace(key, cluster) for key in column.keys] for column in first],
        [[_replace(key, cluster) for key in column.keys] for column in second],
    )


def _collect(key: Hashable, numbers: set[float]) -> None:
    if isinstance(key, tuple):
        if key[0] == "number":
            numbers.add(key[1])
        elif key[0] == "list":
            for item in key[1]:
                _collect(item, numbers)


def _replace(key: Hashable, cluster: dict[float, int]) -> Hashable:
    if isinstance(key, tuple):
        if key[0] == "number":
            return ("number", cluster[key[1]])
        if key[0] == "list":
            return ("list", tuple(_replace(item, cluster) for item in key[1]))
    return key


def _close(a: float, b: float) -> bool:
    # Whole numbers are counts, ids and epoch times: their doubles are exact, and neighbours are different things.
    if a.is_integer() and b.is_integer():
        return a == b
    return math.isclose(a, b, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)


def _assignments(gold: list[_Column], got: list[_Column]) -> Iterator[list[int]]:
    """Ways to find each gold column among the answer's such that the rows agree as bags."""
    if len(got) < len(gold):
        return
    wanted, offered = _clustered(gold, got)
    bags = [Counter(column) for column in offered]
    candidates = [[i for i, bag in enumerate(bags) if bag == Counter(column)] for column in wanted]
    # Columns with few candidates first, so that wrong branches end early.
    sequence = sorted(range(len(wanted)), key=lambda c: len(candidates[c]))
    tried = 0

    def extend(depth: int, chosen: dict[int, int]) -> Iterator[list[int]]:
        nonlocal tried
        if depth == len(sequence):
            yield [chosen[c] for c in range(len(wanted))]
            return
        for i in candidates[sequence[depth]]:
            if i in chosen.values() or tried > _ASSIGNMENTS_TRIED:
                continue
            tried += 1
            trial = {**chosen, sequence[depth]: i}
            part = sequence[: depth + 1]
            left = Counter(zip(*(wanted[c] for c in part), strict=True))
            right = Counter(zip(*(offered[trial[c]] for c in part), strict=True))
            if left == right:
                yield from extend(depth + 1, trial)

    yield from extend(0, {})


def _in_order(gold: list[_Column], got: list[_Column], tie_groups: Sequence[int]) -> bool:
    wanted, offered = _clustered(gold, got)
    wanted_rows = list(zip(*wanted, strict=True))
    offered_rows = list(zip(*offered, strict=True))
    start = 0
    for group, size in sorted(Counter(tie_groups).items()):
        del group
        end = start + size
        if Counter(wanted_rows[start:end]) != Counter(offered_rows[start:end]):
            return False
        start = end
    return True


def _different(gold: list[_Column], got: list[_Column], gold_rows: int, got_rows: int) -> Comparison:
    wanted, offered = _clustered(gold, got)
    pairing = _best_pairing(wanted, offered)
    left = _bag([wanted[g] for g, _ in pairing], gold_rows)
    right = _bag([offered[o] for _, o in pairing], got_rows)
    missing = _pick(left - right, [wanted[g] for g, _ in pairing], gold, gold_rows)
    extra = _pick(right - left, [offered[o] for _, o in pairing], got, got_rows)
    failure = _failure(
        gold,
        got,
        gold_rows,
        got_rows,
        n_missing=(left - right).total(),
        n_extra=(right - left).total(),
    )
    return Comparison(strict=False, superset=False, failure=failure, missing=missing, extra=extra)


def _failure(
    gold: list[_Column],
    got: list[_Column],
    gold_rows: int,
    got_rows: int,
    *,
    n_missing: int,
    n_extra: int,
) -> str:
    if got_rows == 0:
        return "EMPTY_RESULT"
    if gold_rows == got_rows == 1 and len(gold) == len(got) == 1:
        kinds = {key[0] if isinstance(key, tuple) else None for key in (gold[0].keys[0], got[0].keys[0])}
        return "SINGLE_CELL_DIFFERENCE" if len(kinds) == 1 else "TYPE_DIFFERENCE"
    if len(got) < len(gold):
        return "MISSING_COLUMNS"
    if n_missing and not n_extra:
        return "MISSING_ROWS"
    if n_extra and not n_missing:
        return "EXTRA_ROWS"
    return "DIFFERENT_VALUES" if gold_rows == got_rows else ("MISSING_ROWS" if got_rows < gold_rows else "EXTRA_ROWS")


def _best_pairing(wanted: list[list[Hashable]], offered: list[list[Hashable]]) -> list[tuple[int, int]]:
    """Gold columns with the answer columns that share most cells with them, greedily; for showing differences only."""
    bags = [Counter(column) for column in offered]
    scored = sorted(
        ((-(Counter(column) & bag).total(), g, o) for g, column in enumerate(wanted) for o, bag in enumerate(bags)),
    )
    pairing: dict[int, int] = {}
    for shared, g, o in scored:
        if shared and g not in pairing and o not in pairing.values():
            pairing[g] = o
    return sorted(pairing.items())


def _bag(columns: list[list[Hashable]], n_rows: int) -> Counter[Row]:
    return Counter(zip(*columns, strict=True)) if columns else Counter({(): n_rows})


def _pick(
    surplus: Counter[Row],
    keys: list[list[Hashable]],
    columns: list[_Column],
    n_rows: int,
) -> tuple[tuple[Any, ...], ...]:
    left = surplus.copy()
    shown: list[tuple[Any, ...]] = []
    for row in range(n_rows):
        key = tuple(column[row] for column in keys)
        if left[key] > 0:
            left[key] -= 1
            shown.append(tuple(column.shown[row] for column in columns))
            if len(shown) == SHOWN_DIFFERENCES:
                break
    return tuple(shown)
