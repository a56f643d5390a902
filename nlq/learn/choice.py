"""Drafts of the rules and of the learnt writer side by side, each with what speaks for and against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nlq.contracts import Draft, LedgerEntry
from nlq.learn.agreement import agreement
from nlq.learn.compare import Parts, compare, parts_of
from nlq.learn.drafts import WrittenDraft, written_drafts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlq.contracts import Proposal
    from nlq.learn.slots import ReadingSlots

_OF_QUESTION = ("left", "left_known", "left_words", "doubts", "margin", "content", "filler", "length", "numbers", "times", "values",
                "sentences", "commas", "closed", "nearly_closed", "guessed", "agree_entropy")  # fmt: skip
"""What the rules say about the question, whoever drafts."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One draft with its features."""

    kind: str
    """`plan` or `learnt`."""
    sql: str
    features: Mapping[str, float]
    written: WrittenDraft | None = None


def candidates(sql: str, features: Mapping[str, float], proposal: Proposal, slots: ReadingSlots) -> list[Candidate]:
    """The rules' draft first, then the writer's.

    Args:
        sql: the rules' draft.
        features: its features, as `nlq.features` gives them.
        proposal: what the learnt parser says about the question.
        slots: of the question.
    """
    written = written_drafts(proposal, slots)
    schema = slots.world.catalogue.sqlglot_schema
    plan = parts_of(sql)
    texts = [parts_of(w.sql) for w in written]
    both = compare(plan, texts[0]) if plan is not None and texts and texts[0] is not None else None
    against = {f"w_{n}": v for n, v in both.items()} if both is not None else {}
    best = {f"w_{n}": v for n, v in written[0].features.items()} if written else {}
    near = max((compare(plan, t)["same"] for t in texts if plan is not None and t is not None), default=0.0)
    out = [
        Candidate(
            kind="plan",
            sql=sql,
            features={**features, **against, **best, "w_any": float(bool(written)), "w_same_any": near},
        )
    ]
    general = {f"v_{n}": features[n] for n in _OF_QUESTION if n in features}
    for draft, parts in zip(written, texts, strict=True):
        if parts is None:
            continue
        with_plan = compare(plan, parts) if plan is not None else {}
        agree = agreement(proposal, draft.sql, schema)
        out.append(
            Candidate(
                kind="learnt",
                sql=draft.sql,
                written=draft,
                features={
                    "is_learnt": 1.0,
                    **general,
                    **{f"v_{n}": v for n, v in draft.features.items()},
                    **{f"v_{n}": v for n, v in agree.items()},
                    **{f"v_with_{n}": v for n, v in with_plan.items()},
                },
            )
        )
    return out


def draft_of(chosen: Candidate, slots: ReadingSlots, confidence: float) -> Draft:
    """A writer's candidate as a draft, its conditions traced to the names, numbers and times that fill them."""
    parts = parts_of(chosen.sql)
    assert parts is not None
    ledger = tuple(_entry(condition, slots) for condition in sorted(parts.where | parts.having))
    shown = tuple(
        LedgerEntry(phrase="", span=None, predicate=x, reason="learnt") for x in sorted({*parts.shown, *parts.keys})
    )
    return Draft(
        sql=chosen.sql, origin="learnt", confidence=confidence, ledger=(*ledger, *shown), reading=_reading(parts)
    )


def _entry(condition: str, slots: ReadingSlots) -> LedgerEntry:
    low = condition.lower()
    for mention in slots.reading.mentions:
        lines = slots.world.values.symbols_of
        meant = {v.lower() for h in mention.hits for v in (h.value, *lines.get(h.value, ()))}
        named = mention.kind == "value" and any(f"'{v}'" in low for v in meant)
        timed = mention.kind == "time" and ("timestamp" in low or " as date" in low)
        number = mention.compare.number.text if mention.compare is not None else ""
        if named or timed or (number and low.endswith(f" {number}")):
            reason = "time" if timed else mention.hits[0].how if named else "comparison"
            return LedgerEntry(phrase=mention.text, span=mention.span, predicate=condition, reason=reason)
    return LedgerEntry(phrase="", span=None, predicate=condition, reason="learnt")


def _reading(parts: Parts) -> str:
    """The statement in one plain sentence."""
    what = ", ".join(sorted(parts.shown - parts.keys)) or ", ".join(sorted(parts.shown))
    text = f"{what} of {' and '.join(v.replace('_', ' ') for v in sorted(parts.views))}"
    text += f" per {' and '.join(sorted(parts.keys))}" if parts.keys else ""
    text += f" where {' and '.join(sorted(parts.where))}" if parts.where else ""
    text += f", {' and '.join(sorted(parts.having))}" if parts.having else ""
    text += f", ordered by {', '.join(parts.order)}" if parts.order else ""
    return text + (f", the first {parts.limit}." if parts.limit else ".")
