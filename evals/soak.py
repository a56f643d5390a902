"""Memory and exactness over time: `python -m evals.soak [--minutes 20] [--rate 3000]`.

One line a minute: memory of the driver's Java machine, rows and segments in memory, lag, generations. At the end every
message on the broker must be one row, counted by topic, partition and offset; the exit code says whether it was so.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from evals.bench import QUERIES, Bench, publish_reference, rss_mb, total_ends
from streaming.broker import Broker
from streaming.live_views import rows_of
from streaming.session import build_session
from streaming.topics import ensure_topics


def main() -> int:
    """Run; 0 when nothing was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=int, default=3000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nlq-soak-") as folder, Broker(Path(folder) / "broker") as broker:
        ensure_topics(broker.connection)
        publish_reference(broker)
        spark = build_session("soak", driver_memory="3g", scratch=Path(folder))
        bench = Bench(Path(folder), spark, broker)
        pipeline = bench.start()
        generator = bench.load("--rate", str(options.rate), "--seconds", str(options.minutes * 60))
        minute = 0
        while generator.poll() is None:
            for text in QUERIES.values():
                bench.ask(text)
            if int(time.monotonic() // 60) != minute:
                minute = int(time.monotonic() // 60)
                s = pipeline.status()
                print(f"{time.strftime('%H:%M:%S')} rss {rss_mb(spark)} MB, live {s['live_rows']:,} rows in {s['segments']} "
                      f"segments, lag {s['lag']:,}, generation {s['generation']}, history {s['history_version']}, "
                      f"load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
            time.sleep(1)
        ends = total_ends(spark, broker)
        while sum(pipeline.live.newest.counts.values()) < ends:
            time.sleep(0.5)
        with pipeline.reader.pinned() as generation:
            frame = rows_of(generation, spark, generation.base_version, pipeline.history.frame).where("kind <> 'W'")
            rows = frame.count()
            distinct = frame.select("topic", "partition", "offset").distinct().count()
        print(f"messages {ends:,}, rows {rows:,}, distinct {distinct:,}")
        pipeline.close()
        spark.stop()
    return 0 if ends == rows == distinct else 1


if __name__ == "__main__":
    raise SystemExit(main())
