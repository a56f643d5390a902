"""Bitstamp's order-level feed: the recorded log, the same as rows, and the public WebSocket share this decoder.

What the feed says and what becomes of it:

    order_created                    NEW (order_type 0 buys, 1 sells)
    order_changed, smaller amount    FILL of the difference when a trade fits, else REPLACE; a moved price is a REPLACE
    order_deleted, amount 0          FILL of what was left
    order_deleted, amount above 0    CANCEL
    trade                            a print; the side comes from the older of the two orders that it reduced
    order_book                       a quote when level 1 changed

Clock: the receive time, except where the feed gives `microtimestamp` (today's public feed does). `datetime` of a change
or delete is the order's creation, and has whole seconds only, so it is not used. A trade arrives up to a few hundred
milliseconds after the changes it explains: changes wait `HOLD_US` for it, and everything behind them waits too.
Amounts are decimal text or binary floats of 1e-8; both are compared as whole numbers of 1e-8.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

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

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streaming.messages import Message
    from streaming.sources.identities import Identities

AMOUNT_SCALE: Final = 100_000_000
PRICE_SCALE: Final = 100
HOLD_US: Final = 400_000
"""How long a change waits for its trade. In the recording 95 % of trades come within 20 ms, the last after 250 ms."""
SIDES: Final = ("BUY", "SELL")
MAX_REMEMBERED: Final = 500_000
"""Orders of others that are remembered as such; a live feed runs for months."""


class NotBitstamp(ValueError):
    """A record is not of the feed's format; the message says what is wrong with it."""


@dataclass(slots=True)
class Record:
    """One record of the feed, decoded. Prices in cents, amounts in 1e-8."""

    kind: str
    at_us: int
    """Receive time, or the feed's own microseconds."""
    order_id: int = 0
    side: str = "BUY"
    price: int = 0
    amount: int = 0
    """What is left of the order, or the quantity of the trade."""
    bid: tuple[int, int] | None = None
    ask: tuple[int, int] | None = None
    orders: tuple[int, int] | None = None
    """Buy and sell order of a trade, where the feed says."""
    aggressor: str | None = None
    reduced: int = 0
    """By how much a change or delete reduced the order; found on arrival."""
    trade: Record | None = None
    """The trade that explains the reduction."""
    account: str | None = None
    """Of a reduction: the firm's account, once its message was made."""
    reductions: list[Record] = field(default_factory=list)
    """Of a trade: the reductions it explains, one a side."""


def decode(kind: str, document: dict[str, Any], receive_us: int) -> Record:
    """One record from its kind and JSON document, of the recording or of the public feed.

    Raises:
        NotBitstamp: a field is missing or no number, or the kind is unknown.
    """
    try:
        at_us = int(document.get("microtimestamp") or receive_us)
        if kind == "order_book":
            bids, asks = document["bids"], document["asks"]
            return Record(kind, at_us, bid=_level(bids), ask=_level(asks))
        price, amount = _whole(document, "price", PRICE_SCALE), _whole(document, "amount", AMOUNT_SCALE)
        if kind == "trade":
            pair = None
            if "buy_order_id" in document and "sell_order_id" in document:
                pair = int(document["buy_order_id"]), int(document["sell_order_id"])
            aggressor = SIDES[int(document["type"])] if "type" in document else None
            return Record(
                kind, at_us, int(document["id"]), price=price, amount=amount, orders=pair, aggressor=aggressor
            )
        if kind in ("order_created", "order_changed", "order_deleted"):
            return Record(kind, at_us, int(document["id"]), SIDES[int(document["order_type"])], price, amount)
    except (KeyError, TypeError, ValueError, IndexError, ArithmeticError) as error:
        raise NotBitstamp(f"{kind}: {type(error).__name__} {error}") from error
    raise NotBitstamp(f"unknown kind {kind!r}")


def _whole(document: dict[str, Any], name: str, scale: int) -> int:
    """A price or amount as a whole number of its smallest unit; the exact text is taken where there is one."""
    value = document.get(f"{name}_str", document[name])
    return int((Decimal(str(value)) * scale).to_integral_value())


def _level(side: list[list[str]]) -> tuple[int, int] | None:
    if not side:
        return None
    return int(Decimal(side[0][0]) * PRICE_SCALE), int(Decimal(side[0][1]) * AMOUNT_SCALE)


class BitstampDecoder:
    """Turns records, in order of arrival, into messages. Keeps the state of all orders of the firm."""

    def __init__(self, feed: Feed, identities: Identities, hold_us: int = HOLD_US) -> None:
        self.feed, self.identities, self.hold_us = feed, identities, hold_us
        self.counts = Counts()
        self._waiting: deque[Record] = deque()
        self._left: dict[int, tuple[int, int]] = {}
        """Order → price and amount left, for all orders, as the records arrive."""
        self._recent: deque[Record] = deque()
        """Trades and reductions of the last `hold_us`, for matching."""
        self._orders: dict[int, RecordedOrder] = {}
        self._market: dict[int, None] = {}
        self._last_quote: tuple[object, object] | None = None
        self._quotes = 0

    def push(self, record: Record) -> Iterator[Message]:
        """Take one record; yields the messages whose waiting time is over."""
        self.counts.source[record.kind] += 1
        self._match(record)
        self._waiting.append(record)
        yield from self.release(record.at_us - self.hold_us)

    def release(self, until_us: int | None = None) -> Iterator[Message]:
        """Yield what has waited since `until_us` or before; None yields everything."""
        while self._waiting and (until_us is None or self._waiting[0].at_us <= until_us):
            yield from self._emit(self._waiting.popleft())

    def disconnect(self, at_us: int) -> Iterator[Message]:
        """After a gap in the feed nobody knows what became of the orders before it.

        The firm's are cancelled, as a venue cancels those of a client that it loses, so that none is shown as working
        for ever; what the feed says about them later is not sent, and is counted as `market_only`.
        """
        yield from self.release()
        for recorded_id, o in self._orders.items():
            number = f"gap{recorded_id}-{at_us}"
            yield order_message(self.feed, self.counts, "CANCEL", number, at_us, o, cancel_reason="DISCONNECT")
            self._market[recorded_id] = None
        self._orders.clear()
        self._left.clear()
        self._recent.clear()

    # -- which trade explains which change

    def _match(self, r: Record) -> None:
        known = self._left.get(r.order_id)
        if r.kind == "order_created":
            self._left[r.order_id] = (r.price, r.amount)
            return
        if r.kind in ("order_changed", "order_deleted"):
            if known is not None:
                gone = known[1] if r.kind == "order_deleted" and r.amount == 0 else known[1] - r.amount
                r.reduced = max(0, gone)
                if r.kind == "order_changed" and r.price != known[0]:
                    r.reduced = 0  # the order moved: a replace
            if r.kind == "order_deleted":
                self._left.pop(r.order_id, None)
            else:
                self._left[r.order_id] = (r.price, r.amount)
            if not r.reduced:
                return
        elif r.kind != "trade":
            return
        while self._recent and self._recent[0].at_us < r.at_us - self.hold_us:
            self._recent.popleft()
        for other in self._recent:
            trade, reduction = (r, other) if r.kind == "trade" else (other, r)
            if trade.kind == "trade" and reduction.kind != "trade" and _fits(trade, reduction):
                trade.reductions.append(reduction)
                reduction.trade = trade
                if r.kind != "trade":
                    break
        self._recent.append(r)

    # -- messages

    def _emit(self, r: Record) -> Iterator[Message]:
        number = self._number(r)
        if r.kind == "trade":
            yield self._print(r, number)
        elif r.kind == "order_book":
            yield from self._quote(r)
        elif r.kind == "order_created":
            yield from self._created(r, number)
        else:
            yield from self._changed(r, number)

    def _number(self, r: Record) -> str:
        """Ids are made of the record, so that a record that comes twice has one id, and is found to be a duplicate."""
        return f"{r.kind[6:9] if r.kind != 'trade' else 't'}{r.order_id}-{r.at_us}-{r.amount}"

    def _created(self, r: Record, number: str) -> Iterator[Message]:
        qty = r.amount / AMOUNT_SCALE
        owner = self.identities.owner(str(r.order_id), qty=qty, entry_us=r.at_us)
        if owner is None:
            self.counts.market_only += 1
            self._market[r.order_id] = None
            if len(self._market) > MAX_REMEMBERED:
                del self._market[next(iter(self._market))]
            return
        order_id = f"O-{self.feed.tag}-{r.order_id}"
        o = self._orders[r.order_id] = RecordedOrder(order_id, r.side, r.price / PRICE_SCALE, qty, owner)
        yield order_message(self.feed, self.counts, "NEW", number, r.at_us, o)

    def _changed(self, r: Record, number: str) -> Iterator[Message]:
        o, deleted = self._orders.get(r.order_id), r.kind == "order_deleted"
        filled = (deleted and r.amount == 0) or (not deleted and r.reduced > 0 and r.trade is not None)
        kind = "FILL" if filled else "CANCEL" if deleted else "REPLACE"
        if o is None:
            owner = None if r.order_id in self._market else self.identities.owner(str(r.order_id))
            if deleted:
                self._market.pop(r.order_id, None)
            if owner is None:
                self.counts.market_only += 1
                return
            order_id, price = f"O-{self.feed.tag}-{r.order_id}", r.price / PRICE_SCALE
            # Of a full fill nobody knows how much was left; the smallest amount keeps the message well formed.
            qty = max(r.amount, 1) / AMOUNT_SCALE
            yield unborn_message(self.feed, self.counts, kind, number, r.at_us, order_id, r.side, price, owner, qty)
            return
        r.account = o.owner.account.account_id
        if filled:
            yield self._fill(r, number, o)
        elif deleted:
            yield order_message(self.feed, self.counts, "CANCEL", number, r.at_us, o, cancel_reason="TRADER")
        else:
            o.price, o.qty = r.price / PRICE_SCALE, round(o.cum + r.amount / AMOUNT_SCALE, 8)
            yield order_message(self.feed, self.counts, "REPLACE", number, r.at_us, o)
        if deleted:
            del self._orders[r.order_id]

    def _fill(self, r: Record, number: str, o: RecordedOrder) -> Message:
        qty = o.leaves if r.amount == 0 else round(r.reduced / AMOUNT_SCALE, 8)
        trade, other = r.trade, None
        liquidity = "ADDED"
        if trade is not None:
            liquidity = "REMOVED" if _aggressor(trade) == r.side else "ADDED"
            opposite = next((x for x in trade.reductions if x.side != r.side), None)
            if opposite is not None:
                known = self._orders.get(opposite.order_id)
                other = known.owner.account.account_id if known is not None else opposite.account
        price = (trade.price if trade is not None else r.price) / PRICE_SCALE
        return fill_message(
            self.feed, self.counts, number, r.at_us, o, qty=qty, price=price, liquidity=liquidity, counterparty=other
        )

    def _print(self, r: Record, number: str) -> Message:
        price, qty = r.price / PRICE_SCALE, r.amount / AMOUNT_SCALE
        return trade_message(self.feed, self.counts, number, r.at_us, price, qty, _aggressor(r))

    def _quote(self, r: Record) -> Iterator[Message]:
        self._quotes += 1
        if r.bid is None or r.ask is None or (r.bid, r.ask) == self._last_quote:
            return
        self._last_quote = (r.bid, r.ask)
        bid = r.bid[0] / PRICE_SCALE, r.bid[1] / AMOUNT_SCALE
        ask = r.ask[0] / PRICE_SCALE, r.ask[1] / AMOUNT_SCALE
        yield quote_message(self.feed, self.counts, self._quotes, r.at_us, bid, ask)


def _fits(trade: Record, reduction: Record) -> bool:
    """Whether a trade explains a reduction: its ids where the feed gives them, else the amount, one order a side."""
    if trade.orders is not None:
        return reduction.order_id in trade.orders
    if trade.amount != reduction.reduced or reduction.trade is not None:
        return False
    return all(x.side != reduction.side for x in trade.reductions)


def _aggressor(trade: Record) -> str | None:
    """Who crossed the spread: what the feed says, else the side of the younger order; None when nothing is known."""
    if trade.aggressor is not None:
        return trade.aggressor
    found = trade.reductions
    if not found:
        return None
    if len(found) == 1:
        # One order only: at the trade's own price it rested there, at another it came through it.
        resting = found[0].price == trade.price
        return SIDES[1 - SIDES.index(found[0].side)] if resting else found[0].side
    return max(found, key=lambda x: x.order_id).side


def decode_all(decoder: BitstampDecoder, records: Iterable[Record]) -> Iterator[Message]:
    """All messages of a finite recording."""
    for record in records:
        yield from decoder.push(record)
    yield from decoder.release()
