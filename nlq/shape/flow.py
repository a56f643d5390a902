"""Conditions on a 30-second window: "pulled five or more while getting filled the other way", "at least 90 % cancelled"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Part
from nlq.shape.said import Said, keep
from nlq.understand.numbers import literal

if TYPE_CHECKING:
    from nlq.shape.state import Shaper

_DEALT = r"(?:fill\w*|trad\w+|execut\w+|deal\w*|dealt|bought|sold|done|qty|quantity)"
_OTHER = r"(?:other|opposite|contra|contrary|opposing)"
_OPPOSITE = re.compile(
    rf"\b{_DEALT}\b[^.;:]{{0,30}}?\b{_OTHER}[- ](?:side|way|direction)\b|\b{_DEALT} on the {_OTHER}\b"
    rf"|\b{_OTHER}(?:[- ]side)? {_DEALT}\b(?:[^,.;:\w]*> *0)?|\b{_OTHER}[- ](?:side|way)[^.;:,]{{0,12}}\b{_DEALT}\b"
)
_ALL_PULLED = re.compile(
    r"\b(?:everything|all (?:of it|orders|of them)|every (?:order|entry|one))\b[^.;:,]{0,30}\b(?:cancel\w*|pull\w*|cxl\w*|withdrawn|matched by a cancel)\b"
    r"|\bcancel\w* (?:everything|all of them|every (?:order|one))\b|\bfull[- ]cancel\b"
)
_PULL = re.compile(r"\b(?:cancel\w*|cxl\w*|pull\w*|withdr\w+|scrapp\w+|whiff\w*)\b")
_ENTER = re.compile(r"\b(?:n[_ ]new|n entered|new|enter\w*|entries|submi\w+|order entr\w+|put in|orders?)\b")
_SCORE = re.compile(r"\b(?:deviation|score|sigmas?|z|dev)\b")
_FILLS = re.compile(r"\b(?:n[_ ]fills?|fills|executions)\b")
_CLAUSE = re.compile(r"[,;&]|\band\b|\bwhile\b|\bwith\b|\bwhere\b|\bbut\b|\bplus\b|\bcombine\b|\bhaving\b")
_START = re.compile(
    r"^(?:window )?(?:start\w*|began|begun|begin\w*)(?: time)?$|^(?:windows?|sliding|flow|signature|pattern)$"
)


def bind_flow(sh: Shaper) -> None:
    """Bind what the words say of a window's entries, cancels, fills and deviation."""
    if sh.view != "order_flow_30s" or sh.proposal is not None:
        return
    text = sh.reading.question.lower()
    numbers = [i for i, m in enumerate(sh.m) if m.compare is not None and m.compare.explicit and sh.free(i)]
    for i in numbers:
        _number(sh, i, text)
    _words(sh, _OPPOSITE, text, "opposite_fill_qty > 0", "glossary: filled on the other side")
    if not any("cancel_ratio" in p.sql for p in sh.where):
        _words(sh, _ALL_PULLED, text, "cancel_ratio = 1", "glossary: all cancelled")
    sh.used |= {i for i, m in enumerate(sh.m) if m.kind in ("word", "sense") and _START.match(m.text.lower())}


def _number(sh: Shaper, i: int, text: str) -> None:
    """One number against the count or figure that stands in its own clause, behind it first."""
    mention = sh.m[i]
    compare = mention.compare
    assert compare is not None
    after = _CLAUSE.split(text[mention.span[1] :])[0]
    before = _CLAUSE.split(text[: mention.span[0]])[-1]
    number = compare.number
    value = literal(round(number.value / 100, 10) if number.unit == "pct" else number.value)
    if number.unit not in (None, "pct", "times", "sd"):
        return
    column, spot = _column(before, after, number.unit)
    if not column or any(p.sql.startswith(f"{column} ") for p in sh.where):
        return
    keep(sh, Said(i, mention, compare.op, number, True, [], []), f"{column} {compare.op} {value}", column)
    first, last = mention.span[0] - len(before), mention.span[1] + len(after)
    for j, m in enumerate(sh.m):
        if first <= m.span[0] < last and spot.search(m.text.lower()) and m.kind in ("sense", "word"):
            sh.used.add(j)


def _column(before: str, after: str, unit: str | None) -> tuple[str, re.Pattern[str]]:
    """The column that a number is held against, and the words that named it."""
    if re.search(rf"\b{_OTHER}[^.;]{{0,30}}$", before) or re.match(rf"\W*(?:\w+\W+){{0,2}}{_OTHER}\b", after):
        return "opposite_fill_qty", re.compile(rf"{_OTHER}|fill|qty|quantity|side")
    if unit == "sd" or (
        unit is None and (_SCORE.search(before) or (_SCORE.search(after) and not _ENTER.search(after)))
    ):
        return "deviation_score", _SCORE
    if unit == "pct" or (unit is None and "ratio" in before):
        return ("cancel_ratio", re.compile(r"cancel|cxl|pull|ratio")) if _PULL.search(before + after) else ("", _PULL)
    if _PULL.search(after) or (_PULL.search(before) and not re.search(r"\b(?:new|n_new|entered)\b", after)):
        return "n_cancel", _PULL
    if _FILLS.search(after) or (_FILLS.search(before) and not _ENTER.search(after)):
        return "n_fill", _FILLS
    if _ENTER.search(after) or _ENTER.search(before):
        return "n_new", _ENTER
    return "", _ENTER


def _words(sh: Shaper, pattern: re.Pattern[str], text: str, sql: str, reason: str) -> None:
    """A condition that words alone state; a number beside them has stated it already."""
    found = pattern.search(text)
    column = sql.split(" ", maxsplit=1)[0]
    if found is None or any(p.sql.startswith(f"{column} ") for p in sh.where):
        return
    inside = {i for i, m in enumerate(sh.m) if m.span[0] < found.end() and found.start() < m.span[1]}
    if any(
        sh.m[i].compare is not None and sh.free(i) and sql.endswith("> 0") and ">" not in found.group() for i in inside
    ):
        return
    sh.where.append(Part(sql=sql, phrase=text[found.start() : found.end()], span=found.span(), reason=reason))
    sh.used |= {i for i in inside if sh.m[i].kind != "time"}
    sh.used |= {i for i, m in enumerate(sh.m) if m.is_op("same") or m.text.lower() in ("opposite", "other", "way")}
