"""Ties event time to the clock of the wall: sends each message when it is due, or as fast as the sink takes them."""

from __future__ import annotations

import time
from threading import Event
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streaming.messages import Message


class Sink(Protocol):
    """Takes messages; may block while it has too many."""

    def send(self, message: Message) -> None:
        """Take one message."""
        ...


class Pace:
    """When an event time is due. Speed 1 is real time, None is as fast as possible."""

    def __init__(self, start_us: int, speed: float | None = 1.0, wall: float | None = None) -> None:
        self.start_us = start_us
        self.speed = speed
        self.wall = time.time() if wall is None else wall

    def due(self, event_us: int) -> float:
        """Wall-clock second (epoch) at which the event is due."""
        if self.speed is None:
            return 0.0
        return self.wall + (event_us - self.start_us) / (self.speed * 1e6)


def pump(
    messages: Iterable[Message],
    sink: Sink,
    *,
    pace: Pace | None = None,
    stop: Event | None = None,
    count: int | None = None,
    unsent: list[Message] | None = None,
) -> int:
    """Send messages until they end, `count` is reached or `stop` is set. Returns how many were sent.

    A stop may find a message that was taken from the source and is not due: it is put into `unsent`.

    The source is open loop: when the sink is slow, messages go out late with their own event times, none is skipped.
    """
    stop = stop or Event()
    sent, now = 0, 0.0
    source = iter(messages)
    while not stop.is_set() and (count is None or sent < count):
        message = next(source, None)
        if message is None:
            break
        if pace is not None and message.event_us:
            due = pace.due(message.event_us)
            if due > now:
                now = time.time()
                while due > now and not stop.is_set():
                    # Small steps, so that a stop is noticed; a millisecond early is on time.
                    stop.wait(min(due - now + 0.001, 0.25))
                    now = time.time()
            if stop.is_set() and due > now:
                if unsent is not None:
                    unsent.append(message)
                break
        sink.send(message)
        sent += 1
    return sent
