"""What a reading of a question offers for the slots of a form: named values, numbers and times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlq.bind import World
from nlq.understand.times import Clock, predicates
from nlq.views import CATEGORY_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa

    from nlq.understand.reading import Reading
    from streaming.catalogue import Catalogue


class ReadingSlots:
    """The named values, numbers and times of one question."""

    def __init__(self, world: World, reading: Reading) -> None:
        self.world, self.reading = world, reading
        self._kept: dict[str, list[tuple[str, ...]]] = {}
        self.numbers: Sequence[float] = [
            m.compare.number.value for m in reading.mentions if m.kind == "number" and m.compare is not None
        ]
        self.timed = any(m.kind == "time" for m in reading.mentions)

    def values(self, column: str) -> Sequence[tuple[str, ...]]:
        """For each named thing that fits the column, in the question's order: the values it stands for there."""
        name = column.rpartition(".")[2]
        if name not in self._kept:
            self._kept[name] = self._values(name)
        return self._kept[name]

    def _values(self, name: str) -> list[tuple[str, ...]]:
        categories = {c for c, columns in CATEGORY_COLUMNS.items() if name in columns}
        out: list[tuple[str, ...]] = []
        for mention in self.reading.mentions:
            if mention.kind != "value":
                continue
            hits = [h for h in mention.hits if h.category in categories]
            if not hits:
                continue
            direct = next((h for h in hits if h.category != "issuer" or name == "issuer_name"), None)
            if (
                direct is not None
                and any(h.category == "issuer" for h in hits)
                and name == "symbol"
                and not mention.text.isupper()
            ):
                direct = next((h for h in hits if h.how == "name" and h.category == "symbol"), None)
            if direct is not None:
                out.append((direct.value,))
            else:
                out.append(self._symbols(next(h.value for h in hits if h.category == "issuer")))
        return [v for v in out if v]

    def _symbols(self, issuer: str) -> tuple[str, ...]:
        """The lines that stand for a company: its shares, or all that it has."""
        held = self.world.values.symbols_of.get(issuer, ())
        shares = tuple(s for s in held if self.world.values.class_of.get(s) in ("EQUITY", "ETF"))
        return shares or held

    def times(self, column: str, others: Sequence[str]) -> Sequence[str] | None:
        """Conditions that put the stated times on a column; None when they do not fit."""
        name = column.rpartition(".")[2]
        kinds = {c.type for v in self.world.catalogue.views.values() for c in v.columns.values() if c.name == name}
        stamp = "TIMESTAMP" in kinds
        clock = Clock(
            as_of=self.world.as_of, time=column if stamp else None, day=None if stamp else column, venue=self._venue()
        )
        out: list[str] = []
        for mention in self.reading.mentions:
            if mention.time is None:
                continue
            found = predicates(mention.time, clock)
            if found is None:
                if len(set(others)) > 1:
                    continue
                return None
            out += [f for f in found if f not in out]
        return out

    def _venue(self) -> str | None:
        venues = {v for held in self.values("venue") for v in held}
        if len(venues) == 1:
            return next(iter(venues))
        homes = {self.world.values.venue_of.get(s) for held in self.values("symbol") for s in held}
        return homes.pop() if len(homes) == 1 else None


def reader_of(catalogue: Catalogue, tables: Mapping[str, pa.Table], as_of: datetime) -> Callable[[str], ReadingSlots]:
    """Question → its slots, over the reference values of some tables, as training reads them."""
    from nlq.interpret import Interpreter
    from nlq.understand.lexicon import Lexicon
    from nlq.understand.mentions import Extractor
    from retrieval.values import ValueIndex

    values = ValueIndex.build(tables, Interpreter.aliases(catalogue))
    lexicon = Lexicon.load(catalogue)
    extractor, world = Extractor(lexicon, values), World(catalogue, lexicon, values, as_of)
    return lambda question: ReadingSlots(world, extractor.read(question))
