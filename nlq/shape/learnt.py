"""What the learnt parser changes about figures and mode."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.dims import is_time
from nlq.shape.figures import in_unit
from nlq.shape.state import AGG_SQL, Measure, Rank, Shaper
from nlq.views import reach

if TYPE_CHECKING:
    pass


def learnt_measures(sh: Shaper) -> None:
    """Figures that the learnt parser expects and the rules did not find, and the other way round."""
    assert sh.proposal is not None
    expected: list[tuple[str, str, float]] = []
    for (view, column), roles in sh.proposal.columns.items():
        sql = column if view == sh.view else f"{view}.{column}"
        if reach(sh.world.catalogue, sh.view, column) != sql:
            continue
        if is_time(sh, column) and not {"min", "max"} & {a for a, q in roles.items() if q > 0.5}:
            continue
        for agg in (*AGG_SQL, "count_distinct", "percentile"):
            if roles.get(agg, 0) > 0.5 and not (column in sh.world.catalogue.views[sh.view].key and agg == "count"):
                expected.append((sql, agg, roles[agg]))
    whole = [
        x
        for x in sh.measures
        if x.agg in ("share",) or x.name in sh.world.lexicon.aggregates or x.agg in sh.world.lexicon.aggregates
    ]
    if whole:
        return
    kept = []
    for x in sh.measures:
        column = re.sub(r" / [\d.]+$", "", x.row)
        if x.agg == "count":
            if sh.p("count_rows") > 0.15 or not expected:
                kept.append(x)
        elif (
            x.agg == "count_distinct"
            or (x.agg.startswith("p") and x.agg[1:].isdigit())
            or x.agg == "median"
            or not expected
        ):
            kept.append(x)
        elif re.fullmatch(r"[\w.]+", column) and sh.role(column, x.agg) < 0.15:
            sh.doubts.append(f"{x.agg} of {column}")
        else:
            kept.append(x)
    sh.measures = kept
    have = {(re.sub(r" / [\d.]+$", "", x.row), x.agg) for x in kept}
    rows = {r for r, _ in have}
    for sql, agg, _ in expected:
        if (sql, agg) in have or agg == "percentile" or (agg == "median" and sql in rows):
            continue
        if agg == "count_distinct":
            if any(x.agg == "count_distinct" for x in kept):
                continue
            sh.measures = [x for x in sh.measures if x.agg != "count" or sh.p("count_rows") > 0.5]
            sh.measures.append(Measure(-1, f"count(DISTINCT {sql})", "", f"n_{sql.rpartition('.')[2]}", agg))
            sh.dims = [d for d in sh.dims if d.sql != sql or d.grouped]
            continue
        name = "lifetime" if sql == "lifetime_ms" else ""
        near = [x for x in sh.loose if x[2].split("#")[0] == sql]
        i = near[0][0] if near else -1
        if near:
            sh.used.add(i)
            sh.loose = [x for x in sh.loose if x[0] != i]
        text = f"abs({sql})" if sh.p("absolute") > 0.5 and sql.endswith("_pct") else sql
        sh.measures.append(
            Measure(i, AGG_SQL[agg].format(in_unit(sh, text, name)), sql, f"{agg}_{sql.rpartition('.')[2]}", agg, name)
        )
    if sh.p("count_rows") > 0.5 and not any(x.agg == "count" for x in sh.measures):
        sh.measures.append(Measure(-1, "count(*)", "", "n", "count"))
    for i, m in enumerate(sh.m):
        if sh.free(i) and m.kind == "sense" and any(x.agg == s.name for x in sh.measures for s in m.of("agg")):
            sh.used.add(i)
    if sh.measures:
        for i, _, _ in sh.loose:
            sh.used.add(i)
        sh.loose = [x for x in sh.loose if x[0] not in sh.used]


def learnt_mode(sh: Shaper, grouped: bool) -> str:
    """List, distinct values or figures, as the learnt parser expects."""
    aggregated = max(sh.p("aggregate"), sh.p("count_rows"), sh.p("group"), sh.p("scalar"))
    if sh.p("distinct") > 0.5 and sh.p("group") < 0.5 and sh.p("aggregate") < 0.5:
        return "distinct"
    if aggregated > max(0.5, sh.p("list")) or (grouped and sh.p("group") > 0.5):
        return "grouped"
    if sh.p("list") > 0.5 or aggregated < 0.5:
        return "list"
    return "grouped" if sh.measures or grouped else "list"


def learnt_rank(sh: Shaper, rank: Rank | None) -> Rank | None:
    """The ranking that the words gave, unless the learnt parser expects none."""
    if rank is None or sh.proposal is None:
        return rank
    if max(sh.p(x) for x in ("limit", "order_desc", "order_asc", "extreme_row", "top_per_group", "latest_row")) < 0.2:
        return None
    if rank.limit == 1 and max(sh.p(x) for x in ("limit", "extreme_row", "top_per_group", "latest_row")) < 0.3:
        rank.limit = None
    return rank
