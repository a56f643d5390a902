"""The rest of the reference topic, ahead of the batch that begins it.

A batch takes its share of every partition, so that in a backlog an event can come before the instrument, trader or
account that it names. Whoever sends reference rows sends them first: reading them to the end before the events are
checked keeps good events out of the dead letters. The messages come again in their own batches, where those that
cannot be used become dead letters; taking a usable one twice changes nothing.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streaming.messages import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streaming.connection import KafkaConnection

log = logging.getLogger(__name__)

Message = tuple[bytes | None, bytes | None]
"""Key and value."""

_PATIENCE_S: Final = 20.0
"""A topic of reference rows is read in well under a second; a broker that stalls must not hold up the events for ever."""


def read_ahead(connection: KafkaConnection, begin: Mapping[int, int]) -> list[Message]:
    """Messages of the reference topic from `begin` (partition → offset) to its end, in order within a partition.

    A broker that fails on the way yields what was read so far: the rest comes with later batches.
    """
    messages: list[Message] = []
    consumer = KafkaConsumer(enable_auto_commit=False, auto_offset_reset="earliest", **connection.python_client())
    try:
        places = {TopicPartition(REFERENCE, partition): offset for partition, offset in begin.items()}
        ends = consumer.end_offsets(list(places))
        waiting = [place for place, offset in places.items() if offset < ends[place]]
        consumer.assign(waiting)
        for place in waiting:
            consumer.seek(place, places[place])
        deadline = time.monotonic() + _PATIENCE_S
        while waiting and time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=200).values():
                messages += [(record.key, record.value) for record in records]
            # Compaction leaves gaps: the position says more than the last offset seen.
            waiting = [place for place in waiting if consumer.position(place) < ends[place]]
    except KafkaError as error:
        log.warning("the reference topic was read ahead only in part: %s", error)
    finally:
        consumer.close()
    return messages
