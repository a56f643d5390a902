"""Reference views: fed through the `reference` topic, kept in Delta, read as small local relations.

Rows are few and change seldom, so the driver holds them and every change makes a new immutable `ReferenceRows`.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from streaming import delta_files
from streaming.catalogue import Catalogue, View
from streaming.segments import plan_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

ARROW: Final = {
    "STRING": pa.string(), "DOUBLE": pa.float64(), "INT": pa.int32(), "BIGINT": pa.int64(), "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us", tz="UTC"), "ARRAY<STRING>": pa.list_(pa.string()),
    "BINARY": pa.binary(),
}  # fmt: skip
_STREAMED: Final = ("personal_trades",)
"""Facts that come through the reference topic all the same, because they are loaded and not streamed."""


class ReferenceFault(ValueError):
    """A reference message cannot be used. `error_class` and `field` are those of its dead letter."""

    def __init__(self, error_class: str, column: str | None, message: str) -> None:
        super().__init__(message)
        self.error_class, self.field = error_class, column


def reference_views(catalogue: Catalogue) -> dict[str, View]:
    """The views that are fed through the reference topic."""
    return {n: v for n, v in catalogue.views.items() if v.kind == "reference" or n in _STREAMED}


def arrow_table(view: View, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of a view as an Arrow table with the catalogue's columns, order and types."""
    schema = pa.schema([(c.name, ARROW[c.type]) for c in view.columns.values()])
    return pa.Table.from_pylist(rows, schema=schema)


@dataclass(frozen=True, eq=False)
class ReferenceRows:
    """All reference rows at one moment."""

    views: Mapping[str, View]
    rows: Mapping[str, Mapping[tuple[str, ...], dict[str, Any]]]
    number: int = 0
    """Grows with every change."""
    _plans: dict[str, Any] = field(default_factory=dict)

    def plan(self, view: str, session: SparkSession) -> Any:
        """The rows of a view as a local relation that any session can open."""
        if view not in self._plans:
            table = arrow_table(self.views[view], list(self.rows.get(view, {}).values()))
            self._plans[view] = plan_of(session.createDataFrame(table))
        return self._plans[view]

    @property
    def time_zones(self) -> dict[str, str]:
        """Venue → IANA time zone, from the calendar."""
        calendar = self.rows.get("trading_calendar", {}).values()
        return {row["venue"]: row["timezone"] or "UTC" for row in calendar}

    def changed(self, view: str, key: tuple[str, ...], row: dict[str, Any] | None) -> ReferenceRows:
        """A copy with one row put or, with None, removed."""
        return self.with_changes([(view, key, row)])

    def with_changes(self, changes: list[tuple[str, tuple[str, ...], dict[str, Any] | None]]) -> ReferenceRows:
        """A copy with all changes made, in order."""
        rows = dict(self.rows)
        touched = {view for view, _, _ in changes}
        for view in touched:
            rows[view] = dict(rows.get(view, {}))
        for view, key, row in changes:
            if row is None:
                rows[view].pop(key, None)  # type: ignore[attr-defined]
            else:
                rows[view][key] = row  # type: ignore[index]
        plans = {view: plan for view, plan in self._plans.items() if view not in touched}
        return ReferenceRows(self.views, rows, self.number + 1, plans)


def decode_reference(
    views: Mapping[str, View], key: bytes | None, value: bytes | None
) -> tuple[str, tuple[str, ...], dict[str, Any] | None]:
    """(view, key, row) of one message of the reference topic; the row is None for a deletion.

    Raises:
        ReferenceFault: the message breaks the format; says what goes into its dead letter.
    """
    if value is None:
        view, *parts = (key or b"").decode("utf-8", "replace").split("|")
        if view not in views or len(parts) != len(views[view].key):
            raise ReferenceFault("UNKNOWN_REFERENCE", "view", "a deletion needs the key VIEW|KEY of a reference view")
        return view, tuple(parts), None
    try:
        document = json.loads(value.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReferenceFault("PARSE", None, "not valid JSON in UTF-8") from error
    if not isinstance(document, dict) or not isinstance(document.get("row"), dict):
        raise ReferenceFault("MISSING_FIELD", "row", "required field is missing")
    name = document.get("view")
    if not isinstance(name, str) or name not in views:
        raise ReferenceFault("UNKNOWN_REFERENCE", "view", "no such reference view")
    described = views[name]
    row = {column.name: _value(column.name, column.type, document["row"]) for column in described.columns.values()}
    for part in described.key:
        if row[part] is None:
            raise ReferenceFault("MISSING_FIELD", part, "required field is missing")
    return name, tuple(_text(row[part]) for part in described.key), row


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _value(name: str, kind: str, row: dict[str, Any]) -> Any:
    """A column's value; instants come as `…_us` integers, dates as text."""
    raw: Any = row.get(name)
    if kind == "TIMESTAMP":
        raw = row.get(f"{name.removesuffix('_ts')}_us", raw)
    if raw is None:
        return None
    wanted: dict[str, Any] = {
        "STRING": (str,), "DOUBLE": (int, float), "INT": (int,), "BIGINT": (int,), "BOOLEAN": (bool,),
        "DATE": (str,), "TIMESTAMP": (int,), "ARRAY<STRING>": (list,),
    }  # fmt: skip
    if not isinstance(raw, wanted[kind]) or (isinstance(raw, bool) and kind != "BOOLEAN"):
        raise ReferenceFault("SCHEMA", name, "a field has the wrong type")
    try:
        if kind == "TIMESTAMP":
            return datetime.fromtimestamp(raw // 1_000_000, UTC).replace(microsecond=raw % 1_000_000)
        if kind == "DATE":
            return date.fromisoformat(raw)
        if kind == "DOUBLE":
            return _finite(float(raw))
        if kind == "STRING":
            raw.encode()  # JSON can carry half a surrogate pair, which no column can
    except (ValueError, OverflowError, OSError) as error:
        raise ReferenceFault("OUT_OF_RANGE", name, "not a date, a time, a finite number or a text in UTF-8") from error
    if kind in _BITS and not -(2 ** (_BITS[kind] - 1)) <= raw < 2 ** (_BITS[kind] - 1):
        raise ReferenceFault("OUT_OF_RANGE", name, f"does not fit {_BITS[kind]} bits")
    if kind == "ARRAY<STRING>" and not all(isinstance(item, str) for item in raw):
        raise ReferenceFault("SCHEMA", name, "a field has the wrong type")
    return raw


_BITS = {"INT": 32, "BIGINT": 64}


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(number)
    return number


class ReferenceTable:
    """The Delta table that keeps the reference rows of all views, one commit a change set."""

    def __init__(self, spark: SparkSession, directory: Path) -> None:
        self.spark, self.path = spark, str(directory / "delta" / "reference")

    def exists(self) -> bool:
        """Whether anything was saved yet."""
        return delta_files.exists(Path(self.path))

    def save(self, rows: ReferenceRows) -> int:
        """Write all rows; returns the table's new version."""
        flat = [
            {"view": view, "key": list(key), "row": json.dumps(row, default=_encoded)}
            for view, by_key in rows.rows.items()
            for key, row in by_key.items()
        ]
        schema = pa.schema([("view", pa.string()), ("key", pa.list_(pa.string())), ("row", pa.string())])
        frame = self.spark.createDataFrame(pa.Table.from_pylist(flat, schema=schema)).coalesce(1)
        frame.write.format("delta").mode("overwrite").save(self.path)
        return self.version()

    def version(self) -> int:
        """Newest version."""
        return delta_files.newest_version(Path(self.path))

    def load(self, views: Mapping[str, View], version: int | None = None) -> ReferenceRows:
        """The rows as of a version; None is the newest."""
        rows: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {}
        for saved in self._saved(version):
            if (view := saved["view"]) in views:
                rows.setdefault(view, {})[tuple(saved["key"])] = _decoded(views[view], json.loads(saved["row"]))
        return ReferenceRows(views, rows, number=1)

    def _saved(self, version: int | None) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = delta_files.rows(Path(self.path), version).to_pylist()
        except delta_files.Unusual as error:
            log.warning("Delta itself has to read the reference rows: %s", error)
            reader = self.spark.read.format("delta")
            if version is not None:
                reader = reader.option("versionAsOf", version)
            found = reader.load(self.path).select("view", "key", "row").toArrow().to_pylist()
        return found


def _encoded(value: Any) -> str:
    return str(value.isoformat())


def _decoded(view: View, row: dict[str, Any]) -> dict[str, Any]:
    def restore(kind: str, value: Any) -> Any:
        if value is None:
            return None
        if kind == "TIMESTAMP":
            return datetime.fromisoformat(value)
        return date.fromisoformat(value) if kind == "DATE" else value

    return {c.name: restore(c.type, row.get(c.name)) for c in view.columns.values()}
