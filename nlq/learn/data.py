"""Training examples from case files: question wordings with the sketch of their gold SQL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlq.learn.labels import LabelError, Sketch, sketch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from streaming.catalogue import Catalogue

LOCKED_AUTHORS = frozenset({"dsk", "law"})
"""Test authors: never opened here, neither to train nor to measure."""

FOLDS: tuple[frozenset[str], ...] = (
    frozenset({"aca", "cry", "int", "cco", "dat", "mab"}),
    frozenset({"aud", "fic", "vox", "inv", "qnt", "ret", "dev"}),
)
"""Authors left out together; each author in one fold."""


class CaseFileError(ValueError):
    """A case file cannot be used; the message names the file and line."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One case with all its wordings."""

    id: str
    author: str
    wordings: tuple[str, ...]
    history: tuple[str, ...]
    before: Sketch | None
    """Sketch of the last SQL of the conversation."""
    role: str
    outcome: str
    sketch: Sketch | None
    """None where there is nothing to answer."""
    accepted: tuple[Sketch, ...]
    """Sketches of all accepted readings, the gold first."""
    gold: str = ""
    """The gold SQL with its placeholders; empty where there is nothing to answer."""


def case_files(directory: Path) -> list[Path]:
    """The case files of a directory tree, without those of the locked authors."""
    return sorted(p for p in directory.rglob("*.jsonl") if p.stem not in LOCKED_AUTHORS)


def read_examples(files: Iterable[Path], catalogue: Catalogue) -> list[Example]:
    """All cases of the files. A gold that cannot be read as a sketch is left out.

    Raises:
        CaseFileError: a line is no case, or a file belongs to a locked author.
    """
    found: list[Example] = []
    for path in files:
        if path.stem in LOCKED_AUTHORS:
            raise CaseFileError(f"{path}: the author {path.stem!r} is locked for testing")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                case = json.loads(line)
                example = _example(case, path, catalogue)
            except (ValueError, KeyError) as error:
                raise CaseFileError(f"{path}:{number}: {error}") from error
            if example is not None and example.author not in LOCKED_AUTHORS:
                found.append(example)
    return found


def _example(case: dict[str, Any], path: Path, catalogue: Catalogue) -> Example | None:
    schema = catalogue.sqlglot_schema
    accepted = _sketches(case.get("sql") or (), schema)
    outcome = case["expect"]
    if outcome == "answer" and not accepted:
        return None
    history = case.get("history") or []
    before = _sketches([turn["sql"] for turn in history[-1:] if turn.get("sql")], schema)
    return Example(
        id=case["id"],
        author=case.get("author") or path.stem.split("_")[0],
        wordings=(case["question"], *case.get("paraphrases", ())),
        history=tuple(turn["question"] for turn in history),
        before=before[0] if before else None,
        role=case.get("role", "officer"),
        outcome=outcome,
        sketch=accepted[0] if outcome == "answer" else None,
        accepted=tuple(accepted),
        gold=(case.get("sql") or [""])[0],
    )


def _sketches(statements: Sequence[str], schema: Any) -> list[Sketch]:
    found = []
    for sql in statements:
        try:
            found.append(sketch(sql, schema))
        except LabelError:
            continue
    return found


def name_groups(worlds: Path) -> list[list[str]]:
    """Interchangeable names for augmentation: symbols and first words of issuers, from `instruments` tables below.

    Empty where there are none; training then goes without swapping names.
    """
    from pyarrow import parquet

    symbols: dict[str, set[str]] = {}
    issuers: set[str] = set()
    for path in sorted(worlds.rglob("instruments.parquet")):
        table = parquet.read_table(path, columns=["symbol", "issuer_name", "asset_class"]).to_pylist()
        for row in table:
            symbols.setdefault(row["asset_class"], set()).add(row["symbol"])
            if row["asset_class"] == "EQUITY":
                issuers.add(str(row["issuer_name"]).removeprefix("The ").split()[0].strip(","))
    groups = [sorted(s, key=len, reverse=True) for s in symbols.values() if len(s) > 1]
    return [g for g in (*groups, sorted(issuers, key=len, reverse=True)) if len(g) > 1]
