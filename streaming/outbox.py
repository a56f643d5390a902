"""What the pipeline itself sends: dead letters and alerts, at least once, keyed so that a reader can drop repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming.connection import KafkaConnection

DEAD_LETTERS: Final = "dead_letters"
ALERTS: Final = "alerts"
ACK_TIMEOUT_S: Final = 20.0


class Outbox:
    """An idempotent producer that is made when there is something to send."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._producer: Any = None

    def dead_letters(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send to the dead-letter topic; see `send`."""
        self.send(DEAD_LETTERS, messages)

    def alerts(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send to the alerts topic; see `send`."""
        self.send(ALERTS, messages)

    def send(self, topic: str, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send (key, value) messages and wait until the broker has them all.

        Raises:
            KafkaError: not all were acknowledged in time; send them again.
        """
        if not messages:
            return
        if self._producer is None:
            from kafka import KafkaProducer

            self._producer = KafkaProducer(**self._connection.python_producer())
        headers = [("producer", b"pipeline"), ("schema_version", b"1")]
        pending = [self._producer.send(topic, key=k.encode(), value=v, headers=headers) for k, v in messages]
        self._producer.flush(ACK_TIMEOUT_S)
        for future in pending:
            future.get(timeout=ACK_TIMEOUT_S)

    def close(self) -> None:
        """End the producer; what was sent is already acknowledged."""
        if self._producer is not None:
            self._producer.close(timeout=5)
            self._producer = None
