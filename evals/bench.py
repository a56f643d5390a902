"""Figures of the live path, measured on this machine: `python -m evals.bench [--phases …] [--out docs/bench.md]`.

Broker, generator and pipeline run beside each other, as a user would have them. Each figure is printed with the load
average of its minute: on a busy machine the figures are worse and say little.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evals.bench_load import reference_rows
from streaming.broker import Broker
from streaming.catalogue import Catalogue
from streaming.pipeline import LivePipeline
from streaming.session import build_session
from streaming.settings import PipelineSettings
from streaming.topics import ensure_topics

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PHASES: Final = ("freshness", "rates", "backlog", "sql", "restart")
FRESH_S: Final = 2.0
PATIENCE_S: Final = 150.0
"""Seconds that a restarted pipeline is given for an answer so fresh."""
QUERIES: Final = {
    "count": "SELECT count(*) AS n FROM order_events",
    "filter": "SELECT * FROM order_events WHERE trader_id = 'T007' AND event_type = 'CANCEL' ORDER BY event_ts DESC LIMIT 100",
    "group-by": "SELECT trader_id, count(*) AS n, sum(order_qty) AS q FROM order_events GROUP BY trader_id ORDER BY n DESC",
    "join": "SELECT i.sector, count(*) AS n FROM order_events e JOIN instruments i ON e.symbol = i.symbol GROUP BY i.sector",
}


class Bench:
    """One broker, one Spark session, and the lines of the report."""

    def __init__(self, directory: Path, spark: SparkSession, broker: Broker) -> None:
        self.directory, self.spark, self.broker = directory, spark, broker
        self.lines: list[str] = []
        self.settings = PipelineSettings(ready_within_s=300)
        self.pipeline: LivePipeline | None = None

    def say(self, text: str) -> None:
        """Add a line to the report, with the load of this minute."""
        line = f"| {text} | {os.getloadavg()[0]:.1f} |"
        print(line, flush=True)
        self.lines.append(line)

    def start(self, settings: PipelineSettings | None = None) -> LivePipeline:
        """The pipeline, started when it is not running."""
        if self.pipeline is None:
            chosen = settings or self.settings
            self.pipeline = LivePipeline.start(
                self.spark, Catalogue.load(), self.broker.connection, self.directory / "data", chosen
            )
        return self.pipeline

    def stop(self) -> None:
        """End the pipeline; its history stays."""
        if self.pipeline is not None:
            self.pipeline.close()
            self.pipeline = None

    def load(self, *arguments: str) -> subprocess.Popen[str]:
        """The generator, started."""
        command = [sys.executable, "-m", "evals.bench_load", self.broker.bootstrap_servers, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def ask(self, sql: str) -> float:
        """Run one query on a snapshot in a session of its own; returns the age of its newest event, seconds."""
        assert self.pipeline is not None
        with self.pipeline.snapshot() as snapshot:
            session = self.spark.newSession()
            for view in ("order_events", "instruments"):
                snapshot.frame(view, session).createOrReplaceTempView(view)
            session.sql(sql).toArrow()
            return time.time() - snapshot.as_of.timestamp()

    # -- phases

    def freshness(self, rate: int = 5000, seconds: int = 90, warm: int = 30, idle: int = 150) -> None:
        """Age of events when they become visible, and inside answers, with one query a second.

        Before it, `idle` seconds at 500 events/s: Java compiles Spark's code for minutes after a start, on our cores.
        """
        pipeline = self.start()
        self.load("--rate", "500", "--seconds", str(idle)).communicate()
        ages = Ages(pipeline)
        generator = self.load("--rate", str(rate), "--seconds", str(seconds + warm))
        in_answers, query_s, end = [], [], time.time() + seconds + warm
        begin, first_mb = time.time(), rss_mb(self.spark)
        while time.time() < end:
            at = time.time()
            age = self.ask(QUERIES["group-by"])
            if at - begin > warm:
                in_answers.append(age)
                query_s.append(time.time() - at)
            time.sleep(max(0.0, 1.0 - (time.time() - at)))
        sent = json.loads(generator.communicate()[0])
        rows = ages.since(begin + warm, end)
        self.say(f"visible after, {rate:,} events/s offered ({sent['sent'] / sent['seconds']:,.0f} sent), one query a second"
                 f" | {spread(rows)} ({len(rows):,} events)")  # fmt: skip
        self.say(f"age inside the answer | {spread(in_answers)} ({len(in_answers)} queries)")
        self.say(f"group-by query beside it | {spread(query_s)}")
        batches = [s for at, s, _ in pipeline.ingest.seconds if at > time.monotonic() - seconds]
        self.say(f"batch function | {spread(batches)} ({len(batches)} batches)")
        self.say(f"driver JVM before → after {seconds + warm} s | {first_mb} → {rss_mb(self.spark)} MB")
        ages.end()

    def rates(self, steps: tuple[int, ...] = (10_000, 20_000, 30_000), seconds: int = 25) -> None:
        """Rates that the pipeline keeps up with: lag at the end of each."""
        pipeline = self.start()
        for rate in steps:
            generator = self.load("--rate", str(rate), "--seconds", str(seconds))
            sent = json.loads(generator.communicate()[0])
            lag, begin = pipeline.status()["lag"], time.time()
            while pipeline.status()["lag"] and time.time() - begin < 120:
                time.sleep(0.2)
            self.say(f"{rate:,} events/s for {seconds} s ({sent['sent'] / sent['seconds']:,.0f} sent) | lag at the end "
                     f"{lag:,} messages, gone after {time.time() - begin:.1f} s")  # fmt: skip

    def backlog(self, count: int = 1_000_000) -> None:
        """Catch-up of a backlog, beside what Spark's Kafka source alone reads."""
        self.stop()
        sent = json.loads(self.load("--count", str(count)).communicate()[0])
        self.say(f"generator flat out | {sent['sent'] / sent['seconds']:,.0f} events/s")
        raw = self.spark.read.format("kafka").options(**self.broker.connection.spark_options())
        raw_s = timed(lambda: raw.option("subscribe", "orders,market_trades,quotes").load()
                      .selectExpr("sum(length(value))").collect())  # fmt: skip
        ends = total_ends(self.spark, self.broker)
        self.say(f"raw Spark Kafka source, bytes only, {ends:,} messages | {ends / raw_s:,.0f} events/s")
        begin = time.time()
        pipeline = self.start(replace(self.settings, ready_within_s=0.0, live_rows=600_000))
        first = sum(pipeline.live.newest.counts.values())
        while sum(pipeline.live.newest.counts.values()) < ends:
            time.sleep(0.1)
        took, done = time.time() - begin, sum(pipeline.live.newest.counts.values()) - first
        rows_s = sum(rows for _, _, rows in pipeline.ingest.seconds) / sum(s for _, s, _ in pipeline.ingest.seconds)
        self.say(f"catch-up of {done:,} messages, start included | {done / took:,.0f} events/s ({took:.0f} s); "
                 f"inside batches {rows_s:,.0f} events/s")  # fmt: skip

    def sql(self, runs: int = 15) -> None:
        """Warm queries on the live rows, beside DuckDB on the same rows."""
        import duckdb

        pipeline = self.start()
        time.sleep(20)  # merging comes to rest
        with pipeline.snapshot() as snapshot:
            session = self.spark.newSession()
            tables = {view: snapshot.frame(view, session) for view in ("order_events", "instruments")}
            for view, frame in tables.items():
                frame.createOrReplaceTempView(view)
            db = duckdb.connect()
            for view, frame in tables.items():
                db.register(view, frame.toArrow())
            rows, live = tables["order_events"].count(), pipeline.status()["live_rows"]
            base = "with history below" if snapshot.versions else "all in memory"
            for name, text in QUERIES.items():
                for _ in range(4):
                    session.sql(text).toArrow()
                mine = [timed(lambda t=text: session.sql(t).toArrow()) for _ in range(runs)]
                theirs = [timed(lambda t=text: db.sql(t).arrow()) for _ in range(runs)]
                self.say(f"{name} over {rows:,} order events of {live:,} live rows ({base}) | {spread(mine)}; "
                         f"DuckDB {spread(theirs)}")  # fmt: skip

    def restart(self) -> None:
        """From kill -9 to the first fresh answer, in a process of its own."""
        self.stop()
        generator = self.load("--rate", "2000", "--seconds", str(2 * PATIENCE_S + 60))
        command = [sys.executable, "-m", "evals.bench", "--child", str(self.directory), self.broker.bootstrap_servers]
        try:
            for turn in ("first start", "kill -9 and start again"):
                child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
                assert child.stdout is not None
                said = child.stdout.readline().strip()
                time.sleep(10)
                os.killpg(child.pid, 9)
                child.wait()
                self.say(f"{turn} at 2,000 events/s, JVM start included | {said}")
        finally:
            generator.kill()


class Ages:
    """Age of each event when its batch became visible."""

    def __init__(self, pipeline: LivePipeline) -> None:
        self._arrivals, self._live = pipeline.ingest.arrivals, pipeline.live
        self._accept, self._publish = self._arrivals.accept, self._live.publish
        self._batch: Any = None
        self._seen: list[tuple[float, np.ndarray]] = []
        self._arrivals.accept = self._on_accept  # type: ignore[method-assign]
        self._live.publish = self._on_publish  # type: ignore[method-assign]

    def _on_accept(self, batch: Any, **options: Any) -> None:
        self._batch = batch
        self._accept(batch, **options)

    def _on_publish(self, segments: Any, **changes: Any) -> Any:
        generation = self._publish(segments, **changes)
        times = self._batch.column("event_us").drop_null().to_numpy()
        self._seen.append((time.time(), time.time() - times / 1e6))
        return generation

    def since(self, begin: float, end: float) -> list[float]:
        """Seconds of all events that became visible in the interval."""
        chosen = [ages for at, ages in self._seen if begin <= at <= end]
        return list(np.concatenate(chosen)) if chosen else []

    def end(self) -> None:
        """Stop measuring."""
        self._arrivals.accept, self._live.publish = self._accept, self._publish  # type: ignore[method-assign]


def spread(seconds: list[float]) -> str:
    """p50/p95/p99/max in milliseconds."""
    if not seconds:
        return "no data"
    cuts = [*np.percentile(seconds, [50, 95, 99]), max(seconds)]
    return " / ".join(f"{cut * 1000:,.0f}" for cut in cuts) + " ms"


def timed(work: Any) -> float:
    """Seconds that a call takes."""
    start = time.monotonic()
    work()
    return time.monotonic() - start


def rss_mb(spark: SparkSession) -> int:
    """Resident memory of the driver's Java machine."""
    pid = spark._jvm.java.lang.ProcessHandle.current().pid()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 // 1024**2


def total_ends(spark: SparkSession, broker: Broker) -> int:
    """Messages on the event topics."""
    frame = spark.read.format("kafka").options(**broker.connection.spark_options())
    return int(frame.option("subscribe", "orders,market_trades,quotes").load().count())


def publish_reference(broker: Broker) -> None:
    """The firm of the load generator."""
    from kafka import KafkaProducer

    producer = KafkaProducer(**broker.connection.python_producer())
    for view, row in reference_rows():
        producer.send("reference", key=view.encode(), value=json.dumps({"view": view, "row": row}).encode())
    producer.flush(60)
    producer.close()


def child(directory: Path, bootstrap: str) -> None:
    """A pipeline that says when it gave its first answer and its first fresh one, then runs on.

    Before the first batch of a new history nothing is known and a snapshot is of now: that is not a fresh answer.
    """
    begin = time.time()
    spark = build_session("bench", driver_memory="3g")
    session_s = time.time() - begin
    # Not made to wait until it has caught up: what it answers meanwhile is what is measured.
    settings = PipelineSettings(ready_within_s=0.0)
    pipeline = LivePipeline.start(spark, Catalogue.load(), bootstrap, directory / "data", settings)
    opened_s, first_s = time.time() - begin, None
    restored, youngest, batch_s = pipeline.live.newest.number, float("inf"), None
    while youngest >= FRESH_S and time.time() - begin < PATIENCE_S:
        with pipeline.snapshot() as snapshot:
            if snapshot.offsets:
                snapshot.frame("order_events", spark.newSession()).limit(1).collect()
                youngest = min(youngest, time.time() - snapshot.as_of.timestamp())
                first_s = first_s or time.time() - begin
                if snapshot.generation > restored:
                    batch_s = batch_s or time.time() - begin
        time.sleep(0.1)
    fresh = f"{time.time() - begin:.1f} s" if youngest < FRESH_S else f"not within {PATIENCE_S:g} s"
    parts = [f"answer younger than {FRESH_S:g} s: {fresh} (youngest {youngest:.1f} s)", f"session {session_s:.1f} s",
             f"history opened {opened_s:.1f} s", f"first answer {_told(first_s)}", f"with new events {_told(batch_s)}",
             f"processor time {cpu_s(spark):.0f} s"]  # fmt: skip
    print("; ".join(parts), flush=True)
    time.sleep(600)


def _told(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:.1f} s"


def cpu_s(spark: SparkSession) -> float:
    """Processor seconds, user and system, of this process and of the driver's Java machine."""
    pid = spark._jvm.java.lang.ProcessHandle.current().pid()
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    own = os.times()
    return own.user + own.system + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the phases asked for and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--backlog", type=int, default=1_000_000, help="messages of the backlog (default 1,000,000)")
    parser.add_argument("--seconds", type=int, default=90, help="length of the freshness phase after its warm-up")
    parser.add_argument("--warm", type=int, default=150, help="seconds at a low rate before the freshness phase")
    parser.add_argument("--out", type=Path, help="write the table here as well")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(Path(options.child[0]), options.child[1])
        return
    with tempfile.TemporaryDirectory(prefix="nlq-bench-") as folder, Broker(Path(folder) / "broker") as broker:
        ensure_topics(broker.connection)
        publish_reference(broker)
        spark = build_session("bench", driver_memory="4g", scratch=Path(folder))
        bench = Bench(Path(folder), spark, broker)
        for phase in options.phases.split(","):
            match phase:
                case "freshness":
                    bench.freshness(seconds=options.seconds, idle=options.warm)
                case "backlog":
                    bench.backlog(options.backlog)
                case _:
                    getattr(bench, phase)()
        bench.stop()
        if options.out:
            options.out.write_text(report(bench.lines, sys.argv[1:]))
        spark.stop()


def report(lines: list[str], arguments: list[str]) -> str:
    """The page with the figures."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    made = f"`python -m evals.bench {' '.join(arguments)}` on {time.strftime('%Y-%m-%d')}: {machine}."
    note = "Broker, generator, pipeline and queries share the machine. Times are p50 / p95 / p99 / max."
    head = ["# Benchmark of the live path", "", f"{made} {note}", "", "| what | figure | load average |"]
    return "\n".join([*head, "| --- | --- | --- |", *lines, ""])


if __name__ == "__main__":
    main()
