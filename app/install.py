"""What `make` runs around the installation: `check` looks at the machine, `fetch` brings jars and models.

`check` runs before anything is installed, so this file and what it imports at the top need the standard library only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streaming.cache import default_cache
from streaming.java import JavaMissing, find_java

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GIB = 1024**3
LIBRARIES_BYTES = 8 * GIB
"""Of `.venv`: torch for Linux brings its CUDA libraries along."""
DOWNLOADS_BYTES = int(1.5 * GIB)
"""Of jars and models in the cache."""
LEAST_MEMORY_BYTES = int(6.5 * GIB)
"""Spark's driver 2 GiB and its surroundings, model 1.5, broker 0.5, service and page 1.5."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is missing. What only warns does not stop the installation."""

    message: str
    fatal: bool = True


def find_faults(
    environment: Path,
    cache: Path,
    *,
    free_bytes: Callable[[Path], int] | None = None,
    memory_bytes: Callable[[], int | None] | None = None,
) -> list[Fault]:
    """Look at Java, disk and memory; the Makefile has looked at Python.

    Args:
        environment: where the libraries are, or will be installed.
        cache: where jars and models are, or will be kept.
        free_bytes: free space at a folder.
        memory_bytes: memory of the machine; None when it cannot be told.
    """
    faults = []
    try:
        find_java()
    except JavaMissing as error:
        faults.append(Fault(message=str(error)))
    faults += _disk_faults(environment, cache, free_bytes or _free_bytes)
    memory = (memory_bytes or _memory_bytes)()
    if memory is not None and memory < LEAST_MEMORY_BYTES:
        faults.append(
            Fault(
                message=(
                    f"This machine has {memory / GIB:.1f} GiB of memory and everything together needs about "
                    f"{LEAST_MEMORY_BYTES / GIB:.1f}. Close other programs, or do without the embedded language model "
                    "(NLQ_LLM=none) and give Spark less (NLQ_DRIVER_MEMORY=1g)."
                ),
                fatal=False,
            )
        )
    return faults


def _disk_faults(environment: Path, cache: Path, free_bytes: Callable[[Path], int]) -> list[Fault]:
    wanted = []
    if not (environment / ".installed").exists():
        wanted.append((environment, LIBRARIES_BYTES, "the libraries", "clone the project to a larger disk"))
    if not (cache / "models" / "language").exists():
        wanted.append((cache, DOWNLOADS_BYTES, "jars and models", "name another folder in NLQ_CACHE"))
    there = [(_existing(folder), size, what, fix) for folder, size, what, fix in wanted]
    faults = []
    for folder, size, what, fix in there:
        # Two that share a disk share its space.
        others = sum(o for f, o, *_ in there if f != folder and f.stat().st_dev == folder.stat().st_dev)
        free = free_bytes(folder)
        if free < size + others:
            faults.append(
                Fault(
                    message=(
                        f"{folder} has {free / GIB:.1f} GiB free, but {what} need {size / GIB:.1f}"
                        f"{f' and other downloads on the same disk {others / GIB:.1f}' if others else ''}. "
                        f"Make room, or {fix}."
                    )
                )
            )
    return faults


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def fetch(cache: Path, *, language_model: bool = True) -> None:
    """Bring jars and models into the cache, with a progress bar for each; what is there is only checked.

    Raises:
        JarError: a jar could not be had.
        ModelFileError: a model could not be had.
        JavaMissing: there is no Java to resolve the jars with.
    """
    from retrieval.models import ensure_model
    from streaming.jars import ensure_jars

    with _bar("Kafka and Spark jars", in_bytes=False) as report:
        ensure_jars(cache, report)
    with _bar("Embedding model") as report:
        ensure_model("embedding", cache, report)
    if language_model:
        with _bar("Language model") as report:
            ensure_model("language", cache, report)


@contextmanager
def _bar(name: str, *, in_bytes: bool = True) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar that appears with the first report, so that a start with nothing to fetch shows nothing."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    detail = DownloadColumn() if in_bytes else TextColumn("{task.fields[what]}")
    bar = Progress(TextColumn("{task.description:<20}"), BarColumn(), TimeElapsedColumn(), detail)
    task: TaskID | None = None

    def report(done: int, total: int, what: str) -> None:
        nonlocal task
        if task is None:
            bar.start()
            task = bar.add_task(name, total=total, what=what)
        bar.update(task, completed=done, total=total, what=what)

    try:
        yield report
    finally:
        if task is not None:
            bar.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two; faults go to the error stream, each with its fix."""
    parser = argparse.ArgumentParser(prog="python -m app.install", description=__doc__)
    parser.add_argument("step", choices=("check", "fetch"))
    step = parser.parse_args(arguments).step
    cache = default_cache()
    if step == "check":
        faults = find_faults(Path(".venv"), cache)
        for fault in faults:
            _say(f"{'Cannot install' if fault.fatal else 'Warning'}: {fault.message}")
        return int(any(fault.fatal for fault in faults))
    try:
        fetch(cache, language_model=_language_model_wanted())
    except (RuntimeError, OSError) as error:
        _say(f"Cannot install: {error}")
        return 1
    except KeyboardInterrupt:
        _say("Stopped. What was fetched is kept; the next start goes on from here.")
        return 130
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _language_model_wanted() -> bool:
    """The embedded model is not fetched where another endpoint takes its place, or none is wanted."""
    if os.environ.get("NLQ_LLM_URL") or os.environ.get("NLQ_LLM") == "none":
        return False
    return os.environ.get("NLQ_TEST_LANGUAGE_MODEL") != "off"


if __name__ == "__main__":
    sys.exit(main())
