"""Conditions that hold when the question says nothing else, and contrasts that cut the result."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.bind.state import Binder, quote
from nlq.bind.when import clock_of
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


def _messages(b: Binder) -> None:
    """Topic and field of a dead letter by the words that name them: "executions topic", "missing price"."""
    if b.view != "dead_letters":
        return
    values = b.world.values.values
    for i, m in enumerate(b.reading.mentions):
        low = m.text.lower().replace(" ", "_")
        before = b.reading.mentions[i - 1].text.lower() if i else ""
        after = b.reading.mentions[i + 1].text.lower() if i + 1 < len(b.reading.mentions) else ""
        if (
            low in values.get("error_field", ())
            and "error_field" not in b.bound.columns
            and (
                "missing" in before
                or "field" in after
                or before in ("the", "a", "no", "its")
                or after in ("missing", "absent", "field")
            )
        ):
            b.bound.where.append(Part(sql=f"error_field = {quote(low)}", phrase=m.text, span=m.span, reason="value"))
            b.bound.used.add(i)
        elif after in ("topic", "feed") and "topic" not in b.bound.columns:
            near = [t for t in values.get("topic", ()) if t.replace(".", "_") == low or t == low]
            if len(near) == 1:
                b.bound.where.append(Part(sql=f"topic = {quote(near[0])}", phrase=m.text, span=m.span, reason="value"))
                b.bound.used |= {i, i + 1}


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
    ("CANCEL_RATIO", r"cancel|\bcxl|call(?:s|ed|ing)? off|pull"),
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


def _short_or_shut(b: Binder) -> None:
    """ "Half days and holidays": either of the two, since no day is both."""
    half = next((p for p in b.bound.where if p.sql == "is_half_day"), None)
    shut = next((p for p in b.bound.where if p.sql.startswith("NOT is_trading_day")), None)
    if half is None or shut is None:
        return
    rest = [p for p in b.bound.where if p is not half and p is not shut]
    either = f"({half.sql} OR ({shut.sql}))"
    phrase = f"{half.phrase}, {shut.phrase}"
    b.bound.where = [*rest, Part(sql=either, phrase=phrase, span=half.span, reason=half.reason)]


def _session(b: Binder) -> None:
    """Sessions: which are open now, and today's where no day is said."""
    if b.view != "trading_calendar":
        return
    _short_or_shut(b)
    words = {m.text.lower() for m in b.reading.mentions}
    now = clock_of(b).now
    today = f"trade_date = {clock_of(b).today}"
    if any(m.time is not None and m.time.kind == "now" for m in b.reading.mentions) and words & {
        "open",
        "shut",
        "closed",
        "close",
    }:
        sql = f"is_trading_day AND open_ts <= {now} AND close_ts > {now}"
        sql = sql if "open" in words else f"NOT ({sql}) AND {today}"
        said = next(m for m in b.reading.mentions if m.text.lower() in ("open", "shut", "closed", "close"))
        b.bound.where = [p for p in b.bound.where if "is_trading_day" not in p.sql]
        b.bound.where.append(Part(sql=sql, phrase=said.text, span=said.span, reason="glossary: in session now"))
        b.bound.used |= {i for i, m in enumerate(b.reading.mentions) if m is said}
        return
    hours = {"open_ts", "close_ts", "closing_auction_start_ts"}
    asked = any(s.name in hours for m in b.reading.mentions for s in m.of("col"))
    dated = any("_date" in p.sql or "_ts" in p.sql for p in b.bound.where)
    if asked and not dated and not any(m.time is not None for m in b.reading.mentions):
        if not {"holiday", "holidays", "usually", "normally"} & words:
            b.bound.where.append(Part(sql=today, reason="default: today's session"))


def add_defaults(b: Binder) -> None:
    """What holds when the question says nothing else."""
    _metric(b)
    _session(b)
    _contrasts(b)
    _messages(b)
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
