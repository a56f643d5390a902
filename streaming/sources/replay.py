"""Recognises a recording and opens it as a stream of messages."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from streaming.messages import MARKET_TRADES, ORDERS, QUOTES
from streaming.sources.bitstamp import BitstampDecoder, Record, decode_all
from streaming.sources.bitstamp_files import is_log, is_rows, read_log, read_rows
from streaming.sources.firm import Firm
from streaming.sources.identities import Identities, Mode
from streaming.sources.live import now_us
from streaming.sources.lobster import LobsterReplay, find_files
from streaming.sources.norms import market_norms
from streaming.sources.recorded import Counts, Feed
from streaming.sources.sessions import from_us, session, to_us

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streaming.messages import Message

DAY_US = 86_400_000_000
Times = Literal["now", "shifted", "original"]
TIME_FIELD = {ORDERS: "event_us", MARKET_TRADES: "trade_us", QUOTES: "quote_us"}


class UnknownRecording(ValueError):
    """The path holds no recording that can be replayed; the message says what was looked for."""


class Replay:
    """A recording as messages, at its own times, moved by whole days, or (see `retimed`) as if it happened now."""

    def __init__(
        self, path: Path, *, seed: int = 7, firm_share: float = 0.2, mode: Mode = "order", times: Times = "shifted",
        now: datetime | None = None,
    ) -> None:  # fmt: skip
        """Open a recording.

        Args:
            path: a file of the recording or its folder.
            seed: of the identities.
            firm_share: share of orders that are the firm's.
            mode: how identities are drawn, see `identities.py`.
            times: "original"; "shifted" by whole local days to the latest trading day that is over at `now`; or "now",
                original times in the messages, which `retimed` then moves.
            now: the clock; None is the wall's.

        Raises:
            UnknownRecording: there is no recording at the path.
        """
        if not path.exists():
            raise UnknownRecording(f"{path}: there is no such file or folder")
        self._now = now or datetime.now(UTC)
        self._times = times
        self._path = path
        self.kind, self._file, self._book = _recognise(path)
        recorded = _recorded_day(self.kind, self._file)
        venue = "XNAS" if self.kind == "lobster" else "BTSP"
        self.day = last_finished_day(venue, self._now) if times == "shifted" else recorded
        self.firm = Firm.load(self._now.date() if times == "now" else self.day)
        dataset = f"{venue}-{recorded.isoformat()}"
        self.identities = Identities(self.firm, dataset, seed, firm_share, mode)
        self._shift_us = (self.day - recorded).days * DAY_US
        self._lobster: LobsterReplay | None = None
        self._decoder: BitstampDecoder | None = None
        if self.kind == "lobster" and self._book is not None:
            self._lobster = LobsterReplay(self._file, self._book, self.identities, day=self.day, tag=self._tag("L"))
            self.symbol = self._lobster.feed.symbol
        else:
            feed = Feed(symbol="BTC-USD", venue="BTSP", time_in_force="GTC", tag=self._tag("B"))
            self._decoder = BitstampDecoder(feed, self.identities)
            self.symbol = feed.symbol

    def _tag(self, letter: str) -> str:
        """Part of every id. A replay "now" can be repeated on the same topics, so its ids name the second it began."""
        return f"{letter}{self._now:%Y%m%d%H%M%S}" if self._times == "now" else f"{letter}{self.day:%Y%m%d}"

    def norms(self) -> tuple[dict[str, Any], float]:
        """Norms of the owners, from the whole recording (it is the only past there is), and its order messages a second."""
        whole = Replay(self._path, seed=self.identities.seed, firm_share=1.0, times="original")
        counts: Counter[str] = Counter()
        qty, first_us, last_us = 0.0, 0, 0
        for message in whole.messages():
            row = message.value
            if message.topic == ORDERS and isinstance(row, dict):
                counts[row["type"]] += 1
                first_us, last_us = first_us or message.event_us, message.event_us
                qty += row["order_qty"] if row["type"] == "NEW" else 0.0
        seconds = max(1.0, (last_us - first_us) / 1e6)
        return market_norms(counts, qty, self.identities), counts.total() / seconds

    @property
    def counts(self) -> Counts:
        """What came in and went out so far."""
        if self._lobster is not None:
            return self._lobster.counts
        assert self._decoder is not None
        return self._decoder.counts

    def messages(self) -> Iterator[Message]:
        """All messages in order of event time."""
        if self._lobster is not None:
            yield from self._lobster.messages()
        elif self._decoder is not None:
            reader = read_log if self.kind == "bitstamp-log" else read_rows
            yield from decode_all(self._decoder, (self._shifted(r) for r in reader(self._file)))

    def _shifted(self, record: Record) -> Record:
        record.at_us += self._shift_us
        if record.trade is not None:
            record.trade.at_us += self._shift_us
        return record


def retimed(messages: Iterable[Message], speed: float | None, start_us: int) -> Iterator[Message]:
    """Messages as if the first happened at `start_us` and the others `speed` times as fast as recorded.

    Without a speed every message gets the time at which it is asked for: nothing waits, and nothing is ahead of the
    clock. A system that has live data takes a recording only in this way; at its own times all of it would be late.
    """
    first: int | None = None
    for message in messages:
        first = message.event_us if first is None else first
        at_us = now_us() if speed is None else start_us + int((message.event_us - first) / speed)
        if isinstance(message.value, dict):
            message.value[TIME_FIELD[message.topic]] = at_us
        yield message._replace(event_us=at_us)


def last_finished_day(venue: str, now: datetime) -> date:
    """The latest trading day of a venue whose session is over."""
    day = now.date()
    while True:
        s = session(venue, day)
        if s.is_open and s.close_us <= to_us(now):
            return day
        day -= timedelta(days=1)


def _recognise(path: Path) -> tuple[str, Path, Path | None]:
    if (files := find_files(path)) is not None and (path.is_dir() or path in files):
        return "lobster", files[0], files[1]
    candidates = sorted(path.iterdir()) if path.is_dir() else [path]
    for test, kind in ((is_log, "bitstamp-log"), (is_rows, "bitstamp-rows")):
        for file in candidates:
            if file.is_file() and _is_text(file) and test(file):
                return kind, file, None
    raise UnknownRecording(
        f"{path}: no recording found. Looked for SYMBOL_DATE_…message….csv[.gz] with its …book….csv[.gz] (LOBSTER), a "
        "Bitstamp log ('receive_ms kind {json}' a line, .log[.xz]) and Bitstamp rows (orders.csv[.xz])"
    )


def _is_text(file: Path) -> bool:
    return file.name.endswith((".log", ".log.xz", ".csv", ".csv.xz"))


def _recorded_day(kind: str, file: Path) -> date:
    if kind == "lobster":
        return date.fromisoformat(file.name.split("_")[1])
    first = next(read_log(file) if kind == "bitstamp-log" else read_rows(file))
    return from_us(first.at_us).date()
