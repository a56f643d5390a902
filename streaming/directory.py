"""A catalogue directory as a world: `catalogue.yaml` and one Parquet, CSV or Delta table per view, no Kafka needed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from streaming.catalogue import Catalogue, CatalogueError
from streaming.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType


class DirectorySource:
    """Serves the views of a directory. A view without a file is empty; "now" stands in `world.json` or is given."""

    def __init__(self, directory: str | Path, spark: SparkSession, as_of: datetime | None = None) -> None:
        self.directory = Path(directory)
        self.catalogue = Catalogue.load(self.directory)
        self.spark = spark
        self._as_of = as_of or self._declared_as_of()
        self._file_schemas: dict[str, StructType] = {}

    def snapshot(self, as_of: datetime | None = None) -> Snapshot:
        """The whole directory; `as_of` only sets the clock, since files keep no history."""
        frames: dict[str, Callable[[SparkSession], DataFrame]] = {
            view: partial(self._frame, view) for view in self.catalogue.views
        }
        return Snapshot(catalogue=self.catalogue, as_of=as_of or self._as_of, frames=frames)

    def close(self) -> None:
        """Nothing to stop."""

    def _declared_as_of(self) -> datetime:
        world = self.directory / "world.json"
        if not world.exists():
            raise CatalogueError(f"{world} is missing: it gives the time to ask at, or pass --as-of")
        return datetime.fromisoformat(json.loads(world.read_text(encoding="utf-8"))["as_of"]).astimezone(UTC)

    def _frame(self, view: str, session: SparkSession) -> DataFrame:
        ddl = self.catalogue.spark_ddl(view)
        stem = self.directory / view
        if stem.with_suffix(".parquet").exists():
            path = str(stem.with_suffix(".parquet"))
            # Reading the schema from the file is a Spark job of its own: once a file, not once a question.
            known = self._file_schemas.get(view)
            frame = session.read.schema(known).parquet(path) if known else session.read.parquet(path)
            schema = known or self._file_schemas.setdefault(view, frame.schema)
            declared = self.catalogue.views[view].columns.values()
            if [(f.name, f.dataType.simpleString().upper()) for f in schema] == [(c.name, c.type) for c in declared]:
                return frame
            # The file's own types may be wider or naive; the catalogue's types are the contract.
            return frame.selectExpr(*(f"CAST(`{c.name}` AS {c.type}) AS `{c.name}`" for c in declared))
        if stem.with_suffix(".csv").exists():
            return session.read.schema(ddl).csv(str(stem.with_suffix(".csv")), header=True, mode="FAILFAST")
        if (stem / "_delta_log").is_dir():
            return session.read.format("delta").load(str(stem)).selectExpr(*self.catalogue.views[view].columns)
        return session.createDataFrame([], ddl)
