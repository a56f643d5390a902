"""Texts as vectors, by a sentence-transformers model in a local directory. Never goes to the network."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

Vectors = npt.NDArray[np.float32]


class EmbeddingError(RuntimeError):
    """The embedding model cannot be used; the message names the directory and the fix."""


class Embedder(Protocol):
    """Anything that turns texts into unit vectors."""

    name: str
    """Identifies the model: vectors of different names do not mix."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One row a text, each of length 1."""
        ...


class LocalEmbedder:
    """A sentence-transformers model read from a directory."""

    def __init__(self, directory: str | Path) -> None:
        """Load the model.

        Raises:
            EmbeddingError: the directory holds no usable model.
        """
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from sentence_transformers import SentenceTransformer

        self.name = _fingerprint(Path(directory))
        try:
            self._model: SentenceTransformer = SentenceTransformer(str(directory), device="cpu", local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise EmbeddingError(
                f"{directory}: no usable embedding model ({type(error).__name__}); fetch it again with `make models`"
            ) from error

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One row a text, each of length 1."""
        vectors = self._model.encode(
            list(texts),
            batch_size=64,
            normalize_embeddings=True,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(vectors, dtype=np.float32)


def _fingerprint(directory: Path) -> str:
    """Tells models apart by their files' names and sizes; the files themselves were checked when they were fetched."""
    files = sorted((p.name, p.stat().st_size) for p in directory.iterdir() if p.is_file())
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]
