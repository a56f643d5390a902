"""Asks the detectors about newly final windows, in a thread of its own, and keeps what they find."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from streaming.detectors import Look, all_detectors, thresholds_at
from streaming.windows import FLOW_STEP_S, FLOW_WINDOW_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streaming.alerts import AlertStore

log = logging.getLogger(__name__)

OVERLAP: Final = timedelta(seconds=60)
"""Windows are looked at again for so long: an episode that went on is then seen whole."""
WINDOW: Final = timedelta(seconds=FLOW_WINDOW_S)
BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class Runner:
    """Runs all detectors on one look after the other.

    Guarantee: every window that becomes final is looked at, across restarts; an alert is kept once and sent to its
    topic at least once.
    """

    store: AlertStore
    publish: Callable[[list[tuple[str, bytes]]], None]
    cursor_file: Path
    faults: dict[str, str] = field(default_factory=dict)
    """Detector → what kept it from running."""

    def __post_init__(self) -> None:
        saved = json.loads(self.cursor_file.read_text()) if self.cursor_file.exists() else {}
        self.cursor = datetime.fromisoformat(saved["until"]) if saved else BEGINNING
        self._unsent: set[str] = set(saved.get("unsent", ()))

    def due(self, watermark: datetime | None) -> bool:
        """Whether there are new final windows, or alerts that wait to be sent."""
        if watermark is None:
            return bool(self._unsent)
        return bool(self._unsent) or _step(watermark) > _step(self.cursor)

    def announce(self, alert_id: str) -> None:
        """Send an alert to its topic again with the next look: its status has changed."""
        self._unsent.add(alert_id)

    def run(self, look: Callable[[datetime], Look]) -> list[dict[str, Any]]:
        """Look, keep, send; returns the new alerts.

        Args:
            look: opens the views cut to rows that are not older than the time given.
        """
        seen = look(max(BEGINNING, self.cursor - OVERLAP - WINDOW))
        new: list[dict[str, Any]] = []
        for detector in all_detectors():
            try:
                thresholds = thresholds_at(seen.rows("thresholds"), detector.name, seen.as_of)
                missing = [p for p in detector.needs if thresholds is None or p not in thresholds.values]
                if thresholds is None or missing:
                    self.faults[detector.name] = f"no thresholds in force: {', '.join(missing)}"
                    continue
                new += self.store.add(detector.detect(seen, thresholds))
                self.faults.pop(detector.name, None)
            except Exception as error:
                # The cursor stays, so the windows are looked at again: a fault must not become a silent gap.
                self.faults[detector.name] = f"{type(error).__name__}: {str(error)[:300]}"
                log.exception("detector %s failed", detector.name)
                return new
        self._unsent |= {row["alert_id"] for row in new}
        self.cursor = max(self.cursor, seen.until)
        self._save()
        self._send()
        return new

    def _send(self) -> None:
        if self._unsent:
            sent = set(self._unsent)  # one that is announced meanwhile waits for the next time
            rows = [row for row in self.store.rows() if row["alert_id"] in sent]
            self.publish([(row["alert_id"], json.dumps(row, default=_encoded).encode()) for row in rows])
            self._unsent -= sent
            self._save()

    def _save(self) -> None:
        self.cursor_file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.cursor_file.with_suffix(".new")
        fresh.write_text(json.dumps({"until": self.cursor.isoformat(), "unsent": sorted(self._unsent)}))
        fresh.replace(self.cursor_file)


def _step(moment: datetime) -> int:
    """Number of the step at whose end windows become final."""
    return int(moment.timestamp()) // FLOW_STEP_S


def _encoded(value: Any) -> str:
    return str(value.isoformat())
