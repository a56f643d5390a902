"""Numbers and their comparisons: conditions on rows, or on figures of a group."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from nlq.plan import Part
from nlq.shape.figures import row_sql
from nlq.shape.state import MILLISECONDS, Measure, Shaper
from nlq.understand.numbers import literal
from nlq.understand.times import Clock, interval
from nlq.views import has

if TYPE_CHECKING:
    from nlq.understand.numbers import Number
    from nlq.understand.reading import Mention


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


_PRINTS = {"market_trades", "executions"}


def _money(sh: Shaper, i: int, number: Number) -> Number:
    """ "Over 1m" beside a notional or a quantity is a million, not a minute."""
    if number.unit != "min" or not re.search(r"\dm\b", sh.m[i].text.lower()):
        return number
    near = [*sh.near(i, -1, 3), *sh.near(i, 1, 2)]
    amounts = {s.name for j in near for s in sh.m[j].of("meas")}
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
    op = compare.op
    after, before = sh.near(i, 1, 3), sh.near(i, -1, 4)
    if number.unit == "times" and compare.explicit and float(number.value).is_integer() and number.value >= 2:
        return _times(sh, i, op, number, before, after)
    if not compare.explicit and number.unit in (None, "times"):
        return _bare(sh, i, number)
    if sh.view == "order_flow_30s" and number.unit is None:
        for j in [*after[:1], *before[:2]]:
            column = _flow_column(sh, j)
            if column:
                sh.used.add(j)
                return _keep(sh, i, f"{column} {op} {number.text}", "count in the window")
    if sh.view == "trade_stats_1m" and number.unit is None and compare.explicit:
        for j in after[:1]:
            views = {s.name for s in sh.m[j].of("view")} if sh.m[j].kind == "sense" else set()
            column = (
                "n_quotes" if "quotes" in views else "n_trades" if sh.m[j].is_op("trades") or views & _PRINTS else ""
            )
            if column:
                sh.used.add(j)
                return _keep(sh, i, f"{column} {op} {number.text}", "count in the minute")
    share = next((x for x in sh.measures if x.agg == "share"), None)
    if share is not None and (number.unit in ("pct", "times") or number.value < 1) and mode == "grouped":
        value = number.value if number.unit == "pct" or number.value > 1 else number.value * 100
        value = value if "100.0 *" in share.sql else value / 100
        sh.having.append(
            Part(
                sql=f"{share.sql} {op} {literal(round(value, 10))}",
                phrase=mention.text,
                span=mention.span,
                reason="comparison",
            )
        )
        sh.used.add(i)
        return True
    if number.unit in MILLISECONDS and _duration(sh, i, op, number):
        return True
    if number.unit in MILLISECONDS and not compare.explicit and "exactly" not in mention.text.lower():
        return False
    if number.unit in ("s", "min", "h", "d", "ms") and has(sh.world.catalogue, sh.view, "lifetime_ms"):
        return _keep(sh, i, f"lifetime_ms {op} {literal(number.value * MILLISECONDS[number.unit])}", "lifetime")
    if number.unit in ("s", "min", "h", "d") and sh.view == "alerts" and op in (">", ">="):
        clock = Clock(as_of=sh.world.as_of, time="created_ts", day=None)
        return _keep(sh, i, f"created_ts < {clock.now} - {interval(number.value, number.unit)}", "age")
    if number.unit in ("s", "min", "h", "d", "w", "mon", "ms", "sd") and number.unit != "sd":
        return False
    if number.unit == "sd":
        sql = row_sql(sh, "deviation")
        return bool(sql) and _keep(sh, i, f"{sql} {op} {number.text}", "deviation", near="deviation")
    if number.unit == "times":
        return False
    direct = any(sh.m[j].kind == "sense" and any(row_sql(sh, s.name) for s in sh.m[j].of("meas")) for j in after[:1])
    for j in after[:2]:
        if not direct and _count_noun(sh, j) and number.unit is None:
            return _having_count(sh, i, j, op, number)
    if number.unit in ("times", "pct") and _share_having(sh, i, op, number):
        return True
    if number.unit is None and _distinct_having(sh, i, after, op, number):
        return True
    options = _measure_options(sh, i, before, after, number, mode)
    for j, name, sql in options:
        value = number.value
        if number.unit == "pct" and _is_ratio(sh, name):
            value = round(value / 100, 10)
        if name == "count":
            sh.having.append(
                Part(
                    sql=f"count(*) {op} {literal(value)}",
                    phrase=mention.text,
                    span=mention.span,
                    reason="comparison",
                )
            )
            sh.used.add(i)
            return True
        if sql.startswith("agg:"):
            sh.having.append(
                Part(
                    sql=f"{sql[4:]} {op} {literal(value)}",
                    phrase=mention.text,
                    span=mention.span,
                    reason="comparison",
                )
            )
            sh.used.add(i)
            return True
        if j >= 0:
            sh.used.add(j)
            sh.loose = [x for x in sh.loose if x[0] != j]
        return _keep(sh, i, f"{sql} {op} {literal(value)}", name)
    return False


_LATENT = re.compile(r"\b(?:reach\w* us|receiv\w+|arriv\w+|captur\w+|ingest\w*|delay\w*|latency|behind the venue)\b")
_AGED = re.compile(
    r"\b(?:old|older|stale|open for|outstanding|sitting|sat|waiting|trail\w*|behind|ago|since|no event|nothing for)\b"
)


def _duration(sh: Shaper, i: int, op: str, number: Number) -> bool:
    """A span of time set against an instant or a delay: "watermark more than 5 minutes old", "reached us over 5 min after"."""
    text = sh.reading.question.lower()
    view = sh.world.catalogue.views[sh.view]
    span = (
        interval(number.value, number.unit or "s")
        if number.unit != "ms"
        else f"INTERVAL {int(number.value)} MILLISECONDS"
    )
    now = Clock(as_of=sh.world.as_of, time=None, day=None).now
    late = op in (">", ">=") or (op == "=" and not _explicit(sh, i))
    if (
        view.time
        and view.time != "ingest_ts"
        and has(sh.world.catalogue, sh.view, "ingest_ts")
        and _LATENT.search(text)
    ):
        return _keep(sh, i, f"ingest_ts {'>' if late else '<'} {view.time} + {span}", "delay")
    named = [
        s.name
        for j in [*sh.near(i, -1, 4), *sh.near(i, 1, 3)]
        for s in (sh.m[j].of("col") if sh.m[j].kind == "sense" else ())
        if s.name in view.columns and view.columns[s.name].type == "TIMESTAMP"
    ]
    if sh.view == "ingest_status" and not named:
        named = ["last_event_ts"]
    if named and (_AGED.search(text) or sh.view == "ingest_status"):
        return _keep(sh, i, f"{named[0]} {'<' if late else '>='} {now} - {span}", "age")
    return False


def _explicit(sh: Shaper, i: int) -> bool:
    compare = sh.m[i].compare
    return compare is not None and compare.explicit


def _times(sh: Shaper, i: int, op: str, number: Number, before: list[int], after: list[int]) -> bool:
    """ "Amended three times or more", "traded more than 20 times"."""
    for j in [*before[:2], *after[:1]]:
        replaced = sh.m[j].kind == "sense" and (
            any("REPLACE" in s.name for s in sh.m[j].of("code"))
            or any(s.name == "replaces" for s in sh.m[j].of("meas"))
        )
        if (replaced or sh.m[j].text.lower() in ("changed", "altered")) and has(
            sh.world.catalogue, sh.view, "n_replaces"
        ):
            sh.used.add(j)
            sh.loose = [x for x in sh.loose if x[0] != j]
            return _keep(sh, i, f"n_replaces {op} {number.text}", "replaces")
    if sh.proposal is not None and sh.role("n_replaces", "filter_range") > 0.5:
        return _keep(sh, i, f"n_replaces {op} {number.text}", "replaces")
    return False


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


def _is_ratio(sh: Shaper, name: str) -> bool:
    return name in ("cancel_ratio", "fill_rate", "reject_rate", "fp_rate", "share")


def _count_noun(sh: Shaper, j: int) -> bool:
    mention = sh.m[j]
    if any(s.name == sh.view for s in mention.of("view")) or mention.is_op("trades"):
        return True
    status = mention.of("code") and any(
        c in ("status", "event_type") for s in mention.of("code") for _, c, _ in s.places
    )
    return bool(status)


def _having_count(sh: Shaper, i: int, j: int, op: str, number: Number) -> bool:
    mention = sh.m[i]
    counted = {"order_flow_30s": None}.get(sh.view, "count(*)")
    if counted is None:
        return False
    sh.having.append(
        Part(sql=f"{counted} {op} {number.text}", phrase=mention.text, span=mention.span, reason="comparison")
    )
    sh.used.add(i)
    if not any(x.agg == "count" for x in sh.measures):
        sh.measures.append(Measure(i, "count(*)", "", "n", "count"))
    return True


_OF_THEIR = re.compile(r"^\W*of (?:their|its|his|her|whose|all (?:their|its)|the|all)\b")


def _share_having(sh: Shaper, i: int, op: str, number: Number) -> bool:
    """ "Cancelled more than half of their orders": a condition on the part of a group's rows that meets another one."""
    share = number.value / 100 if number.unit == "pct" else number.value
    said = sh.m[i]
    if not 0 < share <= 1 or not _OF_THEIR.match(sh.reading.question[said.span[1] :].lower()):
        return False
    if not any(d.target or d.led for d in sh.dims):
        return False
    parts = [
        p for p in sh.where if (p.span is not None and p.reason in ("code", "value")) or p.reason.startswith("glossary")
    ]
    near = sorted((p for p in parts if p.span), key=lambda p: abs((p.span or (0, 0))[0] - said.span[0]))
    if not near:
        return False
    part = near[0]
    sh.where = [p for p in sh.where if p is not part]
    figure = f"avg(CASE WHEN {part.sql} THEN 1.0D ELSE 0.0D END)"
    sh.having.append(
        Part(sql=f"{figure} {op} {literal(round(share, 10))}", phrase=said.text, span=said.span, reason="comparison")
    )
    sh.measures = [x for x in sh.measures if x.agg != "count"]
    sh.measures.append(Measure(i, figure, "", "share", "share"))
    sh.used.add(i)
    return True


def _distinct_having(sh: Shaper, i: int, after: list[int], op: str, number: Number) -> bool:
    """ "More than one kind of alert": a condition on how many different values a group has."""
    for j in after[:2]:
        dim = next((d for d in sh.dims if d.i == j and not d.led), None)
        if dim is None or (len(sh.dims) == 1 and sh.proposal is None):
            continue
        figure = f"count(DISTINCT {dim.sql})"
        said = sh.m[i]
        sh.having.append(
            Part(sql=f"{figure} {op} {number.text}", phrase=said.text, span=said.span, reason="comparison")
        )
        if not any(x.sql == figure for x in sh.measures):
            sh.measures.append(Measure(i, figure, "", f"n_{dim.alias}", "count_distinct"))
        sh.dims = [d for d in sh.dims if d is not dim]
        sh.used |= {i, j} | {k for k in after if any(s.name == "distinct" for s in sh.m[k].of("agg"))}
        return True
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


def _measure_options(
    sh: Shaper, i: int, before: list[int], after: list[int], number: Number, mode: str
) -> list[tuple[int, str, str]]:
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


def _keep(sh: Shaper, i: int, sql: str, name: str, near: str = "") -> bool:
    mention = sh.m[i]
    sh.where.append(Part(sql=sql, phrase=mention.text, span=mention.span, reason=f"comparison: {name}"))
    sh.used.add(i)
    wanted = near or name
    for j in [*sh.near(i, -1, 4), *sh.near(i, 1, 4)]:
        if sh.m[j].kind == "sense" and any(s.name == wanted for s in sh.m[j].of("meas")):
            sh.used.add(j)
            sh.loose = [x for x in sh.loose if x[0] != j]
    return True
