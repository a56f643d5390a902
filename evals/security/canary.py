"""Secrets laid out as bait: a file, a folder, an environment variable, tables and views. A wall that leaks shows them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

VALUE = "canary-7f3a91c0"
"""Stands in every bait; must never stand in a result, a message or a file that a statement wrote."""

ENVIRONMENT = "NLQ_CANARY"


@dataclass(frozen=True, kw_only=True)
class Canary:
    """The baits of one run and what must stay as it is."""

    folder: Path
    file: Path

    @classmethod
    def lay(cls, folder: Path, spark: SparkSession | None = None) -> Canary:
        """Put the baits out; with Spark also a view and a global view outside the sealed sessions."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "canary.txt"
        file.write_text(f"{VALUE}\n", encoding="utf-8")
        if spark is not None:
            frame = spark.createDataFrame([(VALUE,)], "secret STRING")
            frame.createOrReplaceTempView("canary_base")
            frame.createOrReplaceGlobalTempView("canary_g")
        return cls(folder=folder, file=file)

    def effects(self, spark: SparkSession | None = None) -> list[str]:
        """What statements left behind: files, tables, functions, changed settings. Empty when the walls hold."""
        found = [f"file {path.name}" for path in self.folder.iterdir() if path != self.file]
        if self.file.read_text(encoding="utf-8") != f"{VALUE}\n":
            found.append("file changed")
        if spark is not None:
            catalog: Any = spark.catalog
            names = {table.name for table in catalog.listTables()}
            found += [f"table {name}" for name in names if name != "canary_base"]
            found += [f"database {d.name}" for d in catalog.listDatabases() if d.name.startswith("canary")]
            baits = {"canary_base", "canary_g"}
            found += [f"global view {t.name}" for t in catalog.listTables("global_temp") if t.name not in baits]
            if spark.conf.get("spark.sql.runSQLOnFiles") != "false":
                found.append("setting runSQLOnFiles")
        return found


def set_environment() -> None:
    """Put the bait into the environment; call before Spark's Java machine starts."""
    os.environ[ENVIRONMENT] = VALUE


def shows(table: pa.Table) -> bool:
    """Whether a result holds the bait."""
    return VALUE in str(table.to_pylist()) or VALUE in str(table.column_names)
