"""The time between one row and the next."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Part, Plan
from nlq.templates.words import consume, likely

if TYPE_CHECKING:
    from nlq.shape.state import Rank, Shaper


def gap(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """The longest time between one row and the next."""
    text = sh.reading.question.lower()
    cue = re.search(
        r"\b(?:gap|silence|pause|between (?:two|one) (?:\w+ ){0,3}(?:and the next|in a row|prints|consecutive|successive|neighbour)|without (?:a|any) (?:print|trade) ?,? between|inter[- ]?print|inter[- ]?arrival|between consecutive|between successive|w/o any print|from one (?:market )?(?:print|trade|fill) to the (?:next|following))",
        text,
    )
    time = sh.world.catalogue.views[sh.view].time
    if (
        not cue
        or not time
        or not likely(sh, "previous_row", "window")
        or sh.view not in ("market_trades", "executions", "quotes", "orders", "order_events")
    ):
        return None
    if re.search(r"\bprice|\bmoves?\b|percent|%|\bpx\b", text):
        return None  # a step of the price, not of time
    if not re.search(r"longest|biggest|largest|max|greatest|widest", text):
        return None
    per = (
        60_000_000.0
        if re.search(r"\bmin(?:ute)?s\b|\(min\)|\bin min\b", text)
        else 3_600_000_000.0
        if "hours" in text
        else 1000.0
        if re.search(r"millisec|\bms\b", text)
        else 1_000_000.0
    )
    keys = [d for d in sh.dims if d.grouped]
    partition = f"PARTITION BY {', '.join(d.sql for d in keys)} " if keys else ""
    if any("." in p.sql.split("'")[0] for p in sh.where):
        return None
    where = " AND ".join(p.sql for p in sh.where)
    names = "".join(f"{d.sql} AS {d.alias}, " if d.sql != d.alias else f"{d.sql}, " for d in keys)
    inner = (
        f"SELECT {names}(unix_micros({time}) - unix_micros(lag({time}) OVER ({partition}ORDER BY {time}))) / {per:.0f}.0 AS gap FROM {sh.view}"
        + (f" WHERE {where}" if where else "")
    )
    consume(
        sh,
        r"gap|silence|pause|between|consecutive|successive|longest|biggest|largest|max|greatest|second|minute|row|next|one|two|neighbour|tape|print|trade|time|hour|ms",
    )
    sh.raw = f"SELECT {''.join(d.alias + ', ' for d in keys)}max(gap) AS gap FROM ({inner}) AS gaps" + (
        f" GROUP BY {', '.join(d.alias for d in keys)}" if keys else ""
    )
    return Plan(view=sh.view, where=tuple(sh.where), measures=(Part(sql="max(gap)", alias="gap", reason="measure"),))
