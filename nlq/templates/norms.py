"""A figure of today against the own norm: of a trader, of an instrument."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.compile import compile_plan
from nlq.plan import Baseline, Order, Part, Plan
from nlq.shape.state import Shaper
from nlq.templates.words import bound_for, consume, seen
from nlq.understand.numbers import literal

if TYPE_CHECKING:
    from nlq.shape.state import Rank

METRICS = {"cancel_ratio": "CANCEL_RATIO", "count": "ORDERS_PER_DAY", "avg_qty": "AVG_ORDER_QTY"}


_NORMS = re.compile(
    r"\b(?:norms?|baselines?|usual(?:ly)?|normal(?:ly)?|own mean|own average|20[- ]day (?:daily )?mean|p95|95th percentile|habit|history|typical(?:ly)?|own p95|95 out of 100|mean per day|his mean|their mean|mean of orders|daily average|AVG_ORDER_QTY|ORDERS_PER_DAY|own 20d|20d norm|20[- ]day mean)\b",
    re.I,
)


_MORE = re.compile(
    r"\b(?:above|over|more|beyond|exceed(?:s|ed|ing)?|beats?|bust(?:s|ing)?|higher|bigger|larger|past|through|wider|greater|busier|furthest|outside|topped|>)\b",
    re.I,
)


_LESS = re.compile(r"\b(?:below|under|less|fewer|smaller|lower|tighter|quieter|beneath|<)\b", re.I)


_FURTHER = re.compile(
    r"20[- ]day average (?:quoted )?spread|average spread|earnings window|order[- ]to[- ]trade|\botr\b", re.I
)
_BESIDE = re.compile(r"against|versus|\bvs\b|next to|compar|beside|side by side|alongside|relative|hold (?:it|that) up|and (?:his|her|their|the) (?:usual|normal|baseline)|what'?s usual", re.I)  # fmt: skip
_SCORE = re.compile(
    r"\bz\b|z[- ]?scores?|zscores?|sigmas?|standard dev\w*|\bstd\b|\bst(?:d )?devs?\b|\bsds?\b|\bstdev\b", re.I
)
_P95 = re.compile(r"\bp ?(?:95|ninety[- ]five)\b|(?:95|ninety[- ]fifth)(?:th)? (?:percentile|pctl)|95 out of 100|95 ?(?:percent|%) (?:mark|line|level)", re.I)  # fmt: skip
_HOME = ("orders", "trader_baselines", "executions", "alerts", "traders")
"""Main views from which a figure of today against the own norm may be asked."""
_COMPARED = (
    r"norm|baseline|usual|normal|p ?95|p ninety|95|ninety[- ]fifth|percentile|pctl|mean|average|avg|against|versus|vs|compar|multiple|excess|z\b|z.?score|"
    r"above|over|more|own|than|habit|history|times|double|twice|triple|half|deviation|sigma|standard|std|stdev|sds?\b|trader|who|figure|both|"
    r"orders per day|orders a day|orders_per_day|cancel_ratio|avg_order_qty|beats?|exceed|past|through|already|off|away|typical|ratio|number|value|"
    r"his\b|her\b|their|day|daily|per.day|today|how many|subtract|divide|score|metric|outlier|two|3x|2x|of all|all\b|each"
)


def trader_norm(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """Today's figure of each trader against the own norm in trader_baselines."""
    text = sh.reading.question
    stated = _NORMS.search(text) or _P95.search(text) or (_SCORE.search(text) and _MORE.search(text))
    if sh.view not in _HOME or not stated or _FURTHER.search(text) or not seen(sh, "trader_baselines"):
        return None
    own = sh if sh.view == "orders" else _over_orders(sh)
    if own is None or (measure := _norm_measure(own)) is None:
        return None
    name, sql, alias = measure
    having = _enough(own)
    condition = _norm_condition(own, f"m.{alias}", text)
    scored = bool(_SCORE.search(text))
    if not condition and not scored and not _BESIDE.search(text):
        return None
    consume(own, _COMPARED)
    ranked = rank is not None and rank.limit is not None and not condition
    plan = Plan(
        view="orders", where=tuple(p for p in own.where if "metric" not in p.sql),
        keys=(Part(sql="trader_id", alias="trader_id", reason="grouping"),),
        measures=(Part(sql=sql, alias=alias, reason="measure", phrase=name),), having=having,
        baseline=_own_norm(name, alias, condition, text),
        order=(Order(sql=f"m.{alias} / b.mean", desc=True),) if ranked else (),
        limit=rank.limit if ranked and rank else None,
    )  # fmt: skip
    if re.match(r"\W*(?:how many (?:of our |different )?(?:traders|people)|(?:count|number) of traders)\b", text, re.I):
        own.raw = f"SELECT count(*) AS n FROM ({compile_plan(plan)}) AS over_norm"
    sh.used, sh.doubts, sh.raw, sh.settled = own.used, own.doubts, own.raw, True
    return plan


def _over_orders(sh: Shaper) -> Shaper | None:
    """The question over the orders of a time that it names; None when it is about the norms or the alerts themselves."""
    named = {s.name for m in sh.m for s in m.of("view")}
    timed = any(m.time is not None and m.time.kind != "rolling" for m in sh.m)
    if not timed or named & {"alerts", "order_flow_30s", "executions", "market_trades", "order_events"}:
        return None
    other = Shaper(sh.world, sh.reading, bound_for(sh, "orders"), sh.proposal)
    other.dims = sh.dims
    return other


def _own_norm(name: str, alias: str, condition: str, text: str) -> Baseline:
    p95 = "p95" in condition or bool(_P95.search(text))
    extra = (
        (f"m.{alias} - b.{'p95' if p95 else 'mean'}", "excess"),
        (f"m.{alias} / b.mean", "multiple"),
        (f"(m.{alias} - b.mean) / b.stddev", "z"),
    )
    figures = ("mean", *(("p95",) if p95 else ()), *(("stddev",) if "stddev" in condition else ()))
    where = f"b.metric = '{METRICS[name]}'"
    return Baseline(view="trader_baselines", key="trader_id", where=where, figures=figures, condition=condition, extra=extra)  # fmt: skip


def _enough(sh: Shaper) -> tuple[Part, ...]:
    """ "Traders with 30+ orders": rows that a figure must rest on, not a distance from the norm."""
    for i, m in enumerate(sh.m):
        if m.compare is None or m.compare.number.unit not in (None, "qty") or m.compare.number.value < 5:
            continue
        after = sh.reading.question[m.span[1] :].lower()
        if m.compare.explicit and re.match(r"\W*orders?\b(?! (?:a|per) day|ly)", after):
            sh.used |= {i, *(k for k in (i + 1, i + 2) if k < len(sh.m) and sh.m[k].text.lower().startswith("order"))}
            return (Part(sql=f"count(*) {m.compare.op} {m.compare.number.text}", phrase=m.text, span=m.span, reason="comparison"),)  # fmt: skip
    return ()


def _norm_measure(sh: Shaper) -> tuple[str, str, str] | None:
    text = sh.reading.question.lower()
    lexicon = sh.world.lexicon
    if re.search(r"cancel|cxl|call(?:ed|s|ing)? off|pull", text):
        sh.where = [p for p in sh.where if "CANCELLED" not in p.sql]
        consume(sh, r"cancel|cxl|call|pull|ratio|rate|fraction|share|part|proportion|habit")
        return "cancel_ratio", lexicon.aggregates["cancel_ratio"]["orders"], "cancel_ratio"
    if re.search(
        r"(?:average|mean|avg|typical) (?:order )?(?:size|quantity|qty)|order (?:size|qty|quantity)|avg_order_qty|clip|sizes?\b|quantity|(?:smaller|bigger|larger) orders",
        text,
    ):
        consume(sh, r"size|qty|quantity|clip|average|avg|mean|order")
        return "avg_qty", "avg(order_qty)", "avg_order_qty"
    if re.search(
        r"orders? (?:count|number|per day|a day|today)|count|how many|number of orders|busy|orders|order entry", text
    ):
        consume(sh, r"order|count|number|many|busy|day")
        return "count", "count(*)", "n_orders"
    return None


def _norm_condition(sh: Shaper, value: str, text: str) -> str:
    for i, m in enumerate(sh.m):
        if m.compare is None or i in sh.used or re.match(r"(?:20|twenty)(?:d|\b)|(?:95|ninety)", m.text, re.I):
            continue
        number, op = m.compare.number, m.compare.op
        if number.unit == "sd" or (_SCORE.search(text) and number.unit in (None, "times")):
            if not m.compare.explicit and number.unit != "sd" and not _MORE.search(text):
                continue
            sh.used.add(i)
            if op == "=":
                op = ">=" if re.search(r">=|or (?:more|better|higher|over)|at least", text) else ">"
            return f"{value} {op} b.mean + {number.text} * b.stddev"
        if number.unit in ("times", "pct"):
            sh.used.add(i)
            factor = number.value
            if number.unit == "pct":
                factor = 1 + number.value / 100 if _MORE.search(text) else 1 - number.value / 100
                op = ">" if op == "=" else op
            if op == "=":
                op = "<" if factor < 1 else ">"
            return f"{value} {op} {literal(round(factor, 10))} * b.mean"
    if _P95.search(text) or re.search(r"95 percent", text, re.I):
        for i, m in enumerate(sh.m):
            if re.search(r"\b95", m.text):
                sh.used.add(i)
        return f"{value} {'<' if _LESS.search(text) and not _MORE.search(text) else '>'} b.p95"
    if _SCORE.search(text) and not re.search(r"than (?:they|he|she|usual|normal)|than (?:his|her|their|its) ", text):
        return ""  # the distance itself is asked for
    if _MORE.search(text):
        return f"{value} > b.mean"
    if _LESS.search(text):
        return f"{value} < b.mean"
    return ""


def instrument_norm(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """Volume against the 20-day average volume, quoted spread against the 20-day average spread."""
    text = sh.reading.question
    if not seen(sh, "instruments"):
        return None
    if sh.view in ("market_trades", "executions") and re.search(
        r"\badv|average dai?ly volume|average day|20[- ]day (?:average )?(?:daily )?volume|daily average", text, re.I
    ):
        figure, alias, sql = "adv_20d", "volume", "sum(qty)"
    elif sh.view == "quotes" and re.search(r"20[- ]?d(?:ay)?|twenty[- ]day|\bnorm\b|usual|normal", text, re.I):
        figure, alias, sql = "avg_spread_bps_20d", "avg_spread_bps", "avg(spread_bps)"
        if re.search(r"how many (?:\w+ )?quotes|count (?:the )?(?:\w+ )?quote", text, re.I):
            return None
    else:
        return None
    if rank is not None and rank.limit == 20:
        rank = None  # the average day of the last twenty
    condition = ""
    for i, m in enumerate(sh.m):
        if m.compare is not None and m.compare.explicit and m.compare.number.unit in (None, "qty"):
            if i not in sh.used and m.compare.number.value > 50:
                return None  # a figure of its own, not a multiple of the norm
        if m.compare is None or i in sh.used or m.compare.number.unit not in (None, "times", "pct"):
            continue
        number, op = m.compare.number, m.compare.op
        if re.match(r"(?:20|twenty)\b", m.text) and not m.compare.explicit and number.unit != "pct":
            sh.used.add(i)
            continue
        if number.value > 50 and number.unit != "pct":
            continue
        if number.unit is None and not m.compare.explicit:
            continue
        factor = number.value
        if number.unit == "pct":
            wider = re.search(r"wider|more than usual|above|over its|higher|greater than", text, re.I)
            factor = 1 + factor / 100 if alias == "avg_spread_bps" and wider else factor / 100
        op = ">" if op == "=" else op
        condition = f"m.{alias} {op} {literal(round(factor, 10))} * b.{figure}"
        sh.used.add(i)
    if not condition and _MORE.search(text) and not rank:
        condition = f"m.{alias} > b.{figure}"
    consume(
        sh,
        r"adv|20|twenty|norm|usual|normal|average|spread|volume|multiple|times|over|more|wider|than|daily|ratio|mean|name|instrument|symbol|stock|figure|both|qty|day",
    )
    multiple = f"m.{alias} / b.{figure}"
    return Plan(
        view=sh.view, where=tuple(sh.where), keys=(Part(sql="symbol", alias="symbol", reason="grouping"),),
        measures=(Part(sql=sql, alias=alias, reason="measure"),),
        baseline=Baseline(view="instruments", key="symbol", where="", figures=(figure,), condition=condition, extra=((multiple, "multiple"), (f"100.0 * {multiple}", "pct"), (f"100.0 * ({multiple} - 1)", "change_pct"))),
        order=(Order(sql=multiple, desc=rank.name != "bottom"),) if rank and rank.limit else (),
        limit=rank.limit if rank else None,
    )  # fmt: skip
