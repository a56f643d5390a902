"""Reference rows that have no row in a fact view."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.bind import bind
from nlq.plan import Part, Plan
from nlq.templates.words import bound_for, consume
from nlq.views import has

if TYPE_CHECKING:
    from nlq.shape.state import Rank, Shaper

_ABSENT = re.compile(
    r"\b(?:no|not|never|without|haven'?t|hasn'?t|didn'?t|zero|none|nobody|don'?t|not a single|nothing|no one)\b", re.I
)


_SECOND = {
    "executions": re.compile(
        r"\b(?:fills?|filled|trad(?:e|ed|es|ing)|execut\w+|dealt|deal|touched|shorted|bought|sold|short-sale fill|traded)\b",
        re.I,
    ),
    "orders": re.compile(r"\b(?:orders?|entered|put in)\b", re.I),
    "alerts": re.compile(r"\balerts?\b|raised|flagged", re.I),
    "personal_trades": re.compile(r"personal|outside broker|\bPAD?\b", re.I),
    "market_trades": re.compile(r"\b(?:prints?|tape|market trades?)\b", re.I),
    "restricted_list": re.compile(r"\b(?:restrict\w+|watch|insider) (?:list|entr)", re.I),
}


def absence(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """Reference rows that have no row in a fact view: traders without a fill, accounts that never shorted."""
    link = {"traders": "trader_id", "accounts": "account_id", "instruments": "symbol"}.get(sh.view)
    text = sh.reading.question
    if link is None or not _ABSENT.search(text) or (sh.proposal is not None and sh.p("anti_join") < 0.3):
        return None
    options = [v for v, pattern in _SECOND.items() if pattern.search(text) and has(sh.world.catalogue, v, link)]
    if sh.proposal is not None:
        options = [v for v in options if sh.proposal.views.get(v, 0) > 0.4]
    if len(options) != 1:
        return None
    other = bound_for(sh, options[0])
    outer = bind(sh.world, sh.reading, sh.view)
    inner_where = tuple(
        p
        for p in other.where
        if not any(c in p.sql for c in ("accounts.", "traders.", "instruments."))
        and not (p.sql.startswith("account_type") and sh.view == "accounts")
        and not p.sql.startswith(("desk", "NOT is_algo", "is_algo"))
    )
    outer_where = tuple(
        p for p in outer.where if p.reason != "time" and not p.sql.startswith(("symbol", "issuer_name"))
    )
    sh.used |= other.used | outer.used | {i for i, m in enumerate(sh.m) if m.is_op("not")}
    sh.doubts = []
    consume(sh, r"fill|trade|order|alert|print|no|not|never|single|any|all|short|share|touch|account|trader|client")
    view = sh.world.catalogue.views[sh.view]
    shown = tuple(
        Part(sql=c.name, alias=c.name)
        for c in view.columns.values()
        if c.sensitivity is None or (c.name == "trader_name" and sh.sees_names)
    )
    flip = re.compile(r"<> |NOT IN")
    inner_where = tuple(
        Part(
            **{**p.__dict__, "sql": p.sql.replace("<> ", "= ").replace("NOT IN", "IN") if flip.search(p.sql) else p.sql}
        )
        for p in inner_where
    )
    led = [d for d in sh.dims if d.led and has(sh.world.catalogue, sh.view, d.sql)]
    counted = led or any(x.agg == "count" for x in sh.measures)
    return Plan(
        view=sh.view,
        where=outer_where,
        shown=() if counted else shown,
        keys=tuple(Part(sql=d.sql, alias=d.alias, reason="grouping") for d in led),
        measures=(Part(sql="count(*)", alias="n", reason="measure"),) if counted else (),
        absent=Plan(view=options[0], where=inner_where, keys=(Part(sql=link, alias=link),)),
    )
