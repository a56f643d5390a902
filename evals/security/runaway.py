"""Twenty kinds of runaway queries against wall 2, with work of another kind going on beside them.

The guard refuses most of them; here they are handed to the engine as if it had not.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from nlq.contracts import Principal, Verdict
from nlq.execute import ExecutionError, ExecutionLimits, Executor
from nlq.guard import check
from streaming.catalogue import Catalogue
from streaming.snapshot import Snapshot

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

_DOUBLE = ", ".join(f"a{i} AS (SELECT x.k FROM a{i - 1} x JOIN a{i - 1} y ON x.m = y.m)" for i in range(1, 8))
_DEEP = "SELECT k, n FROM big"
for _ in range(60):
    _DEEP = f"SELECT k + 1 AS k, n * 2 AS n FROM ({_DEEP}) t WHERE k > 0"

KINDS: dict[str, str] = {
    "cross join": "SELECT count(*) FROM big a CROSS JOIN big b",
    "comma join with filter": "SELECT count(*) FROM big a, big b WHERE a.k + b.k = 7",
    "inequality join": "SELECT count(*) FROM big a JOIN big b ON a.k < b.k",
    "join on one value": "SELECT count(*) FROM big a JOIN big b ON a.one = b.one",
    "join on few values, summed": "SELECT a.m, sum(a.n * b.n) FROM big a JOIN big b ON a.m = b.m GROUP BY a.m",
    "three-way join": "SELECT count(*) FROM big a JOIN big b ON a.m = b.m JOIN big c ON b.m = c.m",
    "pattern join": "SELECT count(*) FROM big a JOIN big b ON a.s LIKE concat('%', b.s, '%')",
    "regular expression join": "SELECT count(*) FROM big a JOIN big b ON regexp_like(a.s, b.s)",
    "edit distance join": "SELECT max(levenshtein(a.s, b.s)) FROM big a JOIN big b ON a.m = b.m",
    "correlated inequality": "SELECT count(*) FROM big a WHERE EXISTS (SELECT 1 FROM big b WHERE b.k < a.k - 9999999)",
    "not in": "SELECT count(*) FROM big a WHERE (a.k, a.n) NOT IN (SELECT b.n, b.k FROM big b)",
    "running sum in one window": "SELECT max(t) FROM (SELECT sum(a.n) OVER (ORDER BY a.n) AS t FROM big a JOIN big b "
    "ON a.m = b.m) x",
    "moving average": "SELECT max(t) FROM (SELECT avg(n) OVER (ORDER BY k ROWS BETWEEN 20000 PRECEDING AND CURRENT "
    "ROW) AS t FROM big) x",
    "sort of a large join": "SELECT a.k, b.k FROM big a JOIN big b ON a.m = b.m ORDER BY a.n * b.n DESC",
    "distinct pairs": "SELECT count(DISTINCT a.k, b.k) FROM big a JOIN big b ON a.m = b.m",
    "explode of explode": "SELECT count(*) FROM big LATERAL VIEW explode(split(repeated, ',')) x AS p LATERAL VIEW "
    "explode(split(repeated, ',')) y AS q LATERAL VIEW explode(split(repeated, ',')) z AS r",
    "list of everything": "SELECT max(size(array_distinct(l))) FROM (SELECT collect_list(concat(a.s, b.s)) AS l FROM big a "
    "JOIN big b ON a.m = b.m WHERE a.k < 50000 AND b.k % 1000 <> a.k % 1000 GROUP BY a.k) x",
    "chain of self joins": f"WITH a0 AS (SELECT k, m FROM big), {_DOUBLE} SELECT count(*) FROM a7",
    "full outer join on one value": "SELECT count(*) FROM big a FULL OUTER JOIN big b ON a.one = b.one AND a.k <> b.k",
    "deeply nested over a cross join": f"SELECT count(*) FROM ({_DEEP}) a CROSS JOIN big b",
}
"""Name → statement over the view `big`, whose work is Spark jobs. Wall 2 stops these."""

PLANNING: dict[str, str] = {
    "overlapping windows": "SELECT count(*) FROM (SELECT window(t, '100000 seconds', '1 second') AS w FROM big) x",
    "doubled WITH": "WITH a0 AS (SELECT k FROM big), "
    + ", ".join(f"a{i} AS (SELECT * FROM a{i - 1} UNION ALL SELECT * FROM a{i - 1})" for i in range(1, 14))
    + " SELECT count(*) FROM a13",
    "cube": "SELECT count(*) FROM big GROUP BY CUBE(k, n, m, one, s, t, k + 1, n + 1, m + 1, one + 1)",
}
"""Statements that take long to plan, which is no job that Spark could cancel; both walls must refuse them."""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """How one runaway ended."""

    kind: str
    refused_by_guard: str | None
    code: str
    """The engine's code; `ran` when it came to an end by itself."""
    seconds: float
    """Until the caller was answered."""
    freed: float
    """Seconds after the answer until the query's place was free again; its work had really ended."""
    ingest: float
    """Longest wait of a small job of the ingest pool meanwhile, in seconds."""
    person: float
    """Longest query of another person meanwhile, in seconds."""
    person_failed: int
    """Queries of another person that were not answered."""


def big_world(folder: Path, as_of: datetime, rows: int = 400_000) -> Snapshot:
    """A snapshot with one view of so many rows that a careless query never ends."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "catalogue.yaml"
    file.write_text(
        """
views:
  big:
    kind: fact
    key: [k]
    columns:
      {k: "BIGINT | key", n: "DOUBLE | number", m: "BIGINT | few values", one: "BIGINT | one value", s: "STRING | text",
       repeated: "STRING | list", t: "TIMESTAMP | time"}
roles:
  officer: {views: [big], see_pii: true, see_restricted: true}
""",
        encoding="utf-8",
    )

    def big(session: SparkSession) -> DataFrame:
        return session.range(rows).selectExpr(
            "id AS k", "id * 1.5D AS n", "id % 7 AS m", "1L AS one", "concat('text', id) AS s",
            "repeat('a,', 200) AS repeated", "timestamp_seconds(1700000000 + id) AS t",
        )  # fmt: skip

    return Snapshot(catalogue=Catalogue.load(file), as_of=as_of, frames={"big": big})


def run_one(
    kind: str, sql: str, executor: Executor, snapshot: Snapshot, spark: SparkSession, seconds: float
) -> Stopped:
    """One runaway beside a neighbour of the ingest pool and another person's questions."""
    verdict = check(sql, snapshot.catalogue, Principal(), snapshot.as_of)
    person = Principal(user_id=f"runaway {kind}")
    with _Ingest(spark) as ingest, _Person(executor, snapshot) as other:
        started = time.monotonic()
        code = "ran"
        try:
            forged = Verdict(allowed=True, rule="OK", sql=sql)
            executor.run(forged, snapshot, person, ExecutionLimits(seconds=seconds))
        except ExecutionError as error:
            code = error.code
        answered = time.monotonic()
        while executor.is_busy(person.user_id) and time.monotonic() - answered < 60:
            time.sleep(0.05)
        freed = time.monotonic() - answered
    return Stopped(
        kind=kind,
        refused_by_guard=None if verdict.allowed else verdict.rule,
        code=code,
        seconds=answered - started,
        freed=freed,
        ingest=ingest.longest,
        person=other.longest,
        person_failed=other.failed,
    )


def refused_before_planning(snapshot: Snapshot) -> dict[str, str]:
    """Kind of `PLANNING` → rule of wall 1."""
    return {kind: check(sql, snapshot.catalogue, Principal()).rule for kind, sql in PLANNING.items()}


class _Neighbour(ABC):
    """A small piece of work, again and again, on a thread of its own."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self.longest = 0.0
        self.failed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(timeout=60)

    def _go_on(self) -> None:
        while not self._end.is_set():
            started = time.monotonic()
            try:
                self.work()
            except ExecutionError:
                self.failed += 1
            self.longest = max(self.longest, time.monotonic() - started)
            self._end.wait(0.2)

    @abstractmethod
    def work(self) -> None:
        """One piece."""


class _Ingest(_Neighbour):
    """A job of the ingest pool, as the stream's micro-batches are."""

    def __init__(self, spark: SparkSession) -> None:
        super().__init__()
        self._spark: Any = spark

    def work(self) -> None:
        self._spark.sparkContext.setLocalProperty("spark.scheduler.pool", "hot")
        self._spark.range(1000).selectExpr("sum(id)").collect()


class _Person(_Neighbour):
    """Another person's small questions."""

    def __init__(self, executor: Executor, snapshot: Snapshot) -> None:
        super().__init__()
        self._executor, self._snapshot = executor, snapshot
        self._verdict = Verdict(allowed=True, rule="OK", sql="SELECT count(*) AS n FROM big WHERE m = 3")

    def work(self) -> None:
        self._executor.run(self._verdict, self._snapshot, Principal(user_id="neighbour"), ExecutionLimits(seconds=60))
