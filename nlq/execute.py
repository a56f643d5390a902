"""Wall 2: one checked statement in a Spark session that holds nothing to misuse, within time, rows and bytes."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlq.sealed_session import NotEntitled, PlanRefused, PlanTooLarge, Seal, register_views

if TYPE_CHECKING:
    import pyarrow as pa

    from nlq.contracts import Principal, Verdict
    from nlq.sealed_session import Planning
    from streaming.snapshot import Snapshot, SnapshotSource

POOL = "query"
"""Pool of Spark's fair scheduler: a question shares the cores with the stream and never starves it."""

_GRACE = 1.0
"""Seconds after the deadline in which cancelled work may end before the caller is answered without it."""

_MOST_ABANDONED = 4
"""Cancelled queries that may go on without a place, until a step that nothing interrupts is over. More hold theirs, so
that a flood of them ends in refused questions and not in a driver that does nothing else."""

MESSAGES = {
    "REFUSED": "The statement was not allowed by the guard.",
    "UNKNOWN_VIEW": "The statement names a view that does not exist.",
    "UNKNOWN_COLUMN": "The statement names a column that does not exist there.",
    "UNKNOWN_ROLE": "The role is not known.",
    "FUNCTION": "The statement calls a function that is not available.",
    "PLAN": "The statement contains an operation that is not available.",
    "PLAN_SIZE": "The statement is too large to plan; make it simpler.",
    "SYNTAX": "The statement is not valid Spark SQL.",
    "TYPES": "The statement combines values of types that do not fit.",
    "GROUPING": "The statement lists a column that is neither grouped nor aggregated.",
    "DIVISION_BY_ZERO": "The statement divides by zero for some row; use try_divide or NULLIF.",
    "INVALID_VALUE": "A value could not be converted; use TRY_CAST.",
    "OVERFLOW": "A number became too large.",
    "MANY_ROWS_IN_VALUE": "A subquery that should give one value gives several rows.",
    "ARRAY_INDEX": "An array has fewer elements than the statement asks for.",
    "DEADLINE": "The query took longer than allowed and was stopped.",
    "TOO_LARGE": "The result is too large; ask for fewer rows or columns.",
    "MEMORY": "The query needed more memory than allowed.",
    "BUSY": "Too many questions are waiting; try again shortly.",
    "BUSY_USER": "Your previous question is still running.",
    "FAILED": "The query could not be run.",
}
"""Everything that a person ever reads about a failed query."""

_CONDITIONS = {
    "TABLE_OR_VIEW_NOT_FOUND": "UNKNOWN_VIEW",
    "UNRESOLVED_COLUMN": "UNKNOWN_COLUMN",
    "UNRESOLVED_FIELD": "UNKNOWN_COLUMN",
    "AMBIGUOUS_REFERENCE": "UNKNOWN_COLUMN",
    "FIELD_NOT_FOUND": "UNKNOWN_COLUMN",
    "UNRESOLVED_ROUTINE": "FUNCTION",
    "UNRESOLVABLE_TABLE_VALUED_FUNCTION": "FUNCTION",
    "PARSE": "SYNTAX",
    "DATATYPE_MISMATCH": "TYPES",
    "WRONG_NUM_ARGS": "TYPES",
    "INCOMPATIBLE_COLUMN_TYPE": "TYPES",
    "NUM_COLUMNS_MISMATCH": "TYPES",
    "MISSING_AGGREGATION": "GROUPING",
    "MISSING_GROUP_BY": "GROUPING",
    "GROUP_BY": "GROUPING",
    "DIVIDE_BY_ZERO": "DIVISION_BY_ZERO",
    "REMAINDER_BY_ZERO": "DIVISION_BY_ZERO",
    "CAST_INVALID_INPUT": "INVALID_VALUE",
    "CANNOT_PARSE": "INVALID_VALUE",
    "DATETIME_FIELD_OUT_OF_BOUNDS": "INVALID_VALUE",
    "ARITHMETIC_OVERFLOW": "OVERFLOW",
    "BINARY_ARITHMETIC_OVERFLOW": "OVERFLOW",
    "CAST_OVERFLOW": "OVERFLOW",
    "NUMERIC_VALUE_OUT_OF_RANGE": "OVERFLOW",
    "SCALAR_SUBQUERY_TOO_MANY_ROWS": "MANY_ROWS_IN_VALUE",
    "INVALID_ARRAY_INDEX": "ARRAY_INDEX",
}
"""Start of Spark's error condition → our code."""


@dataclass(frozen=True, kw_only=True)
class ExecutionLimits:
    """What one query may take."""

    seconds: float = 30.0
    """Wall time from the call, waiting included, until the work is cancelled."""
    max_rows: int = 10_000
    """Rows returned; more are cut and `Result.truncated` is set."""
    max_bytes: int = 64 * 1024 * 1024
    """Arrow bytes returned."""


DEFAULT_LIMITS = ExecutionLimits()


@dataclass(frozen=True, kw_only=True)
class Result:
    """Rows of one query."""

    table: pa.Table
    truncated: bool
    """There were more rows than the limit."""
    seconds: float
    """Wall time from the call."""


class ExecutionError(Exception):
    """A query did not produce rows. `code` and the message are fixed texts: Spark's own message can hold row values."""

    def __init__(self, code: str) -> None:
        super().__init__(MESSAGES[code])
        self.code = code


class Executor:
    """Runs allowed verdicts, each in its own sealed session; safe to call from many threads."""

    def __init__(self, source: SnapshotSource, *, concurrent: int = 2, queued: int = 4) -> None:
        """Prepare wall 2 on the source's Spark driver.

        Args:
            source: gives the Spark session; snapshots are handed to `run`.
            concurrent: queries that run at once.
            queued: queries that may wait; one more is refused.

        Raises:
            PlanRefused: sealing has no effect on this Spark; nothing may run.
        """
        self._context: Any = source.spark.sparkContext
        self._seal = Seal(source.spark)
        self._room = concurrent + queued
        self._workers = ThreadPoolExecutor(max_workers=self._room + _MOST_ABANDONED, thread_name_prefix="query")
        self._turns = threading.Semaphore(concurrent)
        self._users: Counter[str] = Counter()
        self._abandoned: set[_Query] = set()
        self._lock = threading.Lock()

    def run(
        self, verdict: Verdict, snapshot: Snapshot, principal: Principal, limits: ExecutionLimits = DEFAULT_LIMITS
    ) -> Result:
        """Run `verdict.sql` on the pinned snapshot with the rights of `principal`.

        Raises:
            ExecutionError: refused, stopped at a limit, or failed; the message is safe to show.
        """
        if not verdict.allowed or verdict.sql is None or verdict.rule != "OK":
            raise ExecutionError("REFUSED")
        started = time.monotonic()
        query = _Query(self._seal, self._context, verdict.sql, snapshot, principal, limits)
        future = self._submit(query, principal.user_id)
        try:
            table = future.result(timeout=limits.seconds)
        except StillRunning:
            table = self._stop(query, future)
        return Result(
            table=table.slice(0, limits.max_rows),
            truncated=table.num_rows > limits.max_rows,
            seconds=time.monotonic() - started,
        )

    @property
    def busy(self) -> int:
        """Queries that wait, run, or have been cancelled and not yet ended."""
        with self._lock:
            return self._users.total()

    def is_busy(self, user: str) -> bool:
        """Whether a query of this person waits, runs, or was cancelled and has not yet ended."""
        with self._lock:
            return self._users[user] > 0

    def close(self) -> None:
        """Take no more queries; running ones end at their deadline."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _submit(self, query: _Query, user: str) -> Future[pa.Table]:
        with self._lock:
            if self._users[user]:
                raise ExecutionError("BUSY_USER")
            if self._users.total() - len(self._abandoned) >= self._room:
                raise ExecutionError("BUSY")
            self._users[user] += 1
        try:
            future = self._workers.submit(self._in_turn, query)
        except RuntimeError as error:  # closed
            self._leave(user)
            raise ExecutionError("BUSY") from error
        # The person may ask again when the work has really ended, not when they stopped waiting for it.
        future.add_done_callback(lambda _: self._leave(user))
        return future

    def _leave(self, user: str) -> None:
        with self._lock:
            self._users -= Counter({user: 1})

    def _in_turn(self, query: _Query) -> pa.Table:
        if not self._turns.acquire(timeout=query.seconds):
            raise ExecutionError("DEADLINE")
        try:
            return query.run()
        finally:
            with self._lock:
                if query in self._abandoned:
                    self._abandoned.remove(query)  # its turn went to another one
                else:
                    query.ended = True
                    self._turns.release()

    def _stop(self, query: _Query, future: Future[pa.Table]) -> pa.Table:
        if not future.cancel():
            query.cancel()
            try:
                return future.result(timeout=_GRACE)
            except StillRunning:
                self._abandon(query)
            except ExecutionError:
                pass
        raise ExecutionError("DEADLINE")

    def _abandon(self, query: _Query) -> None:
        """Give the place of a cancelled query that has not ended to others; its own person goes on waiting for it."""
        with self._lock:
            if query.running and not query.ended and len(self._abandoned) < _MOST_ABANDONED:
                self._abandoned.add(query)
                self._turns.release()


class _Query:
    """One statement on its way through the engine. `run` is called in a worker thread, `cancel` from another."""

    def __init__(
        self,
        seal: Seal,
        context: Any,
        sql: str,
        snapshot: Snapshot,
        principal: Principal,
        limits: ExecutionLimits,
    ) -> None:
        self._seal = seal
        self._context = context
        self._sql = sql
        self._snapshot = snapshot
        self._principal = principal
        self._limits = limits
        self.seconds = limits.seconds
        self._group = f"query-{uuid.uuid4()}"
        self._planning: Planning | None = None
        self._thread: Any = None
        self._cancelled = False
        self.running = False
        """It had its turn."""
        self.ended = False
        """It gave its turn back."""
        self._lock = threading.Lock()

    def run(self) -> pa.Table:
        self.running = True
        try:
            return self._run()
        except ExecutionError:
            raise
        except NotEntitled:
            raise ExecutionError("UNKNOWN_ROLE") from None
        except PlanTooLarge:
            raise ExecutionError("PLAN_SIZE") from None
        except PlanRefused:
            raise ExecutionError("PLAN") from None
        except Exception as error:  # noqa: BLE001 - whatever it says may hold row values
            raise ExecutionError("DEADLINE" if self._cancelled else _code(error)) from None
        finally:
            with self._lock:
                self._thread = None

    def cancel(self) -> None:
        """Stop running and future jobs of this query and interrupt its planning."""
        with self._lock:
            self._cancelled = True
            if self._planning is not None:
                self._planning.stop()
            self._context._jsc.sc().cancelJobGroupAndFutureJobs(self._group)
            if self._thread is not None:
                self._thread.interrupt()

    def _run(self) -> pa.Table:
        java_thread = self._context._jvm.java.lang.Thread
        java_thread.interrupted()  # forget a cancellation that came too late for the query before
        self._context.setJobGroup(self._group, "question", interruptOnCancel=True)
        self._context.setLocalProperty("spark.scheduler.pool", POOL)
        with self._lock:
            if self._cancelled:
                raise ExecutionError("DEADLINE")
            self._thread = java_thread.currentThread()
            self._planning = planning = self._seal.planning()
        session = self._seal.open()
        parsed, names = self._seal.parsed(session, self._sql)
        views = register_views(session, self._snapshot, self._principal, names)
        self._seal.close_registry(session)
        analysed = self._seal.analysed(session, parsed, planning)
        self._seal.check_analysed(analysed, views)
        table: pa.Table = self._seal.planned(analysed, self._limits.max_rows + 1, planning).toArrow()
        if table.nbytes > self._limits.max_bytes:
            raise ExecutionError("TOO_LARGE")
        return table


def _code(error: Exception) -> str:
    """Our code for an exception of Spark; its text is read here and goes no further."""
    condition = getattr(error, "getCondition", lambda: None)() or ""
    text = str(error)
    for start, code in _CONDITIONS.items():
        if condition.startswith(start) or f"[{start}" in text:
            return code
    if "is bigger than spark.driver.maxResultSize" in text:
        return "TOO_LARGE"
    if "OutOfMemory" in text or "UNABLE_TO_ACQUIRE_MEMORY" in text:
        return "MEMORY"
    if "ParseException" in type(error).__name__:
        return "SYNTAX"
    return "FAILED"
