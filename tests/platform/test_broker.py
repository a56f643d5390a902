"""The embedded broker is a real Kafka: messages survive stops and kills, faults are named with their fix."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, KafkaAdminClient

from streaming import broker as broker_module
from streaming.broker import Broker, BrokerError, NoDiskSpace, PortInUse
from streaming.connection import KafkaConnection
from streaming.java import JavaMissing
from streaming.topics import TOPICS, BrokerUnreachable, Topic, ensure_topics


def produce(connection, topic, *values):
    producer = KafkaProducer(**connection.python_producer())
    sent = [producer.send(topic, key=b"AAPL", value=value) for value in values]
    metadata = [one.get(30) for one in sent]
    producer.close()
    return metadata


def consume(connection, topic, expected):
    consumer = KafkaConsumer(
        topic, auto_offset_reset="earliest", **connection.python_client(), max_partition_fetch_bytes=16 * 1024**2
    )
    values, deadline = [], time.monotonic() + 30
    while len(values) < expected and time.monotonic() < deadline:
        for records in consumer.poll(500).values():
            values += [record.value for record in records]
    consumer.close()
    return values


@pytest.fixture(scope="module")
def topics(broker):
    """The system's own topics under names of this module."""
    mine = [
        Topic(
            name=f"platform-{topic.name}",
            by_symbol=topic.by_symbol,
            compacted=topic.compacted,
            retention_ms=topic.retention_ms,
        )
        for topic in TOPICS
    ]
    return ensure_topics(broker.connection, partitions=4, topics=mine), mine


def test_topics_are_made_once_with_their_partitions(broker, topics):
    made, mine = topics
    assert set(made) == {topic.name for topic in mine}
    assert ensure_topics(broker.connection, partitions=4, topics=mine) == ()
    admin = KafkaAdminClient(**broker.connection.python_client())
    described = {entry["name"]: len(entry["partitions"]) for entry in admin.describe_topics(list(made))}
    admin.close()
    assert described == {
        "platform-orders": 4,
        "platform-market_trades": 4,
        "platform-quotes": 4,
        "platform-reference": 1,
        "platform-alerts": 1,
        "platform-dead_letters": 1,
    }


def test_reference_is_compacted_and_events_are_bounded(broker, topics):
    admin = KafkaAdminClient(**broker.connection.python_client())
    resources = [ConfigResource("topic", f"platform-{name}") for name in ("reference", "orders")]
    described = admin.describe_configs(resources)["topic"]
    admin.close()
    reference, orders = (
        {name: entry["value"] for name, entry in described[f"platform-{topic}"].items()}
        for topic in ("reference", "orders")
    )
    assert (reference["cleanup.policy"], reference["retention.bytes"]) == ("compact", "-1")
    assert (orders.get("cleanup.policy", "delete"), int(orders["retention.bytes"])) == ("delete", 2 * 1024**3)
    assert int(orders["max.message.bytes"]) > 2_000_000


def test_one_symbol_has_one_partition_number_in_all_keyed_topics(broker, topics):
    partitions = {
        topic: produce(broker.connection, f"platform-{topic}", b"{}")[0].partition
        for topic in ("orders", "market_trades", "quotes")
    }
    assert len(set(partitions.values())) == 1


def test_message_of_two_megabytes_and_its_dead_letter_fit(broker, topics):
    large = os.urandom(1_000_000).hex().encode()
    produce(broker.connection, "platform-orders", large)
    produce(broker.connection, "platform-dead_letters", large * 4)
    assert large in consume(broker.connection, "platform-orders", 2)
    assert [len(value) for value in consume(broker.connection, "platform-dead_letters", 1)] == [8_000_000]


def test_spark_reads_what_was_produced(broker, topics, spark):
    ensure_topics(broker.connection, topics=[Topic(name="for-spark", by_symbol=True)])
    produce(broker.connection, "for-spark", *(str(n).encode() for n in range(50)))
    frame = spark.read.format("kafka").options(**broker.connection.spark_options(), subscribe="for-spark").load()
    rows = frame.selectExpr("CAST(value AS STRING) v", "partition", "offset").collect()
    assert sorted(int(row.v) for row in rows) == list(range(50))


def test_listens_on_loopback_only(broker):
    with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
        socket.create_connection((own_address(), broker.port), timeout=2)


def own_address():
    """This machine's address beyond loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address; connecting a datagram socket sends nothing
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return probe.getsockname()[0]


def test_messages_outlive_a_stop_a_kill_and_a_change_of_port(tmp_path):
    broker = Broker(tmp_path)
    with broker:
        first = broker.port
        ensure_topics(broker.connection)
        produce(broker.connection, "orders", b"before the stop")
    assert not broker.running
    with broker:
        produce(broker.connection, "orders", b"before the kill")
        broker.kill()
    assert not broker.running
    with broker:
        assert broker.port != first
        assert sorted(consume(broker.connection, "orders", 2)) == [b"before the kill", b"before the stop"]
    assert "Kafka Server started" in broker.log_file.read_text()


def test_broker_of_a_killed_program_is_ended_and_its_folder_taken_over(tmp_path):
    program = "import os, sys; from streaming.broker import Broker; b = Broker(sys.argv[1]).start(); "
    program += "print(b.pid, flush=True); sys.stdin.read()"
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    orphan = int(owner.stdout.readline())
    with pytest.raises(BrokerError, match=f"process {orphan}, started by process {owner.pid}"):
        Broker(tmp_path).start()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with Broker(tmp_path) as heir:
        assert heir.pid != orphan
        with pytest.raises(ProcessLookupError):
            os.kill(orphan, 0)


def test_port_in_use_names_port_and_fix(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"Port {port} on 127.0.0.1 is used .* NLQ_KAFKA_PORT"):
            Broker(tmp_path, port).start()


def test_no_java(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(JavaMissing, match="Java 17 or 21 is needed"):
        Broker(tmp_path).start()


def test_little_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(broker_module, "LEAST_FREE_BYTES", 2**60)
    with pytest.raises(NoDiskSpace, match=r"MiB free and the broker needs at least .* NLQ_DATA"):
        Broker(tmp_path).start()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NoDiskSpace, match="cannot write to"):
        Broker(tmp_path / "file" / "data").start()


def test_data_of_another_kind_quotes_the_log(tmp_path):
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "meta.properties").write_text("version=1\nnode.id=77\ncluster.id=elsewhere\n")
    with pytest.raises(BrokerError, match=r"(?s)Kafka ended while starting .*broker\.log, ends:\n.*meta\.properties"):
        Broker(tmp_path).start()


def test_no_broker_names_the_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BrokerUnreachable, match=f"No Kafka broker answers at {address}"):
            ensure_topics(KafkaConnection(bootstrap_servers=address), timeout_s=1)


def test_stop_twice_and_stop_before_start_do_no_harm(tmp_path):
    broker = Broker(tmp_path)
    broker.stop()
    assert broker.pid is None
