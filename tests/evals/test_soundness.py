"""Mutants differ from their gold in one thing, and sound golds tell them apart."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from evals.cases import WORLDS, load_cases
from evals.gold import World
from evals.soundness import AT_NOW, mutants, soundness

AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)


def kinds(sql: str) -> list[str]:
    """Kinds of all mutants."""
    return sorted(kind for kind, _ in mutants(sql, AS_OF))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT sum(qty) FROM executions", ["another aggregate"]),
        ("SELECT order_id FROM orders WHERE order_qty > 5", ["comparison turned", "number moved"]),
        ("SELECT DISTINCT symbol FROM orders", ["DISTINCT dropped"]),
        ("SELECT order_id FROM orders ORDER BY entry_ts LIMIT 3", ["number moved", "order turned"]),
        (
            "SELECT order_id FROM orders WHERE is_algo AND trade_date <= DATE '2026-11-20'",
            ["comparison turned", "condition left out", AT_NOW],
        ),
    ],
)
def test_one_thing_changes(sql: str, expected: list[str]) -> None:
    """Each kind where it applies; the end at now is told apart."""
    assert kinds(sql) == sorted(expected)


def test_a_weak_gold_is_found_out(tmp_path: Path) -> None:
    """A condition that never matters leaves a mutant alive; a gold without rows is empty."""
    file = tmp_path / "cases.jsonl"
    file.write_text(
        '{"id": "x-1", "question": "q", "sql": ["SELECT count(*) AS n FROM orders WHERE desk = \'EQ-NY\'"]}\n'
        '{"id": "x-2", "question": "q", "sql": ["SELECT count(*) AS n FROM orders WHERE is_algo AND order_qty > 0"]}\n'
        '{"id": "x-3", "question": "q", "sql": ["SELECT order_id FROM orders WHERE symbol = \'NONE\'"]}\n'
        '{"id": "x-4", "question": "q", "sql": ["SELECT desk FROM traders ORDER BY desk LIMIT 1"]}\n'
    )
    result = soundness(load_cases([file]), [World(WORLDS / "w101", tmp_path)])
    assert result.empty == ("x-3",)
    assert result.tied == ("x-4",)
    assert "x-1" not in result.weak
    assert "x-2" in result.weak
