"""The files of recent ids: what they give is what was accepted, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from streaming.recent_ids import JOIN_AT, RecentIds

if TYPE_CHECKING:
    from pathlib import Path


def filled(folder: Path, steps: int, *, horizon: int = 10**6, each: int = 3) -> RecentIds:
    ids = RecentIds(folder, horizon)
    for step in range(1, steps + 1):
        ids.write(step, step * 10, np.arange(step * 100, step * 100 + each))
        ids.tidy(step, step * 10)
    return ids


def expected(steps: int, each: int = 3) -> list[int]:
    return [step * 100 + i for step in range(1, steps + 1) for i in range(each)]


def read(ids: RecentIds, step: int, generation: int | None = None) -> list[int] | None:
    found = ids.read(step, step * 10 if generation is None else generation)
    return None if found is None else found.tolist()


def test_all_steps_come_back_in_order_also_after_files_were_joined(tmp_path: Path) -> None:
    ids = filled(tmp_path, 3 * JOIN_AT)
    assert read(ids, 3 * JOIN_AT) == expected(3 * JOIN_AT)
    assert len(list(tmp_path.iterdir())) < JOIN_AT


def test_joined_files_keep_the_last_ids_and_stay_bounded(tmp_path: Path) -> None:
    ids = filled(tmp_path, 5 * JOIN_AT, horizon=200, each=10)
    found = read(ids, 5 * JOIN_AT)
    assert found is not None
    assert found == expected(5 * JOIN_AT, each=10)[-len(found) :]
    assert 200 <= len(found) <= 200 + JOIN_AT * 10


def test_a_step_that_was_never_committed_is_not_read_and_is_written_over(tmp_path: Path) -> None:
    ids = filled(tmp_path, 4)
    ids.write(5, 50, np.array([7, 8, 9]))  # then the process was killed before the commit
    assert read(ids, 4) == expected(4)
    ids.write(5, 52, np.array([1]))
    assert read(ids, 5, generation=52) == [*expected(4), 1]


def test_a_commit_of_another_attempt_is_not_answered_with_these_ids(tmp_path: Path) -> None:
    assert read(filled(tmp_path, 4), 4, generation=41) is None


@pytest.mark.parametrize("harm", ["gone", "empty", "cut", "changed", "renamed"])
@pytest.mark.parametrize("which", [0, 1, -1], ids=["oldest", "middle", "newest"])
def test_a_missing_or_damaged_file_gives_nothing_rather_than_a_part(tmp_path: Path, harm: str, which: int) -> None:
    ids = filled(tmp_path, 5)
    file = sorted(tmp_path.iterdir())[which]
    body = file.read_bytes()
    match harm:
        case "gone":
            file.unlink()
        case "empty":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(body[:-8])
        case "changed":
            file.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
        case "renamed":
            file.write_bytes(sorted(tmp_path.iterdir())[which - 1].read_bytes())
    assert read(ids, 5) is None


def test_what_was_read_from_history_heals_the_files(tmp_path: Path) -> None:
    ids = filled(tmp_path, 5)
    sorted(tmp_path.iterdir())[1].write_bytes(b"")
    assert read(ids, 5) is None
    ids.write(5, 50, np.array([1, 2, 3]), first=0)
    ids.write(6, 60, np.array([4]))
    assert read(ids, 6) == [1, 2, 3, 4]
