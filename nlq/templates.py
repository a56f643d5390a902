"""Shapes that need a second view or a second period: norms, own against the tape, two periods, absence, gaps.

Each is recognised by its own words and built from the same bound conditions as a plain plan; one that does not fit
completely returns None and leaves the question to the plain shapes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.bind import Binder, Bound
from nlq.plan import Baseline, Order, Part, Plan
from nlq.understand.numbers import literal
from nlq.understand.times import Clock, TimePhrase, interval, predicates
from nlq.views import has

if TYPE_CHECKING:
    from nlq.shape import Measure, Shaper

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


def apply(shaper: Shaper, mode: str, rank: dict[str, object] | None) -> Plan | None:
    """The first template that fits, or None."""
    for template in (own_and_market, order_to_trade, trader_norm, instrument_norm, two_periods, gap, absence):
        plan = template(shaper, mode, rank)
        if plan is not None:
            return plan
    return None


def _likely(shaper: Shaper, *shapes: str) -> bool:
    """Whether the learnt parser leaves room for one of these shapes; True without a parser."""
    return shaper.proposal is None or max(shaper.p(s) for s in shapes) > 0.15


def _seen(shaper: Shaper, view: str) -> bool:
    return shaper.proposal is None or shaper.proposal.views.get(view, 0.0) > 0.15


def _consume(shaper: Shaper, pattern: str) -> None:
    """Mark every mention whose words match as used."""
    for i, m in enumerate(shaper.m):
        if re.search(pattern, m.text, re.I):
            shaper.used.add(i)


# -- norms of traders and instruments ------------------------------------------------------------------------------
def trader_norm(shaper: Shaper, mode: str, rank: dict[str, object] | None) -> Plan | None:
    """Today's figure of each trader against the own norm in trader_baselines."""
    text = shaper.reading.question
    if shaper.view != "orders" or not _NORMS.search(text) or not _seen(shaper, "trader_baselines"):
        return None
    if re.search(r"20[- ]day average (?:quoted )?spread|average spread|earnings window", text, re.I):
        return None
    measure = _norm_measure(shaper)
    if measure is None:
        return None
    name, sql, alias = measure
    condition = _norm_condition(shaper, f"m.{alias}", text)
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
    _consume(
        shaper,
        r"norm|baseline|usual|normal|p95|percentile|mean|average|against|versus|compar|multiple|excess|z.?score|above|over|more|own|than|habit|history|times|double|twice|half|deviation|sigma|standard|trader|who|figure|both|orders per day",
    )
    filters = tuple(p for p in shaper.where if "metric" not in p.sql)
    return Plan(
        view="orders", where=filters, keys=(Part(sql="trader_id", alias="trader_id", reason="grouping"),),
        measures=(Part(sql=sql, alias=alias, reason="measure", phrase=name),),
        baseline=Baseline(view="trader_baselines", key="trader_id", where=f"b.metric = '{METRICS[name]}'", figures=tuple(figures), condition=condition, extra=tuple(extra)),
        order=(Order(sql=f"m.{alias} / b.mean", desc=True),) if rank and rank["limit"] and not condition else (),
        limit=rank["limit"] if rank and not condition else None,  # type: ignore[arg-type]
    )  # fmt: skip


def _norm_measure(shaper: Shaper) -> tuple[str, str, str] | None:
    text = shaper.reading.question.lower()
    lexicon = shaper.world.lexicon
    if re.search(r"cancel|cxl|call(?:ed|s|ing)? off|pull", text):
        shaper.where = [p for p in shaper.where if "CANCELLED" not in p.sql]
        _consume(shaper, r"cancel|cxl|call|pull|ratio|rate|fraction|share|part|proportion|habit")
        return "cancel_ratio", lexicon.aggregates["cancel_ratio"]["orders"], "cancel_ratio"
    if re.search(
        r"(?:average|mean|avg|typical) (?:order )?(?:size|quantity|qty)|order (?:size|qty|quantity)|avg_order_qty|clip|sizes?\b|quantity|(?:smaller|bigger|larger) orders",
        text,
    ):
        _consume(shaper, r"size|qty|quantity|clip|average|avg|mean|order")
        return "avg_qty", "avg(order_qty)", "avg_order_qty"
    if re.search(
        r"orders? (?:count|number|per day|a day|today)|count|how many|number of orders|busy|orders|order entry", text
    ):
        _consume(shaper, r"order|count|number|many|busy|day")
        return "count", "count(*)", "n_orders"
    return None


def _norm_condition(shaper: Shaper, value: str, text: str) -> str:
    for i, m in enumerate(shaper.m):
        if m.compare is None or i in shaper.used:
            continue
        number, op = m.compare.number, m.compare.op
        if number.unit == "sd" or (
            re.search(r"z[- ]?score|sigma|standard dev|\bsd\b", text, re.I) and number.unit in (None, "times")
        ):
            shaper.used.add(i)
            if op == "=" and _MORE.search(text):
                op = ">"
            return f"{value} {op} b.mean + {number.text} * b.stddev"
        if number.unit in ("times", "pct"):
            shaper.used.add(i)
            factor = number.value
            if number.unit == "pct":
                factor = 1 + number.value / 100 if _MORE.search(text) else 1 - number.value / 100
                op = ">" if op == "=" else op
            if op == "=":
                op = "<" if factor < 1 else ">"
            return f"{value} {op} {literal(round(factor, 10))} * b.mean"
    if re.search(r"p95|95th percentile|95 out of 100|95 percent", text, re.I):
        for i, m in enumerate(shaper.m):
            if re.search(r"\b95", m.text):
                shaper.used.add(i)
        return f"{value} {'<' if _LESS.search(text) and not _MORE.search(text) else '>'} b.p95"
    if _MORE.search(text):
        return f"{value} > b.mean"
    if _LESS.search(text):
        return f"{value} < b.mean"
    return ""


def instrument_norm(shaper: Shaper, mode: str, rank: dict[str, object] | None) -> Plan | None:
    """Volume against the 20-day average volume, quoted spread against the 20-day average spread."""
    text = shaper.reading.question
    if not _seen(shaper, "instruments"):
        return None
    if shaper.view in ("market_trades", "executions") and re.search(
        r"\badv|average dai?ly volume|average day|20[- ]day (?:average )?(?:daily )?volume|daily average", text, re.I
    ):
        figure, alias, sql = "adv_20d", "volume", "sum(qty)"
    elif shaper.view == "quotes" and re.search(r"20[- ]?d(?:ay)?|twenty[- ]day|\bnorm\b|usual|normal", text, re.I):
        figure, alias, sql = "avg_spread_bps_20d", "avg_spread_bps", "avg(spread_bps)"
        if re.search(r"how many (?:\w+ )?quotes|count (?:the )?(?:\w+ )?quote", text, re.I):
            return None
    else:
        return None
    condition = ""
    for i, m in enumerate(shaper.m):
        if m.compare is None or i in shaper.used or m.compare.number.unit not in (None, "times", "pct"):
            continue
        number, op = m.compare.number, m.compare.op
        if re.match(r"(?:20|twenty)\b", m.text) and not m.compare.explicit and number.unit != "pct":
            shaper.used.add(i)
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
        shaper.used.add(i)
    if not condition and _MORE.search(text) and not rank:
        condition = f"m.{alias} > b.{figure}"
    _consume(
        shaper,
        r"adv|20|twenty|norm|usual|normal|average|spread|volume|multiple|times|over|more|wider|than|daily|ratio|mean|name|instrument|symbol|stock|figure|both|qty|day",
    )
    multiple = f"m.{alias} / b.{figure}"
    return Plan(
        view=shaper.view, where=tuple(shaper.where), keys=(Part(sql="symbol", alias="symbol", reason="grouping"),),
        measures=(Part(sql=sql, alias=alias, reason="measure"),),
        baseline=Baseline(view="instruments", key="symbol", where="", figures=(figure,), condition=condition, extra=((multiple, "multiple"), (f"100.0 * {multiple}", "pct"), (f"100.0 * ({multiple} - 1)", "change_pct"))),
        order=(Order(sql=multiple, desc=rank["name"] != "bottom"),) if rank and rank["limit"] else (),
        limit=rank["limit"] if rank else None,  # type: ignore[arg-type]
    )  # fmt: skip


# -- own flow and the tape, orders and fills -----------------------------------------------------------------------
def _bound_for(shaper: Shaper, view: str) -> Bound:
    return Binder(shaper.world, shaper.reading, view).bind()


def own_and_market(shaper: Shaper, mode: str, rank: dict[str, object] | None) -> Plan | None:
    """Our volume (or VWAP, or count) over the market's, or the two side by side."""
    text = shaper.reading.question.lower()
    own = re.search(r"\b(?:our|ours|we|us|own|firm'?s?)\b", text)
    market = re.search(r"\b(?:tape|market'?s?(?! making)(?! order)|public|everyone|everybody)\b", text)
    if not own or not market or shaper.view not in ("executions", "market_trades"):
        return None
    both = re.search(
        r"\b(?:percent(?:age)?|pct|%|share|part|fraction|proportion|versus|vs|against|next to|compared?|over|relative|beside|alongside|and|divided|/|than)\b|%|/",
        text,
    )
    if (
        not both
        or not (_seen(shaper, "executions") and _seen(shaper, "market_trades"))
        or not _likely(shaper, "compare_views", "scalar_subquery", "ratio", "join")
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
    vwap = next((x for x in shaper.measures if x.name == "vwap"), None) or (
        True if re.search(r"vwap|volume[- ]weighted|quantity[- ]weighted|qty weighted|average price", text) else None
    )
    counted = re.search(r"number of|how many (?:trades|prints|fills)|count", text)
    money = re.search(r"notional|turnover|value", text)
    sql = "sum(price * qty) / sum(qty)" if vwap else "count(*)" if counted else "sum(notional)" if money else "sum(qty)"
    alias = "vwap" if vwap else "n" if counted else "notional" if money else "qty"
    ours, theirs = _bound_for(shaper, "executions"), _bound_for(shaper, "market_trades")
    keys = tuple(
        Part(sql=d.sql, alias=d.alias, reason="grouping")
        for d in shaper.dims
        if d.grouped or (d.target and d.sql == "symbol")
    )
    percent = re.search(r"percent|pct|%", text)
    ratio = percent or re.search(r"share|fraction|proportion|ratio|part of|divided", text)
    combine = (
        "beside"
        if vwap and not re.search(r"percent|pct|%|ratio", text)
        else "percent"
        if percent
        else "ratio"
        if ratio
        else "beside"
    )
    their_where = tuple(p for p in theirs.where if not p.sql.startswith(("aggressor_side", "side")))
    having = []
    for i, m in enumerate(shaper.m):
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
            shaper.used.add(i)
    if having and not keys:
        keys = (Part(sql="symbol", alias="symbol", reason="grouping"),)
    shaper.used |= ours.used | theirs.used
    shaper.doubts = [d for d in ours.doubts if d in theirs.doubts]
    _consume(
        shaper,
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
        (Order(sql=combine if combine != "beside" else f"our_{alias}", desc=rank["name"] != "bottom"),)
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
            "limit": rank["limit"] if rank and keys else None,
        }
    )


def order_to_trade(shaper: Shaper, mode: str, rank: dict[str, object] | None) -> Plan | None:
    """Orders entered over valid fills."""
    cue = [i for i, m in enumerate(shaper.m) if m.kind == "sense" and any(s.name == "otr" for s in m.of("meas"))]
    if not cue or "baseline" in shaper.reading.question.lower() or shaper.view == "trader_baselines":
        return None
    orders, fills = _bound_for(shaper, "orders"), _bound_for(shaper, "executions")
    keys = tuple(
        Part(sql=d.sql, alias=d.alias, reason="grouping")
        for d in shaper.dims
        if (d.grouped or d.target) and has(shaper.world.catalogue, "executions", d.sql)
    )
    having = []
    for i, m in enumerate(shaper.m):
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
            shaper.used.add(i)
    if having and not keys:
        keys = (Part(sql="trader_id", alias="trader_id", reason="grouping"),)
    shaper.used |= orders.used | set(cue) | fills.used
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
    shaper.doubts = [d for d in shaper.doubts if "column" not in d]
    order = (Order(sql="ratio", desc=rank["name"] != "bottom"),) if rank and keys else ()
    return Plan(
        **{
            **first.__dict__,
            "other": second,
            "combine": "ratio",
            "having": tuple(having),
            "order": order,
            "limit": rank["limit"] if rank and keys else None,
        }
    )


# -- two periods -----------------------------------------------------------------------------------------------------
_BEFORE = re.compile(
    r"\b(?:the )?(?:(\d+|\w+) (?:minutes?|mins?|hours?|seconds?) |\d+ |hour |hr |half hour |quarter hour |same (?:time )?|one |quarter of an hour )?(?:right |just |immediately )?(?:before(?: that| it| those)?|preceding(?: it| that| \d+)?|prior(?: one| to that)?|previous one)\b",
    re.I,
)


def two_periods(shaper: Shaper, mode: str, rank: dict[str, object] | None) -> Plan | None:
    """One figure over two periods, side by side."""
    times = shaper.bound.times
    kinds = [p.kind for _, p in times]
    if not _likely(shaper, "compare_periods", "conditional", "time_bucket") or len(times) < 1:
        return None
    if not re.search(
        r"against|versus|\bvs\b|compar|before (?:that|it)|\b(?:\d+|hour|hr|minutes|mins|half hour|one) (?:right )?before\b|preceding|next to|beside|than (?:in )?(?:all of )?(?:last|yesterday|the)|prior|each of the two|previous one|multiple of",
        shaper.reading.question,
        re.I,
    ):
        return None
    if not shaper.measures and len(times) <= 2:
        from nlq.shape import Measure as Figure

        loose = next(
            ((i, name, sql) for i, name, sql in getattr(shaper, "loose", []) if name in ("qty", "notional")), None
        )
        figure = (
            Figure(loose[0], f"sum({loose[2]})", loose[2], f"sum_{loose[1]}", "sum", loose[1])
            if loose
            else Figure(-1, "count(*)", "", "n", "count")
        )
        if shaper.view in (
            "orders",
            "executions",
            "market_trades",
            "alerts",
            "quotes",
            "dead_letters",
            "order_events",
            "personal_trades",
        ):
            shaper.measures = [figure]
    if not shaper.measures or mode not in ("grouped", "list"):
        return None
    amounts = [x for x in getattr(shaper, "loose", []) if x[1] in ("qty", "notional")]
    if amounts and len(shaper.measures) == 1 and shaper.measures[0].sql == "count(*)":
        from nlq.shape import Measure as Figure

        shaper.measures = [
            Figure(amounts[0][0], f"sum({amounts[0][2]})", amounts[0][2], f"sum_{amounts[0][1]}", "sum", amounts[0][1])
        ]
        shaper.used.add(amounts[0][0])
    clock = Binder(shaper.world, shaper.reading, shaper.view, shaper.proposal)
    clock.bound = shaper.bound
    made = clock.clock()
    pair = _pair(shaper, times, made)
    if pair is None:
        return None
    first, second, third = pair
    old = {sql for _, p in times for sql in predicates(p, made) or []}
    where = [p for p in shaper.where if p.sql not in old]
    a, b = " AND ".join(first), " AND ".join(second)
    measures = []
    for x in shaper.measures:
        one, two = _within(x, a), _within(x, b)
        if one is None or two is None:
            return None
        measures += [
            Part(sql=one, alias=f"{x.alias}_latest", reason="measure"),
            Part(sql=two, alias=f"{x.alias}_before", reason="measure"),
            Part(sql=f"100.0 * ({one} / nullif({two}, 0) - 1)", alias=f"{x.alias}_change_pct", reason="measure"),
            Part(sql=f"{one} - {two}", alias=f"{x.alias}_change", reason="measure"),
            Part(sql=f"{one} / nullif({two}, 0)", alias=f"{x.alias}_ratio", reason="measure"),
        ]
    where.append(Part(sql=f"(({a}) OR ({b}))", reason="time", phrase=third))
    keys = tuple(
        Part(sql=d.sql, alias=d.alias, reason="grouping")
        for d in shaper.dims
        if d.grouped or (shaper.proposal is not None and shaper.role(d.sql, "group") > 0.4)
    )
    _consume(
        shaper,
        r"against|versus|vs|compare|before|preceding|prior|previous|that|next to|last|latest|side by side|and|hour|minutes|two|both|change|quarter|half|15|30",
    )
    if not keys and "today" in kinds and "yesterday" in kinds:
        pass
    return Plan(view=shaper.view, where=tuple(where), keys=keys, measures=tuple(measures))


def _pair(shaper: Shaper, times: list[tuple[int, TimePhrase]], clock: Clock) -> tuple[list[str], list[str], str] | None:
    if len(times) == 2 and {p.kind for _, p in times} != {"rolling"}:
        (_, one), (_, two) = times
        rank = ["today", "week", "month", "yesterday", "last_week", "last_month", "days_ago", "on_day"]
        if one.kind in rank and two.kind in rank and one != two:
            a, b = sorted((one, two), key=lambda p: rank.index(p.kind))
            return predicates(a, clock) or [], predicates(b, clock) or [], f"{one.kind}, {two.kind}"
        return None
    rolling = [p for _, p in times if p.kind == "rolling"]
    if len(rolling) >= 1 and clock.time and _BEFORE.search(shaper.reading.question):
        p = rolling[0]
        span, twice = interval(p.n, p.unit), interval(2 * p.n, p.unit)
        t, now = clock.time, clock.now
        return (
            [f"{t} >= {now} - {span}", f"{t} <= {now}"],
            [f"{t} >= {now} - {twice}", f"{t} < {now} - {span}"],
            "two adjacent periods",
        )
    return None


def _within(x: Measure, condition: str) -> str | None:
    """The figure over the rows of one period."""
    if x.sql == "count(*)":
        return f"sum(CASE WHEN {condition} THEN 1 ELSE 0 END)"
    if found := re.fullmatch(r"(sum|avg|min|max)\((.*)\)", x.sql):
        other = " ELSE 0" if found[1] == "sum" else ""
        return f"{found[1]}(CASE WHEN {condition} THEN {found[2]}{other} END)" if _balanced(found[2]) else None
    if found := re.fullmatch(r"count\(DISTINCT (\w+)\)", x.sql):
        return f"count(DISTINCT CASE WHEN {condition} THEN {found[1]} END)"
    if found := re.fullmatch(r"sum\((.*)\) / sum\((.*)\)", x.sql):
        return f"sum(CASE WHEN {condition} THEN {found[1]} END) / sum(CASE WHEN {condition} THEN {found[2]} END)"
    return None


def _balanced(text: str) -> bool:
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return False
    return depth == 0


# -- gaps and absence ------------------------------------------------------------------------------------------------
def gap(shaper: Shaper, mode: str, rank: dict[str, object] | None) -> Plan | None:
    """The longest time between one row and the next."""
    text = shaper.reading.question.lower()
    cue = re.search(
        r"\b(?:gap|silence|pause|between (?:two|one) (?:\w+ ){0,3}(?:and the next|in a row|prints|consecutive|successive|neighbour)|without (?:a|any) (?:print|trade) ?,? between|inter[- ]?print|inter[- ]?arrival|between consecutive|between successive|w/o any print|from one (?:market )?(?:print|trade|fill) to the (?:next|following))",
        text,
    )
    time = shaper.world.catalogue.views[shaper.view].time
    if (
        not cue
        or not time
        or not _likely(shaper, "previous_row", "window")
        or shaper.view not in ("market_trades", "executions", "quotes", "orders", "order_events")
    ):
        return None
    if not re.search(r"longest|biggest|largest|max|greatest|widest", text):
        return None
    per = (
        60_000_000.0
        if re.search(r"\bmin(?:ute)?s\b", text)
        else 3_600_000_000.0
        if "hours" in text
        else 1000.0
        if re.search(r"millisec|\bms\b", text)
        else 1_000_000.0
    )
    keys = [d for d in shaper.dims if d.grouped]
    partition = f"PARTITION BY {', '.join(d.sql for d in keys)} " if keys else ""
    if any("." in p.sql.split("'")[0] for p in shaper.where):
        return None
    where = " AND ".join(p.sql for p in shaper.where)
    names = "".join(f"{d.sql} AS {d.alias}, " if d.sql != d.alias else f"{d.sql}, " for d in keys)
    inner = (
        f"SELECT {names}(unix_micros({time}) - unix_micros(lag({time}) OVER ({partition}ORDER BY {time}))) / {per:.0f}.0 AS gap FROM {shaper.view}"
        + (f" WHERE {where}" if where else "")
    )
    _consume(
        shaper,
        r"gap|silence|pause|between|consecutive|successive|longest|biggest|largest|max|greatest|second|minute|row|next|one|two|neighbour|tape|print|trade|time|hour|ms",
    )
    shaper.raw = f"SELECT {''.join(d.alias + ', ' for d in keys)}max(gap) AS gap FROM ({inner}) AS gaps" + (
        f" GROUP BY {', '.join(d.alias for d in keys)}" if keys else ""
    )
    return Plan(
        view=shaper.view, where=tuple(shaper.where), measures=(Part(sql="max(gap)", alias="gap", reason="measure"),)
    )


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


def absence(shaper: Shaper, mode: str, rank: dict[str, object] | None) -> Plan | None:
    """Reference rows that have no row in a fact view: traders without a fill, accounts that never shorted."""
    link = {"traders": "trader_id", "accounts": "account_id", "instruments": "symbol"}.get(shaper.view)
    text = shaper.reading.question
    if link is None or not _ABSENT.search(text) or (shaper.proposal is not None and shaper.p("anti_join") < 0.3):
        return None
    options = [v for v, pattern in _SECOND.items() if pattern.search(text) and has(shaper.world.catalogue, v, link)]
    if shaper.proposal is not None:
        options = [v for v in options if shaper.proposal.views.get(v, 0) > 0.4]
    if len(options) != 1:
        return None
    other = _bound_for(shaper, options[0])
    outer = Binder(shaper.world, shaper.reading, shaper.view).bind()
    inner_where = tuple(
        p
        for p in other.where
        if not any(c in p.sql for c in ("accounts.", "traders.", "instruments."))
        and not (p.sql.startswith("account_type") and shaper.view == "accounts")
        and not p.sql.startswith(("desk", "NOT is_algo", "is_algo"))
    )
    outer_where = tuple(
        p for p in outer.where if p.reason != "time" and not p.sql.startswith(("symbol", "issuer_name"))
    )
    shaper.used |= other.used | outer.used | {i for i, m in enumerate(shaper.m) if m.is_op("not")}
    shaper.doubts = []
    _consume(
        shaper, r"fill|trade|order|alert|print|no|not|never|single|any|all|short|share|touch|account|trader|client"
    )
    view = shaper.world.catalogue.views[shaper.view]
    shown = tuple(
        Part(sql=c.name, alias=c.name)
        for c in view.columns.values()
        if c.sensitivity is None or (c.name == "trader_name" and shaper.sees_names)
    )
    flip = re.compile(r"<> |NOT IN")
    inner_where = tuple(
        Part(
            **{**p.__dict__, "sql": p.sql.replace("<> ", "= ").replace("NOT IN", "IN") if flip.search(p.sql) else p.sql}
        )
        for p in inner_where
    )
    return Plan(
        view=shaper.view,
        where=outer_where,
        shown=shown,
        absent=Plan(view=options[0], where=inner_where, keys=(Part(sql=link, alias=link),)),
    )
