"""Who somebody reports to: the trader's row leads to the manager's, whose name is wanted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.bind.state import quote
from nlq.plan import Part, Plan
from nlq.templates.words import bound_for

if TYPE_CHECKING:
    from nlq.shape.state import Rank, Shaper

_ABOVE = re.compile(
    r"\b(?:who|whom)\b[^?.]{0,12}\b(?:does|do|did)\b[^?.]{0,50}\b(?:report|answer) to\b|\b(?:person|one|manager|boss|individual)\b[^?.]{0,30}\b(?:reports?|answers?) to\b|"
    r"\b(?:boss|(?:line )?manager|supervisor|superior)(?:'?s)? (?:id|name|of|for)\b|'s? (?:boss|(?:line )?manager|supervisor|superior)\b|"
    r"\bsits? above\b|\bwho (?:manages|supervises)\b|\bto whom\b[^?.]{0,40}\breports?\b|\breporting line\b",
    re.IGNORECASE,
)
_BELOW = re.compile(r"\bwho (?:all )?reports? to\b|\breports of\b|\bdirect reports?\b|\bmanaged by\b|\bpeople under\b|\bsubordinates?\b", re.IGNORECASE)  # fmt: skip
_FLOW = frozenset("orders executions alerts order_events personal_trades trader_baselines order_flow_30s".split())
_SPOKEN = re.compile(
    r"\W*(?:id|name|names|ids|boss|line|manager|managers|supervisor|superior|reports?|reporting|answers?|to|sits?|above|manages|supervises|person|called|trader|of|and|please|who|whom|'s|s)\W*",
    re.IGNORECASE,
)


def manager_of(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """The manager of one named trader, with the name."""
    text = sh.reading.question
    if rank is not None or not _ABOVE.search(text) or _BELOW.search(text) or not sh.sees_names:
        return None
    if {s.name for m in sh.m for s in m.of("view")} & _FLOW:
        return None
    bound = bound_for(sh, "traders")
    who = [
        values
        for found in (bound.columns.get("trader_id", ()), bound.columns.get("manager_id", ()))
        for _, values, negated in found
        if not negated
    ]
    if len({v for values in who for v in values}) != 1 or len(bound.where) != 1:
        return None
    trader = who[0][0]
    sh.raw = (
        "SELECT m.trader_id, m.trader_name, t.manager_id FROM traders AS t JOIN traders AS m ON m.trader_id = t.manager_id "
        f"WHERE t.trader_id = {quote(trader)}"
    )
    sh.settled, sh.doubts = True, list(bound.doubts)
    sh.used |= bound.used | {i for i, m in enumerate(sh.m) if all(map(_SPOKEN.fullmatch, m.text.split()))}
    part = bound.where[0]
    said = Part(
        sql=f"trader_id = {quote(trader)}", phrase=part.phrase, span=part.span, reason="whose manager is asked for"
    )
    return Plan(view="traders", where=(said,), shown=(Part(sql="manager_id", alias="manager_id"),))


_PER_MANAGER = re.compile(
    r"\b(?:per|by|each|every|group(?:ed)?(?: by| on)|split by|roll(?:ed)?\b[^.?!;:]{0,20}? up to|under)\W+(?:(?:the|each|every|responsible|supervising|line|suspect'?s?|trader'?s?)\W+){0,3}(?:managers?|boss(?:es)?|manager[_ ]ids?|supervisors?)\b"
    r"|\bdirect reports of (?:each|every) (?:line )?manager\b|\bof each (?:line )?manager\b|\bwhose direct reports\b",
    re.IGNORECASE,
)
_ROLLED = re.compile(
    r"\W*(?:direct|reports?|rolled|roll|up|to|each|manager|managers|manager_id|line|id|ids|trader|traders|concerned|involved|flagged|suspect|suspect's|supervising|people|ppl|reporting|directly|number|count|n|"
    r"grouped|group|of|the|how|many|whose|one|meaning|total)\W*",
    re.IGNORECASE,
)


def per_manager(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """Rows counted by the manager of the trader whose rows they are."""
    text = sh.reading.question
    named = {s.name for m in sh.m for s in m.of("view")} & {"alerts", "orders", "executions", "personal_trades"}
    if re.search(r"\balerts?\b|\bbacklog\b", text, re.IGNORECASE):
        named.add("alerts")
    if rank is not None or len(named) != 1 or not _PER_MANAGER.search(text):
        return None
    view = named.pop()
    if any(x.agg != "count" for x in sh.measures) or any(
        m.compare and m.compare.explicit and m.time is None for m in sh.m
    ):
        return None
    bound = bound_for(sh, view)
    sh.settled, sh.doubts = True, list(bound.doubts)
    sh.used |= bound.used | {i for i, m in enumerate(sh.m) if all(map(_ROLLED.fullmatch, m.text.split()))}
    where = (*bound.where, Part(sql="traders.manager_id IS NOT NULL", reason="default: traders who have a manager"))
    return Plan(
        view=view,
        where=where,
        keys=(Part(sql="traders.manager_id", alias="manager_id", reason="grouping"),),
        measures=(Part(sql="count(*)", alias="n", reason="measure"),),
    )
