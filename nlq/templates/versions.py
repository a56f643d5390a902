"""A parameter's value beside the one before it or the first one: "old value, new value", "by how many percent it moved"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.compile import qualify
from nlq.plan import Part, Plan
from nlq.templates.words import bound_for

if TYPE_CHECKING:
    from nlq.shape.state import Rank, Shaper

_SUBJECT = re.compile(
    r"\b(?:threshold|parameter|param|setting|calibrat\w+|recalibrat\w+|retun\w+|re-?versioned|config|detector|knob)s?\b",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"\b(?:old|prior|previous|preceding|earlier|former) (?:\w+ )?(?:val(?:ue)?s?|settings?|figures?|levels?|numbers?|versions?|calibrations?|ones?)\b|\bold\b.{0,20}\bnew\b|"
    r"\b(?:value|setting)s? (?:before|it replaced)\b|\b(?:version|value|figure|one) (?:right |immediately |just )?(?:before|preceding|back)\b|\bversion ?- ?1\b|"
    r"\bwent from what to what\b|\bfrom what to what\b|\bwas (?:it )?before\b|\bthe one it replaced\b|\bprevious to (?:the )?(?:current|new)\b|\bprevious and (?:the )?(?:current|new)\b|"
    r"\blatest recalibration (?:move|change)|\bimmediately preceding\b|\bfrom its previous\b|\bsetting next to the replacement\b|\bprevious (?:setting|one)\b",
    re.IGNORECASE,
)
_FIRST = re.compile(
    r"\b(?:first|original|initial) (?:calibrations?|versions?|val(?:ue)?s?|settings?|ones?)\b|\bversion 1\b|\bv ?1\b|\boriginal\b",
    re.IGNORECASE,
)
_MOVED = re.compile(
    r"percent|percentage|\bpct\b|%|\bchange\b|\bmoved?\b|\bdrift\b|\bdiffer|\bdelta\b|\bdepart\b|\bgone (?:up|down)\b|\bincrease|\btighten|\bloosen",
    re.IGNORECASE,
)
_GAP = re.compile(r"\bgaps?\b|\boverlaps?\b|\bcontinuity\b|\bcoincide\b|\blapsed\b", re.IGNORECASE)
_MOST = re.compile(r"\b(?:the most|biggest|largest|greatest|max(?:imum)?|furthest)\b", re.IGNORECASE)
_SPOKEN = re.compile(
    r"\b(?:old|new|prior|previous|preceding|first|original|initial|version|versions|value|values|val|vals|figure|setting|settings|param|params|parameter|parameters|"
    r"changed?|changes|moved?|move|drift|differs?|percent|percentage|pct|terms|detector|detectors|threshold|thresholds|calibrations?|recalibrat\w+|recalibrations?|latest|current|"
    r"currently|live|in force|now|today|what'?s|before|after|back|right|one|side by side|next|replaced?|replacement|got|went|more than|past|only|those|where|there|"
    r"by how many|how many|how much|against|vs|each|every|every detector|immediately|expressed|relative|from|its|retuned?|retunes?|size|config|diff|delta|show|present|beside|own|two|both|up|down|or|skip|never|re-?versioned|"
    r"value in force|version in force|at least once|the most|biggest|largest|max|v1|abs|top 1|name|signed|tell|which one|effective|"
    r"standing|set|gone|was|were|it|did|original one|1)\b",
    re.IGNORECASE,
)


def two_versions(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """The version in force beside the one before it, or beside the first, with the change."""
    text = sh.reading.question
    first = bool(_FIRST.search(text))
    before = bool(_BEFORE.search(text))
    if not _SUBJECT.search(text) or not (first or before) or (first and before) or _GAP.search(text):
        return None
    if re.search(r"\balerts?\b", text, re.IGNORECASE) or not _paired(text, first=first):
        return None
    bound = bound_for(sh, "thresholds")
    named = tuple(
        p for p in bound.where if p.reason not in ("time",) and "effective_" not in p.sql and "version" not in p.sql
    )
    times = tuple(p for p in bound.where if p.reason == "time")
    tests = [qualify(p.sql, "c", ("c",)) for p in (*named, *times)]
    if not times:
        tests.append("c.effective_to_ts IS NULL")
    if first and re.search(r"\b(?:only|past version|those that|moved|changed)\b", text, re.IGNORECASE):
        tests.append("c.version > 1")
    link = "p.version = 1" if first else "p.version = c.version - 1"
    change = "100.0 * (c.value - p.value) / nullif(p.value, 0)"
    sql = (
        f"SELECT c.detector, c.parameter, p.value AS {'first' if first else 'previous'}_value, c.value AS current_value, c.unit, {change} AS change_pct "
        f"FROM thresholds AS c JOIN thresholds AS p ON p.detector = c.detector AND p.parameter = c.parameter AND {link} WHERE {' AND '.join(tests)}"
    )
    if _MOST.search(text) and _MOVED.search(text):
        sql += f" ORDER BY abs({change}) DESC LIMIT 1"
    sh.raw, sh.settled = sql, True
    sh.doubts = list(bound.doubts)
    sh.used |= bound.used | {i for i, m in enumerate(sh.m) if _spoken(m.text)}
    said = Part(sql=link, phrase=(_FIRST if first else _BEFORE).search(text).group(), reason="version beside another")  # type: ignore[union-attr]
    return Plan(
        view="thresholds",
        where=(*named, *times, said),
        measures=(Part(sql="c.value", alias="current_value", reason="measure"),),
    )


def _paired(text: str, *, first: bool) -> bool:
    """Whether the two are wanted side by side, not the earlier one alone."""
    if _MOVED.search(text):
        return True
    both = r"\bold\b.{0,30}\bnew\b|\bprevious\b.{0,30}\b(?:current|new|replacement)\b|\b(?:current|now|new|today'?s)\b.{0,60}\b(?:previous|before|back|prior)\b|from what to what|\bbefore\b.{0,20}\b(?:now|after)\b"
    return bool(re.search(both, text, re.IGNORECASE)) or (
        first and bool(re.search(r"current|now|live|today", text, re.IGNORECASE))
    )


def _spoken(text: str) -> bool:
    return all(_SPOKEN.fullmatch(w) for w in re.findall(r"[\w'-]+", text)) and not re.fullmatch(r"[\d.,]+", text)
