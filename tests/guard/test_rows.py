"""Random queries of every role give the rows of a copy that was filtered beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.security.golds import same_rows
from evals.security.rows import COPIES, compare
from streaming.catalogue import Catalogue

WORLD = Path(__file__).parents[2] / "evals" / "worlds" / "w101"


@pytest.mark.parametrize("role", sorted(COPIES))
def test_rows_equal_those_of_a_filtered_copy(role: str) -> None:
    found = compare(WORLD, Catalogue.load(WORLD), role, count=25, seed=7)
    assert (found.refused, found.different, found.failed) == ([], [], [])
    assert found.equal == 25


def test_the_rewrite_keeps_the_rows_of_gold_statements() -> None:
    found = same_rows(WORLD, Catalogue.load(WORLD), every=12)
    assert found.compared > 80
    assert found.different == []
