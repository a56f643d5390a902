"""The alerts: few rows, held by the driver and kept in Delta."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from streaming import delta_files
from streaming.reference import ARROW, arrow_table

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import SparkSession

    from streaming.catalogue import View


log = logging.getLogger(__name__)

OPEN: Final = ("NEW", "IN_REVIEW", "ESCALATED")


class AlertStore:
    """All alerts, by id, with every status that each of them had.

    Adding one that is there, or whose evidence an older alert shares, changes nothing. Nothing is overwritten: a
    review adds a version, so that the views of an earlier moment show the status of that moment.
    """

    def __init__(self, session: SparkSession, view: View, directory: Path) -> None:
        self._session, self._view, self._path = session, view, str(directory / "delta" / "alerts")
        self._lock = threading.Lock()
        self._versions: dict[str, list[dict[str, Any]]] = {}
        if delta_files.exists(Path(self._path)):
            for row in sorted(self._kept(), key=_order):
                self._versions.setdefault(row["alert_id"], []).append(row)

    def _kept(self) -> list[dict[str, Any]]:
        """All rows in Delta."""
        names = list(self._view.columns)
        try:
            table = delta_files.rows(Path(self._path)).select(names)
            schema = pa.schema([(name, ARROW[column.type]) for name, column in self._view.columns.items()])
            rows: list[dict[str, Any]] = table.cast(schema).to_pylist()
        except (delta_files.Unusual, KeyError, pa.ArrowException) as error:
            log.warning("Delta itself has to read the alerts: %s", error)
            rows = self._session.read.format("delta").load(self._path).toArrow().to_pylist()
        return rows

    def rows(self, as_of: datetime | None = None) -> list[dict[str, Any]]:
        """The alerts as they are, or as they were at a moment."""
        with self._lock:
            known = [
                [v for v in versions if as_of is None or _since(v) <= as_of] for versions in self._versions.values()
            ]
        return [versions[-1] for versions in known if versions]

    def add(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep what is new; returns it."""
        known = {(r["detector"], order) for r in self.rows() for order in r["evidence_order_ids"] or ()}
        fresh = []
        for row in rows:
            evidence = {(row["detector"], order) for order in row["evidence_order_ids"] or ()}
            if row["alert_id"] not in self._versions and not evidence & known:
                fresh.append(row)
                known |= evidence
        self._keep(fresh)
        return fresh

    def review(self, alert_id: str, status: str, at: datetime, assigned_to: str | None = None) -> dict[str, Any]:
        """Give an alert another status from `at` on; returns the row as it is now.

        Args:
            alert_id: which.
            status: a code of the column.
            at: event time, as in the other columns of the view.
            assigned_to: officer in charge; None leaves it as it was.

        Raises:
            KeyError: there is no such alert.
        """
        row = next(row for row in [*self.rows(), {"alert_id": alert_id}] if row["alert_id"] == alert_id)
        if "status" not in row:
            raise KeyError(alert_id)
        at = max(at, _since(row))  # the clock of the events may stand still between two reviews
        changed = {
            **row, "status": status, "updated_ts": at, "assigned_to": assigned_to or row["assigned_to"],
            "closed_ts": None if status in OPEN else at,
        }  # fmt: skip
        self._keep([changed])
        return changed

    def _keep(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        table = self._session.createDataFrame(arrow_table(self._view, rows)).coalesce(1)
        table.write.format("delta").mode("append").save(self._path)
        with self._lock:
            for row in rows:
                self._versions.setdefault(row["alert_id"], []).append(row)


def _since(row: dict[str, Any]) -> datetime:
    """From when on a version holds."""
    moment: datetime = row["updated_ts"] or row["created_ts"]
    return max(moment, row["created_ts"])


def _order(row: dict[str, Any]) -> tuple[datetime, int]:
    """Versions in the order in which they were made; of one instant a later step of the review comes later."""
    return _since(row), OPEN.index(row["status"]) if row["status"] in OPEN else len(OPEN)
