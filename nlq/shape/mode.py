"""Whether the answer is a list of rows, of values, or figures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.both import both_columns
from nlq.shape.learnt import learnt_mode
from nlq.shape.rank import ranks_rows
from nlq.shape.state import SUMMED, Rank, Shaper

if TYPE_CHECKING:
    from nlq.shape.state import Dim


def find_mode(sh: Shaper, rank: Rank | None) -> str:
    """`list`, `distinct` or `grouped`."""
    grouped = [d for d in sh.dims if d.grouped]
    if any(m.is_op("yesno") for m in sh.m):
        # One venue's day is a row that says whether it is open.
        return "list" if sh.view == "trading_calendar" and "venue" in sh.bound.filtered else "grouped"
    if sh.proposal is None and _of_both(sh):
        return "grouped"
    if sh.proposal is not None:
        return learnt_mode(sh, bool(grouped))
    if not sh.measures and _lists_rows(sh, rank, grouped=bool(grouped)):
        return "list"
    if rank and rank.limit is not None and not grouped and _one_row(sh, rank):
        return "list"
    if sh.measures or grouped:
        return "list" if _row_each(sh, grouped, rank) else "grouped"
    if (
        any(m.is_op("top") for m in sh.m)
        and any(m.is_op("bottom") for m in sh.m)
        and any(sql == "price" for _, _, sql in sh.loose)
        and not grouped
    ):
        if rank is not None:
            rank.limit = None
        return "grouped"
    if (
        any("#" in sql for _, _, sql in sh.loose)
        and not any(m.compare and m.compare.explicit for m in sh.m)
        and not rank
    ):
        return "grouped"
    key = sh.world.catalogue.views[sh.view].key
    targets = [d for d in sh.dims if d.target]
    kind = sh.world.catalogue.views[sh.view].kind
    nouns = [
        i
        for i, m in enumerate(sh.m)
        if any(s.name == sh.view for s in m.of("view"))
        or (m.is_op("trades") and sh.view in ("executions", "market_trades"))
    ]
    columns = [i for i, m in enumerate(sh.m) if m.kind == "sense" and m.of("col") and sh.free(i)]
    if rank and targets and kind in ("fact", "state", "window") and targets[0].alias not in key:
        return "grouped" if not (sh.loose and nouns and nouns[0] < targets[0].i) else "list"
    if targets and kind == "fact" and sh.loose and targets[0].alias not in key and _how_much(sh):
        return "grouped"
    listed = any(sh.m[i].text.lower() in ("who", "whose") for i in (d.i for d in targets)) and nouns
    if sh.loose and not targets and not columns and not rank and not any(d.alias == "order_id" for d in sh.dims):
        if not nouns or nouns[0] > sh.loose[0][0] or (sh.view in ("executions", "market_trades") and not sh.dims):
            if all(name in SUMMED for _, name, _ in sh.loose) and len(sh.loose) <= 2 and not _list_words(sh):
                return "grouped"
    if targets and kind in ("fact", "state", "window") and not listed and not columns and not sh.loose:
        if targets[0].alias not in key and not (nouns and nouns[0] <= targets[0].i):
            return "distinct"
    return "list"


_EACH = re.compile(r"\b(?:each|every|all)\b", re.IGNORECASE)


def _of_both(sh: Shaper) -> bool:
    """Whether every one of several values has to occur, and who or what it is that they occur for."""
    if sh.measures or not both_columns(sh):
        return False
    said = any(m.is_op("both") for m in sh.m)
    return any(d.target or (said and d.sql not in sh.bound.filtered) for d in sh.dims)


def _row_each(sh: Shaper, grouped: list[Dim], rank: Rank | None) -> bool:
    """ "Each parameter, its value and unit": where a row is one such thing already, its columns are wanted, not a count."""
    view = sh.world.catalogue.views[sh.view]
    if sh.measures or rank or not grouped:
        return False
    if view.kind not in ("reference", "engine", "state") or not all(d.sql in view.key for d in grouped):
        return False
    if not all(d.i > 0 and _EACH.search(sh.m[d.i - 1].text) for d in grouped):
        return False
    if any(s.name != "count" for i, m in enumerate(sh.m) if sh.free(i) for s in m.of("agg")):
        return False
    named = {s.name for m in sh.m if m.kind == "sense" for s in m.of("col")} & set(view.columns)
    return bool(sh.loose or (named - {d.sql for d in sh.dims} - set(sh.bound.filtered)))


def _lists_rows(sh: Shaper, rank: Rank | None, *, grouped: bool) -> bool:
    """Whether the rows themselves are wanted although something is ranked or cut."""
    if rank is not None:
        return ranks_rows(sh, rank) if grouped else rank.name in ("newest", "oldest")
    return grouped and _a_row_each(sh)


def _a_row_each(sh: Shaper) -> bool:
    """ "Every parameter with its value": in a view of facts on file, each of what makes the key is a row, not a group."""
    view = sh.world.catalogue.views[sh.view]
    cut = {d.sql for d in sh.dims if d.grouped}
    if view.kind not in ("reference", "engine") or view.time is not None or not cut <= set(view.key):
        return False
    fixed = {c for c in view.key if any(p.sql.startswith(f"{c} = ") for p in sh.where)}
    if any(p.sql.startswith("effective_") for p in sh.where):
        fixed.add("version")
    return not sh.loose or set(view.key) <= cut | fixed


def _one_row(sh: Shaper, rank: Rank) -> bool:
    """ "The biggest trade and when it was": the row itself is wanted, not its largest figure."""
    if not sh.measures or not all(x.agg in ("max", "min") and x.row for x in sh.measures):
        return False
    targets = [d for d in sh.dims if d.target]
    key = sh.world.catalogue.views[sh.view].key
    if any(d.alias not in (*key, "minute") for d in targets) or not (rank.by or ranks_rows(sh, rank) or _asks_when(sh)):
        return False
    main = sh.measures[0]
    rank.by, rank.name = main.row, "top" if main.agg == "max" else "bottom"
    return True


def _asks_when(sh: Shaper) -> bool:
    return any(m.text.lower() in ("when", "time", "whose") for m in sh.m)


def _how_much(sh: Shaper) -> bool:
    """ "Which clients sold it and how much": one total each."""
    return any(m.text.lower() in ("how much", "how many shares", "how many lots", "total") for m in sh.m)


def _list_words(sh: Shaper) -> bool:
    return any(m.is_op("list") for m in sh.m) or any(
        m.text.lower() in ("list", "show", "ids", "id", "each") for m in sh.m
    )
