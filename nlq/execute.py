"""Wall 2: one checked statement in a Spark session that holds nothing to misuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nlq.contracts import Principal, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from streaming.snapshot import Snapshot, SnapshotSource


@dataclass(frozen=True, kw_only=True)
class ExecutionLimits:
    """What one query may take."""

    seconds: float = 30.0
    """Wall time until the work is cancelled."""
    max_rows: int = 10_000
    """Rows returned; more are cut and `Result.truncated` is set."""
    max_bytes: int = 64 * 1024 * 1024
    """Arrow bytes returned."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Rows of one query."""

    table: pa.Table
    truncated: bool
    seconds: float


class ExecutionError(Exception):
    """A query did not produce rows. `code` and the message are fixed texts: Spark's own message can hold row values."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Executor:
    """Runs allowed verdicts; safe to call from many threads."""

    def __init__(self, source: SnapshotSource) -> None:
        self._source = source

    def run(
        self,
        verdict: Verdict,
        snapshot: Snapshot,
        principal: Principal,
        limits: ExecutionLimits = ExecutionLimits(),  # noqa: B008 - frozen
    ) -> Result:
        """Run `verdict.sql` on the pinned snapshot with the rights of `principal`.

        Raises:
            ExecutionError: refused, stopped at a limit, or failed; the message is safe to show.
        """
        raise ExecutionError("NOT_READY", "The engine is not ready.")
