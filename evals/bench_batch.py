"""Time of one micro-batch without Kafka and without waiting: `python -m evals.bench_batch [--runs 60]`.

The fixed cost of a batch decides how fresh the views can be. Messages are those of the load generator; each size is run
many times in the same process, the last third counts, as Java compiles Spark's code while the first ones run.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from evals.bench_load import Flow, reference_rows
from streaming.batch_plan import RAW_DDL, BatchPlan
from streaming.catalogue import Catalogue
from streaming.reference import ReferenceRows, decode_reference, reference_views
from streaming.segments import DDL, materialised
from streaming.session import build_session, quiet_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SIZES = (1_000, 4_000, 40_000)


def messages(spark: SparkSession, count: int) -> Any:
    """RDD of the Kafka source's rows, in memory."""
    flow, rows, now = Flow(7), [], datetime.now(UTC)
    for i in range(count):
        topic, key, body = flow.next(int(now.timestamp() * 1e6) + i * 200)
        rows.append((key.encode(), body.encode(), topic, i % 2, i, now, 0, [("producer", b"bench")]))
    frame = spark.createDataFrame(rows, RAW_DDL).repartition(4)
    leaf, blocks = materialised(frame)
    leaf.count()
    return blocks


def batch_s(plan: BatchPlan, rows: Any, tail: Any, size: int) -> float:
    """Seconds from the rows to the finished segment and its arrivals."""
    start = time.perf_counter()
    _, blocks = materialised(plan.segment(rows, tail, size))
    plan.arrivals(blocks)
    took = time.perf_counter() - start
    blocks.unpersist(False)
    return took


def main() -> None:
    """Measure all sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=90, help="batches of each size")
    options = parser.parse_args()
    spark = build_session("bench-batch")
    session = quiet_session(spark)
    views = reference_views(Catalogue.load())
    changes = [decode_reference(views, None, json.dumps({"view": v, "row": r}).encode()) for v, r in reference_rows()]
    plan = BatchPlan(session, largest_message=1_048_576, ahead_s=300)
    plan.use(ReferenceRows(views, {}).with_changes(changes))
    leaf, tail = materialised(session.createDataFrame([], DDL))
    leaf.count()
    for size in SIZES:
        rows = messages(session, size)
        runs = max(6, options.runs * 1000 // (1000 + size // 4))
        times = [batch_s(plan, rows, tail, size) for _ in range(runs)]
        last = times[-len(times) // 3 :]
        print(f"{size:>6,} messages: p50 {median(last) * 1000:,.0f} ms of {len(last)} batches, first "
              f"{times[0] * 1000:,.0f} ms; load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
    spark.stop()


if __name__ == "__main__":
    main()
