"""Bitstamp's public WebSocket: a real market, order by order, without a key.

Subscribes to single orders, trades and the order book of one pair, and runs until stopped. The feed has no sequence
numbers. A gap is a lost connection, a `bts:request_reconnect`, or silence longer than `SILENCE_S`; each is counted with
its times in `gaps`, and the decoder is told, because what happened in it cannot be had again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from websockets.exceptions import InvalidHandshake, InvalidMessage, WebSocketException
from websockets.sync.client import connect

from streaming.sources.bitstamp import NotBitstamp, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from websockets.sync.connection import Connection

    from streaming.messages import Message
    from streaming.sources.bitstamp import BitstampDecoder

URL: Final = "wss://ws.bitstamp.net"
CHANNELS: Final = ("live_orders", "live_trades", "order_book")
SILENCE_S: Final = 20.0
"""A busy pair says something every second; the feed's own book snapshots come several times a second."""
BACKOFF_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


class Reconnect(Exception):
    """The connection is over and a new one is wanted; says why."""


@dataclass(frozen=True)
class Gap:
    """A stretch of the feed that was not seen, in epoch microseconds of the local clock."""

    from_us: int
    to_us: int
    reason: str


def now_us() -> int:
    """The local clock."""
    return time.time_ns() // 1000


class BitstampLive:
    """One pair of the live feed as messages; reconnects by itself."""

    def __init__(
        self, decoder: BitstampDecoder, *, pair: str = "btcusd", url: str = URL, silence_s: float = SILENCE_S,
        backoff_s: tuple[float, ...] = BACKOFF_S, on_state: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.decoder, self.pair, self.url, self.silence_s = decoder, pair, url, silence_s
        self.backoff_s = backoff_s
        self.gaps: list[Gap] = []
        self.unreadable = 0
        """Frames of the feed that were no record; they cannot be dead letters, because no message can be made of them."""
        self.connections = 0
        self._on_state = on_state
        self._last_us = 0
        self._failures = 0

    def messages(self, stop: Event) -> Iterator[Message]:
        """Messages until `stop` is set."""
        while not stop.is_set():
            reason = "end"
            try:
                with connect(self.url, open_timeout=10, close_timeout=1, max_size=4 * 1024 * 1024) as socket:
                    yield from self._session(socket, stop)
            except Reconnect as error:
                reason = str(error)
            except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, WebSocketException) as error:
                reason = f"{type(error).__name__}: {error}"
            if stop.is_set():
                break
            yield from self._wait(reason, stop)
        yield from self.decoder.release()

    def _session(self, socket: Connection, stop: Event) -> Iterator[Message]:
        for channel in CHANNELS:
            subscription = {"event": "bts:subscribe", "data": {"channel": f"{channel}_{self.pair}"}}
            socket.send(json.dumps(subscription))
        self.connections += 1
        self._on_state(f"connected to {self.url}")
        heard = time.monotonic()
        hold_s = self.decoder.hold_us / 1e6
        while not stop.is_set():
            try:
                text = socket.recv(timeout=hold_s)
            except TimeoutError:
                # Nothing came for as long as a change waits for its trade: none will.
                yield from self.decoder.release()
                if time.monotonic() - heard > self.silence_s:
                    raise Reconnect(f"silent for {self.silence_s:.0f} s") from None
                continue
            heard = time.monotonic()
            yield from self._frame(text)

    def _frame(self, text: str | bytes) -> Iterator[Message]:
        received_us = now_us()
        try:
            frame: dict[str, Any] = json.loads(text, parse_float=Decimal)
            event, channel, data = str(frame["event"]), str(frame.get("channel", "")), frame.get("data")
        except (ValueError, KeyError, TypeError):
            self.unreadable += 1
            return
        if event == "bts:request_reconnect":
            raise Reconnect("the feed asked to reconnect")
        if event.startswith("bts:") or not isinstance(data, dict):
            return
        kind = "order_book" if channel.startswith("order_book") and event == "data" else event
        try:
            record = decode(kind, data, received_us)
        except NotBitstamp:
            self.unreadable += 1
            return
        # After a gap that the feed survived, its first record says how long it was.
        if self.gaps and self._last_us and self.gaps[-1].to_us == 0:
            gap = self.gaps[-1]
            self.gaps[-1] = Gap(gap.from_us, received_us, gap.reason)
            yield from self.decoder.disconnect(record.at_us)
            self._on_state(f"gap of {(received_us - gap.from_us) / 1e6:.1f} s ({gap.reason})")
        self._last_us = received_us
        self._failures = 0
        yield from self.decoder.push(record)

    def _wait(self, reason: str, stop: Event) -> Iterator[Message]:
        """Note the gap, then wait a little longer after every failure in a row."""
        yield from self.decoder.release()
        if self._last_us and not (self.gaps and self.gaps[-1].to_us == 0):
            self.gaps.append(Gap(self._last_us, 0, reason))
        delay = self.backoff_s[min(self._failures, len(self.backoff_s) - 1)]
        self._failures += 1
        self._on_state(f"not connected ({reason}); again in {delay:g} s")
        stop.wait(delay)
