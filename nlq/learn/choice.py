"""Drafts of the rules and of the learnt writer side by side, each with what speaks for and against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nlq.contracts import Draft, LedgerEntry
from nlq.learn.agreement import agreement
from nlq.learn.compare import Parts, compare, parts_of
from nlq.learn.drafts import WrittenDraft, written_drafts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nlq.contracts import Proposal
    from nlq.learn.slots import ReadingSlots

_OF_QUESTION = ("left", "left_known", "left_words", "doubts", "margin", "content", "filler", "length", "numbers", "times", "values",
                "sentences", "commas", "closed", "nearly_closed", "guessed", "agree_entropy")  # fmt: skip
"""What the rules say about the question, whoever drafts."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One draft with its features."""

    kind: str
    """`plan`, `guided`, `second` or `learnt`."""
    sql: str
    features: Mapping[str, float]
    written: WrittenDraft | None = None


def candidates(
    drafts: Sequence[tuple[str, str, Mapping[str, float]]], proposal: Proposal, slots: ReadingSlots
) -> list[Candidate]:
    """The rules' drafts in their order, then the writer's; each statement once.

    Args:
        drafts: kind, statement and features, as `nlq.features` gives them; the rules' own comes first.
        proposal: what the learnt parser says about the question.
        slots: of the question.
    """
    written = written_drafts(proposal, slots)
    texts = [parts_of(w.sql) for w in written]
    plan = parts_of(drafts[0][1])
    guided = next((parts_of(sql) for kind, sql, _ in drafts if kind == "guided"), None)
    out: list[Candidate] = []
    for kind, sql, features in drafts:
        if any(c.sql == sql for c in out):
            continue
        marked = {} if kind == "plan" else {f"is_{kind}": 1.0}
        parts = parts_of(sql)
        other = plan if kind == "guided" else guided
        if parts is not None and other is not None:
            marked |= {f"g_{n}": v for n, v in compare(parts, other).items()}
        out.append(Candidate(kind=kind, sql=sql, features={**features, **marked, **_beside(parts, written, texts)}))
    general = {f"v_{n}": drafts[0][2][n] for n in _OF_QUESTION if n in drafts[0][2]}
    for draft, parts in zip(written, texts, strict=True):
        if parts is None:
            continue
        with_plan = compare(plan, parts) if plan is not None else {}
        agree = agreement(proposal, draft.sql, slots.world.catalogue.sqlglot_schema)
        features = {
            "is_learnt": 1.0,
            **general,
            **{f"v_{n}": v for n, v in draft.features.items()},
            **{f"v_{n}": v for n, v in agree.items()},
            **{f"v_with_{n}": v for n, v in with_plan.items()},
        }
        out.append(Candidate(kind="learnt", sql=draft.sql, written=draft, features=features))
    return out


def _beside(plan: Parts | None, written: Sequence[WrittenDraft], texts: Sequence[Parts | None]) -> dict[str, float]:
    """A draft of the rules against what the writer would have written."""
    if not written or plan is None:
        return {}
    out = {f"w_{n}": v for n, v in written[0].features.items()}
    if texts[0] is not None:
        out |= {f"w_{n}": v for n, v in compare(plan, texts[0]).items()}
    out["w_same_any"] = max((compare(plan, t)["same"] for t in texts if t is not None), default=0.0)
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
