"""The shape of an answer: list or figure, cut by what, ranked how, and which comparisons hold before or after counting."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nlq import templates
from nlq.plan import Order, Part, Plan
from nlq.understand.numbers import literal
from nlq.views import has, reach

if TYPE_CHECKING:
    from nlq.bind import Bound, World
    from nlq.contracts import Proposal
    from nlq.understand.mentions import Mention, Reading
    from nlq.understand.numbers import Number

SUMMED = {
    "qty",
    "notional",
    "filled_qty",
    "cancelled_qty",
    "leaves",
    "lag",
    "n_trades",
    "n_quotes",
    "replaces",
    "n_new",
    "n_cancel",
    "n_fill",
    "opp_fill",
}
"""Measures that add up; the others are averaged when no aggregate is said."""
DURATIONS = {"lifetime", "to_close", "age", "ran", "hours_late"}
"""Measures in milliseconds."""
PEAKS = {"deviation", "max_order_qty", "cancel_ratio"}
_AGG_SQL = {"sum": "sum({})", "avg": "avg({})", "median": "percentile({}, 0.5)", "max": "max({})", "min": "min({})",
            "stddev": "stddev({})", "p95": "percentile({}, 0.95)", "p90": "percentile({}, 0.9)", "p99": "percentile({}, 0.99)",
            "p75": "percentile({}, 0.75)", "p25": "percentile({}, 0.25)"}  # fmt: skip
_MS = {"ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
HEADLINE = ("symbol", "issuer_name", "venue", "trader_id", "desk", "account_id", "account_type", "side", "qty", "price",
            "notional", "order_qty", "limit_price", "order_notional", "filled_qty", "status", "order_id")  # fmt: skip
"""Columns that a list shows beside the key, where the view has them: what, where, who, how much."""


@dataclass
class Dim:
    """A column that the result may be cut by."""

    i: int
    sql: str
    alias: str
    grouped: bool
    target: bool


@dataclass
class Measure:
    """A figure of the answer."""

    i: int
    sql: str
    """Aggregate expression."""
    row: str
    """Row-level expression; empty for counts and ratios."""
    alias: str
    agg: str
    name: str = ""


@dataclass
class Shape:
    """What was recognised, and the plan that follows from it."""

    plan: Plan
    used: set[int]
    doubts: list[str] = field(default_factory=list)
    mode: str = "list"
    raw: str = ""
    """SQL of a template that the plan cannot express."""


class Shaper:
    """Builds the plan of one view from bound conditions and shape words."""

    def __init__(self, world: World, reading: Reading, bound: Bound, proposal: Proposal | None = None) -> None:
        self.world, self.reading, self.bound = world, reading, bound
        self.view = bound.view
        self.proposal = proposal
        self.sees_names = True
        self.raw = ""
        self.m = reading.mentions
        self.used = set(bound.used)
        self.doubts = list(bound.doubts)
        self.where = list(bound.where)
        self.having: list[Part] = []

    # -- helpers ---------------------------------------------------------------------------------------------------
    def free(self, i: int) -> bool:
        """Whether mention `i` has found no place yet."""
        return i not in self.used

    def near(self, i: int, step: int, reach_: int = 4) -> list[int]:
        """Positions of meaning-bearing mentions on one side of `i`, nearest first."""
        out: list[int] = []
        j = i + step
        while 0 <= j < len(self.m) and len(out) < reach_:
            if self.m[j].kind not in ("filler", "sign"):
                out.append(j)
            elif self.m[j].text in (".", ";", "?"):
                break
            j += step
        return out

    def p(self, shape: str) -> float:
        """The learnt probability of a shape; a half when there is no parser."""
        return self.proposal.shape.get(shape, 0.0) if self.proposal is not None else 0.5

    def role(self, column: str, role: str) -> float:
        """The learnt probability that a column of this view has a role; a half when there is no parser."""
        if self.proposal is None:
            return 0.5
        view, _, name = column.rpartition(".")
        return self.proposal.columns.get((view or self.view, name), {}).get(role, 0.0)

    # -- the plan --------------------------------------------------------------------------------------------------
    def build(self) -> Shape:
        """Recognise dims, figures, ranking and comparisons; then put them together."""
        self.dims = self._dims()
        self.measures = self._measures()
        rank = self._rank()
        if (
            rank is not None
            and self.proposal is not None
            and max(
                self.p(x) for x in ("limit", "order_desc", "order_asc", "extreme_row", "top_per_group", "latest_row")
            )
            < 0.2
        ):
            rank = None
        elif (
            rank is not None
            and self.proposal is not None
            and rank["limit"] == 1
            and max(self.p(x) for x in ("limit", "extreme_row", "top_per_group", "latest_row")) < 0.3
        ):
            rank["limit"] = None
        if any(x.agg == "net" for x in self.measures):
            self.where = [p for p in self.where if not p.sql.startswith("side ")]
        self._share()
        mode = self._mode(rank)
        if self.proposal is not None and mode == "grouped":
            self._learnt_measures()
        special = templates.apply(self, mode, rank)
        if special is not None:
            return Shape(special, self.used, self.doubts, "template", self.raw)
        self._numbers(mode)
        mode = "grouped" if self.having and mode in ("list", "distinct") else mode
        if mode == "list":
            plan = self._list(rank)
        elif mode == "distinct":
            plan = self._distinct()
        else:
            plan = self._grouped(rank)
        return Shape(plan, self.used, self.doubts, mode)

    def _dims(self) -> list[Dim]:
        out: list[Dim] = []
        for i, mention in enumerate(self.m):
            names = [s.name for s in mention.of("dim")] if mention.kind == "sense" else []
            if (
                mention.kind == "filler"
                and mention.text.lower() in ("hour", "minute", "day")
                and i
                and self.m[i - 1].is_op("group")
            ):
                names = [mention.text.lower()]
            accounts = mention.kind == "sense" and any(s.name.startswith("account_type=") for s in mention.of("code"))
            if (
                accounts
                and (not self._group_led(i) or "account" in mention.text.lower() or self.m[i - 1].text.lower() != "by")
                and "account_id" not in self.bound.filtered
                and (self._group_led(i) or self._asked_for(i))
                and not self._followed_by_noun(i)
                and (sql := reach(self.world.catalogue, self.view, "account_id"))
            ):
                if not any(d.sql == sql for d in out):
                    out.append(Dim(i, sql, "account_id", self._group_led(i), True))
                continue
            columns = [s.name for s in mention.of("col")] if mention.kind == "sense" else []
            for name in names:
                found = self._dim_sql(name)
                if found is None:
                    continue
                sql, alias = found
                own_noun = any(s.name == self.view for s in mention.of("view"))
                grouped = (
                    self._group_led(i)
                    or name in ("hour", "minute", "is_algo")
                    or (
                        name == "day"
                        and mention.text.lower()
                        in ("daily", "each day", "per day", "every day", "by day", "day by day")
                    )
                )
                if self.proposal is not None and name not in ("hour", "minute", "day"):
                    grouped = self.role(sql, "group") > (0.12 if grouped else 0.6)
                if i in self.used and not grouped:
                    continue
                if any(d.sql == sql for d in out):
                    for d in out:
                        if d.sql == sql:
                            d.grouped |= grouped
                    self.used.add(i)
                    break
                if own_noun and not grouped and name in ("trader", "account", "symbol"):
                    self.used.add(i)
                    break
                out.append(Dim(i, sql, alias, grouped, self._asked_for(i)))
                self.used.add(i)
                break
            else:
                for name in columns:
                    if (
                        self._group_led(i)
                        and (sql := reach(self.world.catalogue, self.view, name))
                        and self._textual(name)
                    ):
                        out.append(Dim(i, sql, name, True, False))
                        self.used.add(i)
                        break
        if self.proposal is not None:
            known = {d.sql for d in out}
            for (view, column), roles in self.proposal.columns.items():
                sql = reach(self.world.catalogue, self.view, column)
                wanted = column if view == self.view else f"{view}.{column}"
                if (
                    roles.get("group", 0) > 0.6
                    and roles.get("bucket", 0) < 0.5
                    and sql == wanted
                    and sql not in known
                    and not self._is_time(column)
                ):
                    out.append(Dim(-1, sql, column, True, False))
        for i, mention in enumerate(self.m):
            if (
                mention.kind == "sense"
                and any(s.name == "algo" for s in mention.of("cond"))
                and i in self.used
                and self._group_led(i)
                and (sql := reach(self.world.catalogue, self.view, "trader_id"))
                and not any(d.sql == sql for d in out)
            ):
                out.append(Dim(i, sql, "trader_id", True, False))
        self._buckets(out)
        for sql in self.bound.split:
            if any(d.sql == sql for d in out):
                continue
            out.append(Dim(0, sql, sql.rpartition(".")[2], True, False))
        self._used_group_words(out)
        return out

    def _buckets(self, out: list[Dim]) -> None:
        """ "In 5-minute buckets": a key of fixed width over the view's clock."""
        time = self.world.catalogue.views[self.view].time
        marks = [i for i, m in enumerate(self.m) if m.is_op("bucket")]
        if not time or not (marks or (self.p("time_bucket") > 0.6 and self.proposal is not None)):
            return
        if any(d.alias in ("hour", "minute", "day") for d in out):
            self.used |= set(marks)
            return
        for i, m in enumerate(self.m):
            number = m.compare.number if m.compare is not None else None
            if (
                number is not None
                and self.free(i)
                and number.unit in ("s", "min", "h")
                and (not marks or min(abs(i - k) for k in marks) <= 3)
            ):
                unit = {"s": "seconds", "min": "minutes", "h": "hours"}[number.unit]
                out.append(Dim(i, f"window({time}, '{number.text} {unit}').start", "bucket", True, False))
                self.used |= {i, *marks}
                return
        text = self.reading.question.lower()
        for word, sql in (
            ("half hour", f"window({time}, '30 minutes').start"),
            ("half-hour", f"window({time}, '30 minutes').start"),
            ("quarter hour", f"window({time}, '15 minutes').start"),
            ("hour", f"date_trunc('HOUR', {time})"),
            ("minute", f"date_trunc('MINUTE', {time})"),
            ("day", f"CAST({time} AS DATE)"),
        ):
            if word in text and self.proposal is not None:
                out.append(Dim(-1, sql, "bucket", True, False))
                self.used |= set(marks)
                return

    def _is_time(self, column: str) -> bool:
        return any(
            v.columns[column].type == "TIMESTAMP" for v in self.world.catalogue.views.values() if column in v.columns
        )

    def _textual(self, name: str) -> bool:
        kinds = {v.columns[name].type for v in self.world.catalogue.views.values() if name in v.columns}
        return bool(kinds & {"STRING", "BOOLEAN", "DATE"}) and not name.endswith(("_name", "_id"))

    def _dim_sql(self, name: str) -> tuple[str, str] | None:
        catalogue, view = self.world.catalogue, self.world.catalogue.views[self.view]
        time = view.time
        if name in ("hour", "minute"):
            return (f"date_trunc('{name.upper()}', {time})", name) if time else None
        if name == "day":
            if has(catalogue, self.view, "trade_date"):
                return "trade_date", "trade_date"
            return (f"CAST({time} AS DATE)", "day") if time else None
        if name == "reason":
            for column in ("reject_reason", "cancel_reason", "reason", "rationale", "error_class"):
                if has(catalogue, self.view, column):
                    if column == "reject_reason" and "CANCELLED" in str(self.where):
                        continue
                    return column, column
            return None
        if name == "officer":
            for column in ("assigned_to", "approved_by", "added_by"):
                if has(catalogue, self.view, column):
                    return column, column
            return None
        if name == "trader" and self.view == "restricted_list":
            return "scope_id", "scope_id"
        column = self.world.lexicon.dimensions.get(name, "")
        if name == "issuer" and not has(catalogue, self.view, column):
            column = "issuer_name"
        found = reach(catalogue, self.view, column) if column else None
        return (found, column) if found else None

    def _group_led(self, i: int) -> bool:
        """Whether a grouping word governs mention `i`: "per desk", "by trader and symbol", "each of our venues"."""
        j = i - 1
        while j >= 0:
            mention = self.m[j]
            if mention.is_op("group"):
                return True
            text = mention.text.lower()
            plain = (mention.kind == "sign" and text in (",", "/", "&", "+", "-")) or text in (
                "and",
                "the",
                "a",
                "of",
                "our",
                "own",
                "single",
                "different",
                "x",
                "one",
                "separate",
                "distinct",
            )
            if plain or (mention.kind == "sense" and mention.of("dim") and j in self.used):
                j -= 1
                continue
            break
        after = self.m[i + 1 : i + 3]
        if after and after[0].is_op("group") and len(after) > 1 and after[1].text.lower() == self.m[i].text.lower():
            return True
        return bool(after) and after[0].text.lower() in ("level",)

    def _followed_by_noun(self, i: int) -> bool:
        """Whether the view's own noun comes next: "which client orders" asks for orders, not for clients."""
        for j in self.near(i, 1, 1):
            mention = self.m[j]
            return (any(s.name == self.view for s in mention.of("view")) and not mention.of("dim")) or (
                mention.is_op("trades")
                and mention.text.lower().startswith("trade")
                and mention.text.lower() != "traded"
            )
        return False

    def _used_group_words(self, dims: list[Dim]) -> None:
        for d in dims:
            if d.i < 0:
                continue
            j = d.i - 1
            while j >= 0 and j >= d.i - 5:
                if self.m[j].is_op("group"):
                    self.used.add(j)
                    break
                j -= 1
        for i, mention in enumerate(self.m):
            if mention.is_op("group") and any(d.grouped for d in dims):
                self.used.add(i)

    def _asked_for(self, i: int) -> bool:
        text = self.m[i].text.lower()
        if text in ("who", "whom", "whose"):
            return True
        for j in range(i - 1, max(-1, i - 4), -1):
            mention = self.m[j]
            if mention.is_op("top", "bottom", "second", "third"):
                return True
            if (
                mention.compare is None
                and mention.kind not in ("filler", "word", "sign")
                and not mention.of("code")
                and not mention.is_op("trades")
            ):
                break
        before = [self.m[j].text.lower() for j in range(max(0, i - 3), i)]
        return any(
            b in ("which", "what", "list", "name", "identify", "whose", "find", "give", "show", "any", "how many")
            for b in before
        )

    # -- figures ---------------------------------------------------------------------------------------------------
    def _row_sql(self, name: str) -> str | None:
        sql = self.world.lexicon.measures.get(name, {}).get(self.view)
        if sql is not None:
            return sql.replace("{now}", self._now())
        for view in ("instruments", "traders"):
            column = self.world.lexicon.measures.get(name, {}).get(view)
            if column and reach(self.world.catalogue, self.view, column):
                return reach(self.world.catalogue, self.view, column)
        return None

    def _now(self) -> str:
        from nlq.understand.times import Clock

        return Clock(as_of=self.world.as_of, time=None, day=None).now

    def _measures(self) -> list[Measure]:
        out: list[Measure] = []
        taken: set[int] = set()
        if self.view == "trader_baselines":
            self.used |= {
                i
                for i, m in enumerate(self.m)
                if self.free(i) and any(s.name in ("avg", "stddev", "p95") for s in m.of("agg"))
            }
        aggs = [(i, s.name) for i, m in enumerate(self.m) if self.free(i) and m.kind == "sense" for s in m.of("agg")]
        for i, m in enumerate(self.m):
            for s in m.of("meas") if m.kind == "sense" and self.free(i) else ():
                whole = self.world.lexicon.aggregates.get(s.name, {}).get(self.view)
                if whole and not (s.name == "cancel_ratio" and self.view != "orders"):
                    out.append(Measure(i, whole, "", s.name, s.name, s.name))
                    taken.add(i)
                    self.used.add(i)
                    break
        for i, agg in aggs:
            if i in taken:
                continue
            made = self._aggregate(i, agg, taken)
            if (
                made is not None
                and made.sql == "count(*)"
                and any(o.sql == made.sql for o in out)
                and self.m[i].text.lower() not in ("count", "number", "tally")
            ):
                self.doubts.append("two counts are asked for")
            if made is not None:
                if not any(o.sql == made.sql for o in out):
                    out.append(made)
                taken.add(i)
                self.used.add(i)
        self.loose = [
            (i, s.name, sql) for i, m in enumerate(self.m) if m.kind == "sense" and i not in taken and self.free(i)
            for s in m.of("meas")[:1] if (sql := self._row_sql(s.name)) is not None
        ]  # fmt: skip
        return out

    def _aggregate(self, i: int, agg: str, taken: set[int]) -> Measure | None:
        if agg in ("count", "distinct"):
            after = self.m[i + 1].text.lower() if i + 1 < len(self.m) else ""
            if self.m[i].text.lower() == "number" and after in (",", "and", "name", "&", "."):
                return None
            return self._count(i, agg)
        if agg == "corr":
            return None
        sides = [j for j in self.near(i, 1, 4) if not self.m[j].is_op("group")] + self.near(i, -1, 2)
        for j in sides:
            if self.m[j].kind != "sense" or (
                j in taken
                and not (
                    j > i
                    and all(self.m[k].of("agg") for k in range(i + 1, j) if self.m[k].kind not in ("filler", "sign"))
                )
            ):
                continue
            for s in self.m[j].of("meas"):
                sql = self._row_sql(s.name)
                if sql is None or (j in self.used and not self.m[j].of("meas")):
                    continue
                taken.add(j)
                self.used.add(j)
                sql = sql.split("#")[0]
                return Measure(i, _AGG_SQL[agg].format(self._unit(sql, s.name)), sql, f"{agg}_{s.name}", agg, s.name)
        return None

    def _learnt_measures(self) -> None:
        """Figures that the learnt parser expects and the rules did not find, and the other way round."""
        assert self.proposal is not None
        expected: list[tuple[str, str, float]] = []
        for (view, column), roles in self.proposal.columns.items():
            sql = column if view == self.view else f"{view}.{column}"
            if reach(self.world.catalogue, self.view, column) != sql:
                continue
            if self._is_time(column) and not {"min", "max"} & {a for a, q in roles.items() if q > 0.5}:
                continue
            for agg in (*_AGG_SQL, "count_distinct", "percentile"):
                if roles.get(agg, 0) > 0.5 and not (
                    column in self.world.catalogue.views[self.view].key and agg == "count"
                ):
                    expected.append((sql, agg, roles[agg]))
        whole = [
            x
            for x in self.measures
            if x.agg in ("share",) or x.name in self.world.lexicon.aggregates or x.agg in self.world.lexicon.aggregates
        ]
        if whole:
            return
        kept = []
        for x in self.measures:
            column = re.sub(r" / [\d.]+$", "", x.row)
            if x.agg == "count":
                if self.p("count_rows") > 0.15 or not expected:
                    kept.append(x)
            elif (
                x.agg == "count_distinct"
                or (x.agg.startswith("p") and x.agg[1:].isdigit())
                or x.agg == "median"
                or not expected
            ):
                kept.append(x)
            elif re.fullmatch(r"[\w.]+", column) and self.role(column, x.agg) < 0.15:
                self.doubts.append(f"{x.agg} of {column}")
            else:
                kept.append(x)
        self.measures = kept
        have = {(re.sub(r" / [\d.]+$", "", x.row), x.agg) for x in kept}
        rows = {r for r, _ in have}
        for sql, agg, _ in expected:
            if (sql, agg) in have or agg == "percentile" or (agg == "median" and sql in rows):
                continue
            if agg == "count_distinct":
                if any(x.agg == "count_distinct" for x in kept):
                    continue
                self.measures = [x for x in self.measures if x.agg != "count" or self.p("count_rows") > 0.5]
                self.measures.append(Measure(-1, f"count(DISTINCT {sql})", "", f"n_{sql.rpartition('.')[2]}", agg))
                self.dims = [d for d in self.dims if d.sql != sql or d.grouped]
                continue
            name = "lifetime" if sql == "lifetime_ms" else ""
            near = [x for x in self.loose if x[2].split("#")[0] == sql]
            i = near[0][0] if near else -1
            if near:
                self.used.add(i)
                self.loose = [x for x in self.loose if x[0] != i]
            text = f"abs({sql})" if self.p("absolute") > 0.5 and sql.endswith("_pct") else sql
            self.measures.append(
                Measure(
                    i, _AGG_SQL[agg].format(self._unit(text, name)), sql, f"{agg}_{sql.rpartition('.')[2]}", agg, name
                )
            )
        if self.p("count_rows") > 0.5 and not any(x.agg == "count" for x in self.measures):
            self.measures.append(Measure(-1, "count(*)", "", "n", "count"))
        for i, m in enumerate(self.m):
            if self.free(i) and m.kind == "sense" and any(x.agg == s.name for x in self.measures for s in m.of("agg")):
                self.used.add(i)
        if self.measures:
            for i, _, _ in self.loose:
                self.used.add(i)
            self.loose = [x for x in self.loose if x[0] not in self.used]

    def _unit(self, sql: str, name: str) -> str:
        """Milliseconds in the unit that the question asks for."""
        if name not in DURATIONS:
            return sql
        timed = {k for k, m in enumerate(self.m) if m.kind in ("time", "number")}
        words = {m.text.lower() for k, m in enumerate(self.m) if k not in timed}
        for per, units in (
            (3_600_000.0, {"hours", "hour", "hrs", "h"}),
            (60_000.0, {"minutes", "mins", "minute", "min"}),
            (86_400_000.0, {"days"}),
            (1000.0, {"seconds", "secs", "sec", "second", "s"}),
        ):
            if words & units:
                self.used |= {k for k, m in enumerate(self.m) if m.text.lower() in units}
                return f"({sql}) / {per}" if " " in sql else f"{sql} / {per}"
        return sql

    def _count(self, i: int, agg: str) -> Measure | None:
        following = self.near(i, 1, 3)
        for j in following:
            mention = self.m[j]
            if any(s.name == self.view for s in mention.of("view")) or (mention.is_op("trades")):
                break
            dim = next((d for d in getattr(self, "dims", []) if d.i == j), None)
            if dim is not None and not dim.grouped:
                if (
                    dim.alias in self.world.catalogue.views[self.view].key
                    and len(self.world.catalogue.views[self.view].key) == 1
                ):
                    break
                if self.proposal is not None and self.role(dim.sql, "count_distinct") < 0.3:
                    break
                self.dims = [d for d in self.dims if d is not dim]
                self.used.add(j)
                self.used |= {k for k in following if any(s.name == "distinct" for s in self.m[k].of("agg"))}
                return Measure(i, f"count(DISTINCT {dim.sql})", "", f"n_{dim.alias}", "count_distinct")
            if mention.of("code") or mention.of("cond") or mention.kind == "value" or mention.is_op("own"):
                continue
            if mention.of("meas"):
                name = mention.of("meas")[0].name
                if name in ("qty", "filled_qty") and (sql := self._row_sql(name)):
                    self.used.add(j)
                    return Measure(i, f"sum({sql})", sql, "total_qty", "sum", name)
            break
        if agg == "distinct":
            return None
        return Measure(i, "count(*)", "", "n", "count")

    def _share(self) -> None:
        """A part of a whole: the code that comes last is the part, the rest is the whole."""
        marks = [i for i, m in enumerate(self.m) if self.free(i) and m.is_op("share", "percent") and not (m.compare)]
        if not marks or (
            self.proposal is not None and max(self.p("share"), self.p("percent"), self.p("conditional")) < 0.2
        ):
            return
        percent = any(self.m[i].is_op("percent") for i in marks) or "%" in self.reading.question
        scale = "100.0 * " if percent else ""
        if any(x.name in ("cancel_ratio", "reject_rate", "fp_rate", "fill_rate") for x in self.measures):
            self.measures = [
                Measure(x.i, f"{scale}{x.sql}" if percent else x.sql, "", x.alias, x.agg, x.name) for x in self.measures
            ]
            self.used |= set(marks)
            return
        codes = [
            (i, c, v)
            for c, found in self.bound.columns.items()
            for i, v, neg in found
            if self.m[i].kind == "sense" and not neg
        ]
        codes.sort()
        part = self._numerator(codes, marks)
        if part is None:
            return
        self.where.remove(part)
        words = self.reading.question.lower()
        if part.sql == "side = 'SELL_SHORT'" and re.search(
            r"\b(?:sold|sell|sells|selling|sales?)\b(?! short)",
            re.sub(r"short[- ](?:sell(?:ing|s)?|sales?|sold)|sold short|sell(?:ing)? short", "", words),
        ):
            self.where.append(Part(sql="side IN ('SELL', 'SELL_SHORT')", reason="glossary: sells include short sales"))
        amount = next(((j, sql) for j, name, sql in self.loose if name in ("qty", "notional", "filled_qty")), None)
        if amount is None and self.proposal is not None:
            column = next((c for c in ("qty", "notional", "order_qty") if self.role(c, "sum") > 0.5), None)
            amount = (-1, column) if column else None
        if amount is None:
            weighed = next((x for x in self.measures if x.agg == "sum" and x.row), None)
            if weighed is not None:
                amount = (weighed.i, weighed.row)
                self.measures.remove(weighed)
        if amount is not None:
            j, sql = amount
            if j >= 0:
                self.used.add(j)
            self.loose = [x for x in self.loose if x[0] != j and x[2] != sql]
            text = f"{scale}sum(CASE WHEN {part.sql} THEN {sql} ELSE 0 END) / sum({sql})"
        else:
            text = f"{scale}avg(CASE WHEN {part.sql} THEN 1.0D ELSE 0.0D END)"
        if "FALSE_POSITIVE" in part.sql and not any(p.sql.startswith("status ") for p in self.where):
            self.where.append(
                Part(
                    sql="status IN ('FALSE_POSITIVE', 'CONFIRMED', 'REPORTED')", reason="default: of the decided alerts"
                )
            )
        self.measures = [x for x in self.measures if x.agg != "count"]
        self.measures.append(Measure(marks[0], text, "", "pct" if percent else "share", "share"))
        self.used |= set(marks)

    def _numerator(self, codes: list[tuple[int, str, tuple[str, ...]]], marks: list[int]) -> Part | None:
        """The condition that makes the part: what the parser expects inside the figure, else the code that is not the whole."""
        flags = [p for p in self.where if p.reason.startswith("glossary") and p.span is not None]
        if self.proposal is not None:
            best, score = None, 0.35
            for p in [*self.where]:
                if p.reason.startswith(("time", "default")):
                    continue
                names = re.findall(r"[a-z_.]+", p.sql)
                prob = max((self.role(n, "condition") for n in names), default=0.0)
                if prob > score:
                    best, score = p, prob
            if best is not None:
                return best
        if not codes:
            if len(flags) == 1:
                return flags[0]
            self.doubts.append("a share of what is not clear")
            return None
        whole = [x for x in codes if self._of_all(x[0])]
        kept = [x for x in codes if x not in whole] or codes
        _, column, _ = kept[-1]
        if len(kept) > 1 and marks[0] > kept[-1][0]:
            _, column, _ = kept[0]
        if len({c for _, c, _ in kept}) > 1:
            self.doubts.append("which part of the whole is not clear")
        return next((p for p in self.where if p.sql.startswith(f"{column} ") and p.reason == "code"), None)

    def _of_all(self, i: int) -> bool:
        """Whether "of all", "of the total" or "out of" leads to mention `i`: it belongs to the whole."""
        before = [m.text.lower() for m in self.m[max(0, i - 4) : i]]
        return "of" in before and bool(set(before) & {"all", "total", "the", "our", "everything", "out", "todays"})

    # -- ranking ---------------------------------------------------------------------------------------------------
    def _rank(self) -> dict[str, object] | None:
        for i, mention in enumerate(self.m):
            if mention.kind != "sense" or not self.free(i):
                continue
            name = next(
                (
                    s.name
                    for s in mention.of("op")
                    if s.name in ("top", "bottom", "newest", "oldest", "second", "third")
                ),
                None,
            )
            if name is None:
                continue
            text = mention.text.lower()
            rank: dict[str, object] = {
                "i": i,
                "name": name,
                "limit": 1,
                "offset": {"second": 1, "third": 2}.get(name, 0),
                "said": True,
            }
            for j in [*self.near(i, -1, 1), *self.near(i, 1, 1)]:
                number = self.m[j].compare
                if (
                    number is not None
                    and not number.explicit
                    and number.number.unit in (None, "times")
                    and number.number.value < 1000
                    and float(number.number.value).is_integer()
                ):
                    rank["limit"] = int(number.number.value)
                    self.used.add(j)
                    break
            else:
                if text.endswith(" first") or text in (
                    "descending",
                    "desc",
                    "ascending",
                    "asc",
                    "high to low",
                    "low to high",
                    "chronologically",
                    "chronological",
                    "in time order",
                    "rank",
                    "ranked",
                    "ranking",
                    "league table",
                    "in order of time",
                    "time order",
                    "from the top",
                    "by time",
                    "in sequence",
                ):
                    rank["limit"] = None
            if rank["limit"] == 1 and not rank["offset"]:
                for j in [*self.near(i, -1, 5), *self.near(i, 1, 3)]:
                    number = self.m[j].compare
                    minute = number is not None and number.number.unit == "min" and self.view == "trade_stats_1m"
                    if (
                        number is not None
                        and not number.explicit
                        and self.free(j)
                        and (number.number.unit in (None,) or minute)
                        and 2 <= number.number.value <= 100
                        and float(number.number.value).is_integer()
                    ):
                        rank["limit"] = int(number.number.value)
                        self.used.add(j)
                        break
            self.used.add(i)
            for j, other in enumerate(self.m):
                if j != i and other.is_op("top", "bottom", "newest", "oldest") and self.free(j):
                    self.used.add(j)
                    if rank["limit"] is None:
                        for k in [*self.near(j, -1, 1), *self.near(j, 1, 1)]:
                            number = self.m[k].compare
                            if (
                                number is not None
                                and not number.explicit
                                and self.free(k)
                                and number.number.unit in (None, "times")
                            ):
                                rank["limit"] = int(number.number.value)
                                self.used.add(k)
            if any(m.is_op("tie") for m in self.m):
                rank["ties"] = True
                self.used |= {j for j, m in enumerate(self.m) if m.is_op("tie")}
            return rank
        return None

    def _ranks_rows(self, rank: dict[str, object]) -> bool:
        """Whether the ranking word stands at the view's own noun: "the heaviest order per desk"."""
        for j in self.near(int(rank["i"]), 1, 2):  # type: ignore[call-overload]
            mention = self.m[j]
            if any(s.name == self.view for s in mention.of("view")) or mention.is_op("trades"):
                return True
            if mention.of("dim"):
                return False
        return False

    # -- mode ------------------------------------------------------------------------------------------------------
    def _mode(self, rank: dict[str, object] | None) -> str:
        grouped = [d for d in self.dims if d.grouped]
        if any(m.is_op("yesno") for m in self.m):
            return "grouped"
        if self.proposal is not None:
            return self._learnt_mode(bool(grouped))
        if rank and rank["name"] in ("newest", "oldest") and not self.measures and not grouped:
            return "list"
        if rank and grouped and not self.measures and self._ranks_rows(rank):
            return "list"
        if self.measures or grouped:
            return "grouped"
        if (
            any(m.is_op("top") for m in self.m)
            and any(m.is_op("bottom") for m in self.m)
            and any(sql == "price" for _, _, sql in self.loose)
            and not grouped
        ):
            if rank is not None:
                rank["limit"] = None
            return "grouped"
        if (
            any("#" in sql for _, _, sql in self.loose)
            and not any(m.compare and m.compare.explicit for m in self.m)
            and not rank
        ):
            return "grouped"
        key = self.world.catalogue.views[self.view].key
        targets = [d for d in self.dims if d.target]
        kind = self.world.catalogue.views[self.view].kind
        nouns = [
            i
            for i, m in enumerate(self.m)
            if any(s.name == self.view for s in m.of("view"))
            or (m.is_op("trades") and self.view in ("executions", "market_trades"))
        ]
        columns = [i for i, m in enumerate(self.m) if m.kind == "sense" and m.of("col") and self.free(i)]
        if rank and targets and kind in ("fact", "state", "window") and targets[0].alias not in key:
            return "grouped" if not (self.loose and nouns and nouns[0] < targets[0].i) else "list"
        listed = any(self.m[i].text.lower() in ("who", "whose") for i in (d.i for d in targets)) and nouns
        if (
            self.loose
            and not targets
            and not columns
            and not rank
            and not any(d.alias == "order_id" for d in self.dims)
        ):
            if (
                not nouns
                or nouns[0] > self.loose[0][0]
                or (self.view in ("executions", "market_trades") and not self.dims)
            ):
                if all(name in SUMMED for _, name, _ in self.loose) and len(self.loose) <= 2 and not self._list_words():
                    return "grouped"
        if targets and kind in ("fact", "state", "window") and not listed and not columns and not self.loose:
            if targets[0].alias not in key and not (nouns and nouns[0] <= targets[0].i):
                return "distinct"
        return "list"

    def _learnt_mode(self, grouped: bool) -> str:
        aggregated = max(self.p("aggregate"), self.p("count_rows"), self.p("group"), self.p("scalar"))
        if self.p("distinct") > 0.5 and self.p("group") < 0.5 and self.p("aggregate") < 0.5:
            return "distinct"
        if aggregated > max(0.5, self.p("list")) or (grouped and self.p("group") > 0.5):
            return "grouped"
        if self.p("list") > 0.5 or aggregated < 0.5:
            return "list"
        return "grouped" if self.measures or grouped else "list"

    def _list_words(self) -> bool:
        return any(m.is_op("list") for m in self.m) or any(
            m.text.lower() in ("list", "show", "ids", "id", "each") for m in self.m
        )

    # -- comparisons -----------------------------------------------------------------------------------------------
    def _numbers(self, mode: str) -> None:
        for i, mention in enumerate(self.m):
            if mention.compare is None or not self.free(i):
                continue
            if not self._number(i, mention, mode):
                self.doubts.append(f"{mention.text!r} is not bound")

    def _number(self, i: int, mention: Mention, mode: str) -> bool:
        compare = mention.compare
        assert compare is not None
        number = compare.number
        op = compare.op
        after, before = self.near(i, 1, 3), self.near(i, -1, 4)
        if number.unit == "times" and compare.explicit and float(number.value).is_integer() and number.value >= 2:
            return self._times(i, op, number, before, after)
        if not compare.explicit and number.unit in (None, "times"):
            return self._bare(i, number)
        if self.view == "order_flow_30s" and number.unit is None:
            for j in [*after[:1], *before[:2]]:
                column = self._flow_column(j)
                if column:
                    self.used.add(j)
                    return self._keep(i, f"{column} {op} {number.text}", "count in the window")
        share = next((x for x in self.measures if x.agg == "share"), None)
        if share is not None and (number.unit in ("pct", "times") or number.value < 1) and mode == "grouped":
            value = number.value if number.unit == "pct" or number.value > 1 else number.value * 100
            value = value if "100.0 *" in share.sql else value / 100
            self.having.append(
                Part(
                    sql=f"{share.sql} {op} {literal(round(value, 10))}",
                    phrase=mention.text,
                    span=mention.span,
                    reason="comparison",
                )
            )
            self.used.add(i)
            return True
        if number.unit in ("s", "min", "h", "d", "ms") and has(self.world.catalogue, self.view, "lifetime_ms"):
            return self._keep(i, f"lifetime_ms {op} {literal(number.value * _MS[number.unit])}", "lifetime")
        if number.unit in ("s", "min", "h", "d") and self.view == "alerts" and op in (">", ">="):
            from nlq.understand.times import Clock, interval

            clock = Clock(as_of=self.world.as_of, time="created_ts", day=None)
            return self._keep(i, f"created_ts < {clock.now} - {interval(number.value, number.unit)}", "age")
        if number.unit in ("s", "min", "h", "d", "w", "mon", "ms", "sd") and number.unit != "sd":
            return False
        if number.unit == "sd":
            sql = self._row_sql("deviation")
            return bool(sql) and self._keep(i, f"{sql} {op} {number.text}", "deviation", near="deviation")
        if number.unit == "times":
            return False
        direct = any(
            self.m[j].kind == "sense" and any(self._row_sql(s.name) for s in self.m[j].of("meas")) for j in after[:1]
        )
        for j in after[:2]:
            if not direct and self._count_noun(j) and number.unit is None:
                return self._having_count(i, j, op, number)
        options = self._measure_options(i, before, after, number, mode)
        for j, name, sql in options:
            value = number.value
            if number.unit == "pct" and self._is_ratio(name):
                value = round(value / 100, 10)
            if name == "count":
                self.having.append(
                    Part(
                        sql=f"count(*) {op} {literal(value)}",
                        phrase=mention.text,
                        span=mention.span,
                        reason="comparison",
                    )
                )
                self.used.add(i)
                return True
            if sql.startswith("agg:"):
                self.having.append(
                    Part(
                        sql=f"{sql[4:]} {op} {literal(value)}",
                        phrase=mention.text,
                        span=mention.span,
                        reason="comparison",
                    )
                )
                self.used.add(i)
                return True
            if j >= 0:
                self.used.add(j)
                self.loose = [x for x in self.loose if x[0] != j]
            return self._keep(i, f"{self._abs(sql, i)} {op} {literal(value)}", name)
        return False

    def _times(self, i: int, op: str, number: Number, before: list[int], after: list[int]) -> bool:
        """ "Amended three times or more", "traded more than 20 times"."""
        for j in [*before[:2], *after[:1]]:
            replaced = self.m[j].kind == "sense" and (
                any("REPLACE" in s.name for s in self.m[j].of("code"))
                or any(s.name == "replaces" for s in self.m[j].of("meas"))
            )
            if (replaced or self.m[j].text.lower() in ("changed", "altered")) and has(
                self.world.catalogue, self.view, "n_replaces"
            ):
                self.used.add(j)
                self.loose = [x for x in self.loose if x[0] != j]
                return self._keep(i, f"n_replaces {op} {number.text}", "replaces")
        if self.proposal is not None and self.role("n_replaces", "filter_range") > 0.5:
            return self._keep(i, f"n_replaces {op} {number.text}", "replaces")
        return False

    def _flow_column(self, j: int) -> str | None:
        mention = self.m[j]
        if mention.kind != "sense":
            return None
        if any(s.name == "cancel_ratio" for s in mention.of("meas")):
            return None
        if any("CANCEL" in s.name for s in mention.of("code")):
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

    def _abs(self, sql: str, i: int) -> str:
        return sql

    def _is_ratio(self, name: str) -> bool:
        return name in ("cancel_ratio", "fill_rate", "reject_rate", "fp_rate", "share")

    def _count_noun(self, j: int) -> bool:
        mention = self.m[j]
        if any(s.name == self.view for s in mention.of("view")) or mention.is_op("trades"):
            return True
        status = mention.of("code") and any(
            c in ("status", "event_type") for s in mention.of("code") for _, c, _ in s.places
        )
        return bool(status)

    def _having_count(self, i: int, j: int, op: str, number: Number) -> bool:
        mention = self.m[i]
        counted = {"order_flow_30s": None}.get(self.view, "count(*)")
        if counted is None:
            return False
        self.having.append(
            Part(sql=f"{counted} {op} {number.text}", phrase=mention.text, span=mention.span, reason="comparison")
        )
        self.used.add(i)
        if not any(x.agg == "count" for x in self.measures):
            self.measures.append(Measure(i, "count(*)", "", "n", "count"))
        return True

    def _bare(self, i: int, number: Number) -> bool:
        """A number without comparison: the value of the column it stands beside."""
        if not self.m[i].text[0].isdigit() or (i and self.m[i - 1].kind == "sign"):
            return False
        for j in self.near(i, -1, 1):
            for s in self.m[j].of("meas") if self.m[j].kind == "sense" else ():
                sql = self._row_sql(s.name)
                if sql:
                    self.used |= {i, j}
                    self.loose = [x for x in self.loose if x[0] != j]
                    self.where.append(
                        Part(sql=f"{sql} = {number.text}", phrase=self.m[i].text, span=self.m[i].span, reason="value")
                    )
                    return True
            for s in self.m[j].of("col") if self.m[j].kind == "sense" else ():
                if has(self.world.catalogue, self.view, s.name):
                    self.used |= {i, j}
                    self.where.append(
                        Part(
                            sql=f"{s.name} = {number.text}", phrase=self.m[i].text, span=self.m[i].span, reason="value"
                        )
                    )
                    return True
        return False

    def _measure_options(
        self, i: int, before: list[int], after: list[int], number: Number, mode: str
    ) -> list[tuple[int, str, str]]:
        out: list[tuple[int, str, str]] = []
        near = [
            j for pair in zip([*before, None, None], [*after, None, None], strict=False) for j in pair if j is not None
        ]
        fits = {"pct": ("spread_dev", "mid_dev", "above_mid", "below_mid", "cancel_ratio", "fill_rate", "reject_rate", "fp_rate", "price_move", "surprise", "share"),
                "bps": ("spread", "eff_spread", "distance", "avg_spread_20d"),
                "qty": ("qty", "filled_qty", "cancelled_qty", "leaves", "opp_fill", "adv", "net", "max_order_qty", "bid_qty", "ask_qty"), "money": ("notional", "price", "max_notional", "net")}.get(number.unit or "")  # fmt: skip
        if self.proposal is not None:
            ranged = sorted(
                (
                    (self.role(c, "filter_range"), c)
                    for c, k in self.world.catalogue.views[self.view].columns.items()
                    if k.type in ("DOUBLE", "INT", "BIGINT")
                ),
                reverse=True,
            )
            taken = " ".join(w.sql for w in self.where)
            for prob, c in ranged[:2]:
                if prob > 0.5 and not re.search(rf"\b{c}\b [<>]", taken):
                    out.append((-1, c, c))
        for x in self.measures:
            if (
                (fits is None or x.name in fits or x.agg in fits)
                and x.agg != "count"
                and mode == "grouped"
                and abs(x.i - i) <= 8
            ):
                out.append((-1, x.name or x.agg, f"agg:{x.sql}"))
        for j in near:
            for s in self.m[j].of("meas") if self.m[j].kind == "sense" else ():
                sql = self._row_sql(s.name)
                if sql and (fits is None or s.name in fits):
                    out.append((j, s.name, sql.split("#")[0]))
        if not out and fits:
            for name in fits:
                sql = self._row_sql(name) if name in ("qty", "notional") else None
                if sql:
                    out.append((-1, name, sql))
                    break
        if not out and number.unit is None:
            if any(x.agg == "count" for x in self.measures):
                out.append((-1, "count", ""))
            elif self.view in ("orders", "executions", "market_trades") and number.value >= 50 and self._size_word(i):
                out.append((-1, "qty", self._row_sql("qty") or ""))
        return [o for o in out if o[2] or o[1] == "count"]

    def _size_word(self, i: int) -> bool:
        return any(w in self.m[i].text.lower() for w in ("bigger", "larger", "smaller", "size", "up"))

    def _keep(self, i: int, sql: str, name: str, near: str = "") -> bool:
        mention = self.m[i]
        self.where.append(Part(sql=sql, phrase=mention.text, span=mention.span, reason=f"comparison: {name}"))
        self.used.add(i)
        wanted = near or name
        for j in [*self.near(i, -1, 4), *self.near(i, 1, 4)]:
            if self.m[j].kind == "sense" and any(s.name == wanted for s in self.m[j].of("meas")):
                self.used.add(j)
                self.loose = [x for x in self.loose if x[0] != j]
        return True

    # -- putting together ------------------------------------------------------------------------------------------
    def _asked_columns(self) -> list[str]:
        out = []
        view = self.world.catalogue.views[self.view]
        for i, mention in enumerate(self.m):
            if mention.kind != "sense":
                continue
            for s in mention.of("col"):
                found = reach(self.world.catalogue, self.view, s.name)
                if found and (found in view.columns or self.free(i)):
                    out.append(found)
                    self.used.add(i)
                    break
        for d in self.dims:
            out.append(d.sql)
        for i, name, sql in self.loose:
            out.append(self._unit(sql.split("#")[0], name))
            self.used.add(i)
        return list(dict.fromkeys(out))

    def _list(self, rank: dict[str, object] | None) -> Plan:
        view = self.world.catalogue.views[self.view]
        asked = self._asked_columns()
        extra = [c for c in HEADLINE if c in view.columns]
        if len(view.columns) <= 14:
            extra = [c.name for c in view.columns.values() if c.sensitivity is None or c.name in asked]
        if self.proposal is not None:
            extra += [c for c in view.columns if self.role(c, "select") > 0.3 and view.columns[c].sensitivity is None]
        times = [view.time] if view.time else []
        order = self._row_order(rank)
        extra = [*[c for c in view.columns if any(re.search(rf"\b{c}\b", p.sql) for p in self.where)], *extra]
        if self.sees_names and (
            re.search(r"\bnames?\b|\bcalled\b", self.reading.question, re.IGNORECASE)
            or self.view in ("traders", "accounts")
        ):
            extra += [c for c in ("trader_name", "account_name") if c in view.columns]
        columns = list(dict.fromkeys([*view.key, *times, *asked, *[o.sql for o in order], *extra]))
        plan = Plan(view=self.view, where=tuple(self.where), shown=tuple(self._shown(c) for c in columns), order=order)
        if rank and rank["limit"] is not None:
            groups = [d for d in self.dims if d.grouped]
            plan = Plan(
                **{
                    **plan.__dict__,
                    "limit": rank["limit"],
                    "offset": rank["offset"],
                    "per": tuple(d.alias for d in groups),
                    "ties": bool(rank.get("ties")),
                }
            )
        elif (
            self.view == "quotes"
            and "symbol" in self.bound.filtered
            and not any(m.compare and m.compare.explicit for m in self.m)
            and all(p.kind in ("at", "now") for _, p in self.bound.times)
        ):
            plan = Plan(
                **{
                    **plan.__dict__,
                    "order": (Order(sql="quote_ts", desc=True), Order(sql="quote_seq", desc=True)),
                    "limit": 1,
                }
            )
        return plan

    def _shown(self, sql: str) -> Part:
        alias = sql.rpartition(".")[2] if sql.replace(".", "").replace("_", "").isalnum() else "value"
        return Part(sql=sql, alias=alias)

    def _row_order(self, rank: dict[str, object] | None) -> tuple[Order, ...]:
        if rank is None:
            return ()
        view = self.world.catalogue.views[self.view]
        if rank["name"] in ("newest", "oldest") and view.time:
            desc = rank["name"] == "newest"
            keys = (Order(sql=view.time, desc=desc),)
            return (*keys, Order(sql="quote_seq", desc=desc)) if self.view == "quotes" else keys
        at = int(rank["i"])  # type: ignore[call-overload]
        likely = max(((self.role(c, "order"), c) for c in view.columns), default=(0.0, ""))
        if self.proposal is not None and likely[0] > 0.6:
            return (Order(sql=likely[1], desc=rank["name"] != "bottom"),)
        options = sorted(self._all_measures(), key=lambda x: (abs(x[0] - at), x[0] < at))
        if not options:
            sql = self._row_sql("qty")
            if sql is None:
                self.doubts.append("ranked by what is not said")
                return ()
            self.doubts.append("ranked by size, which is not said")
            return (Order(sql=sql, desc=rank["name"] != "bottom"),)
        i, _, sql = options[0]
        self.used.add(i)
        desc = rank["name"] != "bottom"
        return (Order(sql=sql.split("#")[0], desc=desc),)

    def _all_measures(self) -> list[tuple[int, str, str]]:
        out = []
        for i, m in enumerate(self.m):
            for s in m.of("meas")[:1] if m.kind == "sense" else ():
                sql = self._row_sql(s.name)
                if sql:
                    out.append((i, s.name, sql))
        return out

    def _distinct(self) -> Plan:
        columns = list(dict.fromkeys(d.sql for d in self.dims))
        if self.proposal is not None:
            likely = [c for c in self.world.catalogue.views[self.view].columns if self.role(c, "select") > 0.5]
            columns = (
                [c for c in columns if self.role(c, "select") > 0.2 or c not in self.bound.filtered]
                if not likely
                else likely
            )
        if not columns:
            columns = list(self.world.catalogue.views[self.view].key)
        return Plan(
            view=self.view, where=tuple(self.where), shown=tuple(self._shown(c) for c in columns), distinct=True
        )

    def _grouped(self, rank: dict[str, object] | None) -> Plan:
        grouped = [d for d in self.dims if d.grouped]
        others = [d for d in self.dims if not d.grouped]
        keys = list(grouped)
        per: tuple[str, ...] = ()
        if rank is not None and grouped and others and rank["limit"] is not None:
            per = tuple(d.alias for d in grouped)
            keys += others
        else:
            for d in others:
                if self.proposal is not None:
                    if self.role(d.sql, "group") > 0.3:
                        keys.append(d)
                elif d.target or (self._enumerated(d) and not self._single(d)):
                    keys.append(d)
                elif not self._single(d) and self.m[d.i].text.lower() not in ("day", "days", "line", "name", "market"):
                    self.doubts.append(f"{self.m[d.i].text!r} beside the grouping")
        if self.having and not keys:
            keys += [d for d in others if not self._single(d)]
        if (
            not keys
            and len(others) == 1
            and not self._single(others[0])
            and self.proposal is None
            and (rank is not None or re.search(r"\bcounts?\b", self.reading.question, re.IGNORECASE))
        ):
            keys += others
        for i, name, sql in self.loose:
            agg = "sum" if name in SUMMED else "max" if name in PEAKS else "avg"
            if "#" in sql:
                sql, agg = sql.split("#")
            self.used.add(i)
            self.measures.append(
                Measure(i, _AGG_SQL[agg].format(self._unit(sql, name)), sql, f"{agg}_{name}", agg, name)
            )
        if not self.measures:
            self.measures.append(Measure(-1, "count(*)", "", "n", "count"))
        if any(m.is_op("yesno") for m in self.m) and not keys:
            self.used |= {i for i, m in enumerate(self.m) if m.is_op("yesno")}
            self.measures.insert(0, Measure(-1, "count(*) > 0", "", "answer", "yesno"))
        if self.having and not keys:
            self.doubts.append("a condition on a count of what is not clear")
        self._both(keys)
        if re.search(
            r"by (?:quantity|volume|size|qty)|in shares|qty[- ]weighted|cancelled qty over|by notional",
            self.reading.question,
            re.IGNORECASE,
        ):
            for x in self.measures:
                if x.name == "cancel_ratio" and self.view == "orders":
                    x.sql = x.sql.replace(
                        "avg(CASE WHEN status = 'CANCELLED' THEN 1.0D ELSE 0.0D END)",
                        "sum(cancelled_qty) / sum(order_qty)",
                    )
                    self.measures = [y for y in self.measures if y is x or y.name not in ("qty", "notional")]
                    break
        if any(x.name == "fp_rate" for x in self.measures) and not any("CONFIRMED" in p.sql for p in self.where):
            self.where = [p for p in self.where if not p.sql.startswith("status ")]
            self.where.append(
                Part(
                    sql="status IN ('FALSE_POSITIVE', 'CONFIRMED', 'REPORTED')", reason="default: of the decided alerts"
                )
            )
        if any(d.sql == "assigned_to" for d in keys) and not any("assigned_to" in p.sql for p in self.where):
            self.where.append(Part(sql="assigned_to IS NOT NULL", reason="default: alerts in somebody's charge"))
        if any(x.name == "to_close" for x in self.measures) and not any("closed_ts" in p.sql for p in self.where):
            self.where.append(Part(sql="closed_ts IS NOT NULL", reason="default: closed alerts"))
        self._extremes(keys)
        hour = next((d for d in keys if d.sql.startswith("date_trunc('HOUR'")), None)
        if hour is not None:
            keys.append(Dim(hour.i, f"hour({hour.sql})", "hour_of_day", True, False))
        measures = self._unique(self.measures)
        order: tuple[Order, ...] = ()
        limit = None
        offset = 0
        if (
            rank is not None
            and rank["name"] in ("newest", "oldest")
            and self.world.catalogue.views[self.view].time
            and any(x.row in ("price", "mid_price") for x in measures)
        ):
            pick = "max_by" if rank["name"] == "newest" else "min_by"
            for x in measures:
                if x.row in ("price", "mid_price"):
                    x.sql, x.alias = (
                        f"{pick}({x.row}, {self.world.catalogue.views[self.view].time})",
                        f"{'last' if pick == 'max_by' else 'first'}_{x.row}",
                    )
            rank = None
        if rank is not None and rank["name"] in ("newest", "oldest"):
            self.doubts.append("first or last of a group")
        if rank is not None:
            main = self._ranked_measure(measures, rank)
            order = (Order(sql=main.alias, desc=rank["name"] not in ("bottom", "oldest")),)
            limit, offset = rank["limit"], int(rank["offset"])  # type: ignore[call-overload]
            if not keys:
                if limit is not None:
                    self.doubts.append("ranked over nothing")
                limit = None
                order = ()
        columns = list(keys)
        return Plan(
            view=self.view, where=tuple(self.where),
            keys=tuple(Part(sql=d.sql, alias=d.alias, phrase=self.m[d.i].text if d.i >= 0 else "", span=self.m[d.i].span if d.i >= 0 else None, reason="grouping" if d.i >= 0 else "learnt") for d in columns),
            measures=tuple(Part(sql=x.sql, alias=x.alias, phrase=self.m[x.i].text if x.i >= 0 else "", span=self.m[x.i].span if x.i >= 0 else None, reason="measure" if x.i >= 0 else "default: count") for x in measures),
            having=tuple(self.having), order=order, limit=limit, offset=offset,  # type: ignore[arg-type]
            per=per, ties=bool(rank and rank.get("ties")),
        )  # fmt: skip

    def _extremes(self, keys: list[Dim]) -> None:
        """ "The highest price and the lowest": both ends of one column."""
        tops = [m for m in self.m if m.is_op("top") and "high" in m.text.lower()]
        lows = [m for m in self.m if m.is_op("bottom") and "low" in m.text.lower()]
        price = next((x for x in self.measures if x.row == "price"), None)
        if tops and lows and price is not None:
            self.measures = [
                Measure(price.i, "max(price)", "price", "high", "max", "price"),
                Measure(price.i, "min(price)", "price", "low", "min", "price"),
            ]

    def _both(self, keys: list[Dim]) -> None:
        """ "Spoofing and layering both": every one of the named values must occur."""
        marks = [i for i, m in enumerate(self.m) if m.is_op("both")]
        if not (marks or (self.proposal is not None and self.p("having") > 0.6)) or not keys or self.having:
            return
        for column, found in self.bound.columns.items():
            values = [v for _, vs, neg in found for v in vs if not neg]
            if len(found) >= 2 and len(set(values)) >= 2 and not any(d.sql == column for d in keys):
                self.having.append(
                    Part(
                        sql=f"count(DISTINCT {column}) = {len(set(values))}",
                        reason="both",
                        phrase=self.m[marks[0]].text if marks else "",
                    )
                )
                if column == "side" and not any(p.sql.startswith("side ") for p in self.where):
                    self.where.append(
                        Part(sql=f"side IN ({', '.join(repr(v) for v in dict.fromkeys(values))})", reason="code")
                    )
                self.used |= set(marks)
                return

    def _single(self, d: Dim) -> bool:
        before = self.m[d.i - 1].text.lower() if d.i else ""
        return d.sql in self.bound.filtered or before in ("my", "our", "this", "that", "the same", "same")

    def _enumerated(self, d: Dim) -> bool:
        """A dim in a list of asked columns: behind a comma, "with", "and" or a full stop."""
        before = [m.text.lower() for m in self.m[max(0, d.i - 3) : d.i]]
        return bool(set(before) & {",", ".", "with", "and", ":", "-", "/", "both"})

    def _unique(self, measures: list[Measure]) -> list[Measure]:
        out: dict[str, Measure] = {}
        for x in measures:
            alias, n = x.alias, 2
            while alias in {o.alias for o in out.values()} and x.sql not in out:
                alias, n = f"{x.alias}_{n}", n + 1
            x.alias = alias
            out.setdefault(x.sql, x)
        return list(out.values())

    def _ranked_measure(self, measures: list[Measure], rank: dict[str, object]) -> Measure:
        at = int(rank["i"])  # type: ignore[call-overload]
        return min(measures, key=lambda x: (abs(x.i - at), x.i < at))
