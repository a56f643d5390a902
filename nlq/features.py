"""Numbers about an interpretation that tell right drafts from wrong ones; the confidence model weighs them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from nlq.learn.agreement import agreement

if TYPE_CHECKING:
    from nlq.contracts import Proposal
    from nlq.plan import Plan
    from nlq.understand.reading import Reading
    from streaming.catalogue import Catalogue

_RISKY = re.compile(
    r"\b(?:each|both|only|same|other|first|last|then|after|before|between|while|more|less|against|than|over|under|within|until|since|"
    r"consecutive|next|previous|change[ds]?|compared?|ratio|share|percent|fraction|without|never|not|no|any|every|all|also|"
    r"average|mean|usual|normal|expected|or|but|if|whose|else|most|least|times|per)\b",
    re.IGNORECASE,
)


def features_of(
    reading: Reading,
    plan: Plan,
    sql: str,
    *,
    used: set[int],
    left: list[str],
    doubts: list[str],
    missed: list[str],
    margin: float,
    score: float,
    mode: str,
    proposal: Proposal | None,
    catalogue: Catalogue,
) -> dict[str, float]:
    """Features of one draft; higher is not always better, the model finds out."""
    mentions = reading.mentions
    content = [i for i, m in enumerate(mentions) if m.kind not in ("filler", "sign")]
    filler = [m for m in mentions if m.kind == "filler"]
    explicit = any(s.name == plan.view for m in mentions for s in m.of("view"))
    risky = {w.lower() for i, m in enumerate(mentions) if i not in used for w in _RISKY.findall(m.text)}
    bound = sum(1 for p in (*plan.where, *plan.having) if p.phrase)
    learnt = sum(
        1
        for p in (*plan.where, *plan.keys, *plan.measures)
        if p.reason == "learnt" or (not p.phrase and not p.reason.startswith("default"))
    )
    out = {
        "left": float(len(left)),
        "left_known": float(sum(1 for i in content if i not in used and mentions[i].kind != "word")),
        "left_words": float(sum(1 for m in mentions if m.kind == "word")),
        "doubts": float(len(doubts) + len(missed)),
        "unmet": float(len(missed)),
        "margin": min(margin, 6.0),
        "score": min(score, 12.0),
        "content": float(len(content)),
        "filler": float(len(filler)),
        "length": float(len(mentions)),
        "used_share": sum(1 for i in content if i in used) / max(1, len(content)),
        "explicit_view": float(explicit),
        "risky": float(len(risky)),
        "bound": float(bound),
        "learnt": float(learnt),
        "guessed": sum(m.doubt for m in mentions),
        "numbers": float(sum(1 for m in mentions if m.kind == "number")),
        "times": float(sum(1 for m in mentions if m.kind == "time")),
        "values": float(sum(1 for m in mentions if m.kind == "value")),
        "sentences": float(len(re.findall(r"[.?;!:]\s+\S", reading.question))),
        "commas": float(reading.question.count(",")),
        "keys": float(len(plan.keys)),
        "measures": float(len(plan.measures)),
        "having": float(len(plan.having)),
        "ordered": float(bool(plan.order)),
        "joined": float(" JOIN " in sql),
        **{f"mode_{name}": float(mode == name) for name in ("list", "grouped", "distinct", "template", "followup")},
        "closed": float(not left and not doubts and not missed),
        "nearly_closed": float(len(left) + len(doubts) + len(missed) <= 1),
        "has_parser": float(proposal is not None),
    }
    if proposal is not None:
        out |= agreement(proposal, sql, catalogue.sqlglot_schema)
        out["agree_entropy"] = -sum(p * math.log(max(p, 1e-9)) for p in proposal.main_view.values())
    return out
