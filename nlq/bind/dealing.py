"""Rules of staff dealing and of the restricted list in the many ways in which they are said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Part
from nlq.understand.times import Clock

if TYPE_CHECKING:
    from nlq.bind.state import Binder

_HOLD = (
    r"(?:min(?:imum)?|earliest|first)[ _](?:hold(?:ing)?|permitted|allowed|sale)\w*|hold(?:ing)?[ _](?:date|period|rule|end|until|day|requirement)"
    r"|(?:had|has|have) to (?:be kept|keep|hold)|(?:permitted|allowed|al+owed|aloud) (?:to (?:sell|be sold|do so|so)|day|date|sale)?"
    r"|selling was (?:permitted|allowed)|hold(?:ing)? period|(?:were|was) (?:al+owed|aloud) to"
)
_EARLY = (
    r"before|prior to|earlier than|sooner than|ahead of|too (?:early|soon)|preced\w+|\bbroke\b|break(?:s|ing)?|breach\w*|violat\w+|inside|within|<|"
    r"still ahead|not yet (?:over|up|reached)|\bby how many days\b|days short|shortfall"
)
_EARLY_SALE = (
    re.compile(rf"(?:{_EARLY})[^.;]{{0,60}}?(?:{_HOLD})[\w ]*", re.IGNORECASE),
    re.compile(rf"(?:{_HOLD})[^.;]{{0,60}}?(?:{_EARLY})", re.IGNORECASE),
    re.compile(r"\b(?:sold|sell|sells|sales?|dump\w*)\b[^.;]{0,40}\btoo (?:early|soon)\b", re.IGNORECASE),
)
_CLEARANCE = r"(?:pre[- ]?)?clearance|pre[- ]?clear\w*|approval|permission|consent|\bok\b|okay|go[- ]ahead|green light"
_OVER = (
    r"expir\w+|laps\w+|r[au]n out|stale|ended|no longer (?:good|valid|running|live)|out of date|past its (?:end|expiry)|over(?:ran|run)|timed? out|"
    r"(?:later|after) (?:than )?(?:the |their |its )?expiry|past (?:its |the |their )?(?:end|expiry)"
)
_STALE = (
    re.compile(rf"(?:{_CLEARANCE})[^;]{{0,70}}?\b(?:{_OVER})\b", re.IGNORECASE),
    re.compile(rf"\b(?:{_OVER})\b[^;]{{0,40}}?(?:{_CLEARANCE})", re.IGNORECASE),
    re.compile(r"(?:later than|after|>)\s+(?:the |their |its )?(?:approval|clearance|preclearance)?\s*expiry", re.IGNORECASE),
)  # fmt: skip
_NOBODY = re.compile(
    r"\b(?:nobody|no one|no-one|none of us)\b[^.;]{0,40}\b(?:trade|deal|touch|buy|dealing|trading)\b", re.IGNORECASE
)
_NOT_YET = re.compile(
    r"\bnot (?:yet )?(?:live|in force|active|started|effective|begun)(?: yet)?\b|\b(?:yet|still) to (?:start|begin|come into force)\b|"
    r"\bgoing restricted\b|\bfuture (?:entr|restriction)\w*|\bupcoming (?:entr|restriction)\w*",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"\b(?:not|never|without)\b", re.IGNORECASE)


def bind_dealing(b: Binder) -> None:
    """Conditions of the holding period, of lapsed approvals and of bans, from the words around them."""
    if b.view == "personal_trades":
        _personal(b)
    elif b.view == "restricted_list":
        _restricted(b)


def _personal(b: Binder) -> None:
    conditions = b.world.lexicon.conditions
    early = conditions["early_sale"]["personal_trades"]
    stale = conditions["stale_approval"]["personal_trades"]
    text = " ".join(p.sql for p in b.bound.where)
    found = next((m for p in _EARLY_SALE if (m := p.search(b.reading.question))), None)
    if found and "min_holding_until" not in text and not _denied(b, found):
        _put(b, early, found)
        b.bound.columns.pop("side", None)
        b.bound.used |= _about(b, r"too|early|soon|position|sold|sell|sells|sales?")
    found = next((m for p in _STALE if (m := p.search(b.reading.question))), None)
    if found and "preclearance_expiry_ts" not in text and "min_holding" not in " ".join(p.sql for p in b.bound.where):
        _put(b, stale, found)
        b.bound.columns.pop("preclearance_status", None)
    if "preclearance_expiry_ts" in " ".join(p.sql for p in b.bound.where):
        b.bound.columns.pop("preclearance_status", None)


def _denied(b: Binder, found: re.Match[str]) -> bool:
    """Whether the rule is said not to be broken; where that is unclear the words stay over."""
    return bool(_DENIAL.search(b.reading.question[max(0, found.start() - 12) : found.end()]))


def _restricted(b: Binder) -> None:
    now = Clock(as_of=b.world.as_of, time=None, day=None).now
    in_force = b.world.lexicon.conditions["current"]["restricted_list"].replace("{now}", now)
    if found := _NOT_YET.search(b.reading.question):
        b.bound.where = [p for p in b.bound.where if p.sql != in_force]
        _put(b, f"start_ts > {now}", found)
        if "restricted" in found.group().lower():
            b.bound.columns.setdefault("list_type", []).append((_at(b, found), ("RESTRICTED",), False))
    elif found := _NOBODY.search(b.reading.question):
        _put(b, in_force, found)
        for column, code in (("list_type", "RESTRICTED"), ("scope", "FIRM")):
            if column not in b.bound.columns:
                b.bound.columns[column] = [(_at(b, found), (code,), False)]


def _at(b: Binder, found: re.Match[str]) -> int:
    return next(i for i, m in enumerate(b.reading.mentions) if m.span[1] > found.start())


def _put(b: Binder, sql: str, found: re.Match[str]) -> None:
    """One condition, once; the words that it was read from are its own."""
    if all(p.sql != sql for p in b.bound.where):
        b.bound.where.append(Part(sql=sql, phrase=found.group(), span=found.span(), reason="glossary: rule"))
    b.bound.used |= {
        i
        for i, m in enumerate(b.reading.mentions)
        if m.span[0] < found.end() and found.start() < m.span[1] and m.kind not in ("value", "time")
    }


def _about(b: Binder, words: str) -> set[int]:
    return {i for i, m in enumerate(b.reading.mentions) if re.fullmatch(words, m.text.lower())}
