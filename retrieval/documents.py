"""What can be retrieved: short texts derived from the catalogue, and questions that were answered and approved."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from streaming.catalogue import Catalogue, View

Kind = Literal["view", "column", "codes", "glossary", "join", "example"]


@dataclass(frozen=True, kw_only=True)
class Document:
    """One retrievable text. `id` is stable as long as what it describes keeps its name."""

    id: str
    kind: Kind
    text: str
    """What is searched and, for everything but examples, what a prompt shows."""
    views: tuple[str, ...]
    """Views it speaks of; a role sees the document only if it may see them all."""
    columns: tuple[str, ...] = ()
    """`view.column` of the columns it speaks of."""
    sql: str | None = None
    """Of an example: the approved SQL."""
    author: str = ""
    """Of an example: who asked it, so that an evaluation can leave that author out."""

    def places(self) -> Iterator[tuple[str, str]]:
        """The columns as (view, column); a column without its view is taken for one of each of the views."""
        for place in self.columns:
            view, dot, column = place.partition(".")
            if dot:
                yield view, column
            else:
                yield from ((view, place) for view in self.views)


def catalogue_documents(catalogue: Catalogue) -> list[Document]:
    """All documents of a catalogue, sorted by id."""
    found: list[Document] = []
    for view in catalogue.views.values():
        found.append(_view(view))
        for column in view.columns.values():
            place = f"{view.name}.{column.name}"
            meaning = column.meaning or _words(column.name)
            unit = f", in {column.unit}" if column.unit else ""
            text = f"{_words(column.name)} of {_words(view.name)}: {meaning}{unit}"
            found.append(
                Document(
                    id=f"column:{place}",
                    kind="column",
                    text=text,
                    views=(view.name,),
                    columns=(place,),
                )
            )
            if column.codes:
                codes = ", ".join(_words(code) for code in column.codes)
                text = f"{_words(column.name)} of {_words(view.name)}, one of: {codes}"
                found.append(
                    Document(
                        id=f"codes:{place}",
                        kind="codes",
                        text=text,
                        views=(view.name,),
                        columns=(place,),
                    )
                )
    found += _glossary(catalogue)
    found += _joins(catalogue)
    return sorted(found, key=lambda document: document.id)


def digest(documents: Iterable[Document]) -> str:
    """Hash of the documents' content: names the index that holds them."""
    content = json.dumps([asdict(document) for document in documents], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def visible(documents: Iterable[Document], views: frozenset[str]) -> list[Document]:
    """The documents that speak of nothing but these views."""
    return [document for document in documents if set(document.views) <= views]


def _view(view: View) -> Document:
    names = ", ".join(_words(column) for column in view.columns)
    text = f"{_words(view.name)}: {view.meaning} Columns: {names}"
    return Document(id=f"view:{view.name}", kind="view", text=text, views=(view.name,))


def _glossary(catalogue: Catalogue) -> list[Document]:
    found = []
    for term, text in catalogue.glossary.items():
        named = [view for view in catalogue.views if re.search(rf"\b{re.escape(view)}\b", text)]
        columns = [
            f"{view}.{column}"
            for view in named
            for column in catalogue.views[view].columns
            if re.search(rf"\b{re.escape(column)}\b", text)
        ]
        found.append(
            Document(
                id=f"glossary:{term}",
                kind="glossary",
                text=f"{term}: {text}",
                views=tuple(named),
                columns=tuple(columns),
            )
        )
    return found


def _joins(catalogue: Catalogue) -> list[Document]:
    """How two views meet: by the whole key of one of them, or by all of it but the day or the version."""
    found = []
    for left, right in combinations(catalogue.views.values(), 2):
        shared = _join_columns(left, right)
        if shared:
            on = " and ".join(_words(column) for column in shared)
            text = f"{_words(left.name)} with {_words(right.name)} by {on}"
            columns = tuple(f"{view.name}.{column}" for column in shared for view in (left, right))
            found.append(
                Document(
                    id=f"join:{left.name}+{right.name}",
                    kind="join",
                    text=text,
                    views=(left.name, right.name),
                    columns=columns,
                )
            )
    return found


def _join_columns(left: View, right: View) -> Sequence[str]:
    for one, other in ((right, left), (left, right)):
        if one.key and set(one.key) <= set(other.columns):
            return one.key
    return ()


def _words(name: str) -> str:
    """`order_flow_30s` → `order flow 30s`: names as they are spoken, for search."""
    return name.replace("_", " ").lower()
