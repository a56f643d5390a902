"""A figure of today against the own norm: of a trader, of an instrument."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Baseline, Order, Part, Plan
from nlq.templates.words import consume, seen
from nlq.understand.numbers import literal

if TYPE_CHECKING:
    from nlq.shape.state import Rank, Shaper

METRICS = {"cancel_ratio": "CANCEL_RATIO", "count": "ORDERS_PER_DAY", "avg_qty": "AVG_ORDER_QTY"}


_NORMS = re.compile(
    r"\b(?:norms?|baselines?|usual(?:ly)?|normal(?:ly)?|own mean|own average|20[- ]day (?:daily )?mean|p95|95th percentile|habit|history|typical(?:ly)?|own p95|95 out of 100|mean per day|his mean|their mean|mean of orders)\b",
    re.I,
)


_MORE = re.compile(
    r"\b(?:above|over|more|beyond|exceed(?:s|ed|ing)?|beats?|higher|bigger|larger|past|through|wider|greater|busier|furthest|outside|topped|>)\b",
    re.I,
)


_LESS = re.compile(r"\b(?:below|under|less|fewer|smaller|lower|tighter|quieter|beneath|<)\b", re.I)


def trader_norm(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """Today's figure of each trader against the own norm in trader_baselines."""
    text = sh.reading.question
    if sh.view != "orders" or not _NORMS.search(text) or not seen(sh, "trader_baselines"):
        return None
    if re.search(r"20[- ]day average (?:quoted )?spread|average spread|earnings window", text, re.I):
        return None
    measure = _norm_measure(sh)
    if measure is None:
        return None
    name, sql, alias = measure
    condition = _norm_condition(sh, f"m.{alias}", text)
    figures = ["mean"]
    if "p95" in condition or re.search(r"\bp95\b|95th", text, re.I):
        figures.append("p95")
    if "stddev" in condition:
        figures.append("stddev")
    extra = [
        (f"m.{alias} - b.{'p95' if 'p95' in condition else 'mean'}", "excess"),
        (f"m.{alias} / b.mean", "multiple"),
        (f"(m.{alias} - b.mean) / b.stddev", "z"),
    ]
    if not condition and not re.search(
        r"against|versus|\bvs\b|next to|compar|beside|side by side|alongside|relative", text, re.I
    ):
        return None
    consume(
        sh,
        r"norm|baseline|usual|normal|p95|percentile|mean|average|against|versus|compar|multiple|excess|z.?score|above|over|more|own|than|habit|history|times|double|twice|half|deviation|sigma|standard|trader|who|figure|both|orders per day",
    )
    filters = tuple(p for p in sh.where if "metric" not in p.sql)
    return Plan(
        view="orders", where=filters, keys=(Part(sql="trader_id", alias="trader_id", reason="grouping"),),
        measures=(Part(sql=sql, alias=alias, reason="measure", phrase=name),),
        baseline=Baseline(view="trader_baselines", key="trader_id", where=f"b.metric = '{METRICS[name]}'", figures=tuple(figures), condition=condition, extra=tuple(extra)),
        order=(Order(sql=f"m.{alias} / b.mean", desc=True),) if rank and rank.limit and not condition else (),
        limit=rank.limit if rank and not condition else None,
    )  # fmt: skip


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
        if m.compare is None or i in sh.used:
            continue
        number, op = m.compare.number, m.compare.op
        if number.unit == "sd" or (
            re.search(r"z[- ]?score|sigma|standard dev|\bsd\b", text, re.I) and number.unit in (None, "times")
        ):
            sh.used.add(i)
            if op == "=" and _MORE.search(text):
                op = ">"
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
    if re.search(r"p95|95th percentile|95 out of 100|95 percent", text, re.I):
        for i, m in enumerate(sh.m):
            if re.search(r"\b95", m.text):
                sh.used.add(i)
        return f"{value} {'<' if _LESS.search(text) and not _MORE.search(text) else '>'} b.p95"
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
