"""The ledger, both ways: every condition points to words or a default, every word to a condition or a named leftover."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlq.contracts import LedgerEntry

if TYPE_CHECKING:
    from nlq.plan import Plan
    from nlq.understand.reading import Reading
    from streaming.catalogue import Catalogue

_HARMLESS_OPS = {"list", "own", "group", "market", "trades", "only", "tie"}
_HARMLESS_KINDS = {"view"}


def leftovers(reading: Reading, used: set[int]) -> list[str]:
    """Words that found no place: unknown words, and known ones that the plan does not use."""
    return [reading.mentions[i].text for i in unplaced(reading, used)]


def unplaced(reading: Reading, used: set[int]) -> list[int]:
    """Positions of the mentions that found no place."""
    out = []
    for i, mention in enumerate(reading.mentions):
        if i in used or mention.kind in ("filler", "sign"):
            continue
        if mention.kind == "sense":
            ops = {s.name for s in mention.of("op")}
            if ops and ops <= _HARMLESS_OPS:
                continue
            if any(s.kind in _HARMLESS_KINDS for s in mention.senses):
                continue
            if ops & _HARMLESS_OPS and all(s.kind == "op" for s in mention.senses):
                continue
        out.append(i)
    return out


def ledger_of(reading: Reading, plan: Plan, used: set[int]) -> tuple[LedgerEntry, ...]:
    """One line a condition, grouping, figure and sort key; leftovers as orphans."""
    lines = [
        LedgerEntry(phrase=p.phrase, span=p.span, predicate=p.sql, reason=p.reason or "column")
        for p in (*plan.where, *plan.having, *plan.keys, *plan.measures)
    ]
    lines += [LedgerEntry(phrase="", span=None, predicate=f"ORDER BY {o.sql}", reason="ranking") for o in plan.order]
    for i, mention in enumerate(reading.mentions):
        if i not in used and mention.kind == "word":
            lines.append(LedgerEntry(phrase=mention.text, span=mention.span, predicate="", reason="orphan"))
    return tuple(lines)


def reading_of(plan: Plan, catalogue: Catalogue) -> str:
    """The plan in one plain sentence."""
    view = plan.view.replace("_", " ")
    what = ", ".join(p.sql for p in plan.measures) if plan.measures else "rows"
    text = f"{what[0].upper()}{what[1:]} of {view}"
    if plan.keys:
        text += " per " + " and ".join(k.alias.replace("_", " ") for k in plan.keys)
    if plan.where:
        text += " where " + " and ".join(p.sql for p in plan.where)
    clock = catalogue.views[plan.view].time
    if clock and any(clock in p.sql for p in plan.where):
        text += f" (clock: {clock}, UTC)"
    return text + "."
