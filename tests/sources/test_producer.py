"""Messages reach Kafka once and in order, also when the broker goes away for a while."""

import threading
import time

import pytest
from kafka import KafkaConsumer, TopicPartition

from streaming.broker import Broker
from streaming.connection import KafkaConnection
from streaming.messages import Message
from streaming.sources.producer import DeliveryFailed, KafkaSink, ProducerStopped
from streaming.sources.pump import Pace, pump
from streaming.topics import Topic, ensure_topics


def read_all(connection: KafkaConnection, topic: str) -> list:
    consumer = KafkaConsumer(**connection.python_client(), auto_offset_reset="earliest")
    partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends, found = consumer.end_offsets(partitions), []
    while any(consumer.position(p) < ends[p] for p in partitions):
        for batch in consumer.poll(timeout_ms=500).values():
            found.extend(batch)
    consumer.close()
    return found


def numbered(topic: str, n: int, start: int = 0) -> list[Message]:
    return [Message(topic, f"S{i % 7}", {"n": i}, 0) for i in range(start, start + n)]


def test_messages_arrive_once_keyed_and_in_order(broker):
    ensure_topics(broker.connection, partitions=3, topics=[Topic(name="src-order", by_symbol=True)])
    sink = KafkaSink(broker.connection, "test")
    assert pump(numbered("src-order", 3000), sink) == 3000
    sink.flush()
    found = read_all(broker.connection, "src-order")
    sink.close()
    assert len(found) == 3000
    place, numbers = {}, {}
    for record in found:
        assert place.setdefault(record.key, record.partition) == record.partition, "one key, one partition"
        numbers.setdefault(record.key, []).append(int(record.value[5:-1]))
        assert dict(record.headers) == {"producer": b"test", "schema_version": b"1"}
    assert len(set(place.values())) > 1
    assert all(n == sorted(n) for n in numbers.values())


def test_same_key_has_the_same_partition_in_all_topics(broker):
    topics = [Topic(name=f"src-alike-{n}", by_symbol=True) for n in range(2)]
    ensure_topics(broker.connection, partitions=3, topics=topics)
    sink = KafkaSink(broker.connection, "test")
    for topic in topics:
        pump(numbered(topic.name, 50), sink)
    sink.flush()
    sink.close()
    first, second = ({r.key: r.partition for r in read_all(broker.connection, t.name)} for t in topics)
    assert first == second


def test_missing_topic_is_said_and_stops_on_demand(broker):
    states: list[str] = []
    stop = threading.Event()
    sink = KafkaSink(broker.connection, "test", stop=stop, on_state=states.append)
    threading.Timer(1.0, stop.set).start()

    def send() -> None:
        pump(numbered("src-nowhere", 1), sink)
        sink.flush()

    with pytest.raises((ProducerStopped, DeliveryFailed), match="src-nowhere"):
        send()
    sink.close()


def test_broker_that_is_down_at_start_is_waited_for():
    states: list[str] = []
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(ProducerStopped):
        KafkaSink(KafkaConnection(bootstrap_servers="127.0.0.1:1"), "test", stop=stop, on_state=states.append)
    assert "no broker answers at 127.0.0.1:1" in states[0]


def test_nothing_is_lost_or_doubled_when_the_broker_dies_midway(tmp_path):
    total = 30_000
    states: list[str] = []
    with Broker(tmp_path) as first:
        port = first.port
        ensure_topics(first.connection, partitions=2, topics=[Topic(name="src-outage", by_symbol=True)])
        sink = KafkaSink(first.connection, "test", on_state=states.append)
        half = threading.Event()

        def send() -> None:
            for message in numbered("src-outage", total):
                if message.value["n"] == total // 3:
                    half.set()
                sink.send(message)
            sink.flush()

        worker = threading.Thread(target=send)
        worker.start()
        assert half.wait(30)
        first.kill()
        time.sleep(2.5)
        assert worker.is_alive(), "the producer waits: too much is in flight"
    with Broker(tmp_path, port) as second:
        worker.join(60)
        assert not worker.is_alive()
        found = read_all(second.connection, "src-outage")
        sink.close()
    numbers = sorted(int(r.value[5:-1]) for r in found)
    assert numbers == list(range(total))
    assert any("does not acknowledge" in s or "does not answer" in s for s in states)


class Remembering:
    """A sink that notes when it was given what."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def send(self, message: Message) -> None:
        self.times.append(time.time())


def test_pace_follows_event_time_and_its_speed():
    sink = Remembering()
    messages = [Message("t", "k", {}, 1_000_000 + n * 100_000) for n in range(11)]
    pump(messages, sink, pace=Pace(1_000_000, 2.0))
    assert 0.45 < sink.times[-1] - sink.times[0] < 1.5
    sink = Remembering()
    pump(messages, sink, pace=Pace(1_000_000, None))
    assert sink.times[-1] - sink.times[0] < 0.2


def test_pump_stops_when_told_and_at_its_count():
    sink, stop = Remembering(), threading.Event()
    threading.Timer(0.3, stop.set).start()
    begun = time.monotonic()
    assert (
        pump([Message("t", "k", {}, 0), Message("t", "k", {}, 3_600_000_000)], sink, pace=Pace(0, 1.0), stop=stop) <= 1
    )
    assert time.monotonic() - begun < 3
    assert pump(numbered("t", 10), sink, count=4) == 4
