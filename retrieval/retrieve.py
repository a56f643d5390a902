"""Which views, columns, terms and approved questions belong to a question: meaning and keywords, fused by rank."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval.documents import Document, catalogue_documents
from retrieval.embed import Embedder, LocalEmbedder, Vectors
from retrieval.keyword import KeywordIndex, words
from retrieval.store import VectorStore

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from streaming.catalogue import Catalogue

__all__ = ["Document", "Retriever"]

_RANK_OFFSET = 20
"""Reciprocal rank fusion: a document at rank r scores 1 / (offset + r). The usual 60 is for thousands of candidates."""
_CANDIDATES = 60
_NEIGHBOURS = 16
"""Approved questions that vote on which views are needed."""
_WEIGHT = {"view": 1.0, "column": 0.5, "codes": 0.5, "glossary": 0.7, "join": 0.2, "example": 3.0}
"""How much a document of each kind says about which view is needed; approved questions know the most."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What a question needs, the likeliest first."""

    views: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]
    """View → its columns."""


class Retriever:
    """Hybrid search over the documents of one catalogue. Deterministic: equal scores are ordered by id."""

    def __init__(
        self,
        catalogue: Catalogue,
        embedder: Embedder | None,
        *,
        examples: Sequence[Document] = (),
        directory: Path | None = None,
    ) -> None:
        """Index a catalogue and approved questions.

        Args:
            catalogue: what is described.
            embedder: makes vectors; None searches by keywords alone.
            examples: documents of kind `example`.
            directory: where the vector index is kept between runs; None keeps it in memory.
        """
        self.catalogue = catalogue
        self._embedder = embedder
        self._meaning = _Part(catalogue_documents(catalogue), embedder, directory)
        self._examples = _Part(sorted(examples, key=lambda e: e.id), embedder, directory)

    @classmethod
    def open(cls, catalogue: Catalogue, *, examples: Sequence[Document] = (), cache: Path | None = None) -> Retriever:
        """A retriever with the embedding model of the local cache, or by keywords alone when it is missing.

        Args:
            catalogue: what is described.
            examples: documents of kind `example`.
            cache: root of the cache, which holds the index between runs; None keeps the index in memory.
        """
        from retrieval.models import ModelFileError, embedding_model_dir

        try:
            embedder: Embedder | None = LocalEmbedder(embedding_model_dir())
        except ModelFileError:
            embedder = None
        return cls(catalogue, embedder, examples=examples, directory=cache / "index" if cache else None)

    def retrieve(
        self, question: str, k: int = 8, role: str | None = None, *, exclude_authors: Collection[str] = ()
    ) -> list[Document]:
        """The documents that belong to a question, best first: `k` of the catalogue's, then up to `k` examples.

        Args:
            question: plain English.
            k: how many of each.
            role: only what this role may see; None sees all.
            exclude_authors: examples of these authors are left out, as an evaluation on them must.
        """
        allowed, vector = self._views(role), self._vector(question)
        meaning = [d for d, _ in self._meaning.search(question, vector) if set(d.views) <= allowed]
        forced = [d for d in meaning if d.kind == "glossary" and _named_in(question, d)]
        examples = self._examples.search(question, vector, exclude_authors)
        return [
            *[*forced, *(d for d in meaning if d not in forced)][:k],
            *[d for d, _ in examples if set(d.views) <= allowed][:k],
        ]

    def rank(self, question: str, role: str | None = None, *, exclude_authors: Collection[str] = ()) -> Ranking:
        """Views and, of each view, columns in the order of the evidence that a question needs them."""
        allowed, vector = self._views(role), self._vector(question)
        views: dict[str, float] = dict.fromkeys(allowed, 0.0)
        columns = {view: dict.fromkeys(self.catalogue.views[view].columns, 0.0) for view in allowed}
        found = self._meaning.search(question, vector, depth=4 * _CANDIDATES)
        found += self._examples.search(question, vector, exclude_authors)[:_NEIGHBOURS]
        for place, (document, score) in enumerate(found):
            weighted = score * _WEIGHT[document.kind]
            if document.kind == "example" or place < _CANDIDATES:
                for view in allowed.intersection(document.views):
                    views[view] += weighted
            for view, column in document.places():
                if column in columns.get(view, ()):
                    columns[view][column] += weighted
        return Ranking(views=_ordered(views), columns={view: _ordered(of) for view, of in columns.items()})

    def _views(self, role: str | None) -> frozenset[str]:
        return self.catalogue.roles[role].views if role is not None else frozenset(self.catalogue.views)

    def _vector(self, question: str) -> Vectors | None:
        return self._embedder.encode([question])[0] if self._embedder is not None else None


def _ordered(scores: dict[str, float]) -> tuple[str, ...]:
    return tuple(sorted(scores, key=lambda name: (-scores[name], name)))


def _named_in(question: str, term: Document) -> bool:
    """Whether one of the names of a glossary term stands in the question word for word."""
    asked = f" {' '.join(words(question))} "
    forms = (" ".join(words(name)) for name in term.id.removeprefix("glossary:").split(","))
    return any(form and f" {form} " in asked for form in forms)


class _Part:
    """Documents of one sort with both of their indexes."""

    def __init__(self, documents: Sequence[Document], embedder: Embedder | None, directory: Path | None) -> None:
        self.documents = documents
        self._keywords = KeywordIndex([document.text for document in documents])
        self._vectors = VectorStore(documents, embedder, directory) if embedder is not None and documents else None

    def search(
        self,
        question: str,
        vector: Vectors | None,
        exclude_authors: Collection[str] = (),
        depth: int = _CANDIDATES,
    ) -> list[tuple[Document, float]]:
        """Documents with their fused score, best first."""
        # Leaving an author out must not shorten the lists, so more candidates are drawn then.
        drawn = depth if not exclude_authors else 4 * depth
        lists = [self._keywords.search(question, drawn)]
        if self._vectors is not None and vector is not None:
            lists.append(self._vectors.search(vector, drawn))
        scores: dict[int, float] = defaultdict(float)
        for found in lists:
            kept = [n for n, _ in found if self.documents[n].author not in exclude_authors]
            for rank, n in enumerate(kept[:depth]):
                scores[n] += 1 / (_RANK_OFFSET + rank)
        ranked = sorted(scores.items(), key=lambda pair: (-pair[1], self.documents[pair[0]].id))
        return [(self.documents[n], score) for n, score in ranked]
