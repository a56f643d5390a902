"""What the learnt parser changes about figures and mode."""

from __future__ import annotations

import re

from nlq.shape.dims import is_time
from nlq.shape.elapsed import direction, elapsed
from nlq.shape.figures import in_unit
from nlq.shape.state import AGG_SQL, Measure, Rank, Shaper
from nlq.views import reach


def learnt_measures(sh: Shaper) -> None:
    """Figures that the learnt parser expects and the rules did not find, and the other way round."""
    assert sh.proposal is not None
    expected = _expected(sh)
    known = sh.world.lexicon.aggregates
    if any(x.agg in ("share", "ratio") or x.name in known or x.agg in known for x in sh.measures):
        return
    kept = _confirmed(sh, bool(expected))
    sh.measures = kept
    have = {(_column(x), x.agg) for x in kept}
    rows = {r for r, _ in have}
    for sql, agg in expected:
        if (sql, agg) in have or agg == "percentile" or (agg == "median" and sql in rows):
            continue
        if agg == "count_distinct":
            _distinct_count(sh, sql, kept)
        else:
            _figure(sh, sql, agg)
    if sh.p("count_rows") > 0.5 and not any(x.agg == "count" for x in sh.measures):
        sh.measures.append(Measure(-1, "count(*)", "", "n", "count"))
    for i, m in enumerate(sh.m):
        if sh.free(i) and m.kind == "sense" and any(x.agg == s.name for x in sh.measures for s in m.of("agg")):
            sh.used.add(i)
    if sh.measures:
        sh.used |= {i for i, _, _ in sh.loose if i >= 0}
        sh.loose = [x for x in sh.loose if x[0] not in sh.used and x[0] >= 0]


def _column(x: Measure) -> str:
    return re.sub(r" / [\d.]+$", "", x.row)


def _expected(sh: Shaper) -> list[tuple[str, str]]:
    """(column, aggregate) pairs that the learnt parser is sure of."""
    assert sh.proposal is not None
    out = []
    for (view, column), roles in sh.proposal.columns.items():
        sql = column if view == sh.view else f"{view}.{column}"
        if reach(sh.world.catalogue, sh.view, column) != sql:
            continue
        if is_time(sh, column) and not {"min", "max"} & {a for a, q in roles.items() if q > 0.5}:
            continue
        for agg in (*AGG_SQL, "count_distinct", "percentile"):
            if roles.get(agg, 0) > 0.5 and not (column in sh.world.catalogue.views[sh.view].key and agg == "count"):
                out.append((sql, agg))
    return out


def _confirmed(sh: Shaper, others: bool) -> list[Measure]:
    """Figures of the rules that the learnt parser does not speak against; `others`: it expects some."""
    kept = []
    for x in sh.measures:
        if x.agg == "count":
            if sh.p("count_rows") > 0.15 or not others:
                kept.append(x)
            continue
        sure = x.agg in ("count_distinct", "median") or re.fullmatch(r"p\d+", x.agg) or not others
        if not sure and re.fullmatch(r"[\w.]+", _column(x)) and sh.role(_column(x), x.agg) < 0.15:
            sh.doubts.append(f"{x.agg} of {_column(x)}")
        else:
            kept.append(x)
    return kept


def _distinct_count(sh: Shaper, sql: str, kept: list[Measure]) -> None:
    if any(x.agg == "count_distinct" for x in kept):
        return
    sh.measures = [x for x in sh.measures if x.agg != "count" or sh.p("count_rows") > 0.5]
    alias = f"n_{sql.rpartition('.')[2]}"
    sh.measures.append(Measure(-1, f"count(DISTINCT {sql})", "", alias, "count_distinct"))
    sh.dims = [d for d in sh.dims if d.sql != sql or d.grouped]


def _figure(sh: Shaper, sql: str, agg: str) -> None:
    way = direction(sh)
    if way and is_time(sh, sql):
        # The oldest instant is the longest time: the aggregate stands inside.
        sh.loose = [x for x in sh.loose if x[1] != "elapsed"]
        text = in_unit(sh, elapsed(sh, AGG_SQL[agg].format(sql), way), "elapsed")
        sh.measures.append(Measure(-1, text, "", "elapsed", "elapsed", "elapsed"))
        return
    name = "lifetime" if sql == "lifetime_ms" else ""
    near = [x for x in sh.loose if x[2].split("#")[0] == sql]
    i = near[0][0] if near else -1
    if near:
        sh.used.add(i)
        sh.loose = [x for x in sh.loose if x[0] != i]
    text = f"abs({sql})" if sh.p("absolute") > 0.5 and sql.endswith("_pct") else sql
    alias = f"{agg}_{sql.rpartition('.')[2]}"
    sh.measures.append(Measure(i, AGG_SQL[agg].format(in_unit(sh, text, name)), sql, alias, agg, name))


def _extreme(sh: Shaper) -> tuple[str, str] | None:
    """The column of the row that is largest or smallest, and which of the two."""
    columns = sh.world.catalogue.views[sh.view].columns
    options = [(sh.role(c, agg), c, agg) for c in columns for agg in ("max", "min")]
    likely, column, agg = max(options)
    return (column, "top" if agg == "max" else "bottom") if likely > 0.5 else None


def learnt_mode(sh: Shaper, grouped: bool) -> str:
    """List, distinct values or figures, as the learnt parser expects."""
    aggregated = max(sh.p("aggregate"), sh.p("count_rows"), sh.p("group"), sh.p("scalar"))
    if sh.p("distinct") > 0.5 and sh.p("group") < 0.5 and sh.p("aggregate") < 0.5:
        return "distinct"
    if sh.p("extreme_row") > 0.5 and sh.p("group") < 0.5 and _extreme(sh):
        return "list"
    if aggregated > max(0.5, sh.p("list")) or (grouped and sh.p("group") > 0.5):
        return "grouped"
    if sh.p("list") > 0.5 or aggregated < 0.5:
        return "list"
    return "grouped" if sh.measures or grouped else "list"


def learnt_rank(sh: Shaper, rank: Rank | None) -> Rank | None:
    """The ranking that the words gave, unless the learnt parser expects none."""
    if sh.proposal is None:
        return rank
    if sh.p("extreme_row") > 0.5 and (extreme := _extreme(sh)):
        rank = rank or Rank(-1, "top")
        rank.by, rank.name = extreme
        rank.limit = rank.limit or 1
        return rank
    if rank is None:
        return None
    if max(sh.p(x) for x in ("limit", "order_desc", "order_asc", "extreme_row", "top_per_group", "latest_row")) < 0.2:
        return None
    if rank.limit == 1 and max(sh.p(x) for x in ("limit", "extreme_row", "top_per_group", "latest_row")) < 0.3:
        rank.limit = None
    return rank
