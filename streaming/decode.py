"""Kafka bytes → typed fields, in one pass over the JSON of all topics.

A field of the wrong type never becomes a silent NULL: the parser marks the message as corrupt and `checks.py` turns it
into a dead letter.
"""

from __future__ import annotations

from typing import Final

from streaming.messages import MARKET_TRADES, ORDERS, QUOTES
from streaming.segments import ORDER, QUOTE, TRADE

KIND_OF_TOPIC: Final = {ORDERS: ORDER, MARKET_TRADES: TRADE, QUOTES: QUOTE}

FIELDS: Final[dict[str, str]] = {
    "type": "STRING", "event_id": "STRING", "event_us": "BIGINT", "order_id": "STRING", "parent_order_id": "STRING",
    "symbol": "STRING", "venue": "STRING", "side": "STRING", "order_type": "STRING", "time_in_force": "STRING",
    "price": "DOUBLE", "order_qty": "DOUBLE", "last_qty": "DOUBLE", "last_price": "DOUBLE", "leaves_qty": "DOUBLE",
    "cum_qty": "DOUBLE", "avg_price": "DOUBLE", "exec_id": "STRING", "ref_exec_id": "STRING", "liquidity": "STRING",
    "counterparty_account_id": "STRING", "cancel_reason": "STRING", "reject_reason": "STRING",
    "trader_id": "STRING", "account_id": "STRING", "is_algo": "BOOLEAN", "session_phase": "STRING",
    "trade_id": "STRING", "trade_us": "BIGINT", "qty": "DOUBLE", "aggressor_side": "STRING", "is_auction": "BOOLEAN",
    "quote_us": "BIGINT", "quote_seq": "BIGINT", "bid_price": "DOUBLE", "bid_qty": "DOUBLE", "ask_price": "DOUBLE",
    "ask_qty": "DOUBLE",
}  # fmt: skip
"""Fields of the messages of all event topics; one name has one type everywhere."""

CORRUPT: Final = "_corrupt"
_JSON_DDL: Final = ", ".join(f"`{name}` {kind}" for name, kind in FIELDS.items()) + f", `{CORRUPT}` STRING"


def decode_sql(source: str, largest_message: int) -> str:
    """SELECT that gives each message its kind, its coordinates and its fields as `m`; reference rows are left out.

    Args:
        source: view with the columns of Spark's Kafka source, headers included.
        largest_message: bytes; a longer message is not parsed at all.
    """
    kinds = " ".join(f"WHEN '{topic}' THEN '{kind}'" for topic, kind in KIND_OF_TOPIC.items())
    topics = ", ".join(f"'{topic}'" for topic in KIND_OF_TOPIC)
    # from_json decodes bytes that are not UTF-8 into replacement characters, so such bytes must not reach it.
    readable = f"length(value) <= {largest_message} AND is_valid_utf8(CAST(value AS STRING))"
    text = f"CASE WHEN {readable} THEN CAST(value AS STRING) END"
    return f"""
SELECT CASE topic {kinds} END AS kind, topic, partition, offset, timestamp AS ingest_ts, value AS raw, headers,
    from_json({text}, '{_JSON_DDL}', map('mode', 'PERMISSIVE', 'columnNameOfCorruptRecord', '{CORRUPT}')) AS m
FROM {source} WHERE topic IN ({topics})"""
