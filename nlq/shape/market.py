"""What people ask of market data: both ends of a price, how wide the spread got, the move from first to last, who was the aggressor."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Part
from nlq.shape.figures import row_sql
from nlq.shape.state import AGG_SQL, Dim, Measure, Rank

if TYPE_CHECKING:
    from nlq.shape.state import Shaper

_VIEWS = ("quotes", "market_trades", "trade_stats_1m")
_HIGH = r"(?:day'?s? )?(?:highs?|hi|highest|top|maximum|max|peak|dearest)"
_LOW = r"(?:lows?|lo|lowest|bottom|minimum|min|cheapest)"
_GLUE = r"(?:\s|/|-|,|&|\+|\b(?:and|or|the|price|px|prices|traded|print|paid|level|to|versus|vs)\b)*"
_ENDS = re.compile(
    rf"\b{_HIGH}\b{_GLUE}\b{_LOW}\b|\b{_LOW}\b{_GLUE}\b{_HIGH}\b|\bextremes? of price\b|\bprice extremes?\b|\bhi/lo\b|"
    r"\brange\b.{0,40}\b(?:printed|traded?)\b.{0,40}\b(?:bottom|top|high|low)\b.{0,9}\b(?:bottom|top|high|low)\b"
)
_WIDE = r"(?:widest|worst|broadest|largest|biggest|highest|maximum|max|peak|greatest)"
_TIGHT = r"(?:tightest|narrowest|smallest|lowest|best|minimum|min|finest)"
_SPREAD = r"(?:\w+[- ]){0,3}(?:spread|gap between|quote)\b"
_WIDEST = re.compile(
    rf"\bat (?:its|their|the) (?:widest|worst)\b|\b(?:what|how|and|with|together).{{0,60}}\b{_WIDE} {_SPREAD}|^\W*{_WIDE} {_SPREAD}"
)
_TIGHTEST = re.compile(
    rf"\bat (?:its|their|the) (?:tightest|narrowest|best)\b|\b(?:what|how|and|with|together).{{0,60}}\b{_TIGHT} {_SPREAD}|^\W*{_TIGHT} {_SPREAD}"
)
_PICKS = re.compile(r"\b(?:when|which|what time|whose|who|rank\w*|list|start\w*|\d+|two|three|four|five|ten) (?!in\b)")
_FIRST = r"\b(?:first|opening|earliest)\b"
_LAST = r"\b(?:last|latest|most recent|newest|final|closing)\b"
_MOVE = re.compile(r"%|\b(?:percent\w*|pct|per cent|up or down|moved?|change[sd]?|gain|return)\b")
_BUYER = re.compile(r"\b(?:buy\w*|bought|lift\w*)\b")
_SELLER = re.compile(r"\b(?:sell\w*|sold|hit|hitting)\b")
_AGGRESSIVE = re.compile(r"\b(?:aggress\w*|initiat\w*|lift\w*|cross\w*|tak(?:er|ers|ing)|hit|hitting)\b")
_UNIT_WORDS = frozenset("bps bp bips basis points point".split())


def market_figures(sh: Shaper) -> None:
    """Settle the figures that market data is asked for, before ranking and shares are read."""
    _far_aggregate(sh)
    if sh.view in _VIEWS:
        _both_ends(sh)
        _width(sh)
        _move(sh)
        _aggressors(sh)


def _overlapping(sh: Shaper, span: tuple[int, int]) -> set[int]:
    return {i for i, m in enumerate(sh.m) if m.span[0] < span[1] and span[0] < m.span[1]}


def _far_aggregate(sh: Shaper) -> None:
    """ "Quoted spread in BP by hour, mean": the one figure takes the one aggregate, wherever it stands."""
    left = [(i, s.name) for i, m in enumerate(sh.m) if m.kind == "sense" and sh.free(i) for s in m.of("agg")[:1]]
    left = [(i, agg) for i, agg in left if agg in AGG_SQL]
    if len(left) != 1 or len(sh.loose) != 1 or any(x.row for x in sh.measures) or sh.view not in _VIEWS:
        return
    (mark, agg), (i, name, expression) = left[0], sh.loose[0]
    sql = expression.split("#")[0]
    sh.measures.append(Measure(mark, AGG_SQL[agg].format(sql), sql, f"{agg}_{name}", agg, name))
    sh.loose = []
    sh.used |= {mark, i}


def _both_ends(sh: Shaper) -> None:
    """ "The day's high and low", "top and bottom price": both ends of what was traded."""
    found = _ENDS.search(sh.reading.question.lower())
    columns = {"market_trades": ("price", "price"), "trade_stats_1m": ("high_price", "low_price")}.get(sh.view)
    others = {name for _, name, _ in sh.loose} | {x.name for x in sh.measures if x.row}
    if found is None or columns is None or others - {"price", "high", "low", "range"}:
        return
    inside = _overlapping(sh, found.span())
    at = min(inside)
    sh.used |= inside | {i for i, _, _ in sh.loose}
    sh.loose = []
    sh.measures = [x for x in sh.measures if not x.row]
    sh.measures += [
        Measure(at, f"max({columns[0]})", columns[0], "high", "max", "high"),
        Measure(at, f"min({columns[1]})", columns[1], "low", "min", "low"),
    ]
    sh.used |= {i for i, m in enumerate(sh.m) if m.is_op("top", "bottom") or m.text.lower() in ("price", "range")}


def _width(sh: Shaper) -> None:
    """ "How wide did it get at its worst", "what was the tightest spread": one end of the spread, no row of its own."""
    text = sh.reading.question.lower()
    spread = row_sql(sh, "spread")
    wide, tight = _WIDEST.search(text), _TIGHTEST.search(text)
    found = wide or tight
    if spread is None or found is None or (wide and tight) or _PICKS.search(text):
        return
    if re.search(r"\bminutes? (?:with|of|where|when|that)\b|\bbar with\b", text):
        return
    if not re.search(r"spread|\bwide\b|\bquotes?\b|\bgap\b", text):
        return
    agg = "max" if wide else "min"
    inside = _overlapping(sh, found.span())
    marks = [i for i in sorted(inside) if sh.m[i].is_op("top", "bottom") or sh.m[i].of("agg")] or [min(inside)]
    sh.measures = [x for x in sh.measures if x.row != spread]
    sh.loose = [x for x in sh.loose if x[2] != spread]
    sh.measures.append(Measure(marks[-1], AGG_SQL[agg].format(spread), spread, f"{agg}_spread", agg, "spread"))
    words = {"wide", "worst", "widest", "tightest", "narrowest", "at its worst"}
    sh.used |= inside | {i for i, m in enumerate(sh.m) if m.text.lower() in words or _is_spread(sh, i)}


def _is_spread(sh: Shaper, i: int) -> bool:
    return any(s.name == "spread" for s in sh.m[i].of("meas"))


def _move(sh: Shaper) -> None:
    """ "First print against the last, in percent": how far the price went."""
    text = sh.reading.question.lower()
    if sh.view != "market_trades" or not (re.search(_FIRST, text) and re.search(_LAST, text) and _MOVE.search(text)):
        return
    if any(x.row and x.name != "price" for x in sh.measures) or any(name != "price" for _, name, _ in sh.loose):
        return
    marks = {i for i, m in enumerate(sh.m) if m.is_op("newest", "oldest", "percent", "change", "versus", "ratio")}
    if not marks:
        return
    sql = "100.0 * (max_by(price, trade_ts) / min_by(price, trade_ts) - 1)"
    sh.measures = [Measure(min(marks), sql, "", "move_pct", "ratio", "move")]
    sh.loose = []
    words = {"between", "up or down", "up/down", "move", "one", "opening", "price", "px", "change", "up", "down"}
    sh.used |= marks | {i for i, m in enumerate(sh.m) if m.text.lower() in words or m.of("meas")}


def _aggressors(sh: Shaper) -> None:
    """ "Lots lifted against lots hit": the volume of each side that crossed the spread."""
    text = sh.reading.question.lower()
    if sh.view != "market_trades" or not (_BUYER.search(text) and _SELLER.search(text) and _AGGRESSIVE.search(text)):
        return
    if any(m.is_op("share", "percent", "ratio") for m in sh.m) or any(x.agg in ("share", "ratio") for x in sh.measures):
        return
    sh.where = [p for p in sh.where if not p.sql.startswith("aggressor_side")]
    sh.where.append(Part(sql="aggressor_side IS NOT NULL", reason="default: prints with an aggressor"))
    sh.dims = [d for d in sh.dims if d.alias not in ("side", "aggressor_side", "trader_id")]
    first = next(i for i, m in enumerate(sh.m) if _AGGRESSIVE.search(m.text.lower()))
    sh.dims.append(Dim(first, "aggressor_side", "aggressor_side", True, False))
    said = re.compile(f"{_BUYER.pattern}|{_SELLER.pattern}|{_AGGRESSIVE.pattern}")
    sh.used |= {i for i, m in enumerate(sh.m) if said.search(m.text.lower()) or m.is_op("versus")}
    qty = row_sql(sh, "qty")
    if qty and not sh.measures:
        at = sh.loose[0][0] if sh.loose else first
        sh.measures, sh.loose = [Measure(at, f"sum({qty})", qty, "sum_qty", "sum", "qty")], []
        sh.used.add(at)


def minute_wanted(sh: Shaper, rank: Rank | None) -> Rank | None:
    """ "Peak one-minute volume and its start": the bar itself, ranked by its figure."""
    if rank is not None or sh.view != "trade_stats_1m" or len(sh.measures) != 1:
        return rank
    figure = sh.measures[0]
    wanted = re.search(
        r"\b(?:which|what|at what|in what) (?:single )?(?:minute|bar|one|time)\b|\bwhen\b|\bstart(?:s|ing)?(?: time)?\b|"
        r"\b(?:bar|minute) (?:start|time)\b|\bat which\b",
        sh.reading.question.lower(),
    )
    if figure.agg not in ("max", "min") or not figure.row or wanted is None:
        return rank
    return Rank(figure.i, "top" if figure.agg == "max" else "bottom", by=figure.row)


def spend_units(sh: Shaper) -> None:
    """ "In basis points" beside a figure that is in basis points says nothing more."""
    said = " ".join([*(x.sql for x in sh.measures), *(p.sql for p in sh.where), *(sql for _, _, sql in sh.loose)])
    if "_bps" not in said:
        return
    sh.used |= {i for i, m in enumerate(sh.m) if m.kind == "word" and m.text.lower() in _UNIT_WORDS}
