"""Drafts of the learnt writer: forms of a proposal with their slots filled, checked against the catalogue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify

from nlq.learn.forms import FormError, fill_form
from nlq.understand.times import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlq.contracts import Proposal
    from nlq.learn.slots import ReadingSlots


@dataclass(frozen=True, kw_only=True)
class WrittenDraft:
    """One statement that the writer proposes."""

    sql: str
    form: tuple[str, ...]
    features: dict[str, float]


def written_drafts(proposal: Proposal, slots: ReadingSlots, *, most: int = 2) -> list[WrittenDraft]:
    """The writer's statements, best first; forms whose slots stay open or that name what does not exist are left out."""
    clock = Clock(as_of=slots.world.as_of, time=None, day=None)
    schema = slots.world.catalogue.sqlglot_schema
    held: dict[str, list[tuple[int, tuple[str, ...], tuple[float, ...]]]] = {}
    totals = [sum(scores) for _, scores in proposal.forms]
    for rank, (form, scores) in enumerate(proposal.forms):
        try:
            sql = fill_form(form, slots)
        except FormError:
            continue
        sql = sql.replace("{as_of_date}", clock.today).replace("{as_of}", clock.now)
        if sql in held or _exists(sql, schema):
            held.setdefault(sql, []).append((rank, form, scores))
    best = max(totals, default=0.0)
    everything = sum(math.exp(t - best) for t in totals)
    out = []
    for sql, found in list(held.items())[:most]:
        rank, form, scores = found[0]
        mass = sum(math.exp(totals[r] - best) for r, _, _ in found)
        out.append(WrittenDraft(sql=sql, form=form, features={
            "total": max(sum(scores), -20.0),
            "mean": sum(scores) / len(scores),
            "worst": min(scores),
            "second_worst": sorted(scores)[1] if len(scores) > 1 else 0.0,
            "unsure": float(sum(s < math.log(0.7) for s in scores)),
            "rank": float(rank),
            "mass": mass / everything,
            "behind": best - sum(scores),
            "tokens": float(len(form)),
            **_unused(form, slots),
        }))  # fmt: skip
    return out


def _unused(form: Sequence[str], slots: ReadingSlots) -> dict[str, float]:
    """What the question states by name, number or time and the form leaves out."""
    text = " ".join(form)
    named = sum(1 for m in slots.reading.mentions if m.kind == "value")
    slots_used = {t for t in form if t.startswith("V") and t.endswith("_")}
    # The same slot number on two columns is two names.
    places = sum(1 for i, t in enumerate(form) if t in slots_used and "V1_" not in form[max(0, i - 3) : i])
    used = named if "VALL_" in form else min(places, named)
    numbers = {
        t.split("_")[0].lstrip("NPCTSEMIHOUR") for t in form if t[0] == "N" and t.endswith("_") and t[-2].isdigit()
    }
    return {
        "values_left": float(named - used),
        "numbers_left": float(max(0, len(slots.numbers) - len(numbers))),
        "times_left": float(slots.timed and "TIMEAT" not in text and "AS_" not in text),
        "times_added": float(not slots.timed and ("AS_DAY" in text or "AS_OF" in text)),
        "words_left": float(len(slots.reading.words)),
        "unknown": float(sum(m.kind == "unknown_value" for m in slots.reading.mentions)),
        "nested": float(text.count("FROM") - 1),
        "joins": float(text.count("JOIN")),
        "windows": float("OVER" in text),
    }


def _exists(sql: str, schema: object) -> bool:
    """Whether every view and column of the statement is in the catalogue."""
    try:
        tree = sqlglot.parse_one(sql, dialect="databricks")
        made = qualify(tree, schema=dict(schema), dialect="databricks", quote_identifiers=False, identify=False)  # type: ignore[call-overload]
    except (SqlglotError, RecursionError, ValueError, KeyError):
        return False
    ctes = {c.alias for c in made.find_all(exp.CTE)}
    return all(t.name in ctes or t.name in schema for t in made.find_all(exp.Table))  # type: ignore[operator]
