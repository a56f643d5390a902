"""Conditions that hold when the question says nothing else, and contrasts that cut the result."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.bind.sessions import bind_sessions
from nlq.bind.state import Binder
from nlq.plan import Part

if TYPE_CHECKING:
    pass


def _contrasts(b: Binder) -> None:
    """ "algos against humans": a condition and its opposite cut the result, they don't empty it."""
    texts = {p.sql for p in b.bound.where}
    for text in sorted(texts):
        if text.endswith(" IS NULL") and text.replace(" IS NULL", " IS NOT NULL") in texts:
            column = text.split(" ")[0]
            wanted = (
                text
                if b.role(column, "filter_null") > b.role(column, "filter_not_null")
                else text.replace(" IS NULL", " IS NOT NULL")
            )
            b.bound.where = [p for p in b.bound.where if not p.sql.startswith(f"{column} IS") or p.sql == wanted]
            if b.proposal is None:
                b.bound.doubts.append(f"{column} both empty and not")
    for part in list(b.bound.where):
        if f"NOT {part.sql}" in texts:
            b.bound.where = [p for p in b.bound.where if p.sql not in (part.sql, f"NOT {part.sql}")]
            b.bound.split.append(part.sql)


def _learnt(b: Binder) -> None:
    """Flags and NULL tests that the learnt parser expects and no word was read as."""
    if b.proposal is None:
        return
    view = b.world.catalogue.views[b.view]
    text = " ".join(p.sql for p in b.bound.where)
    for name, column in view.columns.items():
        if re.search(rf"\b{name}\b", text) or name in b.bound.columns:
            continue
        if column.type == "BOOLEAN" and b.role(name, "filter_flag") > 0.6:
            b.bound.where.append(Part(sql=name, reason="learnt"))
        elif b.role(name, "filter_not_null") > 0.6:
            b.bound.where.append(Part(sql=f"{name} IS NOT NULL", reason="learnt"))
        elif b.role(name, "filter_null") > 0.6:
            b.bound.where.append(Part(sql=f"{name} IS NULL", reason="learnt"))


_METRICS = (
    ("ORDER_TO_TRADE_RATIO", r"orders?[- ]to[- ]trades?|\botr\b|orders per (?:fill|trade)"),
    ("MESSAGES_PER_MINUTE", r"messages?|\bmsgs?\b"),
    ("CANCEL_RATIO", r"cancel|\bcxl|call(?:s|ed|ing)? off|pull(?! (?:the|up|me|all|out|every)\b)"),
    ("AVG_ORDER_QTY", r"(?:order|average|avg|usual|normal|typical) (?:size|quantity|qty)|how (?:big|large)|clip"),
    ("ORDERS_PER_DAY", r"orders?\b"),
)
"""Metric of a norm → the words that ask for it, from the most special to the plainest."""


def _metric(b: Binder) -> None:
    """Which norm is meant, by the words for what it measures."""
    if b.view != "trader_baselines" or "metric" in b.bound.columns:
        return
    if any("metric" in p.sql for p in b.bound.where):
        return
    for metric, words in _METRICS:
        found = re.search(words, b.reading.question, re.IGNORECASE)
        if found:
            b.bound.where.append(
                Part(sql=f"metric = '{metric}'", phrase=found.group(), span=found.span(), reason="glossary: norm")
            )
            b.bound.used |= {
                i for i, m in enumerate(b.reading.mentions) if m.span[0] < found.end() and found.start() < m.span[1]
            }
            return


def add_defaults(b: Binder) -> None:
    """What holds when the question says nothing else."""
    _metric(b)
    bind_sessions(b)
    _contrasts(b)
    _learnt(b)
    columns = b.bound.columns
    if b.view == "executions" and "status" not in columns:
        b.bound.where.append(Part(sql="status = 'VALID'", reason="default: trades are valid fills"))
    text = b.reading.question.lower()
    if (
        b.view == "restricted_list"
        and "list_type" not in columns
        and re.search(r"restrict|banned|barred|not allowed|off limits|forbidden", text)
        and not re.search(
            r"any type|all types|any list|whatever type|every type|each type|by type|type of list|entries", text
        )
        and not any("list_type" in p.sql for p in b.bound.where)
        and any("scope" in p.sql or "start_ts <=" in p.sql for p in b.bound.where)
    ):
        b.bound.where.append(Part(sql="list_type = 'RESTRICTED'", reason="glossary: restricted"))
    if (
        b.view == "corporate_events"
        and any(m.is_op("newest") for m in b.reading.mentions)
        and "event_type" in columns
        and "is_latest" not in str(b.bound.where)
    ):
        b.bound.where.append(Part(sql="is_latest", reason="glossary: latest event"))
        b.bound.used |= {i for i, m in enumerate(b.reading.mentions) if m.is_op("newest")}
    if b.view == "thresholds" and not any("effective_" in p.sql or "version" in p.sql for p in b.bound.where):
        text = b.reading.question.lower()
        if not any(w in text for w in ("version", "all ", "history", "over time", "ever", "previous", "before")):
            b.bound.where.append(Part(sql="effective_to_ts IS NULL", reason="default: the version in force"))
