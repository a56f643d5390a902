"""The state of each order after each of its events, and the quote that prevailed just before it.

State is carried from batch to batch in rows: the *tail* of a segment holds the last row of every open order and the
last quote of every symbol and venue, touched or not. An order's events are taken in the order of their Kafka
partition, which is why messages must be keyed by symbol.
"""

from __future__ import annotations

from typing import Final

from streaming.checks import error
from streaming.segments import CARRIED, COLUMNS, DEAD, ORDER, QUOTE

_ENDING: Final = "(event_type IN ('CANCEL', 'REJECT', 'EXPIRE') OR (event_type = 'FILL' AND leaves_qty <= 1e-9D))"
_ANNULS: Final = "event_type IN ('BUST', 'CORRECT')"
"""Events about a fill, often after its order has ended; the order stays as the venue reported it."""

_UNKNOWN: Final = error("UNKNOWN_REFERENCE", "order_id", "no working order has this id")
_REUSED: Final = error("DUPLICATE", "order_id", "an order with this id is working or ended in this batch")


def state_sql(rows: str, carried: str) -> str:
    """SELECT of the finished segment from this batch's rows and the rows carried from earlier batches."""
    return _finish_sql(_states_sql(_quotes_sql(f"{rows} UNION ALL {carried}")))


def _quotes_sql(source: str) -> str:
    """Add `pq`: the last quote of the symbol and venue strictly before an order event, by event time."""
    is_quote = f"(kind = '{QUOTE}' OR (kind = '{CARRIED}' AND order_id IS NULL))"
    # At one instant order events sort before quotes: the change that an event causes is not the market it met.
    return f"""SELECT *, {is_quote} AS is_quote,
        CASE WHEN kind IN ('{ORDER}', '{CARRIED}') AND order_id IS NOT NULL AND NOT ({_ANNULS}) THEN order_id END AS okey,
        last_value(CASE WHEN {is_quote} THEN named_struct('ts', quote_ts, 'bid', bid_price, 'bid_qty', bid_qty,
            'ask', ask_price, 'ask_qty', ask_qty) END, true) OVER (PARTITION BY symbol, venue
            ORDER BY event_ts, {is_quote}, quote_seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS pq
      FROM ({source})"""


def _states_sql(source: str) -> str:
    """Add the running state of each order, from its entry or carried row on."""
    near = "CASE WHEN side = 'BUY' THEN pq.bid - price ELSE price - pq.ask END"
    mid = "(pq.bid + pq.ask) / 2"
    entered = f"""CASE WHEN kind = '{CARRIED}' AND NOT is_quote THEN named_struct('ts', entry_ts, 'phase', entry_phase,
          'mid', mid_at_entry, 'away', distance_bps, 'type', order_type, 'tif', time_in_force,
          'parent', parent_order_id, 'algo', is_algo)
        WHEN okey IS NOT NULL AND event_type = 'NEW' THEN named_struct('ts', event_ts, 'phase', session_phase,
          'mid', {mid}, 'away', {near} / ({mid}) * 1e4D, 'type', order_type, 'tif', time_in_force,
          'parent', parent_order_id, 'algo', is_algo) END"""
    place = "CASE WHEN is_quote THEN unix_micros(event_ts) ELSE offset END"
    order = f"ORDER BY CASE WHEN is_quote THEN 2 WHEN kind = '{CARRIED}' THEN 0 ELSE 1 END, {place}, quote_seq"
    until_now = f"OVER (PARTITION BY symbol, venue, okey {order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    before = f"OVER (PARTITION BY symbol, venue, okey {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    fresh = f"okey IS NOT NULL AND kind = '{ORDER}'"
    return f"""SELECT *, {place} AS place,
        first_value({entered}, true) {until_now} AS entered,
        sum(CASE WHEN kind = '{CARRIED}' THEN n_replaces WHEN {fresh} AND event_type = 'REPLACE' THEN 1 ELSE 0 END)
          {until_now} AS replaces,
        last_value(price, true) {until_now} AS run_price,
        last_value(order_qty, true) {until_now} AS run_qty,
        last_value(cum_qty, true) {until_now} AS run_cum,
        last_value(avg_price, true) {until_now} AS run_avg,
        sum(CASE WHEN {fresh} AND {_ENDING} THEN 1 ELSE 0 END) {before} AS ends_before,
        sum(CASE WHEN kind = '{CARRIED}' OR ({fresh} AND event_type = 'NEW') THEN 1 ELSE 0 END) {before} AS entries_before
      FROM ({source})"""


def _finish_sql(source: str) -> str:
    """Settle the fault, write the state into its columns and mark the tail."""
    is_event = f"(kind = '{ORDER}' AND okey IS NOT NULL)"
    fault = f"""CASE WHEN {is_event} THEN CASE WHEN entered IS NULL OR coalesce(ends_before, 0) > 0 THEN {_UNKNOWN}
        WHEN event_type = 'NEW' AND coalesce(entries_before, 0) > 0 THEN {_REUSED} END END"""
    settled = f"SELECT *, {fault} AS fault2 FROM ({source})"
    keeps = f"(is_quote OR (okey IS NOT NULL AND fault2 IS NULL AND kind IN ('{ORDER}', '{CARRIED}')))"
    rank = "named_struct('p', place, 's', quote_seq)"
    marked = f"""SELECT *, {keeps} AS keeps, {rank} AS rank,
        max(CASE WHEN {keeps} THEN {rank} END) OVER (PARTITION BY symbol, venue, okey) AS last_rank FROM ({settled})"""

    def state(value: str, name: str) -> str:
        return f"CASE WHEN {is_event} THEN {value} ELSE `{name}` END"

    qty, cum = "coalesce(order_qty, run_qty)", "coalesce(cum_qty, run_cum, 0D)"
    ended = "event_type IN ('CANCEL', 'REJECT', 'EXPIRE')"
    leaves = f"coalesce(leaves_qty, CASE WHEN {ended} THEN 0D ELSE {qty} - {cum} END)"
    status = """CASE event_type WHEN 'CANCEL' THEN 'CANCELLED' WHEN 'REJECT' THEN 'REJECTED' WHEN 'EXPIRE' THEN 'EXPIRED'
        WHEN 'FILL' THEN CASE WHEN leaves_qty <= 1e-9D THEN 'FILLED' ELSE 'WORKING' END ELSE 'WORKING' END"""
    faces_quote = f"kind = '{ORDER}'"
    changed = {
        "kind": f"CASE WHEN fault2 IS NULL THEN kind ELSE '{DEAD}' END",
        "error_class": "coalesce(fault2.class, error_class)",
        "error_field": "coalesce(fault2.field, error_field)",
        "error_message": "coalesce(fault2.message, error_message)",
        "price": state(
            "CASE WHEN entered.type IN ('MARKET', 'STOP') THEN price ELSE coalesce(price, run_price) END", "price"
        ),
        "order_qty": state(qty, "order_qty"),
        "cum_qty": state(cum, "cum_qty"),
        "leaves_qty": state(leaves, "leaves_qty"),
        "avg_price": state("coalesce(avg_price, run_avg)", "avg_price"),
        "order_type": state("coalesce(order_type, entered.type)", "order_type"),
        "time_in_force": state("coalesce(time_in_force, entered.tif)", "time_in_force"),
        "parent_order_id": state("coalesce(parent_order_id, entered.parent)", "parent_order_id"),
        "is_algo": state("coalesce(is_algo, entered.algo)", "is_algo"),
        "entry_ts": state("entered.ts", "entry_ts"),
        "entry_phase": state("entered.phase", "entry_phase"),
        "mid_at_entry": state("entered.mid", "mid_at_entry"),
        "distance_bps": state("entered.away", "distance_bps"),
        "n_replaces": state("CAST(replaces AS INT)", "n_replaces"),
        "order_status": state(status, "order_status"),
        "quote_ts": f"CASE WHEN {faces_quote} THEN pq.ts ELSE quote_ts END",
        "bid_price": f"CASE WHEN {faces_quote} THEN pq.bid ELSE bid_price END",
        "bid_qty": f"CASE WHEN {faces_quote} THEN pq.bid_qty ELSE bid_qty END",
        "ask_price": f"CASE WHEN {faces_quote} THEN pq.ask ELSE ask_price END",
        "ask_qty": f"CASE WHEN {faces_quote} THEN pq.ask_qty ELSE ask_qty END",
        "tail": "keeps AND rank = last_rank",
    }
    columns = ", ".join(f"{changed.get(name, f'`{name}`')} AS `{name}`" for name in COLUMNS)
    # A carried row that a later event of the batch replaced has done its work.
    return f"SELECT {columns} FROM ({marked}) WHERE NOT (kind = '{CARRIED}' AND rank <> last_rank)"
