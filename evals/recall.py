"""How often retrieval brings the views and columns that a gold needs, on authors whose examples are left out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import errors, exp
from sqlglot.optimizer.qualify import qualify

from evals.cases import Case, bind_clock
from evals.gold import DIALECT, parse
from evals.statistics import Rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from retrieval.retrieve import Retriever
    from streaming.catalogue import Catalogue

DEPTHS = (1, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, kw_only=True)
class Recall:
    """Share of the cases that have everything they need among the best `depth`."""

    views: dict[int, Rate]
    columns: dict[int, Rate]
    """Columns of each needed view among the best of that view."""
    missed: tuple[str, ...]
    """Ids of open cases with a needed view beyond the eighth."""


def needed(sql: str, catalogue: Catalogue, as_of: datetime) -> tuple[set[str], set[tuple[str, str]]]:
    """Views and (view, column) pairs that a statement reads."""
    tree = parse(bind_clock(sql, as_of))
    named = {cte.alias for cte in tree.find_all(exp.CTE)}
    views = {table.name for table in tree.find_all(exp.Table)} - named
    columns: set[tuple[str, str]] = set()
    try:
        full = qualify(tree, schema=dict(catalogue.sqlglot_schema), dialect=DIALECT)
    except errors.SqlglotError:
        return views, columns
    for select in full.find_all(exp.Select):
        alias = {t.alias_or_name: t.name for t in select.find_all(exp.Table) if t.parent_select is select}
        for column in select.find_all(exp.Column):
            view = alias.get(column.table)
            if view in views and column.name in catalogue.views[view].columns:
                columns.add((view, column.name))
    return views, columns


def recall(
    cases: Sequence[Case],
    retriever: Retriever,
    as_of: datetime,
    progress: Callable[[int], None] = lambda _: None,
) -> Recall:
    """Measure over answerable cases; a follow-up is searched with the question before it."""
    views: dict[int, list[bool]] = defaultdict(list)
    columns: dict[int, list[bool]] = defaultdict(list)
    missed = []
    for n, case in enumerate(case for case in cases if case.expect == "answer"):
        text = " ".join([*(turn.question for turn in case.history), case.question])
        ranking = retriever.rank(text, exclude_authors={case.author})
        order = ranking.views
        readings = [needed(sql, retriever.catalogue, as_of) for sql in case.gold]
        place = min(max((order.index(v) for v in r[0]), default=0) for r in readings)
        for depth in DEPTHS:
            views[depth].append(place < depth)
        if place >= 8 and not case.locked:
            missed.append(case.id)
        for view in sorted(readings[0][0]):
            wanted = {c for v, c in readings[0][1] if v == view}
            for depth in (*DEPTHS, 16):
                columns[depth] += _found(wanted, ranking.columns[view][:depth])
        progress(n + 1)
    return Recall(
        views={d: Rate(sum(hits), len(hits)) for d, hits in views.items()},
        columns={d: Rate(sum(hits), len(hits)) for d, hits in columns.items()},
        missed=tuple(missed),
    )


def _found(wanted: set[str], best: Sequence[str]) -> Iterator[bool]:
    return (column in best for column in wanted)
