"""The topics of the system, and the settings that each is made with."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from streaming.connection import LARGEST_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streaming.connection import KafkaConnection

DAY_MS = 24 * 3600 * 1000


class BrokerUnreachable(RuntimeError):
    """No broker answers at the given address; the message names it and what to look at."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic and how long it keeps its messages."""

    name: str
    by_symbol: bool = False
    """Keyed by symbol and cut into as many partitions as its sisters, so that one symbol has one partition number in
    all of them."""
    compacted: bool = False
    """Keeps the newest message of every key for ever, and no others for long."""
    retention_ms: int = 7 * DAY_MS
    """Must be longer than the longest time that the pipeline may stand still, or events are lost."""
    retention_bytes: int = 2 * 1024**3
    """Of one partition: what bounds the disk. At 400 bytes an event 5 million events; the history keeps them all."""


TOPICS = (
    Topic(name="orders", by_symbol=True),
    Topic(name="market_trades", by_symbol=True),
    Topic(name="quotes", by_symbol=True, retention_ms=2 * DAY_MS),
    Topic(name="reference", compacted=True),
    Topic(name="alerts", retention_ms=30 * DAY_MS),
    Topic(name="dead_letters", retention_ms=30 * DAY_MS),
)


def ensure_topics(
    connection: KafkaConnection,
    *,
    partitions: int = 2,
    replication: int = 1,
    topics: Iterable[Topic] = TOPICS,
    timeout_s: float = 30.0,
) -> tuple[str, ...]:
    """Make the topics that are not there yet. Existing ones stay as they are, whatever their settings.

    Args:
        connection: the cluster.
        partitions: of each topic keyed by symbol; the others have one.
        replication: copies of each message, at most the number of brokers.
        topics: what to make.
        timeout_s: how long to wait for the broker.

    Returns:
        Names of the topics that were made.

    Raises:
        BrokerUnreachable: nothing answers at the address.
    """
    admin = _admin(connection, timeout_s)
    try:
        there = set(admin.list_topics())
        made = []
        for topic in topics:
            if topic.name in there:
                continue
            try:
                admin.create_topics(
                    [_new_topic(topic, partitions, replication)],
                    timeout_ms=int(timeout_s * 1000),
                    wait_for_metadata=True,
                )
                made.append(topic.name)
            except TopicAlreadyExistsError:
                continue  # another program was faster
    except KafkaError as error:
        raise BrokerUnreachable(
            f"Kafka at {connection.bootstrap_servers} did not make the topics ({type(error).__name__}: {error})"
        ) from error
    finally:
        admin.close()
    return tuple(made)


def _new_topic(topic: Topic, partitions: int, replication: int) -> NewTopic:
    settings = {
        "max.message.bytes": str(LARGEST_MESSAGE),
        "retention.ms": str(topic.retention_ms),
        "retention.bytes": str(topic.retention_bytes),
    }
    if topic.compacted:
        settings |= {
            "cleanup.policy": "compact",
            "retention.ms": "-1",
            "retention.bytes": "-1",
            "delete.retention.ms": str(7 * DAY_MS),
        }
    return NewTopic(
        name=topic.name,
        num_partitions=partitions if topic.by_symbol else 1,
        replication_factor=replication,
        topic_configs=settings,
    )


def _admin(connection: KafkaConnection, timeout_s: float) -> KafkaAdminClient:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return KafkaAdminClient(**connection.python_client(), bootstrap_timeout_ms=2000)
        except (KafkaError, OSError) as error:
            if time.monotonic() > deadline:
                raise BrokerUnreachable(
                    f"No Kafka broker answers at {connection.bootstrap_servers} "
                    f"({type(error).__name__}). Is it running, and are address, TLS and user right (NLQ_KAFKA_*)?"
                ) from error
            time.sleep(0.3)
