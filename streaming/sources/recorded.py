"""What the replays of recordings share: the state of a recorded order, and the messages made from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streaming.messages import MARKET_TRADES, ORDERS, QUOTES, Message

if TYPE_CHECKING:
    from streaming.sources.identities import Owner


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What a recording does not say about itself."""

    symbol: str
    venue: str
    time_in_force: str
    tag: str
    """Goes into every id, so that two replays can be kept apart: the same tag gives the same ids."""


@dataclass
class Counts:
    """What came in and what went out; the check figures of a replay."""

    source: Counter[str] = field(default_factory=Counter)
    """Rows of the recording by kind."""
    sent: Counter[str] = field(default_factory=Counter)
    """Messages by topic, order messages by type."""
    market_only: int = 0
    """Order rows that are not the firm's and gave no order message."""
    unborn: int = 0
    """Order rows whose order is not entered in the recording."""


@dataclass(slots=True)
class RecordedOrder:
    """One order of the firm in a recording."""

    order_id: str
    side: str
    price: float
    qty: float
    owner: Owner
    cum: float = 0.0
    paid: float = 0.0

    @property
    def leaves(self) -> float:
        """Quantity still open."""
        return round(self.qty - self.cum, 8)


def order_message(
    feed: Feed, counts: Counts, kind: str, number: str, at_us: int, o: RecordedOrder, **extra: Any
) -> Message:
    """An order event after which the order stands as `o` says. `number` makes its ids."""
    counts.sent[kind] += 1
    row: dict[str, Any] = {
        "type": kind, "event_id": f"EV-{feed.tag}-{number}", "event_us": at_us, "order_id": o.order_id,
        "symbol": feed.symbol, "venue": feed.venue, "side": o.side, "order_type": "LIMIT",
        "time_in_force": feed.time_in_force, "price": o.price, "order_qty": o.qty,
        "leaves_qty": 0.0 if kind == "CANCEL" else o.leaves, "cum_qty": o.cum,
        "trader_id": o.owner.trader.trader_id, "account_id": o.owner.account.account_id,
        "is_algo": o.owner.trader.is_algo, "session_phase": "CONTINUOUS",
    }  # fmt: skip
    if o.cum:
        row["avg_price"] = round(o.paid / o.cum, 8)
    row.update(extra)
    return Message(ORDERS, feed.symbol, row, at_us)


def fill_message(
    feed: Feed, counts: Counts, number: str, at_us: int, o: RecordedOrder, *, qty: float, price: float, liquidity: str,
    counterparty: str | None = None,
) -> Message:  # fmt: skip
    """A fill; the order takes the quantity."""
    o.cum = round(o.cum + qty, 8)
    o.paid += qty * price
    extra: dict[str, Any] = {"exec_id": f"X-{feed.tag}-{number}", "last_qty": qty, "last_price": price}
    if counterparty:
        extra["counterparty_account_id"] = counterparty
    return order_message(feed, counts, "FILL", number, at_us, o, liquidity=liquidity, **extra)


def unborn_message(
    feed: Feed, counts: Counts, kind: str, number: str, at_us: int, order_id: str, side: str, price: float, owner: Owner,
    qty: float,
) -> Message:  # fmt: skip
    """An event of an order that the recording does not begin: neither size nor entry is known.

    It is sent with what is known (`qty` is that of the event), so that it ends in the dead letters as an unknown order
    and is counted there, not silently here.
    """
    counts.sent[kind] += 1
    counts.unborn += 1
    row: dict[str, Any] = {
        "type": kind, "event_id": f"EV-{feed.tag}-{number}", "event_us": at_us, "order_id": order_id,
        "symbol": feed.symbol, "venue": feed.venue, "side": side, "order_type": "LIMIT", "price": price,
        "order_qty": qty, "leaves_qty": 0.0, "cum_qty": 0.0, "trader_id": owner.trader.trader_id,
        "account_id": owner.account.account_id,
    }  # fmt: skip
    if kind == "FILL":
        row |= {"exec_id": f"X-{feed.tag}-{number}", "last_qty": qty, "last_price": price}
    return Message(ORDERS, feed.symbol, row, at_us)


def trade_message(
    feed: Feed, counts: Counts, number: str, at_us: int, price: float, qty: float, aggressor: str | None
) -> Message:
    """A print of the public tape."""
    counts.sent[MARKET_TRADES] += 1
    row: dict[str, Any] = {
        "trade_id": f"MT-{feed.tag}-{number}", "trade_us": at_us, "symbol": feed.symbol, "venue": feed.venue,
        "price": price, "qty": qty, "is_auction": False,
    }  # fmt: skip
    if aggressor is not None:
        row["aggressor_side"] = aggressor
    return Message(MARKET_TRADES, feed.symbol, row, at_us)


def quote_message(
    feed: Feed, counts: Counts, seq: int, at_us: int, bid: tuple[float, float], ask: tuple[float, float]
) -> Message:
    """A best bid and offer."""
    counts.sent[QUOTES] += 1
    row = {
        "quote_us": at_us, "quote_seq": seq, "symbol": feed.symbol, "venue": feed.venue,
        "bid_price": bid[0], "bid_qty": bid[1], "ask_price": ask[0], "ask_qty": ask[1],
    }  # fmt: skip
    return Message(QUOTES, feed.symbol, row, at_us)
