"""The catalogue's views as SQL over the rows of one generation. Whatever changes as time passes is computed here.

The SQL gives every column its catalogue name; `view_frame` then puts order and types as the catalogue has them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from streaming.segments import ENDED, open_plan, plan_of
from streaming.windows import order_flow_sql, trade_stats_sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

    from streaming.catalogue import View
    from streaming.reference import ReferenceRows

ORDER_EVENTS: Final = "SELECT * FROM {facts} WHERE kind = 'O' AND event_type NOT IN ('BUST', 'CORRECT')"

MARKET_TRADES: Final = """SELECT *, event_id AS trade_id, event_ts AS trade_ts, price * qty AS notional
FROM {facts} WHERE kind = 'T'"""

QUOTES: Final = """SELECT *, (bid_price + ask_price) / 2 AS mid_price, ask_price - bid_price AS spread,
  (ask_price - bid_price) / ((bid_price + ask_price) / 2) * 1e4D AS spread_bps FROM {facts} WHERE kind = 'Q'"""

DEAD_LETTERS: Final = """SELECT *, CASE WHEN is_valid_utf8(CAST(raw AS STRING)) THEN CAST(raw AS STRING)
  ELSE concat('base64:', base64(raw)) END AS payload FROM {facts} WHERE kind = 'D'"""

_ORDER: Final = """SELECT order_id, parent_order_id, entry_ts,
  CASE WHEN order_status <> 'WORKING' THEN event_ts END AS end_ts, trade_date, order_status AS status, symbol,
  issuer_name, asset_class, sector, venue, side, order_type, time_in_force,
  CASE WHEN order_type NOT IN ('MARKET', 'STOP') THEN price END AS limit_price, order_qty, cum_qty AS filled_qty,
  CASE WHEN order_status = 'CANCELLED' THEN order_qty - cum_qty ELSE 0D END AS cancelled_qty, leaves_qty,
  CASE WHEN cum_qty > 0 THEN avg_price END AS avg_fill_price,
  order_qty * coalesce(CASE WHEN order_type NOT IN ('MARKET', 'STOP') THEN price END, mid_at_entry) AS order_notional,
  n_replaces, CASE WHEN order_status <> 'WORKING' THEN timestampdiff(MILLISECOND, entry_ts, event_ts) END AS lifetime_ms,
  cancel_reason, reject_reason, mid_at_entry, distance_bps, trader_id, trader_name, desk, account_id, account_type,
  is_algo, entry_phase AS session_phase"""
_ENDED: Final = ", ".join(f"'{status}'" for status in ENDED)
ORDERS: Final = f"""{_ORDER} FROM {{facts}}
  WHERE kind = 'O' AND event_type NOT IN ('BUST', 'CORRECT') AND order_status IN ({_ENDED})
UNION ALL {_ORDER} FROM {{tail}}
  WHERE tail AND kind IN ('O', 'W') AND order_id IS NOT NULL AND order_status = 'WORKING'"""
"""Ended orders are their ending events; working orders stand in the newest segment's tail."""

_FILLS: Final = """SELECT *, (bid_price + ask_price) / 2 AS mid FROM {facts}
  WHERE kind = 'O' AND event_type IN ('FILL', 'CORRECT')"""
_WITH_STATUS: Final = f"""SELECT f.*, coalesce(b.annulled, 'VALID') AS status FROM ({_FILLS}) f LEFT JOIN (
  SELECT ref_exec_id, max(CASE event_type WHEN 'BUST' THEN 'BUSTED' ELSE 'CORRECTED' END) AS annulled FROM {{facts}}
  WHERE kind = 'O' AND event_type IN ('BUST', 'CORRECT') GROUP BY ref_exec_id) b ON f.exec_id = b.ref_exec_id"""


def executions_sql(*, annuls: bool) -> str:
    """Fills with the market at that moment; the pass over busts is left out when there are none at all."""
    fills = _WITH_STATUS if annuls else f"SELECT *, 'VALID' AS status FROM ({_FILLS})"
    spread = "2 * abs(last_price - mid) / mid * 1e4D"
    return f"""SELECT *, event_ts AS exec_ts, last_qty AS qty_, last_price AS price_, last_qty * last_price AS notional,
  mid AS mid_price, (ask_price - bid_price) / mid * 1e4D AS quoted_spread_bps, {spread} AS effective_spread_bps,
  ({spread} / nullif(avg_spread_bps, 0D) - 1) * 100 AS spread_deviation_pct,
  (last_price / mid - 1) * 100 AS mid_deviation_pct,
  coalesce(exists(earnings, w -> event_ts >= w.start AND event_ts <= w.end), false) AS in_earnings_window,
  coalesce(exists(earnings, w -> w.last AND event_ts >= w.start AND event_ts <= w.end), false) AS in_last_earnings_window,
  coalesce(exists(restrictions, r -> event_ts >= r.start AND (r.end IS NULL OR event_ts < r.end)
    AND (r.scope = 'FIRM' OR (r.scope = 'DESK' AND r.scope_id = desk) OR (r.scope = 'PERSON' AND r.scope_id = trader_id))),
    false) AS is_restricted
FROM ({fills}) f
LEFT JOIN {{earnings}} e ON f.issuer_name = e.earnings_of LEFT JOIN {{restrictions}} r ON f.symbol = r.restricted"""


_RENAMED: Final = {
    "executions": {"qty": "qty_", "price": "price_"},
    "order_events": {
        # A fill's own figures make no sense on other events, even when a message carries them.
        "last_qty": "CASE WHEN event_type = 'FILL' THEN last_qty END",
        "last_price": "CASE WHEN event_type = 'FILL' THEN last_price END",
        "cancel_reason": "CASE WHEN event_type = 'CANCEL' THEN cancel_reason END",
        "reject_reason": "CASE WHEN event_type = 'REJECT' THEN reject_reason END",
    },
    "orders": {
        "cancel_reason": "CASE WHEN status = 'CANCELLED' THEN cancel_reason END",
        "reject_reason": "CASE WHEN status = 'REJECTED' THEN reject_reason END",
    },
}  # fmt: skip


def shaped(frame: DataFrame, view: View) -> DataFrame:
    """The view's columns, in the catalogue's order and types."""
    renamed = _RENAMED.get(view.name, {})
    return frame.selectExpr(
        *(f"CAST({renamed.get(c.name, f'`{c.name}`')} AS {c.type}) AS `{c.name}`" for c in view.columns.values())
    )


def fact_frame(
    session: SparkSession,
    view: View,
    *,
    facts: DataFrame,
    tail: DataFrame,
    reference: ReferenceRows,
    as_of_us: int,
    watermark_us: int,
    annuls: bool,
) -> DataFrame:
    """One of the views that are made of events.

    Args:
        session: where the DataFrame lives.
        view: the catalogue's definition.
        facts: all rows of the snapshot.
        tail: rows of the newest segment.
        reference: the snapshot's reference rows.
        as_of_us: event-time high mark, microseconds.
        watermark_us: windows that end at or before it are final.
        annuls: whether `facts` may hold busts or corrections.
    """
    given: dict[str, DataFrame] = {"facts": facts}
    match view.name:
        case "order_events":
            text = ORDER_EVENTS
        case "market_trades":
            text = MARKET_TRADES
        case "quotes":
            text = QUOTES
        case "dead_letters":
            text = DEAD_LETTERS
        case "orders":
            text, given["tail"] = ORDERS, tail
        case "executions":
            text = executions_sql(annuls=annuls)
            given["earnings"] = open_plan(session, earnings_plan(session, reference, as_of_us))
            given["restrictions"] = open_plan(session, restrictions_plan(session, reference))
        case "trade_stats_1m":
            text = trade_stats_sql("{facts}", watermark_us)
        case "order_flow_30s":
            text = order_flow_sql("{facts}", "{baselines}", watermark_us)
            given["baselines"] = open_plan(session, reference.plan("trader_baselines", session))
        case _:
            raise KeyError(f"no SQL for the view {view.name!r}; the live pipeline serves the shipped catalogue's views")
    return shaped(session.sql(text, **given), view)


def reference_frame(session: SparkSession, view: View, reference: ReferenceRows, as_of_us: int) -> DataFrame:
    """A reference view; `is_latest` of corporate events is that of the as-of time."""
    if view.name != "corporate_events":
        return open_plan(session, reference.plan(view.name, session))
    rows = list(reference.rows.get(view.name, {}).values())
    latest = _latest(rows, datetime.fromtimestamp(as_of_us / 1e6, UTC))
    key = f"corporate_events@{sorted(latest)}"
    if key not in reference._plans:
        marked = [{**row, "is_latest": row["event_id"] in latest} for row in rows]
        schema = reference.views[view.name]
        from streaming.reference import arrow_table

        reference._plans[key] = plan_of(session.createDataFrame(arrow_table(schema, marked)))
    return open_plan(session, reference._plans[key])


def local_frame(session: SparkSession, view: View, rows: list[dict[str, Any]]) -> DataFrame:
    """A view whose few rows the driver holds."""
    from streaming.reference import arrow_table

    return session.createDataFrame(arrow_table(view, rows))


def _latest(events: list[dict[str, Any]], now: datetime) -> set[str]:
    """Ids of each issuer's most recent event of each type: the one whose window, or announcement, started last."""
    best: dict[tuple[str, str], tuple[datetime, str]] = {}
    for row in events:
        start = row["window_start_ts"] or row["announce_ts"]
        if start is None or start > now:
            continue
        key, rank = (row["issuer_name"], row["event_type"]), (start, row["event_id"])
        best[key] = max(best.get(key, rank), rank)
    return {event_id for _, event_id in best.values()}


def earnings_plan(session: SparkSession, reference: ReferenceRows, as_of_us: int) -> Any:
    """Issuer → its earnings windows, the one that started last marked, as a local relation."""
    rows = [r for r in reference.rows.get("corporate_events", {}).values()
            if r["event_type"] == "EARNINGS" and r["window_start_ts"] and r["window_end_ts"]]  # fmt: skip
    last = _latest(rows, datetime.fromtimestamp(as_of_us / 1e6, UTC))
    key = f"earnings@{sorted(last)}"
    if key not in reference._plans:
        windows: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            windows.setdefault(row["issuer_name"], []).append(
                {"start": row["window_start_ts"], "end": row["window_end_ts"], "last": row["event_id"] in last}
            )
        moment = pa.timestamp("us", tz="UTC")
        shape = pa.list_(pa.struct([("start", moment), ("end", moment), ("last", pa.bool_())]))
        reference._plans[key] = _by_key(session, "earnings_of", "earnings", shape, windows)
    return reference._plans[key]


def restrictions_plan(session: SparkSession, reference: ReferenceRows) -> Any:
    """Symbol → entries of type RESTRICTED, as a local relation."""
    key = "restrictions"
    if key not in reference._plans:
        entries: dict[str, list[Mapping[str, Any]]] = {}
        for row in reference.rows.get("restricted_list", {}).values():
            if row["list_type"] == "RESTRICTED" and row["start_ts"]:
                entries.setdefault(row["symbol"], []).append(
                    {"start": row["start_ts"], "end": row["end_ts"], "scope": row["scope"], "scope_id": row["scope_id"]}
                )
        moment = pa.timestamp("us", tz="UTC")
        shape = pa.list_(
            pa.struct([("start", moment), ("end", moment), ("scope", pa.string()), ("scope_id", pa.string())])
        )
        reference._plans[key] = _by_key(session, "restricted", "restrictions", shape, entries)
    return reference._plans[key]


def _by_key(session: SparkSession, key: str, value: str, shape: pa.DataType, rows: Mapping[str, Any]) -> Any:
    schema = pa.schema([(key, pa.string()), (value, shape)])
    table = pa.Table.from_pylist([{key: k, value: v} for k, v in rows.items()], schema=schema)
    return plan_of(session.createDataFrame(table))
