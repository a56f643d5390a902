"""How the live pipeline runs. Read from the environment by whoever starts it; here are only the values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """Sizes and times of the event route."""

    trigger_ms: int = 200
    """Least time between two batches. Shorter is fresher and costs more fixed work."""
    max_batch_rows: int = 40_000
    """Messages a batch may hold. Larger catches up faster and makes a single batch last longer."""
    largest_message: int = 1_048_576
    """Bytes; longer messages are dead letters."""
    ahead_s: int = 300
    """Seconds that an event time may lie after its receipt."""
    late_after_s: float = 10.0
    """Seconds that the watermark trails the newest event."""
    idle_after_s: float = 5.0
    """Seconds without messages after which a partition no longer holds the watermark back."""
    duplicate_horizon: int = 500_000
    """Ids that are remembered at least."""
    live_rows: int = 500_000
    """Rows in memory; older ones are read from history."""
    unwritten_rows: int = 1_000_000
    """Rows in memory that history does not have yet; with more, ingestion waits, because memory is not endless."""
    live_age_s: float = 900.0
    """Seconds after receipt that a row stays in memory at most."""
    history_every_s: float = 6.0
    """Seconds between two commits to history."""
    maintain_every_s: float = 900.0
    """Seconds between two rounds of joining files and removing old ones."""
    keep_days: int | None = None
    """Days that history goes back; None keeps everything."""
    vacuum_hours: float = 168.0
    """Hours that files stay which no current version needs; older snapshots cannot be opened once they are gone."""
    detect_every_s: float = 2.0
    """Seconds between two looks of the detectors at newly final windows."""
    ready_within_s: float = 60.0
    """Seconds that a start waits to have read what was on the broker when it began; it then serves and goes on."""
    starting_offsets: str = "earliest"
    """Where the very first start begins: earliest or latest."""
