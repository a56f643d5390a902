"""A killed pipeline and a broker that is away: nothing lost, nothing twice, counted by topic, partition and offset."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaProducer

from streaming.broker import Broker
from streaming.catalogue import Catalogue
from streaming.live_views import rows_of
from streaming.pipeline import LivePipeline
from streaming.settings import PipelineSettings
from streaming.topics import ensure_topics
from tests.streaming.conftest import REFERENCE, order, quote, trade, until

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

Places = set[tuple[str, int, int]]


def wave(n: int, size: int = 60) -> list[Any]:
    """Orders that open in one wave and end in the next, quotes, prints, and a broken message."""
    sent: list[Any] = [("orders", b"{broken")]
    for i in range(size):
        t, symbol, venue = n * 400 + i, *(("ABC", "XNAS"), ("XYZ", "XNYS"))[i % 2]
        place = {"symbol": symbol, "venue": venue}
        sent.append(order("NEW", f"O{n}-{i}", t, f"n{n}-{i}", **place))
        sent.append(quote(t, n * size + i, 9.9, 10.0, **place))
        sent.append(trade(t, f"t{n}-{i}", 10.0, 1.0, **place))
        if n:
            sent.append(order("CANCEL", f"O{n - 1}-{i}", t, f"c{n}-{i}", leaves_qty=0.0, **place))
    return sent


def send(broker: Broker, messages: list[Any]) -> Places:
    producer = KafkaProducer(**broker.connection.python_producer())
    pending = []
    for topic, body in messages:
        key = body["symbol"].encode() if isinstance(body, dict) and "symbol" in body else b"ABC"
        value = json.dumps(body).encode() if isinstance(body, dict) else body
        pending.append(producer.send(topic, key=key, value=value, headers=[("producer", b"test")]))
    found = {(m.topic, m.partition, m.offset) for m in (p.get(timeout=60) for p in pending)}
    producer.close()
    return found


def steps(data: Path) -> int:
    index = data / "state" / "manifests.jsonl"
    return len(index.read_text().splitlines()) if index.exists() else 0


@pytest.mark.timeout(1500)
def test_kill_nine_and_an_absent_broker_lose_and_double_nothing(spark: SparkSession, tmp_path: Path) -> None:
    data = tmp_path / "data"
    broker = Broker(tmp_path / "broker").start()
    port = broker.port
    try:
        ensure_topics(broker.connection)
        send(broker, [("reference", {"view": v, "row": row}) for v, rows in REFERENCE.items() for row in rows])
        sent = send(broker, wave(0))
        log = (tmp_path / "child.log").open("w")
        child = subprocess.Popen([sys.executable, "-m", "tests.streaming.crash_child", broker.bootstrap_servers,
                                  str(data)], start_new_session=True, stdout=log, stderr=log)  # fmt: skip
        try:
            n = 1
            while steps(data) < 2:
                assert child.poll() is None, (tmp_path / "child.log").read_text()[-3000:]
                sent |= send(broker, wave(n))
                n += 1
                _pause(2.0)
            sent |= send(broker, wave(n))
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        broker.stop()

        settings = PipelineSettings(ready_within_s=0.0, history_every_s=1.0)
        pipeline = LivePipeline.start(spark, Catalogue.load(), f"127.0.0.1:{port}", data, settings)
        try:
            until(lambda: pipeline.status()["state"] == "BROKER_DOWN", 300)
            assert str(port) in pipeline.status()["detail"]
            with pipeline.snapshot() as snapshot:
                assert snapshot.generation > 0, "what history has can be asked while the broker is away"
            broker = Broker(tmp_path / "broker", port=port).start()
            sent |= send(broker, wave(n + 1))
            sent |= send(broker, [(topic, body) for topic, body in wave(0) if topic == "market_trades"])
            until(lambda: sum(pipeline.live.newest.counts.values()) >= len(sent), 600)
            assert _places(pipeline, spark) == (len(sent), sent)
            with pipeline.snapshot() as snapshot:
                session = spark.newSession()
                working = snapshot.frame("orders", session).where("status = 'WORKING'").count()
                assert working == 60, "state came back with the history"
                dead = [r[0] for r in snapshot.frame("dead_letters", session).select("error_class").collect()]
                assert sorted(dead) == ["DUPLICATE"] * 60 + ["PARSE"] * (n + 2), "ids are known across the kill"
            until(lambda: pipeline.status()["state"] == "RUNNING", 300)
        finally:
            pipeline.close()
        last = pipeline.history.last_manifest()
        assert last is not None
        written = pipeline.history.frame(spark, last.version).select("topic", "partition", "offset").collect()
        assert (len(written), {tuple(row) for row in written}) == (len(sent), sent)
    finally:
        broker.stop()


def _places(pipeline: LivePipeline, spark: SparkSession) -> tuple[int, Places]:
    generation = pipeline.live.pin()
    try:
        frame = rows_of(generation, spark, generation.base_version, pipeline.history.frame).where("kind <> 'W'")
        rows = [tuple(row) for row in frame.select("topic", "partition", "offset").collect()]
    finally:
        pipeline.live.release(generation)
    return len(rows), set(rows)


def _pause(seconds: float) -> None:
    import time

    time.sleep(seconds)
