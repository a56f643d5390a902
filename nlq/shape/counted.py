"""Conditions on counts: of rows in a group, of different values, of the part that meets a condition, of a window's events."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.said import Said, keep, keep_having
from nlq.shape.state import Measure
from nlq.understand.numbers import literal

if TYPE_CHECKING:
    from nlq.shape.state import Shaper

_PRINTS = {"market_trades", "executions"}
_OF_THEIR = re.compile(r"^\W*of (?:their|its|his|her|whose|all (?:their|its)|the|all)\b")


def bind_count(sh: Shaper, said: Said) -> bool:
    """Bind a plain number to what is counted beside it; False when nothing is."""
    if said.number.unit in ("times", "pct"):
        return _share_having(sh, said)
    if said.number.unit is not None:
        return False
    if sh.view == "order_flow_30s":
        for j in [*said.after[:1], *said.before[:2]]:
            column = _flow_column(sh, j)
            if column:
                sh.used.add(j)
                return keep(sh, said, f"{column} {said.op} {said.number.text}", "count in the window")
    if sh.view == "trade_stats_1m" and said.explicit and (column := _minute_column(sh, said)):
        sh.used.add(said.after[0])
        return keep(sh, said, f"{column} {said.op} {said.number.text}", "count in the minute")
    return False


def bind_group_count(sh: Shaper, said: Said) -> bool:
    """ "More than 20 orders": a condition on how many rows a group has; "more than one kind", on how many values."""
    if said.number.unit is not None or sh.rows:
        return False
    senses = sh.m[said.after[0]].of("meas") if said.after and sh.m[said.after[0]].kind == "sense" else []
    if not any(_is_column(sh, s.name) for s in senses) and sh.view != "order_flow_30s":
        for j in said.after[:2]:
            if _count_noun(sh, j):
                if not any(x.agg == "count" for x in sh.measures):
                    sh.measures.append(Measure(said.i, "count(*)", "", "n", "count"))
                return keep_having(sh, said, f"count(*) {said.op} {said.number.text}")
    return _distinct_having(sh, said)


def _is_column(sh: Shaper, name: str) -> bool:
    return sh.view in sh.world.lexicon.measures.get(name, {})


def _minute_column(sh: Shaper, said: Said) -> str:
    for j in said.after[:1]:
        views = {s.name for s in sh.m[j].of("view")} if sh.m[j].kind == "sense" else set()
        if "quotes" in views:
            return "n_quotes"
        if sh.m[j].is_op("trades") or views & _PRINTS:
            return "n_trades"
    return ""


def _flow_column(sh: Shaper, j: int) -> str | None:
    mention = sh.m[j]
    if mention.kind != "sense":
        return None
    if any(s.name == "cancel_ratio" for s in mention.of("meas")):
        return None
    if any("CANCEL" in s.name for s in mention.of("code")) or re.search(r"cancel|cxl|pull", mention.text.lower()):
        return "n_cancel"
    views = {s.name for s in mention.of("view")}
    if any(s.name == "opp_fill" for s in mention.of("meas")):
        return None
    if (
        any("event_type=NEW" in s.name or "status=NEW" in s.name for s in mention.of("code"))
        or mention.text.lower().startswith("new order")
        or mention.text.lower() == "new"
    ):
        return "n_new"
    return "n_new" if "orders" in views else "n_fill" if "executions" in views else None


def _count_noun(sh: Shaper, j: int) -> bool:
    mention = sh.m[j]
    if any(_is_column(sh, s.name) for s in mention.of("meas")) and sh.view == "ingest_status":
        return False
    if any(s.name == sh.view for s in mention.of("view")) or mention.is_op("trades"):
        return True
    status = mention.of("code") and any(
        c in ("status", "event_type") for s in mention.of("code") for _, c, _ in s.places
    )
    return bool(status)


def _share_having(sh: Shaper, said: Said) -> bool:
    """ "Cancelled more than half of their orders": a condition on the part of a group's rows that meets another one."""
    number, mention = said.number, said.mention
    share = number.value / 100 if number.unit == "pct" else number.value
    if not 0 < share <= 1 or not _OF_THEIR.match(sh.reading.question[mention.span[1] :].lower()):
        return False
    if not any(d.target or d.led for d in sh.dims):
        return False
    parts = [
        p for p in sh.where if p.span is not None and (p.reason in ("code", "value") or p.reason.startswith("glossary"))
    ]
    if not parts:
        return False
    part = min(parts, key=lambda p: abs((p.span or (0, 0))[0] - mention.span[0]))
    sh.where = [p for p in sh.where if p is not part]
    figure = f"avg(CASE WHEN {part.sql} THEN 1.0D ELSE 0.0D END)"
    sh.measures = [x for x in sh.measures if x.agg != "count"]
    sh.measures.append(Measure(said.i, figure, "", "share", "share"))
    sh.used |= {j for j in said.after[:1] if _count_noun(sh, j)}
    return keep_having(sh, said, f"{figure} {said.op} {literal(round(share, 10))}")


def _distinct_having(sh: Shaper, said: Said) -> bool:
    """ "More than one kind of alert": a condition on how many different values a group has."""
    if sh.view == "ingest_status":
        return False
    for j in said.after[:2]:
        dim = next((d for d in sh.dims if d.i == j and not d.led), None)
        if dim is None or (len(sh.dims) == 1 and sh.proposal is None):
            continue
        figure = f"count(DISTINCT {dim.sql})"
        if not any(x.sql == figure for x in sh.measures):
            sh.measures.append(Measure(said.i, figure, "", f"n_{dim.alias}", "count_distinct"))
        sh.dims = [d for d in sh.dims if d is not dim]
        sh.used |= {j} | {k for k in said.after if any(s.name == "distinct" for s in sh.m[k].of("agg"))}
        return keep_having(sh, said, f"{figure} {said.op} {said.number.text}")
    return False
