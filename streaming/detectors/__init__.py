"""Detectors of abuse patterns: one file each, all of one shape. Thresholds and a look at the data in, alerts out.

A detector keeps no state and writes nothing. It is asked about windows that are final, and may be asked about the same
ones again: an alert's id follows from its evidence, so that a repeat is recognised.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pyspark.sql import DataFrame

SEVERITIES: Final = ((50.0, "LOW"), (75.0, "MEDIUM"), (90.0, "HIGH"), (float("inf"), "CRITICAL"))
"""Score below which each severity ends."""


@dataclass(frozen=True)
class ThresholdSet:
    """One version of a detector's parameters."""

    version: int
    values: Mapping[str, float]

    def __getitem__(self, parameter: str) -> float:
        try:
            return self.values[parameter]
        except KeyError:
            raise KeyError(
                f"threshold {parameter!r} is missing in version {self.version}; add it to the view `thresholds`"
            ) from None


def thresholds_at(rows: Iterable[Mapping[str, Any]], detector: str, moment: datetime) -> ThresholdSet | None:
    """The parameters in force at a moment; None when the detector has none then, and does not run."""
    own = [r for r in rows if r["detector"] == detector and r["effective_from_ts"] and r["effective_from_ts"] <= moment]
    if not own:
        return None
    version = max(row["version"] for row in own)
    newest = [row for row in own if row["version"] == version]
    if any(row["effective_to_ts"] is not None and row["effective_to_ts"] <= moment for row in newest):
        return None
    return ThresholdSet(version, {row["parameter"]: float(row["value"]) for row in newest})


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a detector may see: the views of one pinned snapshot, cut to the time that matters."""

    frame: Callable[..., DataFrame]
    """View → its rows since `since`, or earlier by the timedelta that is given beside; reference views whole."""
    rows: Callable[[str], list[dict[str, Any]]]
    """Reference view → its rows."""
    since: datetime
    """The frames have the rows from here on: windows that start earlier are not complete."""
    until: datetime
    """Watermark: windows that end at or before it are final."""
    as_of: datetime
    """Newest event."""


class Detector(Protocol):
    """One kind of abuse."""

    name: str
    """Code in `alerts.detector`."""
    needs: tuple[str, ...]
    """Parameters that its thresholds must have."""

    def detect(self, look: Look, thresholds: ThresholdSet) -> list[dict[str, Any]]:
        """Rows of the view `alerts`, made with `alert_row`."""
        ...


def severity(score: float) -> str:
    """Severity of a score from 0 to 100."""
    return next(name for below, name in SEVERITIES if score < below)


def alert_id(detector: str, version: int, *evidence: str) -> str:
    """An id that is the same whenever the same evidence raises the alert."""
    text = "|".join((detector, str(version), *evidence))
    return f"AL-{hashlib.sha256(text.encode()).hexdigest()[:16].upper()}"


def alert_row(detector: str, version: int, look: Look, *, identity: tuple[str, ...], score: float,
              **columns: Any) -> dict[str, Any]:  # fmt: skip
    """A new alert, complete but for the columns given."""
    end: datetime = columns["window_end_ts"]
    return {
        "alert_id": alert_id(detector, version, *identity), "created_ts": look.as_of, "trade_date": end.date(),
        "detector": detector, "severity": severity(score), "score": round(score, 2), "status": "NEW",
        "threshold_version": version, "assigned_to": None, "updated_ts": look.as_of, "closed_ts": None,
    } | columns  # fmt: skip


def utc(moment: datetime) -> datetime:
    """A time that Spark gave without a zone is UTC; all others are converted."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def all_detectors() -> tuple[Detector, ...]:
    """The detectors that run, in the order in which they are asked."""
    from streaming.detectors.spoofing import Spoofing

    return (Spoofing(),)
