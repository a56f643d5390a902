"""Stated things → conditions over one view. What finds no place is kept as a doubt, never dropped."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nlq.plan import Part
from nlq.understand.times import Clock, TimePhrase, predicates
from nlq.views import CATEGORY_COLUMNS, has, reach

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from nlq.contracts import Proposal
    from nlq.understand.lexicon import Lexicon, Sense
    from nlq.understand.mentions import Mention, Reading
    from retrieval.values import Hit, ValueIndex
    from streaming.catalogue import Catalogue

_CLOCKS = {
    "thresholds": ("effective_from_ts", None), "restricted_list": ("start_ts", None), "accounts": (None, "opened_date"),
    "traders": (None, "end_date"), "trading_calendar": (None, "trade_date"), "ingest_status": ("last_event_ts", None),
}  # fmt: skip
_UNIT_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def quote(value: str) -> str:
    """An SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def listed(column: str, values: Iterable[str], negated: bool = False) -> str:
    """`column = 'A'` or `column IN (…)`, or their opposites."""
    kept = list(dict.fromkeys(values))
    if len(kept) == 1:
        return f"{column} {'<>' if negated else '='} {quote(kept[0])}"
    return f"{column} {'NOT IN' if negated else 'IN'} ({', '.join(map(quote, kept))})"


@dataclass
class World:
    """What a binder reads beside the question."""

    catalogue: Catalogue
    lexicon: Lexicon
    values: ValueIndex
    as_of: datetime


@dataclass
class Bound:
    """Conditions of one view, and the mentions that they come from."""

    view: str
    where: list[Part] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    doubts: list[str] = field(default_factory=list)
    clarify: tuple[str, tuple[str, ...]] | None = None
    times: list[tuple[int, TimePhrase]] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    """Conditions that were stated together with their opposite: the result is cut by them."""
    columns: dict[str, list[tuple[int, tuple[str, ...], bool]]] = field(default_factory=dict)
    """Column → (mention, values, negated)."""

    @property
    def filtered(self) -> set[str]:
        """Columns fixed to one value."""
        return {c for c, found in self.columns.items() if len({v for _, vs, neg in found for v in vs if not neg}) == 1}


class Binder:
    """Binds values, codes, conditions and times of one reading to one view."""

    def __init__(self, world: World, reading: Reading, view: str, proposal: Proposal | None = None) -> None:
        self.world, self.reading, self.view, self.proposal = world, reading, view, proposal
        self.bound = Bound(view)
        self.venue: str | None = None
        """Venue that holds when the question names none, such as that of the question before."""

    def bind(self) -> Bound:
        """Everything but numbers and shape."""
        for i, mention in enumerate(self.reading.mentions):
            if mention.kind == "value":
                self._value(i, mention)
            elif mention.kind == "unknown_value":
                self.bound.doubts.append(f"unknown name {mention.text!r}")
            elif mention.kind == "sense":
                self._sense(i, mention)
        self._columns()
        for i, mention in enumerate(self.reading.mentions):
            if mention.kind == "time" and mention.time is not None:
                self._time(i, mention, mention.time)
        self._defaults()
        return self.bound

    def role(self, column: str, *roles: str) -> float:
        """The learnt probability that a column has one of these roles; a half when there is no parser."""
        if self.proposal is None:
            return 0.5
        view, _, name = column.rpartition(".")
        known = self.proposal.columns.get((view or self.view, name), {})
        return max(known.get(r, 0.0) for r in roles)

    def negated(self, i: int) -> bool:
        """Whether a negating word governs mention `i`."""
        steps = 0
        for j in range(i - 1, -1, -1):
            mention = self.reading.mentions[j]
            if mention.is_op("not"):
                self.bound.used.add(j)
                return True
            if mention.kind in ("filler",) and mention.text.lower() in (
                "any",
                "the",
                "a",
                "an",
                "in",
                "from",
                "were",
                "was",
                "is",
                "are",
                "been",
                "for",
                "of",
                "that",
                "by",
                "on",
                "anyone",
                "those",
                "who",
                "whos",
                "have",
                "has",
                "had",
                "already",
                "yet",
                "ones",
                "with",
                "anybody",
                "who's",
                "done",
                "at",
                "all",
                "just",
            ):
                steps += 1
                if steps > 3:
                    return False
                continue
            return False
        return False

    def _value(self, i: int, mention: Mention) -> None:
        hits = self._fitting(i, mention)
        if not hits:
            self.bound.doubts.append(f"{mention.text!r} fits no column of {self.view}")
            return
        traders = sorted({h.value for h in hits if h.category == "trader"})
        if len(traders) > 1 and all(h.category == "trader" for h in hits):
            names = [f"{self.world.values.trader_name.get(t, t)} ({t})" for t in traders]
            self.bound.clarify = (f"Which {mention.text} do you mean?", tuple(names))
            self.bound.doubts.append(f"{mention.text!r} has several meanings")
        hit = hits[0]
        column, values = self._column_of(hit, i)
        if column is None:
            self.bound.doubts.append(f"{mention.text!r} fits no column of {self.view}")
            return
        self.bound.used.add(i)
        self.bound.columns.setdefault(column, []).append((i, values, self.negated(i)))

    def _fitting(self, i: int, mention: Mention) -> list[Hit]:
        view, catalogue = self.view, self.world.catalogue
        fits = [h for h in mention.hits if any(reach(catalogue, view, c) for c in CATEGORY_COLUMNS.get(h.category, ()))]
        rank = {"symbol": 0, "issuer": 1, "trader": 1, "desk": 1, "venue": 2}
        fits.sort(key=lambda h: (not h.exact, rank.get(h.category, 3)))
        if any(h.category == "symbol" and h.how == "value" for h in fits) and mention.text.isupper():
            fits = [h for h in fits if h.category == "symbol"]
        elif any(h.category == "issuer" for h in fits) and not any(
            h.how == "value" and h.category == "symbol" and mention.text.isupper() for h in fits
        ):
            symbols = [h for h in fits if h.category == "symbol"]
            fits = (
                symbols
                if symbols and mention.text.lower() == symbols[0].value.lower()
                else [h for h in fits if h.category != "symbol" or h.how == "name"] or fits
            )
        return fits

    def _column_of(self, hit: Hit, i: int) -> tuple[str | None, tuple[str, ...]]:
        catalogue, view, values = self.world.catalogue, self.view, self.world.values
        if hit.category == "issuer":
            return self._issuer(hit, i)
        if hit.category == "symbol" and not has(catalogue, view, "symbol") and has(catalogue, view, "issuer_name"):
            return "issuer_name", (values.issuer_of.get(hit.value, hit.value),)
        if hit.category == "trader" and has(catalogue, view, "manager_id") and self._managed(i):
            return "manager_id", (hit.value,)
        for column in CATEGORY_COLUMNS[hit.category]:
            found = reach(catalogue, view, column)
            if found:
                return found, (hit.value,)
        return None, ()

    def _managed(self, i: int) -> bool:
        before = " ".join(m.text.lower() for m in self.reading.mentions[max(0, i - 4) : i])
        after = " ".join(m.text.lower() for m in self.reading.mentions[i + 1 : i + 4])
        return any(
            w in before for w in ("reports to", "report to", "managed by", "manager is", "under", "work for")
        ) or any(w in after for w in ("reports", "direct report", "team", "people"))

    def _issuer(self, hit: Hit, i: int) -> tuple[str | None, tuple[str, ...]]:
        catalogue, values = self.world.catalogue, self.world.values
        symbols = values.symbols_of.get(hit.value, ())
        shares = [s for s in symbols if values.class_of.get(s) in ("EQUITY", "ETF")]
        full = len(self.reading.mentions[i].text.split()) > 1
        text = self.reading.question.lower()
        wide = any(
            w in text
            for w in (
                "any instrument",
                "every instrument",
                "all instruments",
                "anything of",
                "all its",
                "either class",
                "share class",
                "both classes",
                "each class",
                "anything in",
                "any kind",
                "all lines",
                "every line",
                "whole company",
                "neither",
                "all abc",
            )
        )
        if not has(catalogue, self.view, "symbol") or (full and len(symbols) > 1) or wide:
            return ("issuer_name", (hit.value,)) if has(catalogue, self.view, "issuer_name") else (None, ())
        if len(symbols) == 1:
            return "symbol", (symbols[0],)
        options = [s for s in symbols if values.class_of.get(s) == "OPTION"]
        if options and any(
            (m.kind == "sense" and any("OPTION" in s.name for s in m.of("code")))
            or m.text.lower() in ("put", "call", "puts", "calls")
            for m in self.reading.mentions
        ):
            return "symbol", (options[0],)
        if len(shares) == 1:
            return "symbol", (shares[0],)
        if has(catalogue, self.view, "issuer_name"):
            if len(shares) > 1 and not full:
                self.bound.clarify = (f"Which line of {hit.value} do you mean?", tuple(shares))
                self.bound.doubts.append(f"{hit.value} has several instruments")
            return "issuer_name", (hit.value,)
        return None, ()

    def _sense(self, i: int, mention: Mention) -> None:
        for sense in mention.senses:
            if sense.kind == "cond" and self._condition(i, mention, sense):
                return
        codes = [s for s in mention.senses if s.kind == "code"]
        codes.sort(
            key=lambda s: (
                -max(
                    (self.role(c if v == self.view else f"{v}.{c}", "filter", "condition") for v, c, _ in s.places),
                    default=0,
                )
            )
        )
        for sense in codes:
            if self._code(i, sense):
                return

    def _condition(self, i: int, mention: Mention, sense: Sense) -> bool:
        table = self.world.lexicon.conditions.get(sense.name, {})
        sql = table.get(self.view)
        if sql is None and "*" in table and has(self.world.catalogue, self.view, "trader_id"):
            sql = table["*"]
        if sql is None:
            return False
        if self.proposal is not None:
            names = [
                w
                for w in re.findall(r"(?:\w+\.)?[a-z_]{3,}", sql)
                if has(self.world.catalogue, self.view, w) or "." in w
            ]
            if names and max(self.role(n, "filter", "condition", "group") for n in names) < 0.08:
                return False
        now = Clock(as_of=self.world.as_of, time=None, day=None)
        sql = sql.replace("{now}", now.now).replace("{today}", now.today)
        if self.negated(i) and sense.name in ("left", "employed"):
            other = self.world.lexicon.conditions["employed" if sense.name == "left" else "left"].get(self.view, sql)
            sql = other.replace("{today}", now.today)
        elif self.negated(i):
            sql = sql[4:] if sql.startswith("NOT ") else f"NOT {sql}" if " " not in sql else f"NOT ({sql})"
        if any(p.sql == sql for p in self.bound.where):
            self.bound.used.add(i)
            return True
        self.bound.where.append(
            Part(sql=sql, phrase=mention.text, span=mention.span, reason=f"glossary: {sense.name.replace('_', ' ')}")
        )
        self.bound.used.add(i)
        return True

    def _code(self, i: int, sense: Sense) -> bool:
        places = sorted(
            sense.places,
            key=lambda p: -self.role(p[1] if p[0] == self.view else f"{p[0]}.{p[1]}", "filter", "condition"),
        )
        for view, column, codes in places:
            if view == self.view or view is None:
                if self.proposal is not None and self.role(column, "filter", "condition") < 0.08:
                    continue
                self.bound.columns.setdefault(column, []).append((i, codes, self.negated(i)))
                self.bound.used.add(i)
                return True
        for view, column, codes in places:
            found = reach(self.world.catalogue, self.view, column)
            if found and found == f"{view}.{column}":
                if self.proposal is not None and self.role(found, "filter", "condition") < 0.08:
                    continue
                self.bound.columns.setdefault(found, []).append((i, codes, self.negated(i)))
                self.bound.used.add(i)
                return True
        return False

    def _columns(self) -> None:
        """Several values of one column become one condition."""
        for column, found in self.bound.columns.items():
            plus = [(i, v) for i, v, negated in found if not negated]
            minus = [(i, v) for i, v, negated in found if negated]
            for group, negated in ((plus, False), (minus, True)):
                if not group:
                    continue
                values = self._merge(column, [v for _, v in group])
                if values is None:
                    continue
                mentions = [self.reading.mentions[i] for i, _ in group]
                span = (mentions[0].span[0], mentions[-1].span[1])
                reason = (
                    "code" if mentions[0].kind == "sense" else mentions[0].hits[0].how if mentions[0].hits else "value"
                )
                phrase = ", ".join(m.text for m in mentions)
                self.bound.where.append(
                    Part(sql=listed(column, values, negated), phrase=phrase, span=span, reason=reason)
                )

    def _merge(self, column: str, groups: list[tuple[str, ...]]) -> tuple[str, ...] | None:
        sets = [set(g) for g in groups]
        if column == "side" and len(sets) > 1:
            if any("BUY" in s for s in sets) and any("SELL" in s or "SELL_SHORT" in s for s in sets):
                return None
            if {"SELL_SHORT"} in sets and any("SELL" in s for s in sets):
                text = self.reading.question.lower()
                wide = any(
                    w in text
                    for w in (
                        "shorts in",
                        "short or long",
                        "long or short",
                        "short one",
                        "incl",
                        "shorts count",
                        "counted",
                        "short ones",
                        "shorts too",
                        "count as",
                        "plus short",
                        "short sales too",
                        "as well",
                        "either",
                    )
                )
                return ("SELL", "SELL_SHORT") if wide else ("SELL_SHORT",)
        narrow = min(sets, key=len)
        if all(narrow <= s for s in sets):
            return tuple(v for g in groups for v in g if v in narrow)
        return tuple(dict.fromkeys(v for g in groups for v in g))

    def clock(self) -> Clock:
        """The view's clock, with the venue that the question names or implies."""
        catalogue = self.world.catalogue
        view = catalogue.views[self.view]
        if self.view in _CLOCKS:
            time, day = _CLOCKS[self.view]
        else:
            time = view.time
            if self.proposal is not None:
                stamps = [c.name for c in view.columns.values() if c.type == "TIMESTAMP"]
                likely = max(stamps, key=lambda c: self.role(c, "filter_time"), default=time)
                if (
                    likely != time
                    and likely
                    and self.role(likely, "filter_time") > 0.6
                    and self.role(time or "", "filter_time") < 0.4
                ):
                    return Clock(as_of=self.world.as_of, time=likely, day=None, venue=self._venue())
            day = "trade_date" if has(catalogue, self.view, "trade_date") else None
        return Clock(as_of=self.world.as_of, time=time, day=day, venue=self._venue())

    def _venue(self) -> str | None:
        venues = {v for _, vs, neg in self.bound.columns.get("venue", []) for v in vs if not neg}
        if len(venues) == 1:
            return next(iter(venues))
        symbols = {v for _, vs, neg in self.bound.columns.get("symbol", []) for v in vs if not neg}
        homes = {self.world.values.venue_of.get(s) for s in symbols}
        return homes.pop() if len(homes) == 1 else self.venue

    def _time(self, i: int, mention: Mention, phrase: TimePhrase) -> None:
        clock = self.clock()
        if self.view == "alerts" and self._closing():
            clock = Clock(as_of=clock.as_of, time="closed_ts", day=None, venue=clock.venue)
        if self.view == "restricted_list" and re.search(
            r"dropped off|fell away|fall away|ended|lapsed|lifted|came off|expired|removed|ran out",
            self.reading.question,
            re.IGNORECASE,
        ):
            clock = Clock(as_of=clock.as_of, time="end_ts", day=None)
        if self.view == "traders" and any(
            w in self.reading.question.lower() for w in ("joined", "started", "hired", "new joiner")
        ):
            clock = Clock(as_of=clock.as_of, time=None, day="start_date")
        if phrase.kind == "now" and self.view in ("restricted_list", "thresholds"):
            sql = self.world.lexicon.conditions["current"].get(self.view, "").replace("{now}", clock.now)
            if sql and all(p.sql != sql for p in self.bound.where):
                self.bound.where.append(
                    Part(sql=sql, phrase=mention.text, span=mention.span, reason="glossary: in force now")
                )
            self.bound.used.add(i)
            return
        found = predicates(phrase, clock)
        if found is None:
            self.bound.doubts.append(f"{mention.text!r} has no clock in {self.view}")
            return
        others = {p.kind for _, p in self.bound.times}
        every = {m.time.kind for m in self.reading.mentions if m.time is not None}
        if phrase.kind == "month" and "future" in every and clock.time:
            found = [f"date_trunc('MONTH', {clock.time}) = date_trunc('MONTH', {clock.now})"]
        if phrase.kind == "today" and others & {"rolling", "clock", "venue_window"}:
            self.bound.used.add(i)
            return
        self.bound.times.append((i, phrase))
        self.bound.used.add(i)
        for sql in found:
            if all(p.sql != sql for p in self.bound.where):
                self.bound.where.append(Part(sql=sql, phrase=mention.text, span=mention.span, reason="time"))

    def _closing(self) -> bool:
        for j, m in enumerate(self.reading.mentions):
            if m.text.lower() in ("closed", "shut", "close") and j in self.bound.used:
                after = self.reading.mentions[j + 1 : j + 3]
                return any(x.kind == "time" for x in after)
        return False

    def _contrasts(self) -> None:
        """ "algos against humans": a condition and its opposite cut the result, they don't empty it."""
        texts = {p.sql for p in self.bound.where}
        for text in sorted(texts):
            if text.endswith(" IS NULL") and text.replace(" IS NULL", " IS NOT NULL") in texts:
                column = text.split(" ")[0]
                wanted = (
                    text
                    if self.role(column, "filter_null") > self.role(column, "filter_not_null")
                    else text.replace(" IS NULL", " IS NOT NULL")
                )
                self.bound.where = [
                    p for p in self.bound.where if not p.sql.startswith(f"{column} IS") or p.sql == wanted
                ]
                if self.proposal is None:
                    self.bound.doubts.append(f"{column} both empty and not")
        for part in list(self.bound.where):
            if f"NOT {part.sql}" in texts:
                self.bound.where = [p for p in self.bound.where if p.sql not in (part.sql, f"NOT {part.sql}")]
                self.bound.split.append(part.sql)

    def _messages(self) -> None:
        """Topic and field of a dead letter by the words that name them: "executions topic", "missing price"."""
        if self.view != "dead_letters":
            return
        values = self.world.values.values
        for i, m in enumerate(self.reading.mentions):
            low = m.text.lower().replace(" ", "_")
            before = self.reading.mentions[i - 1].text.lower() if i else ""
            after = self.reading.mentions[i + 1].text.lower() if i + 1 < len(self.reading.mentions) else ""
            if (
                low in values.get("error_field", ())
                and "error_field" not in self.bound.columns
                and (
                    "missing" in before
                    or "field" in after
                    or before in ("the", "a", "no", "its")
                    or after in ("missing", "absent", "field")
                )
            ):
                self.bound.where.append(
                    Part(sql=f"error_field = {quote(low)}", phrase=m.text, span=m.span, reason="value")
                )
                self.bound.used.add(i)
            elif after in ("topic", "feed") and "topic" not in self.bound.columns:
                near = [t for t in values.get("topic", ()) if t.replace(".", "_") == low or t == low]
                if len(near) == 1:
                    self.bound.where.append(
                        Part(sql=f"topic = {quote(near[0])}", phrase=m.text, span=m.span, reason="value")
                    )
                    self.bound.used |= {i, i + 1}

    def _learnt(self) -> None:
        """Flags and NULL tests that the learnt parser expects and no word was read as."""
        if self.proposal is None:
            return
        view = self.world.catalogue.views[self.view]
        text = " ".join(p.sql for p in self.bound.where)
        for name, column in view.columns.items():
            if re.search(rf"\b{name}\b", text) or name in self.bound.columns:
                continue
            if column.type == "BOOLEAN" and self.role(name, "filter_flag") > 0.6:
                self.bound.where.append(Part(sql=name, reason="learnt"))
            elif self.role(name, "filter_not_null") > 0.6:
                self.bound.where.append(Part(sql=f"{name} IS NOT NULL", reason="learnt"))
            elif self.role(name, "filter_null") > 0.6:
                self.bound.where.append(Part(sql=f"{name} IS NULL", reason="learnt"))

    def _defaults(self) -> None:
        self._contrasts()
        self._messages()
        self._learnt()
        columns = self.bound.columns
        if self.view == "executions" and "status" not in columns:
            self.bound.where.append(Part(sql="status = 'VALID'", reason="default: trades are valid fills"))
        text = self.reading.question.lower()
        if (
            self.view == "restricted_list"
            and "list_type" not in columns
            and re.search(r"restrict|banned|barred|not allowed|off limits|forbidden", text)
            and not re.search(
                r"any type|all types|any list|whatever type|every type|each type|by type|type of list|entries", text
            )
            and not any("list_type" in p.sql for p in self.bound.where)
            and any("scope" in p.sql or "start_ts <=" in p.sql for p in self.bound.where)
        ):
            self.bound.where.append(Part(sql="list_type = 'RESTRICTED'", reason="glossary: restricted"))
        if (
            self.view == "corporate_events"
            and any(m.is_op("newest") for m in self.reading.mentions)
            and "event_type" in columns
            and "is_latest" not in str(self.bound.where)
        ):
            self.bound.where.append(Part(sql="is_latest", reason="glossary: latest event"))
            self.bound.used |= {i for i, m in enumerate(self.reading.mentions) if m.is_op("newest")}
        if self.view == "thresholds" and not any("effective_" in p.sql or "version" in p.sql for p in self.bound.where):
            text = self.reading.question.lower()
            if not any(w in text for w in ("version", "all ", "history", "over time", "ever", "previous", "before")):
                self.bound.where.append(Part(sql="effective_to_ts IS NULL", reason="default: the version in force"))
