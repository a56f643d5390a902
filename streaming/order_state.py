"""The state of each order after each of its events, and the quote that prevailed just before it.

State is carried from batch to batch in rows: the *tail* of a segment holds the last row of every open order and the
last quote of every symbol and venue, touched or not. An order's events are taken in the order of their Kafka
partition, which is why messages must be keyed by symbol.
"""

from __future__ import annotations

from typing import Final

from streaming.checks import error
from streaming.segments import CARRIED, COLUMNS, DEAD, ORDER, QUOTE

_ENDING: Final = "(p.event_type IN ('CANCEL', 'REJECT', 'EXPIRE') OR (p.event_type = 'FILL' AND p.leaves_qty <= 1e-9D))"
_ANNULS: Final = "event_type IN ('BUST', 'CORRECT')"
"""Events about a fill, often after its order has ended; the order stays as the venue reported it."""

_UNKNOWN: Final = error("UNKNOWN_REFERENCE", "order_id", "no working order has this id")
_REUSED: Final = error("DUPLICATE", "order_id", "an order with this id is working or ended in this batch")


def state_sql(packed: str) -> str:
    """SELECT of the finished segment from rows packed as `p` (`enrich.packed_sql`, `enrich.carried_sql`)."""
    return _finish_sql(_states_sql(_quotes_sql(packed)))


def _quotes_sql(source: str) -> str:
    """Unpack what the windows need; add `pq`: the last quote of symbol and venue strictly before an order event."""
    is_quote = f"(p.kind = '{QUOTE}' OR (p.kind = '{CARRIED}' AND p.order_id IS NULL))"
    of_order = f"p.kind IN ('{ORDER}', '{CARRIED}') AND p.order_id IS NOT NULL AND NOT (p.{_ANNULS})"
    keys = f"""SELECT p, p.kind AS kind, p.symbol AS symbol, p.venue AS venue, p.event_ts AS event_ts,
        p.quote_seq AS quote_seq, {is_quote} AS is_quote, CASE WHEN {of_order} THEN p.order_id END AS okey,
        CASE WHEN {is_quote} THEN named_struct('ts', p.quote_ts, 'bid', p.bid_price, 'bid_qty', p.bid_qty,
          'ask', p.ask_price, 'ask_qty', p.ask_qty) END AS quote
      FROM {source}"""
    # At one instant order events sort before quotes: the change that an event causes is not the market it met.
    return f"""SELECT *, last_value(quote, true) OVER (PARTITION BY symbol, venue
            ORDER BY event_ts, is_quote, quote_seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS pq
      FROM ({keys})"""


def _states_sql(source: str) -> str:
    """Add the running state of each order, from its entry or carried row on."""
    near = "CASE WHEN p.side = 'BUY' THEN pq.bid - p.price ELSE p.price - pq.ask END"
    mid = "(pq.bid + pq.ask) / 2"
    fixed = "'type', p.order_type, 'tif', p.time_in_force, 'parent', p.parent_order_id, 'algo', p.is_algo"
    entry = f"""CASE WHEN kind = '{CARRIED}' AND NOT is_quote THEN named_struct('ts', p.entry_ts, 'phase', p.entry_phase,
          'mid', p.mid_at_entry, 'away', p.distance_bps, {fixed})
        WHEN okey IS NOT NULL AND p.event_type = 'NEW' THEN named_struct('ts', event_ts, 'phase', p.session_phase,
          'mid', {mid}, 'away', {near} / ({mid}) * 1e4D, {fixed}) END"""
    placed = f"""SELECT p, kind, symbol, venue, quote_seq, is_quote, okey, pq, {entry} AS entry,
        okey IS NOT NULL AND kind = '{ORDER}' AS fresh,
        CASE WHEN is_quote THEN 2 WHEN kind = '{CARRIED}' THEN 0 ELSE 1 END AS turn,
        CASE WHEN is_quote THEN unix_micros(event_ts) ELSE p.offset END AS place
      FROM ({source})"""
    over = "OVER (PARTITION BY symbol, venue, okey ORDER BY turn, place, quote_seq ROWS BETWEEN UNBOUNDED PRECEDING AND"
    until_now, before = f"{over} CURRENT ROW)", f"{over} 1 PRECEDING)"
    return f"""SELECT p, kind, symbol, venue, quote_seq, is_quote, okey, pq, place,
        first_value(entry, true) {until_now} AS entered,
        sum(CASE WHEN kind = '{CARRIED}' THEN p.n_replaces WHEN fresh AND p.event_type = 'REPLACE' THEN 1 ELSE 0 END)
          {until_now} AS replaces,
        last_value(p.price, true) {until_now} AS run_price,
        last_value(p.order_qty, true) {until_now} AS run_qty,
        last_value(p.cum_qty, true) {until_now} AS run_cum,
        last_value(p.avg_price, true) {until_now} AS run_avg,
        sum(CASE WHEN fresh AND {_ENDING} THEN 1 ELSE 0 END) {before} AS ends_before,
        sum(CASE WHEN kind = '{CARRIED}' OR (fresh AND p.event_type = 'NEW') THEN 1 ELSE 0 END) {before} AS entries_before
      FROM ({placed})"""


def _finish_sql(source: str) -> str:
    """Settle the fault, write the state into its columns and mark the tail."""
    is_event = f"(kind = '{ORDER}' AND okey IS NOT NULL)"
    fault = f"""CASE WHEN {is_event} THEN CASE WHEN entered IS NULL OR coalesce(ends_before, 0) > 0 THEN {_UNKNOWN}
        WHEN p.event_type = 'NEW' AND coalesce(entries_before, 0) > 0 THEN {_REUSED} END END"""
    keeps = f"(is_quote OR (okey IS NOT NULL AND fault IS NULL AND kind IN ('{ORDER}', '{CARRIED}')))"
    settled = f"SELECT *, {keeps} AS keeps FROM (SELECT *, {fault} AS fault FROM ({source}))"
    rank = "named_struct('p', place, 's', quote_seq)"
    marked = f"""SELECT *, {rank} AS rank,
        max(CASE WHEN keeps THEN {rank} END) OVER (PARTITION BY symbol, venue, okey) AS last_rank FROM ({settled})"""

    def state(value: str, name: str) -> str:
        return f"CASE WHEN {is_event} THEN {value} ELSE p.`{name}` END"

    qty, cum = "coalesce(p.order_qty, run_qty)", "coalesce(p.cum_qty, run_cum, 0D)"
    ended = "p.event_type IN ('CANCEL', 'REJECT', 'EXPIRE')"
    leaves = f"coalesce(p.leaves_qty, CASE WHEN {ended} THEN 0D ELSE {qty} - {cum} END)"
    status = """CASE p.event_type WHEN 'CANCEL' THEN 'CANCELLED' WHEN 'REJECT' THEN 'REJECTED' WHEN 'EXPIRE' THEN
        'EXPIRED' WHEN 'FILL' THEN CASE WHEN p.leaves_qty <= 1e-9D THEN 'FILLED' ELSE 'WORKING' END ELSE 'WORKING' END"""
    faces_quote = f"kind = '{ORDER}'"
    changed = {
        "kind": f"CASE WHEN fault IS NULL THEN kind ELSE '{DEAD}' END",
        "error_class": "coalesce(fault.class, p.error_class)",
        "error_field": "coalesce(fault.field, p.error_field)",
        "error_message": "coalesce(fault.message, p.error_message)",
        "price": state(
            "CASE WHEN entered.type IN ('MARKET', 'STOP') THEN p.price ELSE coalesce(p.price, run_price) END", "price"
        ),
        "order_qty": state(qty, "order_qty"),
        "cum_qty": state(cum, "cum_qty"),
        "leaves_qty": state(leaves, "leaves_qty"),
        "avg_price": state("coalesce(p.avg_price, run_avg)", "avg_price"),
        "order_type": state("coalesce(p.order_type, entered.type)", "order_type"),
        "time_in_force": state("coalesce(p.time_in_force, entered.tif)", "time_in_force"),
        "parent_order_id": state("coalesce(p.parent_order_id, entered.parent)", "parent_order_id"),
        "is_algo": state("coalesce(p.is_algo, entered.algo)", "is_algo"),
        "entry_ts": state("entered.ts", "entry_ts"),
        "entry_phase": state("entered.phase", "entry_phase"),
        "mid_at_entry": state("entered.mid", "mid_at_entry"),
        "distance_bps": state("entered.away", "distance_bps"),
        "n_replaces": state("CAST(replaces AS INT)", "n_replaces"),
        "order_status": state(status, "order_status"),
        "quote_ts": f"CASE WHEN {faces_quote} THEN pq.ts ELSE p.quote_ts END",
        "bid_price": f"CASE WHEN {faces_quote} THEN pq.bid ELSE p.bid_price END",
        "bid_qty": f"CASE WHEN {faces_quote} THEN pq.bid_qty ELSE p.bid_qty END",
        "ask_price": f"CASE WHEN {faces_quote} THEN pq.ask ELSE p.ask_price END",
        "ask_qty": f"CASE WHEN {faces_quote} THEN pq.ask_qty ELSE p.ask_qty END",
        "tail": "keeps AND rank = last_rank",
    }
    columns = ", ".join(f"{changed.get(name, f'p.`{name}`')} AS `{name}`" for name in COLUMNS)
    # A carried row that a later event of the batch replaced has done its work.
    return f"SELECT {columns} FROM ({marked}) WHERE NOT (kind = '{CARRIED}' AND rank <> last_rank)"
