"""How long an order waits for its first fill, change or cancel: two views, one instant of each per order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Part, Plan
from nlq.shape.dims import find_dims
from nlq.shape.state import AGG_SQL, Shaper
from nlq.templates.words import bound_for, consume

if TYPE_CHECKING:
    from nlq.shape.state import Rank

_FILL = r"fill(?:s|ed)?|exec(?:s|ution|utions|uted)?|trade[sd]?|print"
_CHANGE = r"replace(?:s|d|ment)?|amend(?:s|ed|ment)?|change[sd]?|modification|modified"
_CANCEL = r"cancel(?:s|led|lation)?|pull(?:ed)?"
_EVENT = rf"(?P<event>{_FILL}|{_CHANGE}|{_CANCEL})"
_WAITS = (
    re.compile(rf"\btime[- ]to[- ](?:the )?first[- ](?:\w+ )?{_EVENT}\b", re.I),
    re.compile(
        rf"\b(?:how long|time|seconds?|secs?|minutes?|ms|milliseconds|hours|wait\w*|delay|latency)\b.{{0,90}}?"
        rf"\b(?:until|till?|to|before|for|and|between)\b.{{0,40}}?\b(?:first|earliest)\b(?: \w+)?? {_EVENT}\b",
        re.I,
    ),
    re.compile(rf"\b(?:first|earliest) (?:\w+ )?{_EVENT}(?: time)?\s*(?:-|minus|less)\s*(?:the )?(?:entry|new|order)\b", re.I),
    re.compile(rf"\bwait\w*\b.{{0,60}}?{_EVENT} for the first time\b", re.I),
    re.compile(rf"\b(?:until|before) (?:they|it|each|the order) (?:were|was|is|got) (?:first )?{_EVENT}(?: for the first time)?\b", re.I),
)  # fmt: skip
_DONE = re.compile(rf"^(?:{_FILL}|{_CHANGE}|{_CANCEL}|valid|some fill|at least one|received a fill)\b", re.I)
_SPENT = (
    rf"{_FILL}|{_CHANGE}|{_CANCEL}|first|earliest|time|wait|delay|latency|until|till?\b|before|between|from|to\b|entry|entered|going in|"
    "seconds?|secs?|minutes?|ms|milliseconds|how long|order|its|valid|point|queue|on average|on avg|median|mean|average|avg|p\\d\\d|"
    "percentile|one"
)
_AGGREGATES = ("median", "p95", "p90", "p99", "p75", "p25", "max", "min", "avg")
_UNITS = (
    (r"\bms\b|millisec", 1_000.0, "ms"),
    (r"\bmin(?:ute)?s?\b", 60_000_000.0, "min"),
    (r"\bhours?\b", 3_600_000_000.0, "h"),
)


def wait_for_first(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """The average, median or other figure of the time between an order's entry and its first fill, change or cancel."""
    text = sh.reading.question
    match = next((m for pattern in _WAITS if (m := pattern.search(text))), None)
    if match is None or sh.proposal is not None:
        return None
    agg = _aggregate(sh)
    if agg is None:
        return None
    orders = Shaper(sh.world, sh.reading, bound_for(sh, "orders"))
    orders.dims = find_dims(orders)
    keys = [d for d in orders.dims if d.grouped]
    where = [p for p in orders.where if not (p.sql.startswith(("status", "filled_qty")) and _DONE.match(p.phrase))]
    if any("." in p.sql.split("'")[0] for p in where) or any("." in d.sql for d in keys):
        return None
    event = match["event"].lower()
    if re.fullmatch(_FILL, event):
        firsts = "SELECT order_id, min(exec_ts) AS first_ts FROM executions WHERE status = 'VALID' GROUP BY order_id"
    else:
        kind = "REPLACE" if re.fullmatch(_CHANGE, event) else "CANCEL"
        firsts = f"SELECT order_id, min(event_ts) AS first_ts FROM order_events WHERE event_type = '{kind}' GROUP BY order_id"
        where = [p for p in where if not p.sql.startswith(("n_replaces > 0", "n_replaces >= 1"))]
    per, unit = next(((n, u) for words, n, u in _UNITS if re.search(words, text, re.I)), (1_000_000.0, "s"))
    wait = f"(unix_micros(f.first_ts) - unix_micros(o.entry_ts)) / {per:.1f}"
    names = [f"o.{d.sql}" if re.fullmatch(r"\w+", d.sql) else d.sql for d in keys]
    outputs = [f"{n} AS {d.alias}" for n, d in zip(names, keys, strict=True)]
    sh.raw = (
        f"SELECT {', '.join([*outputs, f'{AGG_SQL[agg].format(wait)} AS {agg}_wait_{unit}'])} FROM orders AS o "
        f"JOIN ({firsts}) AS f ON f.order_id = o.order_id"
        + (f" WHERE {' AND '.join(p.sql for p in where)}" if where else "")
        + (f" GROUP BY {', '.join(names)}" if names else "")
    )
    sh.used |= orders.used
    sh.doubts = [d for d in orders.doubts if "several instruments" in d]
    consume(sh, _SPENT)
    spent = [
        i for i, m in enumerate(sh.m) if m.span[0] >= match.start() and m.span[1] <= match.end() and m.kind != "value"
    ]
    sh.used |= {i for i in spent if sh.m[i].compare is None}
    sh.used |= {
        i for i, m in enumerate(sh.m) if m.compare is not None and m.compare.op == ">=" and m.compare.number.value == 1
    }
    sh.settled = True
    return Plan(
        view="orders",
        where=tuple(where),
        keys=tuple(Part(sql=d.sql, alias=d.alias, reason="grouping") for d in keys),
        measures=(Part(sql=AGG_SQL[agg].format("first event - entry"), alias=f"{agg}_wait_{unit}", reason="measure"),),
    )


def _aggregate(sh: Shaper) -> str | None:
    said = {s.name for m in sh.m for s in m.of("agg")}
    text = sh.reading.question.lower()
    if re.search(r"\bp50\b|median|middle", text):
        return "median"
    found = next((a for a in _AGGREGATES if a in said), None)
    return found or ("avg" if re.search(r"\b(?:average|avg|mean)\b", text) else None)
