"""Delta tables read through their log, without Spark: for a start, where the first Spark query on a table takes seconds.

Only what our own tables need: commits as JSON files from the first one on, plain Parquet files, no partitions. Whatever
else is found raises `Unusual`, and the caller lets Delta itself read the table.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Unusual(RuntimeError):
    """The table uses something that is not read here, or its log is damaged."""


def exists(table: Path) -> bool:
    """Whether there is a Delta table in this folder."""
    return any((table / "_delta_log").glob("*.json"))


def newest_version(table: Path) -> int:
    """Version of the newest commit; -1 when there is none."""
    return max(_commits(table), default=-1)


def commit_infos(table: Path, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """(version, what the commit says of itself) of the newest commits, newest first.

    Raises:
        Unusual: a commit cannot be read.
    """
    files = _commits(table)
    for version in sorted(files, reverse=True)[:count]:
        actions = _actions(files[version])
        yield version, next((action["commitInfo"] for action in actions if "commitInfo" in action), {})


def rows(table: Path, version: int | None = None) -> pa.Table:
    """All rows as of a version; None is the newest.

    Raises:
        Unusual: only Delta itself can read this table.
    """
    try:
        parts = [pq.read_table(path, coerce_int96_timestamp_unit="us") for path in _files(table, version)]
    except (OSError, pa.ArrowInvalid) as error:
        raise Unusual(f"{table}: {error}") from error
    return pa.concat_tables(parts, promote_options="default") if parts else pa.table({})


def _files(table: Path, version: int | None) -> list[Path]:
    """The Parquet files of a version."""
    commits = _commits(table)
    last = max(commits, default=-1) if version is None else version
    live: dict[str, None] = {}
    for number in range(last + 1):
        if number not in commits:
            raise Unusual(f"{table}: commit {number} is in a checkpoint only")
        for action in _actions(commits[number]):
            if (protocol := action.get("protocol")) and protocol["minReaderVersion"] > 1:
                raise Unusual(f"{table}: needs a reader of version {protocol['minReaderVersion']}")
            if (add := action.get("add")) is not None:
                if add.get("deletionVector") or add["partitionValues"]:
                    raise Unusual(f"{table}: has deletion vectors or partitions")
                live[add["path"]] = None
            elif (gone := action.get("remove")) is not None:
                live.pop(gone["path"], None)
    return [table / unquote(path) for path in live]


def _commits(table: Path) -> dict[int, Path]:
    """Version → commit file. Delta puts a commit there whole, by renaming."""
    return {int(path.stem): path for path in (table / "_delta_log").glob("*.json") if path.stem.isdigit()}


def _actions(commit: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in commit.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise Unusual(f"{commit} cannot be read: {error}") from error
