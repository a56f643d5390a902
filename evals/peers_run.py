"""Runs the peers one after another on one model server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from evals.peers import Bare, LangChain, Vanna, chat_model
from evals.runner import Run
from nlq.model_server import ModelServer
from retrieval.embed import LocalEmbedder
from retrieval.models import embedding_model_dir, language_model_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from evals.cases import Case
    from evals.gold import World
    from evals.peers import Peer

CONTEXT = 8192
"""Tokens: LangChain's prompt alone holds every CREATE TABLE statement."""
TIMEOUT_S = 900.0


def run_peers(
    cases: Sequence[Case],
    worlds: Sequence[World],
    out: Path,
    *,
    only: str | None,
    threads: int,
    progress: Callable[[str, int], AbstractContextManager[Callable[[int], None]]],
) -> dict[str, Path]:
    """Ask every peer every case; what is on disk already is not asked again.

    Returns:
        Result file by peer.

    Raises:
        ValueError: the cases are of several authors, whose examples could not all be left out.
    """
    authors = {case.author for case in cases}
    if len(authors) != 1:
        raise ValueError(f"give the cases of one author, got {sorted(authors)}")
    author = authors.pop()
    by_directory = {world.directory: world for world in worlds}
    files = {}
    with ModelServer(language_model_path(), threads=threads, context=CONTEXT) as server:
        for key in ("bare", "langchain", "vanna"):
            if only not in (None, key):
                continue
            files[key] = out / f"{key}.jsonl"
            written: dict[str, str] = {}
            open_peer = partial(_peer, key, by_directory, author, written, server)
            run = Run(worlds, open_peer, files[key], as_of=None, reveal_locked=False)
            with progress(key, len(cases)) as advance:
                for done, _ in enumerate(run.results(cases), start=1):
                    advance(done)
    return files


def _peer(
    key: str, worlds: dict[Path, World], author: str, written: dict[str, str], server: ModelServer, directory: Path
) -> Peer:
    world = worlds[directory]
    if key == "vanna":
        return Vanna(world, author, written, server.url, server.token, LocalEmbedder(embedding_model_dir()))
    chat = chat_model(server.url, server.token, TIMEOUT_S)
    return (Bare if key == "bare" else LangChain)(world, author, written, chat)
