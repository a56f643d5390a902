"""The messages on the topics (schema version 1) and their encoding; the formal schemas are in `streaming/schemas`.

Absent and null mean the same. Every instant is an integer of epoch microseconds, UTC.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, overload

import orjson

SCHEMA_VERSION: Final = 1

ORDERS: Final = "orders"
MARKET_TRADES: Final = "market_trades"
QUOTES: Final = "quotes"
REFERENCE: Final = "reference"
EVENT_TOPICS: Final = (ORDERS, MARKET_TRADES, QUOTES)

OrderEventType = Literal["NEW", "REPLACE", "CANCEL", "FILL", "REJECT", "EXPIRE", "BUST", "CORRECT"]


class Message(NamedTuple):
    """One message before it is sent. `value` is the document, or bytes that go out as they are, or None to delete."""

    topic: str
    key: str
    value: dict[str, Any] | bytes | None
    event_us: int
    """Event time in epoch microseconds; 0 for reference rows, which are sent at once."""


@overload
def encode(value: None) -> None: ...
@overload
def encode(value: dict[str, Any] | bytes) -> bytes: ...
def encode(value: dict[str, Any] | bytes | None) -> bytes | None:
    """The bytes of a message's value: compact UTF-8 JSON, keys in the order of the document."""
    if value is None or isinstance(value, bytes):
        return value
    return orjson.dumps(value)


def reference_message(view: str, key: tuple[str, ...], row: dict[str, Any]) -> Message:
    """A row of a reference view; `key` are the values of the view's key columns, as text."""
    return Message(REFERENCE, "|".join((view, *key)), {"view": view, "row": row}, 0)


def reference_delete(view: str, key: tuple[str, ...]) -> Message:
    """A tombstone: the row with this key is no more."""
    return Message(REFERENCE, "|".join((view, *key)), None, 0)
