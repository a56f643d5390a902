"""Data-quality rules. A message that breaks one becomes a dead letter with its class, field and a plain sentence.

The rules here look at one message alone. References are checked where they are joined (`enrich.py`), the life of an
order where its state is known (`order_state.py`), duplicates and lateness in `arrivals.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from streaming.decode import CORRUPT, FIELDS
from streaming.segments import ORDER, QUOTE, TRADE

ErrorClass = Literal["PARSE", "SCHEMA", "MISSING_FIELD", "OUT_OF_RANGE", "UNKNOWN_REFERENCE", "DUPLICATE", "LATE"]

SCHEMA_VERSION: Final = "1"
OLDEST_US: Final = 946_684_800_000_000
"""2000-01-01: an earlier event time is a clock or unit fault (milliseconds instead of microseconds)."""
LARGEST_NUMBER: Final = 1e15
"""No price or quantity of a real market is larger; NaN and infinities compare as larger in Spark."""

SIDES: Final = ("BUY", "SELL", "SELL_SHORT")
EVENT_TYPES: Final = ("NEW", "REPLACE", "CANCEL", "FILL", "REJECT", "EXPIRE", "BUST", "CORRECT")
ORDER_TYPES: Final = ("MARKET", "LIMIT", "STOP", "STOP_LIMIT", "PEGGED")
TIMES_IN_FORCE: Final = ("DAY", "GTC", "IOC", "FOK", "AT_CLOSE")
CANCEL_REASONS: Final = ("TRADER", "SELF_MATCH", "DISCONNECT", "HALT", "IOC_REMAINDER")
LIQUIDITIES: Final = ("ADDED", "REMOVED", "AUCTION")
PHASES: Final = ("PRE_OPEN", "OPENING_AUCTION", "CONTINUOUS", "CLOSING_AUCTION", "POST_CLOSE")


@dataclass(frozen=True)
class Rule:
    """One rule, as the SQL condition of the messages that break it."""

    broken_when: str
    error_class: ErrorClass
    field: str | None
    message: str


def error(error_class: str, field: str | None, message: str) -> str:
    """SQL struct of a fault, as all stages of the route give it."""
    named = "CAST(NULL AS STRING)" if field is None else f"'{field}'"
    return f"named_struct('class', '{error_class}', 'field', {named}, 'message', '{message}')"


def header(name: str) -> str:
    """SQL of the text of a message's first header of that name; NULL when there is none."""
    # No lambda: a statement with one is generated anew for every task, which costs more than a small batch itself.
    place = f"CAST(array_position(headers.key, '{name}') AS INT)"
    return (
        f"CASE WHEN array_contains(headers.key, '{name}') THEN CAST(element_at(headers.value, {place}) AS STRING) END"
    )


def _missing(field: str, when: str = "true") -> Rule:
    empty = f"nullif({field}, '')" if FIELDS[field] == "STRING" else field
    return Rule(f"{empty} IS NULL AND {when}", "MISSING_FIELD", field, "required field is missing")


def _positive(field: str) -> Rule:
    return Rule(f"NOT ({field} > 0 AND {field} <= {LARGEST_NUMBER!r}D)", "OUT_OF_RANGE", field,
                "must be a finite number above zero")  # fmt: skip


def _not_negative(field: str) -> Rule:
    return Rule(f"NOT ({field} >= 0 AND {field} <= {LARGEST_NUMBER!r}D)", "OUT_OF_RANGE", field,
                "must be a finite number, zero or more")  # fmt: skip


def _one_of(field: str, codes: tuple[str, ...]) -> Rule:
    listed = ", ".join(f"'{code}'" for code in codes)
    return Rule(f"{field} NOT IN ({listed})", "OUT_OF_RANGE", field, "unknown code; known are " + " ".join(codes))


def _clock(field: str, ahead_s: int) -> tuple[Rule, ...]:
    return (
        _missing(field),
        Rule(f"{field} < {OLDEST_US}L", "OUT_OF_RANGE", field, "before the year 2000; microseconds are expected"),
        # One event from the future would move the watermark and make every honest event late.
        Rule(f"{field} > unix_micros(ingest_ts) + {ahead_s * 1_000_000}L", "OUT_OF_RANGE", field,
             f"more than {ahead_s} s after it was received"),
    )  # fmt: skip


def rules(kind: str, ahead_s: int) -> tuple[Rule, ...]:
    """The rules for messages of a kind, in the order in which they are tried; the first broken one counts.

    Args:
        kind: ORDER, TRADE or QUOTE.
        ahead_s: seconds that an event time may lie after the time of receipt.
    """
    if kind == TRADE:
        return (*map(_missing, ("trade_id", "symbol", "venue", "price", "qty")), *_clock("trade_us", ahead_s),
                _positive("price"), _positive("qty"), _one_of("aggressor_side", SIDES[:2]))  # fmt: skip
    if kind == QUOTE:
        return (*map(_missing, ("symbol", "venue", "quote_seq")), *_clock("quote_us", ahead_s),
                _missing("bid_price", "ask_price IS NULL"), *map(_positive, ("bid_price", "ask_price")),
                *map(_not_negative, ("bid_qty", "ask_qty")))  # fmt: skip
    entry, fill = "type = 'NEW'", "type IN ('FILL', 'CORRECT')"
    priced = "type IN ('NEW', 'REPLACE') AND order_type IN ('LIMIT', 'STOP_LIMIT')"
    return (
        *map(_missing, ("event_id", "type", "order_id", "symbol", "venue", "side", "trader_id", "account_id")),
        *_clock("event_us", ahead_s),
        _one_of("type", EVENT_TYPES),
        _one_of("side", SIDES),
        *(_missing(field, entry) for field in ("order_type", "time_in_force")),
        *(_missing(field, "type IN ('NEW', 'REPLACE')") for field in ("order_qty",)),
        _missing("price", priced),
        *(_missing(field, fill) for field in ("exec_id", "last_qty", "last_price")),
        *(_missing(field, "type = 'FILL'") for field in ("leaves_qty", "cum_qty")),
        _missing("ref_exec_id", "type IN ('BUST', 'CORRECT')"),
        *map(_positive, ("price", "order_qty", "last_qty", "last_price", "avg_price")),
        *map(_not_negative, ("leaves_qty", "cum_qty")),
        Rule("cum_qty > order_qty * 1.000000001D", "OUT_OF_RANGE", "cum_qty", "more filled than ordered"),
        _one_of("order_type", ORDER_TYPES),
        _one_of("time_in_force", TIMES_IN_FORCE),
        _one_of("cancel_reason", CANCEL_REASONS),
        _one_of("liquidity", LIQUIDITIES),
        _one_of("session_phase", PHASES),
    )


def check_sql(source: str, *, largest_message: int, ahead_s: int) -> str:
    """SELECT that adds the column `error`: NULL for a good message, else its class, field and message."""
    whole = (
        ("raw IS NULL OR length(raw) = 0", error("PARSE", None, "the message is empty")),
        (f"length(raw) > {largest_message}",
         error("OUT_OF_RANGE", None, f"the message is longer than {largest_message} bytes")),
        ("NOT is_valid_utf8(CAST(raw AS STRING))", error("PARSE", None, "not valid UTF-8")),
        # The parser stops behind the first value: what follows it must not vanish.
        ("NOT (startswith(ltrim(CAST(raw AS STRING)), '{') AND endswith(rtrim(CAST(raw AS STRING)), '}'))",
         error("PARSE", None, "not one JSON object")),
        (f"{CORRUPT} IS NOT NULL", _corrupt()),
        (f"{header('schema_version')} <> '{SCHEMA_VERSION}'",
         error("SCHEMA", None, f"unknown schema version; this system reads version {SCHEMA_VERSION}")),
    )  # fmt: skip
    kinds = " ".join(f"WHEN '{kind}' THEN {_first_broken(rules(kind, ahead_s))}" for kind in (ORDER, TRADE, QUOTE))
    cases = " ".join(f"WHEN {condition} THEN {fault}" for condition, fault in whole)
    fault = f"CASE {cases} ELSE CASE kind {kinds} END END AS error"
    kept = "kind, topic, partition, offset, ingest_ts, raw, headers, m"
    return f"SELECT {kept}, {fault} FROM (SELECT {kept}, m.* FROM ({source}))"


def _first_broken(listed: tuple[Rule, ...]) -> str:
    cases = " ".join(f"WHEN {r.broken_when} THEN {error(r.error_class, r.field, r.message)}" for r in listed)
    return f"CASE {cases} END"


def _corrupt() -> str:
    """Tell text that is no JSON from JSON with a field of the wrong type; runs for corrupt messages only."""
    lost = ", ".join(
        f"CASE WHEN `{name}` IS NULL AND get_json_object({CORRUPT}, '$.{name}') IS NOT NULL THEN '{name}' END"
        for name in FIELDS
    )
    field = f"coalesce({lost})"
    return (
        f"CASE WHEN get_json_object({CORRUPT}, '$') IS NULL THEN {error('PARSE', None, 'not valid JSON')} "
        f"ELSE named_struct('class', 'SCHEMA', 'field', {field}, 'message', 'a field has the wrong type') END"
    )
