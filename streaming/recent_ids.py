"""The ids that were accepted last, in small files beside the history, so that a restart knows them at once.

Each step of history writes the ids of its messages before its commit, in one file named after the step. A file counts
only up to the step that the newest commit declares, so what a crash left behind is never read: the messages of a step
without a commit come again and must not meet their own ids. From time to time the files are joined into one that keeps
the last `horizon` ids. A file says which steps it covers, up to which generation, how many ids it holds and what their
digest is; anything that does not fit together makes `read` give None, and the caller asks the history itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger(__name__)

JOIN_AT: Final = 40
"""Files that are joined into one."""
_LARGEST_HEAD: Final = 256


class _Part(NamedTuple):
    """A file of ids, by its name: `first-last.ids`, numbers of steps."""

    first: int
    last: int
    path: Path


class RecentIds:
    """The files of one history. Written by the thread that writes the history."""

    def __init__(self, folder: Path, horizon: int) -> None:
        self._folder, self._horizon = folder, horizon

    def write(self, step: int, generation: int, ids: np.ndarray, *, first: int | None = None) -> Path:
        """Keep the ids of a step that is about to be committed; what an earlier attempt left is overwritten.

        Args:
            step: number of the step.
            generation: last generation that the step takes in.
            ids: in the order of their arrival, 64-bit hashes.
            first: earliest step whose ids are among them; None is the step itself, 0 stands for all before.
        """
        begin = step if first is None else first
        body = np.ascontiguousarray(ids, dtype="<i8").tobytes()
        head = {"first": begin, "last": step, "generation": generation, "count": len(ids),
                "sha256": hashlib.sha256(body).hexdigest()}  # fmt: skip
        self._folder.mkdir(parents=True, exist_ok=True)
        whole = self._folder / f"{begin:010d}-{step:010d}.ids"
        part = whole.with_suffix(".part")
        with part.open("wb") as file:
            file.write(json.dumps(head).encode() + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        return part.replace(whole)

    def read(self, step: int, generation: int) -> np.ndarray | None:
        """The last ids up to a committed step, oldest first; None when the files do not tell."""
        chain = self._chain(step)
        if chain is None:
            return None
        found: list[np.ndarray] = []
        for part in chain:
            ids = _load(part, generation if part.last == step else None)
            if ids is None:
                log.warning("%s is damaged", part.path.name)
                return None
            found.append(ids)
        return np.concatenate(found[::-1])

    def tidy(self, step: int, generation: int) -> None:
        """After the commit of a step: join many files into one, and drop those that are no longer needed."""
        parts = self._parts()
        if len(parts) < JOIN_AT:
            return
        ids = self.read(step, generation)
        if ids is not None:
            joined = self.write(step, generation, ids[-self._horizon :], first=0)
            for part in parts:
                if part.path != joined:
                    part.path.unlink(missing_ok=True)

    def _chain(self, step: int) -> Iterable[_Part] | None:
        """Files, newest first, that together hold the last ids without a gap; None when there are none such."""
        longest: dict[int, _Part] = {}
        for part in self._parts():
            if part.last not in longest or part.first < longest[part.last].first:
                longest[part.last] = part
        chain: list[_Part] = []
        known, wanted = 0, step
        while wanted > 0 and known < self._horizon:
            newest = longest.get(wanted)
            if newest is None:
                return None
            chain.append(newest)
            known += max(0, newest.path.stat().st_size - _LARGEST_HEAD) // 8
            wanted = newest.first - 1
        return chain

    def _parts(self) -> list[_Part]:
        found = []
        for path in self._folder.glob("*-*.ids"):
            first, _, last = path.stem.partition("-")
            if first.isdigit() and last.isdigit():
                found.append(_Part(int(first), int(last), path))
        return found


def _load(part: _Part, generation: int | None) -> np.ndarray | None:
    """The ids of a file; None when it is not what its name and its head say."""
    try:
        head_line, _, body = part.path.read_bytes().partition(b"\n")
        head = json.loads(head_line)
        fits = (
            (head["first"], head["last"]) == (part.first, part.last)
            and head["count"] * 8 == len(body)
            and head["sha256"] == hashlib.sha256(body).hexdigest()
            and generation in (None, head["generation"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return np.frombuffer(body, dtype="<i8") if fits else None
