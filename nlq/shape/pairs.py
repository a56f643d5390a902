"""Two figures of one row against each other: "bid size ten times the offer", "filled over ordered quantity"."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from nlq.plan import Part
from nlq.shape.figures import row_sql
from nlq.shape.state import Measure
from nlq.understand.numbers import literal

if TYPE_CHECKING:
    from nlq.shape.state import Shaper
    from nlq.understand.numbers import Comparison

_SMALL = r"(?:the|its|their|his|a|an|at|of|was|were|is|are|being|that|than|or|in|stood|to|same|row's|own|with|quoted)"
_MORE = re.compile(
    rf"^(?:\W|{_SMALL}\b)*(?:greater|more|higher|larger|bigger|above|over|exceed\w*|wider|beats?|past|beyond|through|(?:met|meets?|touch(?:ed)?|touching) or (?:exceed\w*|cross\w*)|at or (?:above|over|through|beyond)|>=?)(?:\W|{_SMALL}\b)*$"
)
_LESS = re.compile(rf"^(?:\W|{_SMALL}\b)*(?:less|lower|smaller|below|under|fewer|beneath|<=?)(?:\W|{_SMALL}\b)*$")
_OVER = re.compile(
    r"^\s*(?:/|over|divided by|as an? (?:share|percentage|percent|fraction|proportion) of|relative to|in relation to)"
    r"(?:\W|the|its|their|total|sum|of|all)*$"
)


_QUANTITY_OF = {"bid_price": "bid_qty", "ask_price": "ask_qty"}
"""The side of the book as a quantity: "bid size ten times the offer"."""


def _figures(sh: Shaper) -> list[tuple[int, str, str]]:
    """Every word that names a figure of a row: (mention, name, expression)."""
    out = []
    for i, m in enumerate(sh.m):
        for s in m.of("meas")[:1] if m.kind == "sense" else ():
            sql = row_sql(sh, s.name)
            if sql is not None:
                out.append((i, s.name, sql.split("#")[0]))
    return out


def _between(sh: Shaper, i: int, j: int) -> str:
    return sh.reading.question[sh.m[i].span[1] : sh.m[j].span[0]].lower()


def _slashed(sh: Shaper, i: int, j: int) -> bool:
    """ "Metric / mean / stdev": a list of columns, no quotient."""
    before, after = (sh.m[k].text if 0 <= k < len(sh.m) else "" for k in (i - 1, j + 1))
    return "/" in (before, after)


def compare_columns(sh: Shaper) -> None:
    """Conditions that set one column against another, with or without a factor."""
    figures = _figures(sh)
    for (i, _, one), (j, _, named) in itertools.pairwise(figures):
        two = _QUANTITY_OF.get(named, named) if one.endswith("_qty") else named
        if one == two or "." in one + two or not (sh.free(i) and sh.free(j)):
            continue
        number = next((k for k in range(i + 1, j) if sh.m[k].compare is not None), None)
        if number is not None:
            compare = sh.m[number].compare
            assert compare is not None
            sql = _scaled(compare, one, two, _between(sh, number, j), sh.reading.question[sh.m[j].span[1] :].lower())
        else:
            text = _between(sh, i, j)
            equal = (
                "="
                if ">=" in text or "<=" in text or re.search(r" or equal|\bat or |\b(?:met|meets?|touch\w*) or ", text)
                else ""
            )
            op = f">{equal}" if _MORE.match(text) else f"<{equal}" if _LESS.match(text) else ""
            sql = f"{one} {op} {two}" if op else None
        if sql is None:
            continue
        span = (sh.m[i].span[0], sh.m[j].span[1])
        sh.where.append(
            Part(sql=sql, phrase=sh.reading.question[span[0] : span[1]], span=span, reason="comparison of two columns")
        )
        sh.used |= set(range(i, j + 1))
        sh.loose = [x for x in sh.loose if x[0] not in (i, j)]


def _scaled(compare: Comparison, one: str, two: str, after: str, rest: str) -> str | None:
    """`one op factor * two` of "ten times the", "half a percent over the", "80 % of the"."""
    number = compare.number
    if number.unit not in ("times", "pct"):
        return None
    op = compare.op
    if not compare.explicit:
        op = "<=" if re.match(r"\W*or (?:less|fewer|under|below)", rest) else ">="
        if not re.match(r"\W*(?:or|and) (?:more|above|over|up|higher|less|fewer|under|below)", rest) and (
            "or more" not in after
        ):
            op = ">"
    factor = number.value if number.unit == "times" else number.value / 100
    if number.unit == "pct" and re.search(r"\b(?:over|above|more|higher|wider|beyond|bigger|larger)\b", after):
        factor = 1 + factor
    elif number.unit == "pct" and re.search(r"\b(?:under|below|less|lower|smaller)\b", after):
        factor, op = 1 - factor, op.replace(">", "<")
    elif number.unit == "pct" and not re.search(r"\bof\b", after):
        return None
    return f"{one} {op} {literal(round(factor, 10))} * {two}"


def find_correlation(sh: Shaper) -> None:
    """ "The correlation between volume and spread" over the rows."""
    mark = next((i for i, m in enumerate(sh.m) if any(s.name == "corr" for s in m.of("agg")) and sh.free(i)), None)
    figures = [x for x in _figures(sh) if mark is not None and x[0] != mark]
    if mark is None or len(figures) != 2 or figures[0][2] == figures[1][2]:
        return
    (i, name, one), (j, other, two) = figures
    sh.measures = [x for x in sh.measures if x.row not in (one, two)]
    sh.loose = [x for x in sh.loose if x[0] not in (i, j)]
    sh.measures.append(Measure(mark, f"corr({one}, {two})", "", f"corr_{name}_{other}", "corr", "corr"))
    sh.used |= {mark, i, j}


def find_null_rate(sh: Shaper) -> None:
    """ "Null rate of limit_price": the part of the rows that lack a column."""
    mark = next((i for i, m in enumerate(sh.m) if m.is_op("null") and sh.free(i)), None)
    columns = sh.world.catalogue.views[sh.view].columns
    if mark is None:
        return
    for i, m in enumerate(sh.m):
        names = [s.name for s in m.of("col")] + [sql for k, _, sql in _figures(sh) if k == i]
        column = next((n for n in names if n in columns), None)
        if column is not None and i != mark:
            scale = "100.0 * " if "percent" in sh.m[mark].text.lower() or "%" in sh.reading.question else ""
            text = f"{scale}avg(CASE WHEN {column} IS NULL THEN 1.0D ELSE 0.0D END)"
            sh.loose = [x for x in sh.loose if x[0] != i]
            sh.measures = [x for x in sh.measures if x.row != column]
            sh.measures.append(Measure(mark, text, "", f"null_rate_{column}", "share"))
            sh.used |= {mark, i}
            return


def find_ratio(sh: Shaper) -> None:
    """The ratio of two summed columns: "filled quantity / order quantity"."""
    percent = any(m.is_op("percent") for m in sh.m)
    figures = _figures(sh)
    for (i, name, one), (j, other, two) in itertools.pairwise(figures):
        if one == two or {one, two} == {"bid_price", "ask_price"} or not _OVER.match(_between(sh, i, j)):
            continue
        if _slashed(sh, i, j):
            continue
        scale = "100.0 * " if percent else ""
        gone = {one, two}
        sh.measures = [x for x in sh.measures if x.row not in gone]
        sh.loose = [x for x in sh.loose if x[0] not in (i, j)]
        alias = f"{name}_over_{other}"
        sh.measures.append(Measure(i, f"{scale}sum({one}) / sum({two})", "", alias, "ratio", "ratio"))
        sh.used |= set(range(i, j + 1)) | {k for k, m in enumerate(sh.m) if m.is_op("percent", "ratio")}
        return
