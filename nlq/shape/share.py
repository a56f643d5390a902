"""A part of a whole: "what share of the orders was cancelled"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Part
from nlq.shape.state import Measure, Shaper

if TYPE_CHECKING:
    pass


def settle_share(sh: Shaper) -> None:
    """A part of a whole: the code that comes last is the part, the rest is the whole."""
    marks = [i for i, m in enumerate(sh.m) if sh.free(i) and m.is_op("share", "percent") and not (m.compare)]
    if not marks or (sh.proposal is not None and max(sh.p("share"), sh.p("percent"), sh.p("conditional")) < 0.2):
        return
    percent = any(sh.m[i].is_op("percent") for i in marks) or "%" in sh.reading.question
    scale = "100.0 * " if percent else ""
    if any(x.name in ("cancel_ratio", "reject_rate", "fp_rate", "fill_rate") for x in sh.measures):
        sh.measures = [
            Measure(x.i, f"{scale}{x.sql}" if percent else x.sql, "", x.alias, x.agg, x.name) for x in sh.measures
        ]
        sh.used |= set(marks)
        return
    codes = [
        (i, c, v) for c, found in sh.bound.columns.items() for i, v, neg in found if sh.m[i].kind == "sense" and not neg
    ]
    codes.sort()
    part = _numerator(sh, codes, marks)
    if part is None:
        return
    sh.where.remove(part)
    words = sh.reading.question.lower()
    if part.sql == "side = 'SELL_SHORT'" and re.search(
        r"\b(?:sold|sell|sells|selling|sales?)\b(?! short)",
        re.sub(r"short[- ](?:sell(?:ing|s)?|sales?|sold)|sold short|sell(?:ing)? short", "", words),
    ):
        sh.where.append(Part(sql="side IN ('SELL', 'SELL_SHORT')", reason="glossary: sells include short sales"))
    amount = next(((j, sql) for j, name, sql in sh.loose if name in ("qty", "notional", "filled_qty")), None)
    if amount is None and sh.proposal is not None:
        column = next((c for c in ("qty", "notional", "order_qty") if sh.role(c, "sum") > 0.5), None)
        amount = (-1, column) if column else None
    if amount is None:
        weighed = next((x for x in sh.measures if x.agg == "sum" and x.row), None)
        if weighed is not None:
            amount = (weighed.i, weighed.row)
            sh.measures.remove(weighed)
    if amount is not None:
        j, sql = amount
        if j >= 0:
            sh.used.add(j)
        sh.loose = [x for x in sh.loose if x[0] != j and x[2] != sql]
        text = f"{scale}sum(CASE WHEN {part.sql} THEN {sql} ELSE 0 END) / sum({sql})"
    else:
        text = f"{scale}avg(CASE WHEN {part.sql} THEN 1.0D ELSE 0.0D END)"
    if "FALSE_POSITIVE" in part.sql and not any(p.sql.startswith("status ") for p in sh.where):
        sh.where.append(
            Part(sql="status IN ('FALSE_POSITIVE', 'CONFIRMED', 'REPORTED')", reason="default: of the decided alerts")
        )
    sh.measures = [x for x in sh.measures if x.agg != "count"]
    sh.measures.append(Measure(marks[0], text, "", "pct" if percent else "share", "share"))
    sh.used |= set(marks)


def _numerator(sh: Shaper, codes: list[tuple[int, str, tuple[str, ...]]], marks: list[int]) -> Part | None:
    """The condition that makes the part: what the parser expects inside the figure, else the code that is not the whole."""
    flags = [p for p in sh.where if p.reason.startswith("glossary") and p.span is not None]
    if sh.proposal is not None:
        best, score = None, 0.35
        for p in [*sh.where]:
            if p.reason.startswith(("time", "default")):
                continue
            names = re.findall(r"[a-z_.]+", p.sql)
            prob = max((sh.role(n, "condition") for n in names), default=0.0)
            if prob > score:
                best, score = p, prob
        if best is not None:
            return best
    if not codes:
        if len(flags) == 1:
            return flags[0]
        sh.doubts.append("a share of what is not clear")
        return None
    whole = [x for x in codes if _of_all(sh, x[0])]
    kept = [x for x in codes if x not in whole] or codes
    _, column, _ = kept[-1]
    if len(kept) > 1 and marks[0] > kept[-1][0]:
        _, column, _ = kept[0]
    if len({c for _, c, _ in kept}) > 1:
        sh.doubts.append("which part of the whole is not clear")
    return next((p for p in sh.where if p.sql.startswith(f"{column} ") and p.reason == "code"), None)


def _of_all(sh: Shaper, i: int) -> bool:
    """Whether "of all", "of the total" or "out of" leads to mention `i`: it belongs to the whole."""
    before = [m.text.lower() for m in sh.m[max(0, i - 4) : i]]
    return "of" in before and bool(set(before) & {"all", "total", "the", "our", "everything", "out", "todays"})
