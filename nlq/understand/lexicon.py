"""The general vocabulary, fitted to a catalogue: phrases → senses."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nlq.understand.tokens import stem, tokenize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streaming.catalogue import Catalogue

SHIPPED = Path(__file__).parents[1] / "lexicon.yaml"
_FURTHER = (SHIPPED.with_name("lexicon_reference.yaml"),)
"""More of the same, by subject."""


@dataclass(frozen=True, slots=True)
class Sense:
    """One meaning of a phrase."""

    kind: str
    """view, dim, code, cond, meas, agg, op, col."""
    name: str
    """View, dimension, condition, … ; for a code the column."""
    places: tuple[tuple[str | None, str, tuple[str, ...]], ...] = ()
    """Of a code: (view or None for any, column, codes)."""
    surface: str = ""
    """When set, the words must stand exactly like this; `UPPER` asks for capitals."""

    def fits(self, text: str) -> bool:
        """Whether the words as written allow this sense."""
        if not self.surface:
            return True
        return text.isupper() if self.surface == "UPPER" else text.lower() == self.surface


@dataclass(frozen=True)
class Lexicon:
    """Vocabulary that names only what the catalogue has."""

    phrases: Mapping[tuple[str, ...], tuple[Sense, ...]]
    longest: int
    filler: frozenset[str]
    conditions: Mapping[str, Mapping[str, str]]
    measures: Mapping[str, Mapping[str, str]]
    aggregates: Mapping[str, Mapping[str, str]]
    dimensions: Mapping[str, str]
    instants: Mapping[str, str]
    """Timestamp column → pattern of the words that name it."""
    names: Mapping[str, tuple[str, ...]]
    abbreviations: Mapping[str, tuple[str, ...]]
    words: frozenset[str] = field(default_factory=frozenset)
    """Every word that the vocabulary knows, for spelling repair."""

    @classmethod
    def load(cls, catalogue: Catalogue, path: Path | None = None) -> Lexicon:
        """Read the file and add what the catalogue itself says: column names, codes, view names."""
        raw = yaml.safe_load((path or SHIPPED).read_text(encoding="utf-8"))
        for further in _FURTHER if path is None else ():
            _add(raw, yaml.safe_load(further.read_text(encoding="utf-8")))
        phrases: dict[tuple[str, ...], list[Sense]] = defaultdict(list)
        for key, text in raw["senses"].items():
            sense = _sense(key, catalogue, raw)
            if sense is not None:
                for phrase in str(text).split("|"):
                    exact = phrase.startswith("=")
                    _put(phrases, phrase.lstrip("="), replace(sense, surface=phrase[1:]) if exact else sense)
        _own_words(phrases, catalogue)
        words = {w for phrase in raw["senses"].values() for w in str(phrase).replace("|", " ").lower().split()}
        words |= set(raw["filler"].split())
        return cls(
            phrases={k: tuple(v) for k, v in phrases.items()},
            longest=max(map(len, phrases)),
            filler=frozenset(f(w.replace("'", "")) for w in raw["filler"].split() for f in (stem, str)),
            conditions=raw["conditions"],
            measures=raw["measures"],
            aggregates=raw["aggregates"],
            dimensions=raw["dimensions"],
            instants=raw["instants"],
            names={str(k): tuple(v) for k, v in raw["names"].items()},
            abbreviations={str(k): tuple(v) for k, v in raw["abbreviations"].items()},
            words=frozenset(w for w in words if len(w) >= 4),
        )


def _add(raw: dict[str, Any], more: dict[str, Any]) -> None:
    """Put a further file's words beside those of the first."""
    for key, text in more.pop("senses").items():
        raw["senses"][key] = f"{raw['senses'][key]}|{text}" if key in raw["senses"] else text
    raw["filler"] = f"{raw['filler']} {more.pop('filler')}"
    for section, entries in more.items():
        for name, by_view in entries.items():
            raw[section][name] = {**raw[section].get(name, {}), **by_view}


def key_of(phrase: str) -> tuple[str, ...]:
    """A phrase as the sequence of stems that it is looked up by."""
    return tuple(t.stem for t in tokenize(phrase.strip()) if not t.is_sign or t.low == "%")


def _put(phrases: dict[tuple[str, ...], list[Sense]], phrase: str, sense: Sense) -> None:
    key = key_of(phrase)
    if key and sense not in phrases[key]:
        phrases[key].append(sense)


def _sense(key: str, catalogue: Catalogue, raw: Mapping[str, Mapping[str, object]]) -> Sense | None:
    kind, _, rest = key.partition(" ")
    if kind == "view":
        return Sense(kind, rest) if rest in catalogue.views else None
    if kind == "code":
        places = tuple(p for text in rest.split() for p in _places(text, catalogue))
        return Sense(kind, rest, places) if places else None
    if kind == "col":
        return Sense(kind, rest) if any(rest in v.columns for v in catalogue.views.values()) else None
    return Sense(kind, rest)


def _places(text: str, catalogue: Catalogue) -> list[tuple[str | None, str, tuple[str, ...]]]:
    """`orders.status=CANCELLED,EXPIRED` or `side=BUY` as places, where the catalogue has column and codes."""
    target, _, listed = text.partition("=")
    codes = tuple(listed.split(","))
    view, _, column = target.rpartition(".")
    views = [catalogue.views[view]] if view in catalogue.views else ([] if view else list(catalogue.views.values()))
    found = []
    for one in views:
        held = one.columns.get(column)
        if held is None:
            continue
        kept = tuple(c for c in codes if c in held.codes) if held.codes else codes
        if kept and (one.name, column, kept) not in found:
            found.append((one.name, column, kept))
    return found  # type: ignore[return-value]


_PLAIN = {"new", "high", "low", "medium", "none", "day", "firm", "desk", "person", "trader", "stop", "limit", "market", "fill",
          "trade", "error", "house", "watch", "late", "news", "split", "rating", "halt", "option", "answered", "failed", "clarify"}  # fmt: skip


def _uncoded(catalogue: Catalogue, column: str) -> list[str]:
    """Views that have a column of this name without a list of codes: a threshold's detector is an alert's."""
    views = catalogue.views.values()
    return [v.name for v in views if column in v.columns and not v.columns[column].codes]


def _own_words(phrases: dict[tuple[str, ...], list[Sense]], catalogue: Catalogue) -> None:
    codes: dict[str, list[tuple[str | None, str, tuple[str, ...]]]] = defaultdict(list)
    for view in catalogue.views.values():
        _put(phrases, view.name.replace("_", " "), Sense("view", view.name))
        _put(phrases, view.name, Sense("view", view.name))
        for column in view.columns.values():
            if not column.name.startswith("last_"):  # "the last price" asks for the latest one
                _put(phrases, column.name.replace("_", " "), Sense("col", column.name))
            if "_" in column.name:
                _put(phrases, column.name, Sense("col", column.name))
            for code in column.codes:
                codes[code].append((view.name, column.name, (code,)))
                codes[code] += [(o, column.name, (code,)) for o in _uncoded(catalogue, column.name)]
    for code, found in codes.items():
        places = list(dict.fromkeys(found))
        name = " ".join(sorted({f"{c}={code}" for _, c, _ in places}))
        key = key_of(code.replace("_", " "))
        if key in phrases and any(s.kind in ("code", "cond") for s in phrases[key]):
            # The words for it are in the vocabulary already; "reports" is not REPORTED.
            _put(phrases, code, Sense("code", name, tuple(places), code.replace("_", " ").lower()))
            _put(phrases, code, Sense("code", name, tuple(places), code.lower()))
            continue
        # A code that is also a plain word ("TRADER", "DAY", "HIGH") is the code only in capitals.
        plain = len(key) == 1 and (key in phrases or code.lower() in _PLAIN)
        sense = Sense("code", name, tuple(places), "UPPER" if plain else "")
        _put(phrases, code.replace("_", " "), sense)
        _put(phrases, code, sense)
