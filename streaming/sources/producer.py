"""Sends messages to Kafka: idempotent, acks=all, keyed by symbol, at most a bounded number in flight.

Guarantee: a message for which `send` returned is written once, in the order of its key, or `flush` raises. A broker
that goes away is waited for without limit; the state says so.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from streaming.messages import SCHEMA_VERSION, Message, encode

if TYPE_CHECKING:
    from streaming.connection import KafkaConnection

MARK_EVERY = 500
"""Each so many messages one is watched; waiting for it bounds what is in flight."""
MARKS_IN_FLIGHT = 40
DAY_MS = 86_400_000

StateListener = Callable[[str], None]


class ProducerStopped(RuntimeError):
    """The producer was told to stop while it waited for the broker; what was in flight may not be written."""


class DeliveryFailed(RuntimeError):
    """The broker refused a message for good; the message says which topic and why."""


class KafkaSink:
    """A producer with back-pressure. Not for use by several threads."""

    def __init__(
        self, connection: KafkaConnection, producer: str, *, stop: Event | None = None,
        on_state: StateListener = lambda _: None,
    ) -> None:  # fmt: skip
        """Connect; waits for the broker as long as `stop` is not set, and tells `on_state` what it waits for.

        Raises:
            ProducerStopped: `stop` was set before a broker answered.
        """
        self.connection = connection
        self.state = "connecting"
        self._on_state = on_state
        self._stop = stop or Event()
        self._headers = [("producer", producer.encode()), ("schema_version", str(SCHEMA_VERSION).encode())]
        self._marks: deque[Any] = deque()
        self._failure: BaseException | None = None
        self.sent = 0
        self._client = self._connect()
        self._say("connected")

    def send(self, message: Message) -> None:
        """Queue one message; blocks while too many are in flight.

        Raises:
            DeliveryFailed: an earlier message was refused.
            ProducerStopped: told to stop while waiting.
        """
        self.send_bytes(message.topic, message.key.encode(), encode(message.value))

    def send_bytes(
        self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        """Queue bytes as they are."""
        if self._failure is not None:
            raise DeliveryFailed(f"{topic}: {self._failure}") from self._failure
        while True:
            try:
                future = self._client.send(topic, value=value, key=key, headers=headers or self._headers)
                break
            except KafkaError as error:  # no metadata of the topic, or its queue is full
                self._wait_a_moment(f"cannot send to {topic!r} ({type(error).__name__}: {error})")
        future.add_errback(self._failed)
        self.sent += 1
        if self.sent % MARK_EVERY == 0:
            self._marks.append(future)
            if len(self._marks) > MARKS_IN_FLIGHT:
                self._await(self._marks.popleft())

    def flush(self) -> None:
        """Wait until everything sent is written.

        Raises:
            DeliveryFailed: a message was refused.
            ProducerStopped: told to stop while the broker was away.
        """
        while self._marks:
            self._await(self._marks.popleft())
        while True:
            try:
                self._client.flush(timeout=2)
                break
            except KafkaError:
                self._wait_a_moment("the broker does not answer; messages wait")
        if self._failure is not None:
            raise DeliveryFailed(str(self._failure)) from self._failure
        self._say("connected")

    def close(self) -> None:
        """Flush for at most five seconds and disconnect."""
        self._client.close(timeout=5)
        self._say("closed")

    def end_offsets(self, topic: str) -> int:
        """Messages ever written to a topic, over all partitions."""
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(**self.connection.python_client())
        try:
            partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
            return sum(consumer.end_offsets(partitions).values()) if partitions else 0
        finally:
            consumer.close()

    def _connect(self) -> KafkaProducer:
        settings = self.connection.python_producer() | {
            # At a few hundred messages a second a shorter wait sends each alone: twice the processor time, here and in
            # the broker.
            "linger_ms": 50,
            "batch_size": 256 * 1024,
            # A message outlives any outage: the pipeline must lose nothing, and a feed has nowhere else to put it.
            "delivery_timeout_ms": 30 * DAY_MS,
            "max_block_ms": 2_000,
            "bootstrap_timeout_ms": 3_000,
            "reconnect_backoff_max_ms": 2_000,
            "client_id": "nlq-sources",
        }
        while True:
            try:
                return KafkaProducer(**settings)
            except (KafkaError, OSError) as error:
                self._wait_a_moment(
                    f"no broker answers at {self.connection.bootstrap_servers} ({type(error).__name__}); trying again"
                )

    def _await(self, future: Any) -> None:
        begun = time.monotonic()
        while not future.is_done:
            # Short waits: a healthy broker answers within milliseconds.
            if self._stop.wait(0.002) and time.monotonic() - begun > 5:
                raise ProducerStopped(f"stopped while {self.connection.bootstrap_servers} did not acknowledge messages")
            if time.monotonic() - begun > 2:
                self._say("the broker does not acknowledge; messages wait")
        self._say("connected")

    def _failed(self, error: BaseException) -> None:
        self._failure = self._failure or error

    def _wait_a_moment(self, why: str) -> None:
        self._say(why)
        if self._stop.wait(1.0):
            raise ProducerStopped(why)

    def _say(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self._on_state(state)
