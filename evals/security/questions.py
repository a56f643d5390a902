"""Random honest queries over any catalogue: what people ask for, in every shape that the guard has to rewrite."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming.catalogue import Catalogue

_NUMBERS = ("DOUBLE", "INT", "BIGINT")
_LINKS = ("trader_id", "symbol", "order_id", "account_id", "venue", "desk")
_LITERALS = {
    "desk": ("EQ-LDN", "EQ-NYC", "nowhere"),
    "side": ("BUY", "SELL"),
    "symbol": ("ABC", "VOD", "BTC-USD", "NVDA"),
    "status": ("FILLED", "CANCELLED", "VALID", "NEW"),
    "detector": ("SPOOFING", "RESTRICTED_LIST", "INSIDER_DEALING", "WASH_TRADE"),
}


class QueryMaker:
    """Makes queries that a role may ask: over its views, with masked columns in the SELECT list only."""

    def __init__(self, catalogue: Catalogue, role: str, seed: int) -> None:
        self._rng = random.Random(f"{role}-{seed}")
        self._catalogue = catalogue
        rights = catalogue.roles[role]
        self._views = sorted(
            name
            for name in rights.views
            if catalogue.views[name].sensitivity is None or rights.see_restricted or rights.see_pii
        )
        self._masked = {name: catalogue.masked_columns(name, role) for name in self._views}

    def queries(self, count: int) -> Iterator[str]:
        """`count` queries."""
        shapes = (
            self._list, self._list, self._group, self._group, self._join, self._in, self._exists, self._scalar,
            self._with, self._union, self._rank, self._star, self._self_join, self._distinct, self._nested,
        )  # fmt: skip
        made = 0
        while made < count:
            sql = self._rng.choice(shapes)()
            if sql is not None:
                made += 1
                yield sql

    def _list(self) -> str:
        view, a = self._view(), self._rng.choice(("", "x"))
        columns = self._some(view, masked=True)
        return f"SELECT {self._names(columns, a)} FROM {view} {a} {self._where(view, a)}"

    def _group(self) -> str:
        view = self._view()
        keys = self._some(view, most=2, kinds=("STRING", "DATE", "BOOLEAN"))
        number = self._number(view)
        having = f" HAVING count(*) > {self._rng.randint(1, 5)}" if self._rng.random() < 0.3 else ""
        total = f", sum({number}) AS total, max({number}) AS most" if number else ""
        return (
            f"SELECT {', '.join(keys)}, count(*) AS n{total} FROM {view} {self._where(view)} "
            f"GROUP BY {', '.join(keys)}{having}"
        )

    def _join(self) -> str | None:
        linked = self._linked()
        if linked is None:
            return None
        left, right, key = linked
        kind = self._rng.choice(("JOIN", "LEFT JOIN"))
        mine, theirs = self._some(left, most=2, masked=True), self._some(right, most=2, masked=True)
        items = [f"a.{c} AS a_{c}" for c in mine] + [f"b.{c} AS b_{c}" for c in theirs]
        inner = f"(SELECT * FROM {right} {self._where(right)})"
        outer = f"(SELECT * FROM {left} {self._where(left)} ORDER BY {', '.join(self._key(left))} LIMIT 200)"
        return f"SELECT {', '.join(items)} FROM {outer} a {kind} {inner} b ON a.{key} = b.{key}"

    def _in(self) -> str | None:
        linked = self._linked()
        if linked is None:
            return None
        left, right, key = linked
        return (
            f"SELECT {self._names(self._some(left, masked=True))} FROM {left} "
            f"WHERE {key} IN (SELECT {key} FROM {right} {self._where(right)})"
        )

    def _exists(self) -> str | None:
        linked = self._linked()
        if linked is None:
            return None
        left, right, key = linked
        word = self._rng.choice(("EXISTS", "NOT EXISTS"))
        return (
            f"SELECT {self._names(self._some(left), 'a')} FROM {left} a "
            f"WHERE {word} (SELECT 1 FROM {right} b WHERE b.{key} = a.{key})"
        )

    def _scalar(self) -> str:
        view, other = self._view(), self._view()
        return (
            f"SELECT {self._names(self._some(view, masked=True))}, (SELECT count(*) FROM {other}) AS n "
            f"FROM {view} {self._where(view)}"
        )

    def _with(self) -> str:
        view = self._view()
        keys = self._some(view, most=1, kinds=("STRING",))
        return (
            f"WITH c AS (SELECT {keys[0]} AS k, count(*) AS n FROM {view} {self._where(view)} GROUP BY {keys[0]}) "
            f"SELECT k, n FROM c WHERE n >= (SELECT avg(n) FROM c)"
        )

    def _union(self) -> str:
        first, second = self._view(), self._view()
        one, two = (self._some(v, most=1, kinds=("STRING",))[0] for v in (first, second))
        word = self._rng.choice(("UNION", "UNION ALL", "EXCEPT", "INTERSECT"))
        return f"SELECT {one} AS v FROM {first} {self._where(first)} {word} SELECT {two} FROM {second}"

    def _rank(self) -> str:
        view = self._view()
        part = self._some(view, most=1, kinds=("STRING",))[0]
        order = ", ".join(self._key(view))
        return (
            f"SELECT k, r FROM (SELECT {order.split(',')[0]} AS k, row_number() OVER (PARTITION BY {part} ORDER BY "
            f"{order}) AS r FROM {view}) t WHERE r <= 3"
        )

    def _star(self) -> str:
        view = self._view()
        return f"SELECT * FROM {view} {self._where(view)} ORDER BY {', '.join(self._key(view))} LIMIT 50"

    def _self_join(self) -> str:
        view = self._view()
        key = " AND ".join(f"a.{k} = b.{k}" for k in self._key(view))
        item = self._some(view, most=1, masked=True)[0]
        return f"SELECT a.{item} AS one, b.{item} AS two FROM {view} a, {view} b WHERE {key}"

    def _distinct(self) -> str:
        view = self._view()
        return f"SELECT DISTINCT {self._names(self._some(view, most=2))} FROM {view} {self._where(view)}"

    def _nested(self) -> str:
        view = self._view()
        keys = self._key(view)
        return (
            f"SELECT count(*) AS n FROM (SELECT {', '.join(keys)} FROM {view} {self._where(view)}) t "
            f"WHERE {keys[0]} IS NOT NULL"
        )

    def _view(self) -> str:
        return self._rng.choice(self._views)

    def _key(self, view: str) -> list[str]:
        return [f"`{k}`" if k == "offset" else k for k in self._catalogue.views[view].key]

    def _linked(self) -> tuple[str, str, str] | None:
        left, right = self._view(), self._view()
        shared = [
            link
            for link in _LINKS
            if all(link in self._catalogue.views[v].columns and link not in self._masked[v] for v in (left, right))
        ]
        return (left, right, self._rng.choice(shared)) if shared else None

    def _some(
        self, view: str, most: int = 4, *, masked: bool = False, kinds: tuple[str, ...] | None = None
    ) -> list[str]:
        names = [
            column.name
            for column in self._catalogue.views[view].columns.values()
            if (masked or column.name not in self._masked[view])
            and (kinds is None or column.type in kinds)
            and not column.type.startswith("ARRAY")
        ]
        return self._rng.sample(names, min(len(names), self._rng.randint(1, most)))

    def _number(self, view: str) -> str | None:
        names = [
            c.name for c in self._catalogue.views[view].columns.values()
            if c.type in _NUMBERS and c.name not in self._masked[view]
        ]  # fmt: skip
        return self._rng.choice(names) if names else None

    @staticmethod
    def _names(columns: list[str], alias: str = "") -> str:
        return ", ".join(f"{alias}.{c}" if alias else c for c in columns)

    def _where(self, view: str, alias: str = "") -> str:
        if self._rng.random() < 0.4:
            return ""
        parts = [self._condition(view, alias) for _ in range(self._rng.randint(1, 3))]
        return f"WHERE {self._rng.choice((' AND ', ' OR ')).join(parts)}"

    def _condition(self, view: str, alias: str) -> str:
        name = self._some(view, most=1)[0]
        column = self._catalogue.views[view].columns[name]
        dotted = f"{alias}.{name}" if alias else name
        values = column.codes or _LITERALS.get(name, ("ABC", "T44"))
        match column.type:
            case "STRING":
                one, two = self._rng.choice(values), self._rng.choice(values)
                return self._rng.choice(
                    (f"{dotted} = '{one}'", f"{dotted} <> '{one}'", f"{dotted} IN ('{one}', '{two}')",
                     f"{dotted} LIKE '{one[:1]}%'", f"{dotted} IS NOT NULL", f"NOT ({dotted} = '{one}')")
                )  # fmt: skip
            case "BOOLEAN":
                return self._rng.choice((dotted, f"NOT {dotted}", f"{dotted} IS NULL"))
            case "DATE":
                return f"{dotted} >= DATE '2026-11-{self._rng.randint(10, 20)}'"
            case "TIMESTAMP":
                return f"{dotted} < TIMESTAMP '2026-11-{self._rng.randint(10, 20)} 12:00:00'"
            case _:
                return f"{dotted} {self._rng.choice(('>', '<=', '<>'))} {self._rng.randint(0, 1000)}"
