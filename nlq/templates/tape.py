"""Two views side by side: own flow and the tape, orders and fills."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Order, Part, Plan
from nlq.templates.words import bound_for, consume, likely, seen
from nlq.understand.numbers import literal
from nlq.views import has

if TYPE_CHECKING:
    from nlq.shape.state import Rank, Shaper


_OWN = re.compile(r"\b(?:our|ours|we|us|own|firm'?s?)\b")
_MARKET = re.compile(r"\b(?:tape|market'?s?(?! making)(?! order)|public|everyone|everybody)\b")
_BOTH = re.compile(
    r"\b(?:percent(?:age)?|pct|%|share|part|fraction|proportion|versus|vs|against|next to|compared?|over|relative|beside|alongside|and|divided|/|than)\b|%|/"
)
_ONE_ONLY = re.compile(
    r"market making|market order|(?:us|our) (?:not|rather than)|not (?:us|ours|the market|just us|only us)|not the (?:tape|market)"
    r"|(?:everyone|everybody)(?:'s)?,? not|off[- ]market"
)
_VWAP = re.compile(r"vwap|volume[- ]weighted|quantity[- ]weighted|qty weighted|average price")
_SPENT = (
    r"our|we|us|own|firm|tape|market|public|percent|%|pct|share|volume|qty|quantity|vwap|against|versus|vs|next to|compare|ratio|total|name|symbol|"
    r"stock|shares|over|number|turnover|notional|fraction|proportion|part|per|each|every|by|price|average|weighted|print|traded|trade"
)
_OWN_ONLY = {"session_phase", "liquidity"}
"""Conditions that the tape has no column for."""


def own_and_market(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """Our volume (or VWAP, or count) over the market's, or the two side by side."""
    text = sh.reading.question.lower()
    if sh.view not in ("executions", "market_trades") or not _OWN.search(text) or not _MARKET.search(text):
        return None
    if not _BOTH.search(text) or _ONE_ONLY.search(text):
        return None
    seen_both = seen(sh, "executions") and seen(sh, "market_trades")
    if not seen_both or not likely(sh, "compare_views", "scalar_subquery", "ratio", "join"):
        return None
    sql, alias = _figure(sh, text)
    combine = _combined(text, alias)
    ours, theirs = bound_for(sh, "executions"), bound_for(sh, "market_trades")
    keys = tuple(
        Part(sql=d.sql, alias=d.alias, reason="grouping")
        for d in sh.dims
        if d.grouped or (d.target and d.sql == "symbol")
    )
    having = _limits(sh, combine)
    if having and not keys:
        keys = (Part(sql="symbol", alias="symbol", reason="grouping"),)
    alone = {p.sql.split(" ")[0] for p in ours.where} & _OWN_ONLY
    lost = [column for column in alone if not any(p.sql.startswith(column) for p in theirs.where)]
    sh.used |= ours.used | theirs.used
    sh.doubts = [d for d in ours.doubts if d in theirs.doubts] + [f"{c} is not on the tape" for c in lost]
    consume(sh, _SPENT)
    second = Plan(
        view="market_trades",
        where=tuple(p for p in theirs.where if not p.sql.startswith(("aggressor_side", "side"))),
        keys=keys,
        measures=(Part(sql=sql, alias=f"market_{alias}", reason="measure"),),
    )
    ranked = rank is not None and bool(keys)
    by = f"our_{alias}" if combine == "beside" else combine
    return Plan(
        view="executions",
        where=tuple(ours.where),
        keys=keys,
        measures=(Part(sql=sql, alias=f"our_{alias}", reason="measure"),),
        other=second,
        combine=combine,
        having=having,
        order=(Order(sql=by, desc=rank.name != "bottom"),) if ranked and rank else (),
        limit=rank.limit if ranked and rank else None,
    )


def _figure(sh: Shaper, text: str) -> tuple[str, str]:
    """What is compared: weighted price, count, money or quantity, with its name."""
    if any(x.name == "vwap" for x in sh.measures) or _VWAP.search(text):
        return "sum(price * qty) / sum(qty)", "vwap"
    if re.search(r"number of|how many (?:trades|prints|fills)|count", text):
        return "count(*)", "n"
    return ("sum(notional)", "notional") if re.search(r"notional|turnover|value", text) else ("sum(qty)", "qty")


def _combined(text: str, alias: str) -> str:
    """Percent, ratio, or the two beside each other."""
    if alias == "vwap" and not re.search(r"percent|pct|%|ratio", text):
        return "beside"
    if re.search(r"percent|pct|%", text):
        return "percent"
    ratio = r"share|fraction|proportion|ratio|part of|divided|\w\s*/\s*(?:public|market|tape|the)"
    return "ratio" if re.search(ratio, text) else "beside"


def _limits(sh: Shaper, combine: str) -> tuple[Part, ...]:
    """Comparisons of the combined figure."""
    having = []
    for i, m in enumerate(sh.m):
        compare = m.compare
        if compare is None or not compare.explicit or compare.number.unit not in ("pct", None) or combine == "beside":
            continue
        value = compare.number.value if combine == "percent" else compare.number.value / 100
        having.append(
            Part(sql=f"{{value}} {compare.op} {literal(value)}", phrase=m.text, span=m.span, reason="comparison")
        )
        sh.used.add(i)
    return tuple(having)


def order_to_trade(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """Orders entered over valid fills."""
    cue = [i for i, m in enumerate(sh.m) if m.kind == "sense" and any(s.name == "otr" for s in m.of("meas"))]
    if not cue or "baseline" in sh.reading.question.lower() or sh.view == "trader_baselines":
        return None
    orders, fills = bound_for(sh, "orders"), bound_for(sh, "executions")
    keys = tuple(
        Part(sql=d.sql, alias=d.alias, reason="grouping")
        for d in sh.dims
        if (d.grouped or d.target) and has(sh.world.catalogue, "executions", d.sql)
    )
    having = []
    for i, m in enumerate(sh.m):
        if (
            m.compare is not None
            and m.compare.explicit
            and m.compare.number.unit in (None, "times")
            and i not in orders.used
        ):
            having.append(
                Part(
                    sql=f"{{value}} {m.compare.op} {m.compare.number.text}",
                    phrase=m.text,
                    span=m.span,
                    reason="comparison",
                )
            )
            sh.used.add(i)
    if having and not keys:
        keys = (Part(sql="trader_id", alias="trader_id", reason="grouping"),)
    sh.used |= orders.used | set(cue) | fills.used
    sh.settled = True
    first = Plan(
        view="orders",
        where=tuple(orders.where),
        keys=keys,
        measures=(Part(sql="count(*)", alias="n_orders", reason="measure"),),
    )
    second = Plan(
        view="executions",
        where=tuple(fills.where),
        keys=keys,
        measures=(Part(sql="count(*)", alias="n_fills", reason="measure"),),
    )
    sh.doubts = [d for d in sh.doubts if "column" not in d]
    order = (Order(sql="ratio", desc=rank.name != "bottom"),) if rank and keys else ()
    return Plan(
        **{
            **first.__dict__,
            "other": second,
            "combine": "ratio",
            "having": tuple(having),
            "order": order,
            "limit": rank.limit if rank and keys else None,
        }
    )
