"""Makes the verified queries that ship with the product, from the cases of the open authors."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from evals.cases import SAMPLE_CASES, Case, load_cases, open_authors
from evals.gold import GoldError, World, all_readings
from evals.runner import declared_as_of
from nlq.verified import views_digest, write_entries
from nlq.verified_form import VerifiedQuery, filled, parameterised, parse_select
from streaming.catalogue import Catalogue

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

APPROVER = "evaluation: runs on every sample world and returns rows on at least one"
"""Who approved the shipped entries: not a person but the check below, after the case's author wrote and reviewed them."""


def ship(folder: Path, worlds: Sequence[World]) -> dict[str, int]:
    """Write one file an author; returns how many entries each has. Locked authors are never read.

    Args:
        folder: where the files go; files of other authors in it are left alone.
        worlds: the worlds that each SQL must run on.
    """
    catalogue = Catalogue.load()
    by_author: dict[str, list[VerifiedQuery]] = defaultdict(list)
    taken: set[str] = set()
    for case in load_cases([*open_authors(), SAMPLE_CASES]):
        entry = _entry(case, catalogue, worlds)
        if entry is not None and entry.id not in taken:
            taken.add(entry.id)
            by_author[case.author].append(entry)
    folder.mkdir(parents=True, exist_ok=True)
    for author, entries in by_author.items():
        write_entries(folder / f"{author}.jsonl", entries)
    return {author: len(entries) for author, entries in sorted(by_author.items())}


def _entry(case: Case, catalogue: Catalogue, worlds: Sequence[World]) -> VerifiedQuery | None:
    """An approved entry, unless the question leans on an earlier one or its gold returns nothing anywhere."""
    if case.expect != "answer" or case.history or case.locked or case.user.desk is not None:
        return None  # "my desk" is answered by the asker's row filter, not by the SQL
    try:
        rows = [
            all_readings(world, case.gold[:1], case.as_of or declared_as_of(world.directory), ordered=False)[0].table
            for world in worlds
        ]
    except GoldError:
        return None
    if not any(table.num_rows for table in rows):
        return None
    entry = parameterised(case.question, case.gold[0], case.author, catalogue)
    views = tuple(sorted(_views(entry, catalogue)))
    return replace(
        entry, approver=APPROVER, state="APPROVED", views=views, catalogue=views_digest(catalogue, views), changed_at=""
    )


def _views(entry: VerifiedQuery, catalogue: Catalogue) -> set[str]:
    tree = parse_select(filled(entry.sql, entry.slots, {slot.name: slot.value for slot in entry.slots}), entry.id)
    return {table.name for table in tree.find_all(exp.Table)} & set(catalogue.views)
