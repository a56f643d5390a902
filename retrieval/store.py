"""The vector store: an embedded Chroma collection per set of documents, named by their hash, without telemetry."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import chromadb
from chromadb.config import Settings

from retrieval.documents import Document, digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from retrieval.embed import Embedder, Vectors

_BATCH = 500


class VectorStore:
    """Nearest documents by meaning. Documents that change make a new collection; nothing is updated in place."""

    def __init__(
        self,
        documents: Sequence[Document],
        embedder: Embedder,
        directory: Path | None = None,
    ) -> None:
        """Open the collection of these documents, filling it when it is not there yet.

        Args:
            documents: what is searched; results are numbers into this list.
            embedder: makes the vectors.
            directory: where collections are kept between runs; None keeps this one in memory.
        """
        self._embedder = embedder
        self._documents = documents
        settings = Settings(anonymized_telemetry=False, allow_reset=False)
        name = f"d{digest(documents)[:24]}-{embedder.name.lower()[:24]}".rstrip("-._")
        self._collection = self._open(name, settings, directory)
        if self._collection.count() != len(documents):
            self._fill()

    def search(self, vector: Vectors, k: int) -> list[tuple[int, float]]:
        """Numbers and cosine similarities of the nearest `k` documents, nearest first."""
        if not self._documents:
            return []
        found: Any = self._collection.query(
            query_embeddings=[vector.tolist()],
            n_results=min(k, len(self._documents)),
            include=["distances"],
        )
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return sorted(
            ((int(n), 1.0 - distance) for n, distance in pairs),
            key=lambda pair: (-pair[1], pair[0]),
        )

    def _open(self, name: str, settings: Settings, directory: Path | None) -> Any:
        options: dict[str, Any] = {
            "metadata": {"hnsw:space": "cosine"},
            "embedding_function": None,
        }
        if directory is None:
            return chromadb.EphemeralClient(settings).get_or_create_collection(name, **options)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            return chromadb.PersistentClient(str(directory), settings).get_or_create_collection(name, **options)
        except Exception:  # noqa: BLE001 - Chroma has no common error class; the index is disposable and made anew
            shutil.rmtree(directory, ignore_errors=True)
            return chromadb.EphemeralClient(settings).get_or_create_collection(name, **options)

    def _fill(self) -> None:
        for start in range(0, len(self._documents), _BATCH):
            part = self._documents[start : start + _BATCH]
            vectors = self._embedder.encode([document.text for document in part])
            self._collection.upsert(
                ids=[str(start + n) for n in range(len(part))],
                embeddings=[vector.tolist() for vector in vectors],
                metadatas=[{"id": document.id, "kind": document.kind} for document in part],
            )
