"""Replay of a NASDAQ recording in the LOBSTER format: a message file and the top of book after each message.

Message rows: seconds after local midnight, type, order id, size, price × 10,000, direction of the RESTING side.
Types: 1 new, 2 partial cancel, 3 delete, 4 visible execution, 5 hidden execution (order id 0).
Book rows: ask price, ask size, bid price, bid size; row k is the book after message k, so the market "at that moment" of
message k is row k-1. The clock is the venue's, cut from nanoseconds to microseconds; rows keep their order.

Assumed, because the files do not say: limit orders for the day, venue XNAS, continuous trading.
"""

from __future__ import annotations

import gzip
import re
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from streaming.sources.recorded import (
    Counts,
    Feed,
    RecordedOrder,
    fill_message,
    order_message,
    quote_message,
    trade_message,
    unborn_message,
)
from streaming.sources.sessions import to_us

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming.messages import Message
    from streaming.sources.identities import Identities, Owner

PRICE_SCALE = 10_000
NANOSECONDS_PER_MICROSECOND = 1_000
ZONE = ZoneInfo("America/New_York")
KINDS = {"1": "new", "2": "partial cancel", "3": "delete", "4": "visible execution", "5": "hidden execution"}
_NAME = re.compile(r"^(?P<symbol>[A-Z.]+)_(?P<day>\d{4}-\d{2}-\d{2})_.*message.*\.csv(\.gz)?$")


class NotLobster(ValueError):
    """The file is not a LOBSTER message file with its book beside it; the message names the file and the row."""


def find_files(path: Path) -> tuple[Path, Path] | None:
    """The message file and its book, from either of them or their folder; None when there are none."""
    folder = path if path.is_dir() else path.parent
    messages = [f for f in sorted(folder.iterdir()) if _NAME.match(f.name)]
    if path.is_file():
        messages = [f for f in messages if f == path or f.name.split("_")[:3] == path.name.split("_")[:3]]
    for file in messages:
        start = "_".join(file.name.split("_")[:3])
        for other in sorted(folder.iterdir()):
            if other.name.startswith(start) and "book" in other.name.lower() and other != file:
                return file, other
    return None


class LobsterReplay:
    """One recorded instrument and day. Iterate `messages()` once; `counts` fills while it runs."""

    def __init__(
        self,
        message_file: Path,
        book_file: Path,
        identities: Identities,
        *,
        day: date | None = None,
        tag: str | None = None,
    ) -> None:
        """Open a recording.

        Args:
            message_file: `SYMBOL_DATE_…message….csv[.gz]`.
            book_file: top of book after each message.
            identities: who owns which order.
            day: trade date to move the recording to, keeping local times; None keeps the recorded one.
            tag: part of every id; None makes it of the day.

        Raises:
            NotLobster: the name of the message file does not say symbol and date.
        """
        named = _NAME.match(message_file.name)
        if named is None:
            raise NotLobster(f"{message_file.name}: expected SYMBOL_YYYY-MM-DD_…message….csv.gz")
        self.message_file, self.book_file, self.identities = message_file, book_file, identities
        self.recorded_day = date.fromisoformat(named["day"])
        self.day = day or self.recorded_day
        self.feed = Feed(symbol=named["symbol"], venue="XNAS", time_in_force="DAY", tag=tag or f"L{self.day:%Y%m%d}")
        # Local midnight moves with the day, so that session phases and summer time stay right.
        self.midnight_us = to_us(datetime.combine(self.day, time(0), ZONE))
        self.counts = Counts()
        self._orders: dict[str, RecordedOrder] = {}
        self._market: set[str] = set()

    def messages(self) -> Iterator[Message]:
        """All messages in the recording's order.

        Raises:
            NotLobster: a row cannot be read, or one file is shorter than the other.
        """
        before = ""
        with _open(self.message_file) as rows, _open(self.book_file) as books:
            for number, (row, book) in enumerate(zip(rows, books, strict=True), 1):
                try:
                    at_us, kind, order_id, size, price, direction = _parse(row)
                    ask_price, ask_qty, bid_price, bid_qty = (int(x) for x in book.split(","))
                except ValueError as error:
                    raise NotLobster(f"{self.message_file.name}, row {number}: {row.strip()!r} ({error})") from error
                at_us += self.midnight_us
                self.counts.source[KINDS.get(kind, "other")] += 1
                yield from self._event(number, at_us, kind, order_id, size, price, direction)
                if book != before:
                    before = book
                    yield quote_message(
                        self.feed, self.counts, number, at_us, (bid_price / PRICE_SCALE, float(bid_qty)),
                        (ask_price / PRICE_SCALE, float(ask_qty)),
                    )  # fmt: skip

    def _event(
        self, number: int, at_us: int, kind: str, recorded_id: str, size: float, price: float, direction: int
    ) -> Iterator[Message]:
        side = "BUY" if direction == 1 else "SELL"
        order_id, counts, feed = f"O-{feed_id(self.feed, recorded_id)}", self.counts, self.feed
        if kind == "1":
            owner = self.identities.owner(recorded_id, qty=size, entry_us=at_us)
            if owner is None:
                counts.market_only += 1
                self._market.add(recorded_id)
            else:
                o = self._orders[recorded_id] = RecordedOrder(order_id, side, price, size, owner)
                yield order_message(feed, counts, "NEW", str(number), at_us, o)
        elif kind in ("2", "3", "4"):
            yield from self._change(number, at_us, kind, recorded_id, order_id, size, price, side)
        if kind in ("4", "5"):
            aggressor = "SELL" if direction == 1 else "BUY"
            yield trade_message(feed, counts, str(number), at_us, price, size, aggressor)

    def _change(
        self, number: int, at_us: int, kind: str, recorded_id: str, order_id: str, size: float, price: float, side: str
    ) -> Iterator[Message]:
        counts, feed, o = self.counts, self.feed, self._orders.get(recorded_id)
        if o is None:
            owner: Owner | None = None
            if recorded_id not in self._market:
                owner = self.identities.owner(recorded_id)
            if owner is None:
                counts.market_only += 1
                return
            name = {"2": "REPLACE", "3": "CANCEL", "4": "FILL"}[kind]
            yield unborn_message(feed, counts, name, str(number), at_us, order_id, side, price, owner, size)
        elif kind == "2":
            o.qty -= size
            yield order_message(feed, counts, "REPLACE", str(number), at_us, o)
        elif kind == "3":
            yield order_message(feed, counts, "CANCEL", str(number), at_us, o, cancel_reason="TRADER")
            del self._orders[recorded_id]
        else:
            yield fill_message(feed, counts, str(number), at_us, o, qty=size, price=price, liquidity="ADDED")
            if o.leaves <= 0:
                del self._orders[recorded_id]


def feed_id(feed: Feed, recorded_id: str) -> str:
    """The recording's order id with the replay's tag."""
    return f"{feed.tag}-{recorded_id}"


def _parse(row: str) -> tuple[int, str, str, float, float, int]:
    """Microseconds after midnight, type, order id, size, price and direction of one message row."""
    seconds, kind, order_id, size, price, direction = row.split(",")
    whole, _, fraction = seconds.partition(".")
    nanoseconds = int((fraction + "000000000")[:9])
    at_us = int(whole) * 1_000_000 + nanoseconds // NANOSECONDS_PER_MICROSECOND
    return at_us, kind, order_id, float(size), int(price) / PRICE_SCALE, int(direction)


def _open(path: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202 - gzip's and open's types differ
    return gzip.open(path, "rt", encoding="ascii") if path.suffix == ".gz" else path.open(encoding="ascii")
