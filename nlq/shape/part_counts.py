"""A number of all and a number of some of them: "how many alerts were raised, and how many of those are still open"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.state import Measure

if TYPE_CHECKING:
    from nlq.plan import Part
    from nlq.shape.state import Shaper

_SOME = re.compile(
    r"\b(?:how many|number|the number|count|the count)(?: of (?:them|those|these|which|that)\b| (?:were|was|are|is|had|have|got|got|ended|turned out|came out|still)\b)"
    r"|\bof (?:which|these|those|them|whom),? (?:how many|what number|the number)\b",
    re.IGNORECASE,
)
DOUBT = "two counts are asked for"


def count_parts(sh: Shaper) -> None:
    """Turn the conditions behind the second count into a count of the rows that meet them."""
    total = next((x for x in sh.measures if x.sql == "count(*)"), None)
    if total is None or total.i < 0 or sh.proposal is not None:
        return
    start = sh.m[total.i].span[1]
    mark = next((m for m in _SOME.finditer(sh.reading.question) if m.start() > start), None)
    if mark is None:
        return
    parts = [p for p in sh.where if _stated(p) and (p.span or (0, 0))[0] >= mark.start()]
    if not parts:
        return
    sh.where = [p for p in sh.where if p not in parts]
    condition = " AND ".join(dict.fromkeys(p.sql for p in parts))
    second = next(i for i, m in enumerate(sh.m) if m.span[1] > mark.start())
    sh.measures.append(Measure(second, f"count(CASE WHEN {condition} THEN 1 END)", "", "n_of_those", "count_if"))
    sh.used |= {i for i, m in enumerate(sh.m) if mark.start() <= m.span[0] < mark.end() and m.kind != "time"}
    if DOUBT in sh.doubts:
        sh.doubts.remove(DOUBT)


def _stated(part: Part) -> bool:
    """Whether a condition comes from words that say what kind of row is counted, not when."""
    return part.span is not None and not part.reason.startswith(("time", "default", "comparison"))
