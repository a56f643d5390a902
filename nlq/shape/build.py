"""Recognise the shape of one question over one view and put the plan together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlq import templates
from nlq.shape.comparisons import compare_numbers
from nlq.shape.deviation import bind_deviation
from nlq.shape.dims import find_dims
from nlq.shape.elapsed import find_elapsed
from nlq.shape.figures import find_measures
from nlq.shape.flow import bind_flow
from nlq.shape.groups import grouped
from nlq.shape.learnt import learnt_measures, learnt_rank
from nlq.shape.market import market_figures, minute_wanted, spend_units
from nlq.shape.mode import find_mode
from nlq.shape.pairs import compare_columns, find_correlation, find_null_rate, find_ratio
from nlq.shape.part_counts import count_parts
from nlq.shape.rank import find_rank
from nlq.shape.rows import distinct_values, listing
from nlq.shape.share import settle_share
from nlq.shape.state import Shape, Shaper
from nlq.shape.wanted import take_rows, wants_rows

if TYPE_CHECKING:
    from nlq.bind import Bound, World
    from nlq.contracts import Proposal
    from nlq.understand.reading import Reading


def shape_of(world: World, reading: Reading, bound: Bound, proposal: Proposal | None = None) -> Shape:
    """Dims, figures, ranking and comparisons of a bound question, as a plan."""
    sh = Shaper(world, reading, bound, proposal)
    bind_flow(sh)
    bind_deviation(sh)
    sh.rows = wants_rows(sh)
    sh.dims = find_dims(sh)
    asked = take_rows(sh) if sh.rows else []
    sh.measures, sh.loose = find_measures(sh)
    sh.loose += asked
    count_parts(sh)
    if not sh.rows:
        find_ratio(sh)
    find_correlation(sh)
    find_null_rate(sh)
    compare_columns(sh)
    find_elapsed(sh)
    market_figures(sh)
    spend_units(sh)
    rank = minute_wanted(sh, learnt_rank(sh, find_rank(sh)))
    if any(x.agg == "net" for x in sh.measures):
        sh.where = [p for p in sh.where if not p.sql.startswith("side ")]
    settle_share(sh)
    mode = "list" if sh.rows and not sh.measures else find_mode(sh, rank)
    if sh.proposal is not None and mode == "grouped":
        learnt_measures(sh)
    special = templates.apply(sh, mode, rank)
    if special is not None:
        return Shape(special, sh.used, sh.doubts, "template", sh.raw, sh.settled)
    compare_numbers(sh, mode)
    mode = "grouped" if sh.having and mode in ("list", "distinct") else mode
    if mode == "list":
        plan = listing(sh, rank)
    elif mode == "distinct":
        plan = distinct_values(sh)
    else:
        plan = grouped(sh, rank)
    return Shape(plan, sh.used, sh.doubts, mode)
