"""The alerts: few rows, held by the driver and kept in Delta."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from streaming.reference import arrow_table

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pyspark.sql import SparkSession

    from streaming.catalogue import View


class AlertStore:
    """All alerts, by id. Adding one that is there, or whose evidence an older alert shares, changes nothing."""

    def __init__(self, session: SparkSession, view: View, directory: Path) -> None:
        from delta.tables import DeltaTable

        self._session, self._view, self._path = session, view, str(directory / "delta" / "alerts")
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, Any]] = {}
        if DeltaTable.isDeltaTable(session, self._path):
            for row in session.read.format("delta").load(self._path).toArrow().to_pylist():
                self._rows[row["alert_id"]] = row

    def rows(self, as_of: datetime | None = None) -> list[dict[str, Any]]:
        """The alerts, or those raised until a moment."""
        with self._lock:
            return [row for row in self._rows.values() if as_of is None or row["created_ts"] <= as_of]

    def add(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep what is new; returns it."""
        with self._lock:
            known = {(r["detector"], order) for r in self._rows.values() for order in r["evidence_order_ids"] or ()}
        fresh = []
        for row in rows:
            evidence = {(row["detector"], order) for order in row["evidence_order_ids"] or ()}
            if row["alert_id"] not in self._rows and not evidence & known:
                fresh.append(row)
                known |= evidence
        if fresh:
            table = self._session.createDataFrame(arrow_table(self._view, fresh)).coalesce(1)
            table.write.format("delta").mode("append").save(self._path)
            with self._lock:
                self._rows |= {row["alert_id"]: row for row in fresh}
        return fresh
