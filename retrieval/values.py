"""Names of the world: from what an officer calls a thing to the value that stands in a column.

Built from the reference views at every refresh, never from a list in code. A value is found by its exact spelling, by
its everyday name (a company's first word, a trader's surname, a desk's city), by a spelled or dictated form
("T forty four", "A B C dot B") and, for long words, by a near spelling.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rapidfuzz import fuzz, process

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

COLUMNS: dict[str, str] = {
    "symbol": "symbol", "issuer_name": "issuer", "trader_id": "trader", "trader_name": "trader", "desk": "desk",
    "venue": "venue", "account_id": "account", "account_name": "account", "beneficial_owner_id": "owner",
    "sector": "sector", "country": "country", "currency": "currency", "location": "location",
    "business_unit": "business_unit", "parameter": "parameter", "topic": "topic", "producer": "producer",
    "broker": "broker", "isin": "isin", "alert_id": "alert", "order_id": "order", "exec_id": "exec",
    "list_id": "list", "event_id": "event", "assigned_to": "officer", "approved_by": "officer", "added_by": "officer",
    "reject_reason": "reject_reason", "error_field": "error_field", "fiscal_period": "fiscal_period",
    "holiday_name": "holiday", "personal_trade_id": "personal_trade", "model": "model", "user_id": "user",
}  # fmt: skip
"""Column → category. Categories are what the binder maps back to a view's columns."""

FACT_COLUMNS: dict[str, tuple[str, ...]] = {
    "orders": ("reject_reason",),
    "dead_letters": ("topic", "producer", "error_field"),
    "alerts": ("assigned_to",),
    "personal_trades": ("broker",),
    "ingest_status": ("topic",),
}
"""Columns of views that are no reference whose few distinct values people name."""

PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^(?:t\d{2,5}|algo\d{1,3})$", re.I), "trader"),
    (re.compile(r"^[cehmx]r?-\d{3,5}$", re.I), "account"),
    (re.compile(r"^al-\d{8}-\d{4}$", re.I), "alert"),
    (re.compile(r"^o-\d{4,}$", re.I), "order"),
    (re.compile(r"^x-\d{4,}$", re.I), "exec"),
    (re.compile(r"^m-\d{5,}$", re.I), "print"),
    (re.compile(r"^ev-\d{4,}$", re.I), "event"),
    (re.compile(r"^ce-\d{3,}$", re.I), "event"),
    (re.compile(r"^rl-\d{3,}$", re.I), "list"),
    (re.compile(r"^pt-\d{3,}$", re.I), "personal_trade"),
    (re.compile(r"^q-\d{4,}$", re.I), "query"),
    (re.compile(r"^bo-\d{3,}$", re.I), "owner"),
)
"""Shapes of identifiers: one of these that the index does not hold is an unknown name, not a word."""

_LEGAL = {
    "inc", "plc", "ag", "se", "corp", "corporation", "company", "co", "the", "holdings", "group", "industries", "motor",
    "ltd", "llc", "sa", "nv", "and", "chase", "mobil",
}  # fmt: skip
_MAX_DISTINCT = 5000


@dataclass(frozen=True, slots=True)
class Hit:
    """One meaning of a span of words."""

    category: str
    value: str
    exact: bool
    """The words are the value itself or its full name; False for a part of it or a near spelling."""
    how: str = "value"
    """`value`, `name`, `surname`, `city`, `spelled`, `typo`."""


def collapse(text: str) -> str:
    """Letters and digits only, lower case."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


class ValueIndex:
    """Words → values. Immutable once built."""

    def __init__(self) -> None:
        self.by_words: dict[tuple[str, ...], list[Hit]] = defaultdict(list)
        self.by_letters: dict[str, list[Hit]] = defaultdict(list)
        self.longest = 1
        self.venue_of: dict[str, str] = {}
        self.symbols_of: dict[str, tuple[str, ...]] = {}
        self.issuer_of: dict[str, str] = {}
        self.class_of: dict[str, str] = {}
        self.trader_name: dict[str, str] = {}
        self.desk_of: dict[str, str] = {}
        self.venue_country: dict[str, str] = {}
        self.parameters: dict[str, set[str]] = defaultdict(set)
        self.values: dict[str, set[str]] = defaultdict(set)
        """Category → values that stand in the data."""
        self._names: list[str] = []

    @classmethod
    def build(cls, rows: Mapping[str, pa.Table], aliases: Mapping[str, Sequence[str]] | None = None) -> ValueIndex:
        """Index the string columns of the given views; `aliases` adds everyday names: value → names."""
        index = cls()
        for view, table in rows.items():
            index._columns(view, table)
        index._instruments(rows)
        index._traders(rows)
        index._parameters(rows)
        index._desks({k[1:]: v for k, v in (aliases or {}).items() if k.startswith("~")})
        index._cities(rows)
        for value, names in (aliases or {}).items():
            for category, held in index.values.items():
                if value in held:
                    for name in names:
                        index._add(name, Hit(category, value, True, "name"))
        index._names = [
            " ".join(w) for w in index.by_words if len("".join(w)) >= 5 and not any(c.isdigit() for c in "".join(w))
        ]
        return index

    def lookup(self, words: Sequence[str]) -> list[Hit]:
        """Meanings of exactly these words, lower case."""
        return self.by_words.get(tuple(words), [])

    def spelled(self, text: str) -> list[Hit]:
        """Meanings of an identifier whose letters and digits are these, whatever stands between them."""
        return self.by_letters.get(collapse(text), [])

    def near(self, word: str, least: float = 84) -> list[Hit]:
        """Meanings of a name that is spelled nearly like this; empty when nothing is near or two are as near."""
        if len(word) < 5:
            return []
        found = process.extract(word, self._names, scorer=fuzz.ratio, score_cutoff=least, limit=3)
        if not found or (
            len(found) > 1 and found[1][1] == found[0][1] and self._of(found[0][0]) != self._of(found[1][0])
        ):
            return []
        return [Hit(h.category, h.value, False, "typo") for h in self._of(found[0][0])]

    def nearest(self, word: str, limit: int = 3) -> list[str]:
        """Names like this one, for "did you mean"."""
        return [
            name for name, *_ in process.extract(word, self._names, scorer=fuzz.ratio, score_cutoff=60, limit=limit)
        ]

    def _of(self, name: str) -> list[Hit]:
        return self.by_words[tuple(name.split())]

    def _add(self, text: str, hit: Hit) -> None:
        words = tuple(w for w in re.split(r"[^a-z0-9.]+", text.lower().replace("'", "")) if w.strip("."))
        words = tuple(w.strip(".") for w in words)
        if not words or len(words) > 8:
            return
        if all(h.value != hit.value or h.category != hit.category for h in self.by_words[words]):
            self.by_words[words].append(hit)
            self.longest = max(self.longest, len(words))

    def _columns(self, view: str, table: pa.Table) -> None:
        for name in table.column_names:
            category = COLUMNS.get(name)
            if (
                category is None
                or (name == "desk" and view not in ("traders",))
                or name in ("trader_name", "account_name", "issuer_name")
            ):
                continue
            for value in _distinct(table, name):
                self.values[category].add(value)
                hit = Hit(category, value, True)
                self._add(value, hit)
                self._add(value.replace("_", " "), hit)
                if len(value) >= 2:
                    held = self.by_letters[collapse(value)]
                    if all(h.value != value or h.category != category for h in held):
                        held.append(hit)

    def _instruments(self, rows: Mapping[str, pa.Table]) -> None:
        table = rows.get("instruments")
        if table is None:
            return
        symbols: dict[str, list[str]] = defaultdict(list)
        for row in table.to_pylist():
            symbol, issuer = row["symbol"], row.get("issuer_name")
            self.venue_of[symbol], self.class_of[symbol] = row.get("venue"), row.get("asset_class") or ""
            self._add(row.get("instrument_name") or "", Hit("symbol", symbol, True, "name"))
            if root := re.match(r"^([A-Z]{2,3})[FGHJKMNQUVXZ]\d{1,2}$", symbol):
                self._add(root.group(1), Hit("symbol", symbol, True, "name"))
            base = symbol.split("-")[0] if "-" in symbol else ""
            if base:
                self._add(base, Hit("symbol", symbol, True, "name"))
            if issuer and (
                option := re.search(
                    r"\b(Call|Put) (\d+(?:\.\d+)?)(?: (\d{1,2}) ([A-Z][a-z]{2})[a-z]* (\d{4}))?",
                    row.get("instrument_name") or "",
                )
            ):
                self._option(symbol, issuer, row.get("underlying_symbol"), option)
            if issuer:
                self.issuer_of[symbol] = issuer
                symbols[issuer].append(symbol)
            if row.get("venue") and row.get("country"):
                self.venue_country.setdefault(row["venue"], row["country"])
            if row.get("asset_class") in ("EQUITY", "ETF"):
                for word in re.findall(r"[A-Z]{3,5}", row.get("instrument_name") or ""):
                    if word == symbol:
                        self._add(word, Hit("symbol", symbol, True, "name"))
        self.symbols_of = {issuer: tuple(found) for issuer, found in symbols.items()}
        for issuer in self.symbols_of:
            self.values["issuer"].add(issuer)
            for name in _company_names(issuer):
                self._add(name, Hit("issuer", issuer, True, "name"))

    def _option(self, symbol: str, issuer: str, underlying: str | None, found: re.Match[str]) -> None:
        """ "Tesla 400 put", "ABC Dec 105 calls": what people call a listed option."""
        kind, strike, _, month, _ = found.groups()
        months = {"", month.lower()} if month else {""}
        for name in {*_company_names(issuer), underlying or ""} - {""}:
            for word in (kind.lower(), f"{kind.lower()}s", f"{kind.lower()} option"):
                for m in months:
                    for text in (
                        f"{name} {m} {strike} {word}",
                        f"{name} {m} {word}",
                        f"{name} {m} {strike}{kind[0].lower()}",
                    ):
                        self._add(" ".join(text.split()), Hit("symbol", symbol, True, "name"))

    def _traders(self, rows: Mapping[str, pa.Table]) -> None:
        table = rows.get("traders")
        for row in table.to_pylist() if table is not None else ():
            trader, name, desk = row["trader_id"], row.get("trader_name"), row.get("desk")
            self.desk_of[trader] = desk
            if name:
                self.trader_name[trader] = name
                self._add(name, Hit("trader", trader, True, "name"))
                if not row.get("is_algo"):
                    for part in name.split():
                        self._add(part, Hit("trader", trader, False, "surname"))
        accounts = rows.get("accounts")
        for row in accounts.to_pylist() if accounts is not None else ():
            if row.get("account_name"):
                self._add(row["account_name"], Hit("account", row["account_id"], True, "name"))
                short = re.sub(r"\s+(?:[IVX]+|\d+)$", "", row["account_name"])
                self._add(short, Hit("account", row["account_id"], True, "name"))

    def _desks(self, parts: Mapping[str, Sequence[str]]) -> None:
        """ "London desk" for EQ-LDN: every part of a desk's code by the names of its abbreviation."""
        desks = sorted(self.values["desk"])
        split = {desk: re.split(r"[-_ ]", desk) for desk in desks}
        for desk, codes in split.items():
            names = [[*parts.get(code, ()), code.lower()] for code in codes]
            if len(names) == 2:
                for first in names[0]:
                    for second in names[1]:
                        self._add(f"{first} {second}", Hit("desk", desk, True, "name"))
                        self._add(f"{second} {first}", Hit("desk", desk, True, "name"))
            for code, options in zip(codes, names, strict=True):
                if sum(code in other for other in split.values()) == 1:
                    for name in options:
                        self._add(name, Hit("desk", desk, len(codes) == 1, "city"))

    def _cities(self, rows: Mapping[str, pa.Table]) -> None:
        """The city of a venue, from its time zone."""
        table = rows.get("trading_calendar")
        zones = (
            {(r["venue"], r["timezone"]) for r in table.select(["venue", "timezone"]).to_pylist()}
            if table is not None
            else set()
        )
        for venue, zone in zones:
            if zone and "/" in zone:
                self._add(zone.split("/")[1].replace("_", " "), Hit("venue", venue, False, "city"))

    def _parameters(self, rows: Mapping[str, pa.Table]) -> None:
        table = rows.get("thresholds")
        for row in table.to_pylist() if table is not None else ():
            self.parameters[row["parameter"]].add(row["detector"])


def _distinct(table: pa.Table, name: str) -> Iterable[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.column(name)
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return []
    found: list[Any] = pc.unique(column).to_pylist()
    return [v for v in found if v] if len(found) <= _MAX_DISTINCT else []


def _company_names(issuer: str) -> list[str]:
    """A company's full name, the name without its legal form, and its first telling word."""
    plain = re.sub(r"[.,&]", " ", issuer)
    words = plain.split()
    core = [w for w in words if w.lower() not in _LEGAL]
    names = {issuer, plain, " ".join(core)}
    if core:
        names.add(core[0])
        names.add(core[0].replace("-", " "))
        names.add(core[0].replace("-", ""))
    camel = re.match(r"^([A-Z][a-z]+|[A-Z]{2,})[A-Z][a-z]", words[0] if words else "")
    if camel and len(camel.group(1)) >= 2:
        names.add(re.sub(r"([a-z]|[A-Z]{2,})([A-Z][a-z])", r"\1 \2", words[0]))
    return [n for n in names if n]
