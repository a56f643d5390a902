"""Numbers and their comparisons: conditions on rows, or on figures of a group."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from nlq.plan import Part
from nlq.shape.counted import bind_count, bind_group_count
from nlq.shape.figures import row_sql
from nlq.shape.said import Said, keep, keep_having
from nlq.shape.spans import bind_span
from nlq.shape.state import Measure, Shaper
from nlq.understand.numbers import literal
from nlq.views import has

if TYPE_CHECKING:
    from nlq.understand.numbers import Number
    from nlq.understand.reading import Mention

_SPANS = ("s", "min", "h", "d", "w", "mon", "ms")
_RATIOS = ("cancel_ratio", "fill_rate", "reject_rate", "fp_rate", "share")


def compare_numbers(sh: Shaper, mode: str) -> None:
    """Bind every number that has found no place; what finds none is a doubt."""
    _name_of_view(sh)
    for i, mention in enumerate(sh.m):
        if mention.compare is None or not sh.free(i):
            continue
        if not compare_number(sh, i, mention, mode):
            sh.doubts.append(f"{mention.text!r} is not bound")


def _name_of_view(sh: Shaper) -> None:
    """ "30-second windows", "one-minute bars": the number belongs to the name of the view."""
    width = {"order_flow_30s": (30, "s"), "trade_stats_1m": (1, "min")}.get(sh.view)
    for i, m in enumerate(sh.m):
        compare = m.compare
        if width and compare is not None and not compare.explicit and sh.free(i):
            if compare.number.value == width[0] and compare.number.unit == width[1]:
                sh.used.add(i)


def _money(sh: Shaper, i: int, number: Number) -> Number:
    """ "Over 1m" beside a notional or a quantity is a million, not a minute."""
    if number.unit != "min" or not re.search(r"\dm\b", sh.m[i].text.lower()):
        return number
    near = [*sh.near(i, -1, 3), *sh.near(i, 1, 2)]
    amounts = {s.name for j in near for s in sh.m[j].of("meas")}
    if sh.view == "ingest_status":
        return number
    if amounts & {"notional", "qty", "adv", "max_notional"} or (
        not amounts and not has(sh.world.catalogue, sh.view, "lifetime_ms")
    ):
        return replace(number, value=number.value * 1_000_000, unit=None if amounts else "money")
    return number


def compare_number(sh: Shaper, i: int, mention: Mention, mode: str) -> bool:
    """Bind one number with its comparison; False when no column or figure takes it."""
    compare = mention.compare
    assert compare is not None
    number = _money(sh, i, compare.number)
    said = Said(i, mention, compare.op, number, compare.explicit, sh.near(i, -1, 4), sh.near(i, 1, 3))
    if number.unit == "times" and said.explicit and float(number.value).is_integer() and number.value >= 2:
        return _times(sh, said) or _only_figure(sh, said, mode)
    if not said.explicit and number.unit in (None, "times"):
        return _bare(sh, i, number)
    if bind_count(sh, said) or (mode == "grouped" and _against_share(sh, said)):
        return True
    if number.unit in _SPANS:
        return bind_span(sh, said)
    if number.unit == "sd":
        sql = row_sql(sh, "deviation")
        return bool(sql) and keep(sh, said, f"{sql} {said.op} {number.text}", "deviation")
    if number.unit == "times":
        return False
    return bind_group_count(sh, said) or _against_measure(sh, said, mode)


def _against_share(sh: Shaper, said: Said) -> bool:
    """A condition on the share that the question asks for."""
    share = next((x for x in sh.measures if x.agg == "share"), None)
    number = said.number
    if share is None or not (number.unit in ("pct", "times") or number.value < 1):
        return False
    if " OVER " in share.sql:
        sh.doubts.append("a condition on a part of all groups")
        return False
    value = number.value if number.unit == "pct" or number.value > 1 else number.value * 100
    value = value if "100.0 *" in share.sql else value / 100
    return keep_having(sh, said, f"{share.sql} {said.op} {literal(round(value, 10))}")


def _against_measure(sh: Shaper, said: Said, mode: str) -> bool:
    """The likeliest column or figure that the number is compared with."""
    options = _measure_options(sh, said, mode)
    if sh.view == "ingest_status" and not any(o[1] == "lag" for o in options[:1]) and said.number.unit is None:
        options = [(-1, "lag", row_sql(sh, "lag") or "")]  # the one figure that matters there
    for j, name, sql in options[:1]:
        value = said.number.value
        if said.number.unit == "pct" and name in _RATIOS:
            value = round(value / 100, 10)
        if name == "count":
            return keep_having(sh, said, f"count(*) {said.op} {literal(value)}")
        if sql.startswith("agg:"):
            return keep_having(sh, said, f"{sql[4:]} {said.op} {literal(value)}")
        if j >= 0:
            sh.used.add(j)
            sh.loose = [x for x in sh.loose if x[0] != j]
        return keep(sh, said, f"{sql} {said.op} {literal(value)}", name)
    return _only_figure(sh, said, mode)


def _only_figure(sh: Shaper, said: Said, mode: str) -> bool:
    """ "… per trader, three or more", "group by trader having more than 50": a plain number is held against the one figure."""
    number = said.number
    if mode != "grouped" or not said.explicit or not sh.dims or number.unit not in (None, "times"):
        return False
    if len(sh.measures) > 1 or (number.unit == "times" and any(x.agg != "count" for x in sh.measures)):
        return False
    if any(m.compare is not None and sh.free(j) for j, m in enumerate(sh.m) if j != said.i):
        return False
    if not sh.measures:
        sh.measures.append(Measure(said.i, "count(*)", "", "n", "count"))
    return keep_having(sh, said, f"{sh.measures[0].sql} {said.op} {literal(number.value)}")


def _times(sh: Shaper, said: Said) -> bool:
    """ "Amended three times or more", "traded more than 20 times"."""
    for j in [*said.before[:2], *said.after[:1]]:
        replaced = sh.m[j].kind == "sense" and (
            any("REPLACE" in s.name for s in sh.m[j].of("code"))
            or any(s.name == "replaces" for s in sh.m[j].of("meas"))
        )
        if (replaced or sh.m[j].text.lower() in ("changed", "altered")) and has(
            sh.world.catalogue, sh.view, "n_replaces"
        ):
            sh.used.add(j)
            sh.loose = [x for x in sh.loose if x[0] != j]
            return keep(sh, said, f"n_replaces {said.op} {said.number.text}", "replaces")
    if sh.proposal is not None and sh.role("n_replaces", "filter_range") > 0.5:
        return keep(sh, said, f"n_replaces {said.op} {said.number.text}", "replaces")
    return False


def _bare(sh: Shaper, i: int, number: Number) -> bool:
    """A number without comparison: the value of the column it stands beside."""
    if not sh.m[i].text[0].isdigit() or (i and sh.m[i - 1].kind == "sign"):
        return False
    for j in sh.near(i, -1, 1):
        for s in sh.m[j].of("meas") if sh.m[j].kind == "sense" else ():
            sql = row_sql(sh, s.name)
            if sql:
                sh.used |= {i, j}
                sh.loose = [x for x in sh.loose if x[0] != j]
                sh.where.append(
                    Part(sql=f"{sql} = {number.text}", phrase=sh.m[i].text, span=sh.m[i].span, reason="value")
                )
                return True
        for s in sh.m[j].of("col") if sh.m[j].kind == "sense" else ():
            if has(sh.world.catalogue, sh.view, s.name):
                sh.used |= {i, j}
                sh.where.append(
                    Part(sql=f"{s.name} = {number.text}", phrase=sh.m[i].text, span=sh.m[i].span, reason="value")
                )
                return True
    return False


def _measure_options(sh: Shaper, said: Said, mode: str) -> list[tuple[int, str, str]]:
    i, before, after, number = said.i, said.before, said.after, said.number
    out: list[tuple[int, str, str]] = []
    near = [j for pair in zip([*before, None, None], [*after, None, None], strict=False) for j in pair if j is not None]
    fits = {"pct": ("spread_dev", "mid_dev", "above_mid", "below_mid", "cancel_ratio", "fill_rate", "reject_rate", "fp_rate", "price_move", "surprise", "share"),
            "bps": ("spread", "eff_spread", "distance", "avg_spread_20d"),
            "qty": ("qty", "filled_qty", "cancelled_qty", "leaves", "opp_fill", "adv", "net", "max_order_qty", "bid_qty", "ask_qty"), "money": ("notional", "price", "max_notional", "net")}.get(number.unit or "")  # fmt: skip
    if sh.proposal is not None:
        ranged = sorted(
            (
                (sh.role(c, "filter_range"), c)
                for c, k in sh.world.catalogue.views[sh.view].columns.items()
                if k.type in ("DOUBLE", "INT", "BIGINT")
            ),
            reverse=True,
        )
        taken = " ".join(w.sql for w in sh.where)
        for prob, c in ranged[:2]:
            if prob > 0.5 and not re.search(rf"\b{c}\b [<>]", taken):
                out.append((-1, c, _as_measured(sh, c, i)))
    for x in sh.measures:
        if (
            (fits is None or x.name in fits or x.agg in fits)
            and x.agg != "count"
            and mode == "grouped"
            and abs(x.i - i) <= 8
        ):
            out.append((-1, x.name or x.agg, f"agg:{x.sql}"))
    for j in near:
        for s in sh.m[j].of("meas") if sh.m[j].kind == "sense" else ():
            sql = row_sql(sh, s.name)
            if sql and (fits is None or s.name in fits):
                out.append((j, s.name, sql.split("#")[0]))
    columns = sh.world.catalogue.views[sh.view].columns
    for j in near[:3]:
        for s in sh.m[j].of("col") if sh.m[j].kind == "sense" else ():
            if (
                s.name in columns
                and columns[s.name].type in ("DOUBLE", "INT", "BIGINT")
                and not any(o[0] == j for o in out)
            ):
                out.append((j, s.name, s.name))
    if not out and fits:
        for name in fits:
            sql = row_sql(sh, name) if name in ("qty", "notional") else None
            if sql:
                out.append((-1, name, sql))
                break
    if not out and number.unit is None:
        if any(x.agg == "count" for x in sh.measures):
            out.append((-1, "count", ""))
        elif sh.view in ("orders", "executions", "market_trades") and number.value >= 50 and _size_word(sh, i):
            out.append((-1, "qty", row_sql(sh, "qty") or ""))
    return [o for o in out if o[2] or o[1] == "count"]


def _as_measured(sh: Shaper, column: str, i: int) -> str:
    """A signed deviation counts both ways unless the words beside the number say one way."""
    both = any(f"abs({column})" == by.get(sh.view) for by in sh.world.lexicon.measures.values())
    beside = " ".join(sh.m[j].text.lower() for j in range(max(0, i - 4), min(len(sh.m), i + 5)))
    signed = re.search(r"\b(?:wider|tighter|narrower|above|below|over mid|under)\b", beside)
    if both and (not signed or any(m.is_op("either") for m in sh.m)):
        sh.used |= {j for j, m in enumerate(sh.m) if m.is_op("either")}
        return f"abs({column})"
    return column


def _size_word(sh: Shaper, i: int) -> bool:
    return any(w in sh.m[i].text.lower() for w in ("bigger", "larger", "smaller", "size", "up"))
