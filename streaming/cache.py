"""Where downloads are kept: one folder for jars and models, shared by every run on the machine."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def default_cache() -> Path:
    """The folder that `NLQ_CACHE` names, else `~/.cache/nlq`. It may not exist yet."""
    return Path(os.environ.get("NLQ_CACHE") or Path.home() / ".cache" / "nlq").expanduser()


@contextmanager
def only_one_process(folder: Path) -> Iterator[None]:
    """Hold `folder` alone, so that two starting programs do not download the same file over each other."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
