"""When not to answer: refused requests, missing data, questions that are open in a way that matters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import yaml

from nlq.understand.lexicon import SHIPPED

if TYPE_CHECKING:
    from nlq.contracts import Principal
    from nlq.understand.reading import Reading
    from streaming.catalogue import Catalogue

_NAMES = {"trader_name": "names of people", "account_name": "names of account holders", "beneficial_owner_id": "beneficial owners",
          "employee_trader_id": "owners of employee accounts"}  # fmt: skip
_WALLED = {"RESTRICTED_LIST", "INSIDER_DEALING"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A decision not to answer."""

    kind: str
    """clarify, unanswerable or refuse."""
    reason: str
    question: str = ""
    choices: tuple[str, ...] = ()
    readable: bool = True
    """Whether there was a question at all; without one no draft is shown."""


@lru_cache(maxsize=1)
def _rules() -> dict[str, list[tuple[re.Pattern[str], dict[str, object]]]]:
    raw = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    out = {}
    for part in ("unanswerable", "refuse", "vague"):
        out[part] = [(re.compile(rf"(?<!\w)(?:{rule['words']})", re.IGNORECASE), rule) for rule in raw[part]]
    for _, rule in out["refuse"]:
        rule["not"] = re.compile(str(rule.get("not", r"(?!)")), re.IGNORECASE)
    return out


_COLUMNS_ADDED = re.compile(
    r"^\W*(?:can you |could you |please |now |and )*(?:add|put|cut|drop|set|remove|split|keep)\b(?!.*\b(?:table|threshold|false positive|alerts? (?:to|as)|to \d|FP|list entry)\b)",
    re.I,
)


def refused_words(question: str, *, has_history: bool = False) -> Outcome | None:
    """Requests to change data, to evade detection, to step around the rules or to carry data out."""
    for pattern, rule in _rules()["refuse"]:
        if has_history and "change data" in str(rule["rule"]) and _COLUMNS_ADDED.search(question):
            continue
        if pattern.search(question) and not rule["not"].search(question):  # type: ignore[attr-defined]
            return Outcome(kind="refuse", reason=f"Refused: {rule['rule']}.")
    return None


_YEAR = re.compile(
    r"\b(?:in|since|from|before|until|till|of|during|year|back to|after|early|late|mid|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
    r"|q[1-4])[ -](?:the )?(?:year )?((?:19|20)\d\d)\b(?!-\w)",
    re.IGNORECASE,
)
"""A year that is said as one; "over 2000" is a number."""


def missing_data(question: str) -> Outcome | None:
    """Asks for something that no view holds."""
    for pattern, rule in _rules()["unanswerable"]:
        if pattern.search(question):
            return Outcome(
                kind="unanswerable",
                reason=f"There is no data about {rule['missing']}. The nearest that exists: {rule['nearest']}.",
            )
    years = [int(y) for y in _YEAR.findall(question)]
    if any(y < 2024 for y in years):
        return Outcome(kind="unanswerable", reason="The data does not go back that far.")
    return None


def open_question(reading: Reading, *, has_history: bool) -> Outcome | None:
    """Words that leave open what would change the answer, unless something beside them settles it."""
    numbers = any(m.compare is not None for m in reading.mentions)
    measured = any(
        m.kind == "sense" and (m.of("meas") or any(s.name == "count" for s in m.of("agg"))) for m in reading.mentions
    )
    ranked = any(m.kind == "sense" and m.is_op("top", "bottom", "second", "third") for m in reading.mentions)
    timed = any(m.kind == "time" and m.time and m.time.kind != "now" for m in reading.mentions)
    settled = {"number": numbers, "rank": ranked, "measure": measured, "time": timed, "history": has_history}
    for pattern, rule in _rules()["vague"]:
        if pattern.search(reading.question) and not any(settled.get(u) for u in str(rule["unless"]).split("|")):
            question = reading.question.strip().rstrip("?.!")
            choices = tuple(str(c).replace("{q}", question) for c in rule["choices"])  # type: ignore[attr-defined]
            return Outcome(kind="clarify", reason=str(rule["ask"]), question=str(rule["ask"]), choices=choices)
    return None


def forbidden(
    reading: Reading, views: tuple[str, ...], sql: str, catalogue: Catalogue, principal: Principal
) -> Outcome | None:
    """What the role may not see: views, other desks, people, walled rows."""
    role = catalogue.roles.get(principal.role)
    if role is None:
        return Outcome(kind="refuse", reason=f"The role {principal.role!r} sees nothing.")
    for view in views:
        if view not in role.views:
            return Outcome(kind="refuse", reason=f"The role {role.name} may not see {view}.")
    if role.row_filter and "desk" in role.row_filter and principal.desk:
        desks = {h.value for m in reading.mentions for h in m.hits if h.category == "desk"}
        if desks - {principal.desk}:
            return Outcome(kind="refuse", reason=f"The role {role.name} sees only the desk {principal.desk}.")
    if not role.see_pii:
        for mention in reading.mentions:
            for column in {s.name for s in mention.of("col")} & set(_NAMES) if mention.kind == "sense" else ():
                return Outcome(kind="refuse", reason=f"The role {role.name} may not see {_NAMES[column]}.")
        if re.search(
            r"\b(?:beneficial owner|self trade|real names?|full names?|names? of (?:the|their|its)|who (?:owns|stands behind|really)|whose account|owners? (?:of|behind)|name behind|called\b|people, full names|real people)",
            reading.question,
            re.IGNORECASE,
        ):
            return Outcome(kind="refuse", reason=f"The role {role.name} may not see names and owners.")
    if not role.see_restricted:
        walled = any(c in sql for c in ("is_restricted", "is_wall_crossed", "restricted_list")) or any(
            f"'{d}'" in sql for d in _WALLED
        )
        if walled:
            return Outcome(kind="refuse", reason=f"The role {role.name} is outside the information barrier.")
    return None
