"""The Kafka and Spark jars: resolved once into the cache, every one checked against `jars.lock`.

Two folders that never share a class path: `broker` (Apache Kafka's server) and `spark` (Delta and the Kafka source).
The Ivy resolver that pyspark ships does the download, so neither Maven nor sbt is needed. The digest in the lock is
what is trusted, not the place a jar came from; a mirror is named by an Ivy settings file in `NLQ_IVY_SETTINGS`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from xml.sax.saxutils import quoteattr

from streaming.cache import default_cache, only_one_process
from streaming.java import find_java

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LOCK = Path(__file__).with_name("jars.lock")
IVY_SETTINGS = Path(__file__).with_name("ivysettings.xml")
Folder = Literal["broker", "spark"]


class JarError(RuntimeError):
    """A jar could not be had or is not the one that the lock names; the message says which and what to do."""


@dataclass(frozen=True, kw_only=True)
class Jar:
    """One line of the lock."""

    folder: str
    organisation: str
    module: str
    revision: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Name of the file in its folder."""
        return f"{self.module}-{self.revision}.jar"


def locked_jars(lock: Path = LOCK) -> tuple[Jar, ...]:
    """Read the lock: one `folder organisation:module:revision sha256` a line, `#` starts a comment.

    Raises:
        JarError: a line breaks the format.
    """
    jars = []
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            folder, coordinates, sha256 = words
            organisation, module, revision = coordinates.split(":")
        except ValueError:
            raise JarError(f"{lock}:{number}: expected 'folder organisation:module:revision sha256'") from None
        jars.append(Jar(folder=folder, organisation=organisation, module=module, revision=revision, sha256=sha256))
    return tuple(jars)


def jar_paths(folder: Folder, cache: Path | None = None) -> tuple[Path, ...]:
    """Checked files of one folder, downloaded first where they are missing.

    Raises:
        JarError: a jar cannot be downloaded or does not match the lock.
        JavaMissing: a download is needed and there is no Java.
    """
    ensure_jars(cache)
    root = jar_root(cache)
    return tuple(root / folder / jar.file_name for jar in locked_jars() if jar.folder == folder)


def jar_root(cache: Path | None = None) -> Path:
    """The folder that holds `broker/` and `spark/`."""
    return (cache or default_cache()) / "jars"


def ensure_jars(cache: Path | None = None, progress: Callable[[int, int, str], None] | None = None) -> int:
    """Bring every jar of the lock into the cache; a damaged file is replaced.

    Args:
        cache: root of all downloads; None is `default_cache()`.
        progress: called with (steps done, steps in all, what was done last).

    Returns:
        How many jars were downloaded; 0 when all were there.

    Raises:
        JarError: a jar cannot be downloaded or does not match the lock.
        JavaMissing: a download is needed and there is no Java.
    """
    root = jar_root(cache)
    jars = locked_jars()
    if not (wanted := missing_jars(root, jars)):
        return 0
    with only_one_process(root):
        if not (wanted := missing_jars(root, jars)):
            return 0
        _download(root, wanted, progress or (lambda done, total, what: None))
    return len(wanted)


def missing_jars(root: Path, jars: Iterable[Jar]) -> tuple[Jar, ...]:
    """The jars that are absent or whose digest differs. About 0.1 s for the whole lock."""
    return tuple(jar for jar in jars if _sha256(root / jar.folder / jar.file_name) != jar.sha256)


def _download(root: Path, wanted: tuple[Jar, ...], progress: Callable[[int, int, str], None]) -> None:
    # Ivy's own cache is kept until all is well: it makes a broken-off download go on where it stopped.
    ivy_cache, fetched = root / ".ivy", root / ".fetched"
    shutil.rmtree(fetched, ignore_errors=True)
    fetched.mkdir(parents=True)
    module = fetched / "ivy.xml"
    module.write_text(_ivy_module(wanted), encoding="utf-8")
    output = _run_ivy(module, ivy_cache, fetched, len(wanted), progress)
    for jar in wanted:
        file = fetched / jar.folder / jar.file_name
        digest = _sha256(file)
        if digest is None:
            raise JarError(
                f"{jar.organisation}:{jar.module}:{jar.revision} could not be downloaded. Check the network, or name "
                f"a mirror's Ivy settings file in NLQ_IVY_SETTINGS, and start again. Ivy said:\n{output[-1500:]}"
            )
        if digest != jar.sha256:
            shutil.rmtree(ivy_cache, ignore_errors=True)
            raise JarError(
                f"{jar.file_name} has SHA-256 {digest}, but {LOCK.name} names {jar.sha256}. The download was thrown "
                "away; start again, and if it happens twice, do not trust the server it came from."
            )
        target = root / jar.folder / jar.file_name
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
    shutil.rmtree(fetched, ignore_errors=True)
    shutil.rmtree(ivy_cache, ignore_errors=True)


def _ivy_module(wanted: Iterable[Jar]) -> str:
    # The jar alone: the lock is already the whole closure, so nothing else may come along. `master` is the jar where a
    # mirror's settings read POMs, `default` where none are read.
    lines = [
        f"<dependency org={quoteattr(jar.organisation)} name={quoteattr(jar.module)} rev={quoteattr(jar.revision)} "
        f'conf="{jar.folder}->master(default)" transitive="false"/>'
        for jar in wanted
    ]
    folders = sorted({jar.folder for jar in wanted})
    return (
        '<ivy-module version="2.0"><info organisation="nlq" module="jars"/><configurations>'
        + "".join(f'<conf name="{folder}"/>' for folder in folders)
        + "</configurations><dependencies>"
        + "".join(lines)
        + "</dependencies></ivy-module>"
    )


def _run_ivy(module: Path, ivy_cache: Path, target: Path, jars: int, progress: Callable[[int, int, str], None]) -> str:
    settings = os.environ.get("NLQ_IVY_SETTINGS") or str(IVY_SETTINGS)
    pattern = f"{target}/[conf]/[artifact]-[revision].[ext]"
    command = [str(find_java().command), "-jar", str(_ivy_jar()), "-cache", str(ivy_cache), "-ivy", str(module)]
    command += ["-retrieve", pattern, "-settings", settings]
    lines: list[str] = []
    done = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ivy:
        for line in ivy.stdout or ():
            lines.append(line)
            words = line.split()
            # Each jar is seen twice: its description is "found", its file is "[SUCCESSFUL ]".
            if words[:1] in (["found"], ["[SUCCESSFUL"]):
                done += 1
                name = (words[1] if words[0] == "found" else words[2]).partition("#")[2].partition(";")[0]
                progress(min(done, 2 * jars), 2 * jars, name)
    return "".join(lines)


def _ivy_jar() -> Path:
    spec = importlib.util.find_spec("pyspark")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for jar in Path(place, "jars").glob("ivy-*.jar"):
            return jar
    raise JarError("pyspark is not installed with its jars: run 'make install'")


def _sha256(file: Path) -> str | None:
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.stdout.write(f"{ensure_jars()} jars downloaded into {jar_root()}\n")
