"""Checked messages → rows of a segment, but for the order's state: reference columns, trading day, identity.

A row leaves here packed into one column: what follows moves rows about, and moving one column is a third of the work
of moving sixty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streaming.checks import error, header
from streaming.segments import CARRIED, COLUMNS, DEAD, ENDED, ORDER, QUOTE, TRADE

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTRUMENTS: Final = "ref_instruments"
TRADERS: Final = "ref_traders"
ACCOUNTS: Final = "ref_accounts"

_STATE_ONLY: Final = ("entry_ts", "entry_phase", "n_replaces", "mid_at_entry", "distance_bps", "order_status", "tail")


def packed_sql(checked: str, time_zones: Mapping[str, str], drops: str | None = None) -> str:
    """SELECT of one batch's messages, each packed with all columns of a segment as `p`.

    Args:
        checked: query or view with decoded, checked messages (`checks.check_sql`).
        time_zones: venue → IANA name, for the trading day; a venue that is not there counts as unknown reference.
            Empty: no calendar is known, every venue is accepted and counts in UTC.
        drops: view (topic, partition, offset, class, field, message) of messages that `arrivals.py` found to be
            duplicates or late; None when there are none.
    """
    return f"SELECT {_packed(_own_columns(time_zones))} FROM ({_joined_sql(checked, time_zones, drops)})"


def carried_sql(segment: str) -> str:
    """SELECT of the rows that a batch begins from, packed: last quotes and open orders of the segment before it."""
    ended = ", ".join(f"'{status}'" for status in ENDED)
    open_rows = f"tail AND NOT coalesce(order_status IN ({ended}), false)"
    carried = _packed({"kind": f"'{CARRIED}'"})
    return f"SELECT {carried} FROM {segment} WHERE {open_rows}"


def _packed(own: Mapping[str, str]) -> str:
    values = ", ".join(f"'{name}', {own.get(name, f'`{name}`')}" for name in COLUMNS)
    return f"named_struct({values}) AS p"


def _own_columns(time_zones: Mapping[str, str]) -> dict[str, str]:
    """Columns that are not simply taken over."""
    event_us = f"CASE kind WHEN '{ORDER}' THEN event_us WHEN '{TRADE}' THEN trade_us ELSE quote_us END"
    return {
        "kind": f"CASE WHEN fault IS NULL THEN kind ELSE '{DEAD}' END",
        "event_ts": f"CASE WHEN fault IS NULL THEN timestamp_micros({event_us}) END",
        "trade_date": f"CASE WHEN fault IS NULL THEN {_trade_date(f'timestamp_micros({event_us})', time_zones)} END",
        "event_id": f"CASE kind WHEN '{TRADE}' THEN trade_id ELSE event_id END",
        "event_type": "type",
        "quote_ts": f"CASE WHEN kind = '{QUOTE}' AND fault IS NULL THEN timestamp_micros(quote_us) END",
        "error_class": "fault.class",
        "error_field": "fault.field",
        "error_message": "fault.message",
        "producer": header("producer"),
        "id_hash": f"CASE WHEN fault IS NULL THEN CASE kind WHEN '{ORDER}' THEN xxhash64('{ORDER}', event_id) "
                   f"WHEN '{TRADE}' THEN xxhash64('{TRADE}', trade_id) "
                   f"ELSE xxhash64('{QUOTE}', symbol, venue, quote_us, quote_seq) END END",
        "exec_hash": f"CASE WHEN fault IS NULL AND kind = '{ORDER}' AND type IN ('FILL', 'CORRECT') "
                     "THEN xxhash64('X', exec_id) END",
    } | {name: f"CAST(NULL AS {COLUMNS[name]})" for name in _STATE_ONLY}  # fmt: skip


def _joined_sql(checked: str, time_zones: Mapping[str, str], drops: str | None) -> str:
    """Reference columns beside each message, and the first fault of all checks so far."""
    venues = ", ".join(f"'{venue}'" for venue in time_zones)
    unknown_venue = f"c.m.venue NOT IN ({venues})" if venues else "false"

    def missing(field: str) -> str:
        return error("UNKNOWN_REFERENCE", field, "no such reference")

    fault = f"""CASE WHEN c.error IS NOT NULL THEN c.error
        WHEN i.symbol IS NULL THEN {missing("symbol")}
        WHEN {unknown_venue} THEN {missing("venue")}
        WHEN c.kind = '{ORDER}' AND t.trader_id IS NULL THEN {missing("trader_id")}
        WHEN c.kind = '{ORDER}' AND a.account_id IS NULL THEN {missing("account_id")}
        {"WHEN d.class IS NOT NULL THEN named_struct('class', d.class, 'field', d.field, 'message', d.message)" if drops else ""}
        END"""
    join = (
        f"LEFT JOIN {drops} d ON c.topic = d.topic AND c.partition = d.partition AND c.offset = d.offset"
        if drops
        else ""
    )
    return f"""SELECT c.*, i.issuer_name, i.asset_class, i.sector, i.avg_spread_bps_20d AS avg_spread_bps,
        c.m.*, t.trader_name, t.desk, a.account_type, {fault} AS fault
      FROM ({checked}) c
      LEFT JOIN {INSTRUMENTS} i ON c.m.symbol = i.symbol
      LEFT JOIN {TRADERS} t ON c.m.trader_id = t.trader_id
      LEFT JOIN {ACCOUNTS} a ON c.m.account_id = a.account_id
      {join}"""


def _trade_date(timestamp: str, time_zones: Mapping[str, str]) -> str:
    by_zone: dict[str, list[str]] = {}
    for venue, zone in sorted(time_zones.items()):
        by_zone.setdefault(zone, []).append(f"'{venue}'")
    # One branch a zone: a zone that is constant in the plan is looked up once, not once a row.
    cases = " ".join(
        f"WHEN venue IN ({', '.join(venues)}) THEN to_date(from_utc_timestamp({timestamp}, '{zone}'))"
        for zone, venues in by_zone.items()
    )
    return f"CASE {cases} ELSE to_date({timestamp}) END" if cases else f"to_date({timestamp})"
