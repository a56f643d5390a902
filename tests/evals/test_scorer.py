"""When two tables count as the same answer."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from evals.scorer import Comparison, compare


def table(*columns: list[object]) -> pa.Table:
    """A table of unnamed columns."""
    return pa.table({f"c{n}": pa.array(column) for n, column in enumerate(columns)})


def outcome(result: Comparison) -> str:
    """One word for a comparison."""
    return "strict" if result.strict else "superset" if result.superset else str(result.failure)


NAIVE = datetime(2026, 11, 20, 9)  # noqa: DTZ001 - the point of the case

CASES = [
    ("same", [[1, 2]], [[1, 2]], "strict"),
    ("rows in another order", [[1, 2, 3]], [[3, 1, 2]], "strict"),
    ("columns permuted", [["a", "b"], [1, 2]], [[2, 1], ["b", "a"]], "strict"),
    ("columns sorted apart lose the pairing", [["a", "b"], [1, 2]], [["a", "b"], [2, 1]], "DIFFERENT_VALUES"),
    ("equal columns, pairing by a third", [[1, 2], [1, 2], ["x", "y"]], [["y", "x"], [2, 1], [2, 1]], "strict"),
    ("duplicates count", [["a", "a", "b"]], [["a", "b", "b"]], "DIFFERENT_VALUES"),
    ("duplicates dropped", [["a", "a", "b"]], [["a", "b"]], "MISSING_ROWS"),
    ("row too many", [["a"]], [["a", "b"]], "EXTRA_ROWS"),
    ("helpful column", [["a", "b"]], [["a", "b"], [1, 2]], "superset"),
    ("helpful column that multiplies rows", [["a", "b"]], [["a", "a", "b"], [1, 2, 3]], "EXTRA_ROWS"),
    ("column missing", [["a", "b"], [1, 2]], [["a", "b"]], "MISSING_COLUMNS"),
    ("nothing at all", [["a", "b"]], [[]], "EMPTY_RESULT"),
    ("last digit of a double", [[0.1 + 0.2]], [[0.3]], "strict"),
    ("within a millionth", [[1_000_000.5]], [[1_000_000.9]], "strict"),
    ("beyond a millionth", [[1.0]], [[1.000_01]], "SINGLE_CELL_DIFFERENCE"),
    ("neighbouring whole numbers are different", [[10_000_001]], [[10_000_002]], "SINGLE_CELL_DIFFERENCE"),
    ("whole number as double", [[5]], [[5.0]], "strict"),
    ("decimal as double", [[Decimal("12.50")]], [[12.5]], "strict"),
    ("minus zero", [[0.0]], [[-0.0]], "strict"),
    ("rounding noise at zero", [[0.0]], [[1e-12]], "strict"),
    ("NaN equals NaN", [[float("nan")]], [[float("nan")]], "strict"),
    ("NULL equals NULL", [["a", None]], [[None, "a"]], "strict"),
    ("NULL is not zero", [[None, 1]], [[0, 1]], "DIFFERENT_VALUES"),
    ("NULL is not an empty text", [[None, "a"]], [["", "a"]], "DIFFERENT_VALUES"),
    ("text is not a number", [["5"]], [[5]], "TYPE_DIFFERENCE"),
    ("case of text counts", [["abc"]], [["ABC"]], "SINGLE_CELL_DIFFERENCE"),
    ("naive instant is UTC", [[NAIVE]], [[NAIVE.replace(tzinfo=UTC)]], "strict"),
    ("date is its midnight", [[date(2026, 11, 20)]], [[datetime(2026, 11, 20, tzinfo=UTC)]], "strict"),
    ("a microsecond apart", [[datetime(2026, 1, 1, 0, 0, 0, 1, UTC)]], [[datetime(2026, 1, 1, tzinfo=UTC)]],
     "SINGLE_CELL_DIFFERENCE"),
    ("lists by place", [[["a", "b"]]], [[["b", "a"]]], "SINGLE_CELL_DIFFERENCE"),
    ("both empty", [[]], [[]], "strict"),
    ("true is not one", [[True]], [[1]], "TYPE_DIFFERENCE"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "got", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_compare(gold: list[list[object]], got: list[list[object]], expected: str) -> None:
    """Each line of the table above."""
    assert outcome(compare(table(*gold), table(*got))) == expected


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (["a", "b", "c", "d"], "strict"),
        (["a", "c", "b", "d"], "strict"),
        (["b", "a", "c", "d"], "WRONG_ORDER"),
        (["d", "c", "b", "a"], "WRONG_ORDER"),
    ],
)
def test_order_counts_but_ties_may_swap(got: list[str], expected: str) -> None:
    """`b` and `c` tie on the sort key, the others do not."""
    result = compare(table(["a", "b", "c", "d"]), table(got), tie_groups=[0, 1, 1, 2])
    assert outcome(result) == expected


def test_order_is_free_when_not_asked() -> None:
    """Without tie groups any order will do."""
    assert compare(table(["a", "b"]), table(["b", "a"])).strict


def test_difference_shows_rows_of_both_sides() -> None:
    """The report needs to see what is missing and what is there instead."""
    result = compare(table(["a", "b", "c"], [1, 2, 3]), table(["a", "b", "x"], [1, 2, 9]))
    assert result.missing == (("c", 3),)
    assert result.extra == (("x", 9),)


def test_many_equal_columns_end_in_time() -> None:
    """Eight columns of equal contents could be matched in 40,320 ways; the first that fits is enough."""
    columns = [[1] * 50 for _ in range(8)]
    assert compare(table(*columns), table(*columns)).strict
