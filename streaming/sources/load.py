"""Load for benchmarks: a block of simulated messages, encoded once and sent again and again with fresh ids and times.

A lap is self-contained: its last messages cancel every order that still works. Ids of a lap differ from those of all
others in one number, event times are when each message is due, so that the pipeline sees neither duplicates nor late
events, and freshness can be measured on event time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from streaming.messages import EVENT_TOPICS, SCHEMA_VERSION, encode
from streaming.sources.disorder import TIME_FIELD
from streaming.sources.sessions import Calendar, from_us
from streaming.sources.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from streaming.connection import KafkaConnection

SENTINEL: Final = 7_777_777
"""Stands in the ids of the block where the number of the lap goes; seven digits follow it."""
IDS_OF_A_LAP: Final = 10_000_000
FIRST_LAP: Final = 1_000_000

Prepared = tuple[str, bytes, bytes, bytes]
"""Topic, key, and the value before and behind its time."""


class LoadSource:
    """A block of `size` messages that can be sent for ever."""

    def __init__(
        self, *, size: int = 60_000, seed: int = 7, rate: float = 25_000.0, first_lap: int | None = None
    ) -> None:
        """Simulate and encode the block.

        Args:
            size: messages of the simulator; the cancels that end its last orders come on top.
            seed: of the simulator.
            rate: at which orders live as they would; it does not bind the speed of sending.
            first_lap: the number of the first lap, by default the second at which it is made: two runs share no ids.
        """
        self.lap = first_lap if first_lap is not None else FIRST_LAP + int(time.time()) % 8_000_000
        start_us = 1_795_000_000_000_000
        today = from_us(start_us).date()
        simulator = Simulator(start_us=start_us, seed=seed, rate=rate, calendar=Calendar(today, today, start_us),
                              first_id=SENTINEL * IDS_OF_A_LAP)  # fmt: skip
        self.block: list[Prepared] = []
        for message in simulator.run(1 << 62):
            self._prepare(message.topic, message.key, message.value)
            if len(self.block) >= size:
                break
        for message in simulator.stop():
            self._prepare(message.topic, message.key, message.value)

    def messages(self) -> Iterator[Prepared]:
        """The block in laps without end, the lap's number in its ids."""
        sentinel = str(SENTINEL).encode()
        while True:
            number = str(self.lap).encode()
            for topic, key, before, behind in self.block:
                yield topic, key, before.replace(sentinel, number), behind.replace(sentinel, number)
            self.lap += 1

    def _prepare(self, topic: str, key: str, value: dict[str, Any] | bytes | None) -> None:
        assert isinstance(value, dict)
        assert topic in EVENT_TOPICS
        before, behind = encode(value).split(str(value[TIME_FIELD[topic]]).encode())
        self.block.append((topic, key.encode(), before, behind))


class LoadSink:
    """The fast native client (a development dependency); keys go to the same partitions as with kafka-python."""

    def __init__(self, connection: KafkaConnection) -> None:
        from confluent_kafka import Producer

        self._client = Producer(
            connection.rdkafka()
            | {"enable.idempotence": True, "acks": "all", "linger.ms": 5, "compression.type": "lz4",
               "partitioner": "murmur2_random", "queue.buffering.max.messages": 200_000}
        )  # fmt: skip
        self._headers = [("producer", b"load"), ("schema_version", str(SCHEMA_VERSION).encode())]
        self.failed = 0

    def send(self, topic: str, key: bytes, value: bytes) -> None:
        """Queue one message; waits while the queue is full."""
        while True:
            try:
                self._client.produce(topic, value, key, headers=self._headers, on_delivery=self._delivered)
                return
            except BufferError:
                self._client.poll(0.05)

    def poll(self) -> None:
        """Take in acknowledgements."""
        self._client.poll(0)

    def flush(self) -> None:
        """Wait until everything is acknowledged."""
        self._client.flush()

    def _delivered(self, error: object, _: object) -> None:
        if error is not None:
            self.failed += 1


def run_load(
    source: LoadSource, sink: LoadSink, *, rate: float | None, count: int | None = None, seconds: float | None = None,
    stop: Event | None = None,
) -> tuple[int, float]:  # fmt: skip
    """Send at `rate` messages a second, or with None as fast as possible. Open loop: a slow broker makes events old.

    Returns:
        Messages sent, and the seconds that it took until all were acknowledged.
    """
    begun, sent = time.time(), 0
    start_us = int(begun * 1e6)
    for topic, key, before, behind in source.messages():
        if sent % 64 == 0:
            now = time.time()
            if rate is not None and (ahead := sent / rate - (now - begun)) > 0:
                time.sleep(ahead)
                now = time.time()
            sink.poll()
            if (seconds is not None and now - begun >= seconds) or (stop is not None and stop.is_set()):
                break
        if count is not None and sent >= count:
            break
        at_us = start_us + int(sent * 1e6 / rate) if rate is not None else int(now * 1e6)
        sink.send(topic, key, b"%s%d%s" % (before, at_us, behind))
        sent += 1
    sink.flush()
    return sent, time.time() - begun
