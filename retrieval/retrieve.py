"""Which views, columns, terms and approved questions belong to a question: meaning and keywords, fused by rank."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from retrieval.documents import Document, catalogue_documents
from retrieval.embed import Embedder, LocalEmbedder
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
_EXAMPLE_NEIGHBOURS = 12


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
        self.documents = [
            *catalogue_documents(catalogue),
            *sorted(examples, key=lambda e: e.id),
        ]
        self._embedder = embedder
        self._parts = [
            _Part(
                [d for d in self.documents if (d.kind == "example") == wanted],
                embedder,
                directory,
            )
            for wanted in (False, True)
        ]

    @classmethod
    def open(
        cls,
        catalogue: Catalogue,
        *,
        examples: Sequence[Document] = (),
        directory: Path | None = None,
    ) -> Retriever:
        """A retriever with the embedding model of the local cache, or by keywords alone when it is missing."""
        from retrieval.models import ModelFileError, embedding_model_dir

        try:
            embedder: Embedder | None = LocalEmbedder(embedding_model_dir())
        except ModelFileError:
            embedder = None
        return cls(catalogue, embedder, examples=examples, directory=directory)

    def retrieve(
        self,
        question: str,
        k: int = 8,
        role: str | None = None,
        *,
        exclude_authors: Collection[str] = (),
    ) -> list[Document]:
        """The documents that belong to a question, best first: `k` of the catalogue's and up to `k` examples.

        Args:
            question: plain English.
            k: how many of each.
            role: only what this role may see; None sees all.
            exclude_authors: examples of these authors are left out, as an evaluation on them must.
        """
        allowed = self.catalogue.roles[role].views if role is not None else frozenset(self.catalogue.views)
        vector = self._embedder.encode([question])[0] if self._embedder is not None else None
        chosen: list[Document] = []
        for part in self._parts:
            ranked = part.search(question, vector, exclude_authors)
            seen = [document for document, _ in ranked if set(document.views) <= allowed]
            chosen += self._forced(question, seen) if part is self._parts[0] else []
            chosen += (
                [d for d in seen if d not in chosen][: max(0, k - len(chosen))] if part is self._parts[0] else seen[:k]
            )
        return chosen

    def rank_views(
        self,
        question: str,
        role: str | None = None,
        *,
        exclude_authors: Collection[str] = (),
    ) -> list[tuple[str, float]]:
        """Every view that the role may see with its evidence, best first."""
        allowed = self.catalogue.roles[role].views if role is not None else frozenset(self.catalogue.views)
        vector = self._embedder.encode([question])[0] if self._embedder is not None else None
        scores: dict[str, float] = defaultdict(float)
        for part, depth in zip(self._parts, (_CANDIDATES, _EXAMPLE_NEIGHBOURS), strict=True):
            for document, score in part.search(question, vector, exclude_authors)[:depth]:
                for view in document.views:
                    scores[view] += score * _WEIGHT[document.kind]
        return sorted(
            ((v, scores.get(v, 0.0)) for v in allowed),
            key=lambda pair: (-pair[1], pair[0]),
        )

    def _forced(self, question: str, seen: Sequence[Document]) -> list[Document]:
        """Glossary terms that stand in the question word for word come first."""
        asked = f" {' '.join(words(question))} "
        terms = [d for d in seen if d.kind == "glossary"]
        return [
            d
            for d in terms
            if any(
                (form := " ".join(words(t))) and f" {form} " in asked for t in d.id.removeprefix("glossary:").split(",")
            )
        ]


_WEIGHT = {
    "view": 1.0,
    "column": 0.5,
    "codes": 0.5,
    "glossary": 0.7,
    "join": 0.2,
    "example": 3.0,
}
"""How much a document of each kind says about which view is needed; examples know the most."""


class _Part:
    """Documents of one sort with both of their indexes."""

    def __init__(
        self,
        documents: Sequence[Document],
        embedder: Embedder | None,
        directory: Path | None,
    ) -> None:
        self.documents = documents
        self._keywords = KeywordIndex([document.text for document in documents])
        self._vectors = VectorStore(documents, embedder, directory) if embedder is not None and documents else None

    def search(self, question: str, vector: object, exclude_authors: Collection[str]) -> list[tuple[Document, float]]:
        # Leaving authors out must not shorten the list, so more candidates are drawn then.
        depth = _CANDIDATES if not exclude_authors else 8 * _CANDIDATES
        scores: dict[int, float] = defaultdict(float)
        lists = [self._keywords.search(question, depth)]
        if self._vectors is not None:
            lists.append(self._vectors.search(vector, depth))  # type: ignore[arg-type]
        for found in lists:
            kept = [n for n, _ in found if self.documents[n].author not in exclude_authors]
            for rank, n in enumerate(kept):
                scores[n] += 1 / (_RANK_OFFSET + rank)
        ranked = sorted(scores.items(), key=lambda pair: (-pair[1], self.documents[pair[0]].id))
        return [(self.documents[n], score) for n, score in ranked]
