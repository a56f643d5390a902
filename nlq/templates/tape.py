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


def own_and_market(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """Our volume (or VWAP, or count) over the market's, or the two side by side."""
    text = sh.reading.question.lower()
    own = re.search(r"\b(?:our|ours|we|us|own|firm'?s?)\b", text)
    market = re.search(r"\b(?:tape|market'?s?(?! making)(?! order)|public|everyone|everybody)\b", text)
    if not own or not market or sh.view not in ("executions", "market_trades"):
        return None
    both = re.search(
        r"\b(?:percent(?:age)?|pct|%|share|part|fraction|proportion|versus|vs|against|next to|compared?|over|relative|beside|alongside|and|divided|/|than)\b|%|/",
        text,
    )
    if (
        not both
        or not (seen(sh, "executions") and seen(sh, "market_trades"))
        or not likely(sh, "compare_views", "scalar_subquery", "ratio", "join")
    ):
        return None
    if (
        "market making" in text
        or "market order" in text
        or re.search(
            r"(?:us|our) (?:not|rather than)|not (?:us|ours|the market|just us|only us)|not the (?:tape|market)|(?:everyone|everybody)(?:'s)?,? not|off[- ]market",
            text,
        )
    ):
        return None
    vwap = next((x for x in sh.measures if x.name == "vwap"), None) or (
        True if re.search(r"vwap|volume[- ]weighted|quantity[- ]weighted|qty weighted|average price", text) else None
    )
    counted = re.search(r"number of|how many (?:trades|prints|fills)|count", text)
    money = re.search(r"notional|turnover|value", text)
    sql = "sum(price * qty) / sum(qty)" if vwap else "count(*)" if counted else "sum(notional)" if money else "sum(qty)"
    alias = "vwap" if vwap else "n" if counted else "notional" if money else "qty"
    ours, theirs = bound_for(sh, "executions"), bound_for(sh, "market_trades")
    keys = tuple(
        Part(sql=d.sql, alias=d.alias, reason="grouping")
        for d in sh.dims
        if d.grouped or (d.target and d.sql == "symbol")
    )
    percent = re.search(r"percent|pct|%", text)
    ratio = percent or re.search(
        r"share|fraction|proportion|ratio|part of|divided|\w\s*/\s*(?:public|market|tape|the)", text
    )
    combine = (
        "beside"
        if vwap and not re.search(r"percent|pct|%|ratio", text)
        else "percent"
        if percent
        else "ratio"
        if ratio
        else "beside"
    )
    alone = {p.sql.split(" ")[0] for p in ours.where} & {"session_phase", "liquidity"}
    lost = [column for column in alone if not any(p.sql.startswith(column) for p in theirs.where)]
    their_where = tuple(p for p in theirs.where if not p.sql.startswith(("aggressor_side", "side")))
    having = []
    for i, m in enumerate(sh.m):
        if (
            m.compare is not None
            and m.compare.explicit
            and m.compare.number.unit in ("pct", None)
            and combine in ("percent", "ratio")
        ):
            value = m.compare.number.value if combine == "percent" else m.compare.number.value / 100
            having.append(
                Part(sql=f"{{value}} {m.compare.op} {literal(value)}", phrase=m.text, span=m.span, reason="comparison")
            )
            sh.used.add(i)
    if having and not keys:
        keys = (Part(sql="symbol", alias="symbol", reason="grouping"),)
    sh.used |= ours.used | theirs.used
    sh.doubts = [d for d in ours.doubts if d in theirs.doubts] + [f"{c} is not on the tape" for c in lost]
    consume(
        sh,
        r"our|we|us|own|firm|tape|market|public|percent|%|pct|share|volume|qty|quantity|vwap|against|versus|vs|next to|compare|ratio|total|name|symbol|stock|shares|over|number|turnover|notional|fraction|proportion|part|per|each|every|by|price|average|weighted|print|traded|trade",
    )
    first = Plan(
        view="executions",
        where=tuple(ours.where),
        keys=keys,
        measures=(Part(sql=sql, alias=f"our_{alias}", reason="measure"),),
    )
    second = Plan(
        view="market_trades",
        where=their_where,
        keys=keys,
        measures=(Part(sql=sql, alias=f"market_{alias}", reason="measure"),),
    )
    order = (
        (Order(sql=combine if combine != "beside" else f"our_{alias}", desc=rank.name != "bottom"),)
        if rank and keys
        else ()
    )
    return Plan(
        **{
            **first.__dict__,
            "other": second,
            "combine": combine,
            "having": tuple(having),
            "order": order,
            "limit": rank.limit if rank and keys else None,
        }
    )


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
