"""A part of a whole: "what share of the orders was cancelled", "cancels as a percentage of orders", "percent passive"."""

from __future__ import annotations

import re

from nlq.plan import Part
from nlq.shape.comparisons import compare_number
from nlq.shape.state import Measure, Shaper

_RATES = ("cancel_ratio", "reject_rate", "fp_rate", "fill_rate")
_VERB = re.compile(
    r"\b(?:was|were|is|are|has|have|had|got|gets?|did|do|does|came|comes?|went|goes|took|takes?|ended?|carr(?:y|ies)|sits?|"
    r"fell|being|that|which|who|belongs?|remains?)\b"
)
_IN = re.compile(r"\b(?:in|among|amongst|out of|within|over|against)\b")
_SHORTS = r"short[- ](?:sell(?:ing|s)?|sales?|sold)|sold short|sell(?:ing)? short"
_DECIDED = "status IN ('FALSE_POSITIVE', 'CONFIRMED', 'REPORTED')"


def settle_share(sh: Shaper) -> None:
    """Turn the conditions that make the part into a conditional figure over the whole."""
    marks = [i for i, m in enumerate(sh.m) if sh.free(i) and m.is_op("share", "percent") and not m.compare]
    marks = _no_units(sh, marks)
    if not marks or (sh.proposal is not None and max(sh.p("share"), sh.p("percent"), sh.p("conditional")) < 0.2):
        return
    percent = any(sh.m[i].is_op("percent") for i in marks) or "%" in sh.reading.question
    scale = "100.0 * " if percent else ""
    if any(x.name in _RATES for x in sh.measures):
        sh.measures = [Measure(x.i, f"{scale}{x.sql}", "", x.alias, x.agg, x.name) for x in sh.measures]
        sh.used |= set(marks)
        return
    _compared(sh, marks)
    parts = [] if _is_split(sh) else _numerator(sh, marks)
    if not parts:
        if not share_of_whole(sh, marks, scale):
            sh.doubts.append("a share of what is not clear")
        return
    sh.where = [p for p in sh.where if p not in parts]
    condition = " AND ".join(p.sql for p in parts)
    _whole(sh, condition)
    amount = _amount(sh)
    if amount is not None:
        text = f"{scale}sum(CASE WHEN {condition} THEN {amount} ELSE 0 END) / sum({amount})"
    else:
        text = f"{scale}avg(CASE WHEN {condition} THEN 1.0D ELSE 0.0D END)"
    _number_beside(sh, marks[0], f"count(CASE WHEN {condition} THEN 1 END)")
    counted = [x for x in sh.measures if x.agg == "count"]
    beside = bool(counted) and any(m.text in ("+", "and", "&", ",") for m in sh.m[counted[0].i : marks[0]])
    sh.measures = [x for x in sh.measures if x.agg != "count" or beside]
    sh.measures.append(Measure(marks[0], text, "", "pct" if percent else "share", "share"))
    sh.used |= set(marks)


_UNIT = re.compile(r"(?:in |as an? |expressed in )?(?:%|percent\w*|per cent|pct)(?: terms)?", re.IGNORECASE)


def _no_units(sh: Shaper, marks: list[int]) -> list[int]:
    """Marks without those that only say the unit of a column that is a percentage itself: "average price move %"."""
    held = [x.row for x in sh.measures] + [sql for _, _, sql in sh.loose]
    units = {i for i in marks if _UNIT.fullmatch(sh.m[i].text)} if any("_pct" in sql for sql in held) else set()
    sh.used |= units
    return [i for i in marks if i not in units]


def share_of_whole(sh: Shaper, marks: list[int], scale: str) -> bool:
    """ "What percentage came from each producer", "desk mix in %": every group's part of all groups together."""
    if any(x.agg not in ("count", "sum", "count_if") for x in sh.measures):
        return False
    led = [d for d in sh.dims if d.led or d.grouped] or [d for d in sh.dims if d.sql not in sh.bound.filtered][:1]
    if len(led) != 1 or any(m.is_op("change") for m in sh.m) or len({id(p) for _, p in sh.bound.times}) > 1:
        return False
    led[0].grouped = led[0].led = True
    beside = [x for x in sh.measures if x.agg == "count" or x.row]
    amount = _amount(sh)
    base = f"sum({amount})" if amount is not None else "count(*)"
    if amount is not None and any(x.row == amount for x in beside):
        # "The backlog per topic and its share": the total that the share is of was asked for beside it.
        sh.measures = beside
    elif amount is None:
        sh.measures = [x for x in sh.measures if x.agg != "count" or _said_beside(sh, x.i, marks[0])]
    _number_beside(sh, marks[0], "count(*)")
    figure = f"{scale}{base} / sum({base}) OVER ()"
    sh.measures.append(Measure(marks[0], figure, "", "pct" if scale else "share", "share", "share_total"))
    sh.used |= {i for i, m in enumerate(sh.m) if m.is_op("share", "percent", "share_total") and not m.compare}
    sh.used |= {i for i, m in enumerate(sh.m) if m.text.lower() in _WHOLE}
    return True


_WHOLE = frozenset(
    "total overall whole contribute contributed contribution mix split distributed divided distribution breakdown".split()
)
"""Words of a whole that is split up, beside the word for the share."""


_JOINED = re.compile(r"^\s*(?:and|&|\+|,|/|plus|as well as)?\s*(?:the|its|their)?\s*$")


def _number_beside(sh: Shaper, mark: int, sql: str) -> None:
    """ "The number and percentage of fills that …": both figures are of the same rows."""
    for i, m in enumerate(sh.m):
        noun = m.text.lower().removesuffix(" of") in ("number", "count", "no", "nr", "n", "total number")
        first, second = (i, mark) if i < mark else (mark, i)
        if not noun or i == mark or not _JOINED.match(sh.reading.question[sh.m[first].span[1] : sh.m[second].span[0]]):
            continue
        sh.measures = [x for x in sh.measures if x.i != i]
        sh.measures.append(Measure(i, sql, "", "n", "count_if"))
        sh.used.add(i)
        return


_SPLIT = re.compile(
    r"\b(?:percent\w*|per cent|pct|proportion\w*|shares?|%)\W{0,3}(?:split|break ?-?down|mix|distribution|composition)\b"
    r"|\b(?:split|break ?-?down|mix|distribution|composition|divided|distributed)\b[^.;?]{0,60}(?:percent|per cent|pct|proportion|%)"
    r"|\b(?:came|comes?|coming|falls?|fell|falling|originat\w+|stem\w*|arose|arises?) (?:\w+ )?(?:each|every)\b"
)


def _is_split(sh: Shaper) -> bool:
    """Whether the rows asked about are the whole and the groups its parts: "percentage split of the rejects by reason"."""
    return any(d.led for d in sh.dims) and bool(_SPLIT.search(sh.reading.question.lower()))


def _said_beside(sh: Shaper, count: int, mark: int) -> bool:
    """Whether a count is asked for next to the share: "number and percentage", "in number and proportion"."""
    between = {m.text.lower() for m in sh.m[min(count, mark) : max(count, mark)]}
    return bool(between & {"+", "and", "&", ",", "plus", "with"})


def _compared(sh: Shaper, marks: list[int]) -> None:
    """ "The share that lived under 500 ms": a comparison behind the mark may make the part."""
    for i, m in enumerate(sh.m):
        if i > marks[0] and sh.free(i) and m.compare is not None and m.compare.explicit:
            if m.compare.number.unit not in ("pct", "times"):
                compare_number(sh, i, m, "list")


def _whole(sh: Shaper, condition: str) -> None:
    """What the part is a part of, where the glossary says it: sells of short sales, decided alerts of false ones."""
    words = re.sub(_SHORTS, "", sh.reading.question.lower())
    if condition == "side = 'SELL_SHORT'" and re.search(r"\b(?:sold|sell|sells|selling|sales?)\b(?! short)", words):
        sh.where.append(Part(sql="side IN ('SELL', 'SELL_SHORT')", reason="glossary: sells include short sales"))
    if "FALSE_POSITIVE" in condition and not any(p.sql.startswith("status ") for p in sh.where):
        sh.where.append(Part(sql=_DECIDED, reason="default: of the decided alerts"))


def _amount(sh: Shaper) -> str | None:
    """The column that is summed in place of counting rows: "share of the volume"."""
    found = next(((j, sql) for j, name, sql in sh.loose if name in ("qty", "notional", "filled_qty")), None)
    if found is None and sh.proposal is not None:
        column = next((c for c in ("qty", "notional", "order_qty") if sh.role(c, "sum") > 0.5), None)
        found = (-1, column) if column else None
    if found is None:
        weighed = next((x for x in sh.measures if x.agg == "sum" and x.row), None)
        if weighed is None:
            return None
        found = (weighed.i, weighed.row)
        sh.measures.remove(weighed)
    j, sql = found
    if j >= 0:
        sh.used.add(j)
    sh.loose = [x for x in sh.loose if x[0] != j and x[2] != sql]
    return sql


def _numerator(sh: Shaper, marks: list[int]) -> list[Part]:
    """The conditions that make the part: those that the learnt parser expects, else by their place in the sentence."""
    stated = [p for p in sh.where if p.span is not None and not p.reason.startswith(("time", "default"))]
    if sh.proposal is not None:
        likely = [
            (max((sh.role(n, "condition") for n in re.findall(r"[a-z_.]+", p.sql)), default=0.0), p) for p in sh.where
        ]
        sure = [p for q, p in likely if q > 0.35 and not p.reason.startswith(("time", "default"))]
        if sure:
            return sure
    stated.sort(key=lambda p: p.span or (0, 0))
    part = _by_place(sh, stated, sh.m[marks[0]])
    if len({p.sql.split(" ")[0] for p in part}) > 1:
        sh.doubts.append("which part of the whole is not clear")
    return part


def _by_place(sh: Shaper, stated: list[Part], mark: object) -> list[Part]:
    """Where the part stands: before "as a share of", behind the verb of "share of W was P", or next to the mark."""
    text = sh.reading.question
    start, end = mark.span  # type: ignore[attr-defined]
    of = mark.text.lower().endswith(" of")  # type: ignore[attr-defined]
    if re.search(r"\bas an? $", text[:start].lower()) or "as a" in text[start:end].lower():
        return [p for p in stated if (p.span or (0, 0))[1] <= start][-1:] or stated[:1]
    if of or re.match(r"\s*of\b", text[end:].lower()):
        verb = _VERB.search(text[end:].lower())
        behind = [p for p in stated if verb and (p.span or (0, 0))[0] >= end + verb.start()]
        if behind:
            return behind
        link = _IN.search(text[end:].lower())
        before = [p for p in stated if link and end <= (p.span or (0, 0))[0] < end + link.start()]
        return before or stated[-1:]
    beside = [p for p in stated if 0 <= start - (p.span or (0, 0))[1] <= 6]
    behind = [p for p in stated if (p.span or (0, 0))[0] >= end]
    return beside[-1:] or behind[:1] or stated[-1:]
