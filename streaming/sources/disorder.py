"""Disorder on demand: duplicates, late and shuffled events, and malformed messages, each with what must become of it.

Good messages all go through; trouble is added between them. `expected` says afterwards how many dead letters of which
class the pipeline owes, so that a test can count. The same seed makes the same trouble.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from streaming.messages import MARKET_TRADES, ORDERS, QUOTES, Message, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HUGE_BYTES: Final = 2 * 1024 * 1024
TIME_FIELD: Final = {ORDERS: "event_us", MARKET_TRADES: "trade_us", QUOTES: "quote_us"}
ID_FIELD: Final = {ORDERS: "event_id", MARKET_TRADES: "trade_id"}


@dataclass(frozen=True)
class Fault:
    """One way to spoil a message, and the dead letter that it must become."""

    name: str
    error_class: str
    error_field: str | None
    spoil: Callable[[dict[str, Any], Message], bytes | dict[str, Any] | None]
    topics: tuple[str, ...] = (ORDERS, MARKET_TRADES, QUOTES)


def _put(**changes: Any) -> Callable[[dict[str, Any], Message], dict[str, Any]]:
    return lambda row, _: row | changes


def _without(name: str) -> Callable[[dict[str, Any], Message], dict[str, Any]]:
    return lambda row, _: {k: v for k, v in row.items() if k != name}


FAULTS: Final = (
    Fault("broken JSON", "PARSE", None, lambda row, _: encode(row)[:-9]),
    Fault("not an object", "PARSE", None, lambda row, _: b"[" + encode(row) + b"]"),
    Fault("text after the object", "PARSE", None, lambda row, _: encode(row) + b" and more"),
    Fault("invalid UTF-8", "PARSE", None, lambda row, _: encode(row).replace(b'"symbol":"', b'"symbol":"\xff\xfe', 1)),
    Fault("empty message", "PARSE", None, lambda _, __: b""),
    Fault("tombstone", "PARSE", None, lambda _, __: None),
    Fault("2 MB message", "OUT_OF_RANGE", None, lambda row, _: row | {"note": "x" * HUGE_BYTES}),
    Fault("wrong type", "SCHEMA", "order_qty", _put(order_qty="many"), (ORDERS,)),
    Fault("wrong type of a price", "SCHEMA", "price", _put(price=[1.0]), (MARKET_TRADES,)),
    Fault("null id", "MISSING_FIELD", "order_id", _put(order_id=None), (ORDERS,)),
    Fault("missing price", "MISSING_FIELD", "price", _without("price"), (MARKET_TRADES,)),
    Fault("negative quantity", "OUT_OF_RANGE", "qty", _put(qty=-100.0), (MARKET_TRADES,)),
    Fault("negative bid quantity", "OUT_OF_RANGE", "bid_qty", _put(bid_qty=-1.0), (QUOTES,)),
    Fault("negative order quantity", "OUT_OF_RANGE", "order_qty",
          lambda row, _: row | {"order_qty": -5.0, "cum_qty": 0.0}, (ORDERS,)),
    Fault("unknown code", "OUT_OF_RANGE", "side", _put(side="BYU"), (ORDERS,)),
    Fault("milliseconds", "OUT_OF_RANGE", "trade_us", lambda row, m: row | {"trade_us": m.event_us // 1000},
          (MARKET_TRADES,)),
    Fault("from the future", "OUT_OF_RANGE", "quote_us", lambda row, m: row | {"quote_us": m.event_us + 10**15},
          (QUOTES,)),
    Fault("unknown symbol", "UNKNOWN_REFERENCE", "symbol", _put(symbol="NOSUCH")),
    Fault("unknown trader", "UNKNOWN_REFERENCE", "trader_id", _put(trader_id="T-NOBODY"), (ORDERS,)),
    Fault("unknown order", "UNKNOWN_REFERENCE", "order_id",
          lambda row, _: row | {"type": "CANCEL", "order_id": "O-NEVER", "leaves_qty": 0.0}, (ORDERS,)),
)  # fmt: skip


@dataclass
class Disorder:
    """Adds trouble to a stream of messages. Shares are fractions of the good messages; `faults` is that of all faults."""

    seed: int = 7
    duplicates: float = 0.0
    late: float = 0.0
    late_by_s: float = 60.0
    """How far behind the newest event a late one is sent; must exceed the pipeline's lateness."""
    shuffled: float = 0.0
    """Share of prints and quotes that change places with those of the next tenth of a second: allowed, no dead letter."""
    faults: float = 0.0
    kinds: tuple[Fault, ...] = FAULTS
    """Which faults are made."""
    expected: Counter[str] = field(default_factory=Counter)
    """Error class → dead letters that the pipeline owes."""
    planted: Counter[str] = field(default_factory=Counter)
    """Kind of trouble → how often."""
    good: int = 0
    """Messages that must arrive in the views."""

    def apply(self, messages: Iterable[Message]) -> Iterator[Message]:
        """The same messages with trouble between them. A late one that would come after the end is left out."""
        rng = Random(f"{self.seed}|disorder")
        late: deque[Message] = deque()
        shuffled: list[tuple[int, Message]] = []
        for n, message in enumerate(messages):
            if message.topic not in TIME_FIELD or not isinstance(message.value, dict):
                yield message
                continue
            self.good += 1
            # Order events keep their order: a late NEW would spoil all that follows, and the counts with it.
            moves = message.topic != ORDERS
            if moves and rng.random() < self.late:
                late.append(message._replace(value=_renamed(message, f"late{n}", n)))
            if moves and rng.random() < self.shuffled:
                self.planted["shuffled"] += 1
                shuffled.append((message.event_us + int(rng.random() * 1e5), message))
                continue
            yield message
            while late and message.event_us - late[0].event_us >= self.late_by_s * 1e6:
                self._owe("late", "LATE")
                yield late.popleft()
            for entry in [entry for entry in shuffled if entry[0] <= message.event_us]:
                shuffled.remove(entry)
                yield entry[1]
            if rng.random() < self.duplicates:
                self._owe("duplicate", "DUPLICATE")
                yield message
            if rng.random() < self.faults:
                yield self._spoilt(message, n)
        for _, message in shuffled:
            yield message

    def _spoilt(self, message: Message, n: int) -> Message:
        suited = [fault for fault in self.kinds if message.topic in fault.topics]
        # In turn rather than by chance: a short run meets every fault.
        fault = suited[self.planted.total() % len(suited)]
        self._owe(fault.name, fault.error_class)
        return message._replace(value=fault.spoil(_renamed(message, f"bad{n}", n), message))

    def _owe(self, kind: str, error_class: str) -> None:
        self.planted[kind] += 1
        self.expected[error_class] += 1


def _renamed(message: Message, name: str, number: int) -> dict[str, Any]:
    """A copy of a message's document with ids of its own, so that it is no duplicate of the good one."""
    row = dict(message.value) if isinstance(message.value, dict) else {}
    if id_field := ID_FIELD.get(message.topic):
        row[id_field] = f"{row[id_field]}-{name}"
    else:
        row["quote_seq"] = -number - 1
    if "exec_id" in row:
        row["exec_id"] = f"{row['exec_id']}-{name}"
    return row
