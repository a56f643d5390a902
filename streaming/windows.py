"""The two window views, computed from the rows of a snapshot when they are read: nothing to keep right but the rows."""

from __future__ import annotations

from typing import Final

FLOW_WINDOW_S: Final = 30
FLOW_STEP_S: Final = 10
LEAST_STDDEV: Final = 0.01
"""Floor of a norm's standard deviation: with a trader whose days are all alike, any change would be infinitely far."""


def trade_stats_sql(facts: str, watermark_us: int) -> str:
    """One-minute bars over prints and quotes of all venues of an instrument.

    Args:
        facts: relation with segment columns.
        watermark_us: windows that end at or before it are final.
    """
    # First and last print by event time, then by place in the partition: equal times must not make the answer random.
    place = "CAST(unix_micros(event_ts) AS DECIMAL(20, 0)) * 1000000000000 + offset"
    first = f"CASE WHEN kind = 'T' THEN {place} END"
    return f"""
SELECT symbol, issuer_name, w AS window_start_ts, w + INTERVAL '1' MINUTE AS window_end_ts, trade_date,
  open_price, high_price, low_price, close_price, traded / nullif(volume, 0D) AS vwap, n_trades, volume,
  traded AS notional, volume / nullif(n_trades, 0) AS avg_trade_qty, n_quotes, avg_spread_bps,
  w + INTERVAL '1' MINUTE <= timestamp_micros({watermark_us}L) AS is_final
FROM (SELECT symbol, max(issuer_name) AS issuer_name, date_trunc('MINUTE', event_ts) AS w, min(trade_date) AS trade_date,
    min_by(price, {first}) AS open_price, max(CASE WHEN kind = 'T' THEN price END) AS high_price,
    min(CASE WHEN kind = 'T' THEN price END) AS low_price, max_by(price, {first}) AS close_price,
    sum(CASE WHEN kind = 'T' THEN price * qty ELSE 0D END) AS traded,
    sum(CASE WHEN kind = 'T' THEN qty ELSE 0D END) AS volume,
    count(CASE WHEN kind = 'T' THEN 1 END) AS n_trades, count(CASE WHEN kind = 'Q' THEN 1 END) AS n_quotes,
    avg(CASE WHEN kind = 'Q' THEN (ask_price - bid_price) / ((ask_price + bid_price) / 2) * 1e4D END) AS avg_spread_bps
  FROM {facts} WHERE kind IN ('T', 'Q') GROUP BY symbol, date_trunc('MINUTE', event_ts))"""


def order_flow_sql(facts: str, baselines: str, watermark_us: int) -> str:
    """Sliding 30-second windows of each trader's flow per instrument and side, against the trader's own norm.

    Args:
        facts: relation with segment columns.
        baselines: relation `trader_baselines`.
        watermark_us: windows that end at or before it are final.
    """
    step_us, steps = FLOW_STEP_S * 1_000_000, FLOW_WINDOW_S // FLOW_STEP_S
    step = f"(unix_micros(event_ts) div {step_us}L) * {step_us}L"
    starts = ", ".join(f"{step} - {n * step_us}L" for n in range(steps))
    buy = "side = 'BUY'"
    sums = ", ".join(
        f"{function}(CASE WHEN {condition} AND {side} THEN {value} END) AS {name}_{suffix}"
        for suffix, side in (("b", buy), ("s", f"NOT {buy}"))
        for name, function, condition, value in (
            ("n_new", "count", "event_type = 'NEW'", "1"),
            ("n_cancel", "count", "event_type = 'CANCEL'", "1"),
            ("n_fill", "count", "event_type = 'FILL'", "1"),
            ("qty_new", "sum", "event_type = 'NEW'", "order_qty"),
            ("qty_cancel", "sum", "event_type = 'CANCEL'", "order_qty - cum_qty"),
            ("qty_fill", "sum", "event_type = 'FILL'", "last_qty"),
            ("max_order_qty", "max", "event_type = 'NEW'", "order_qty"),
            ("n_any", "count", "event_type IN ('NEW', 'CANCEL', 'FILL')", "1"),
        )
    )
    names = ("n_new", "n_cancel", "n_fill", "qty_new", "qty_cancel", "qty_fill", "max_order_qty", "n_any")
    # In two steps: to take the largest of texts, Spark sorts, and after the first step there are few rows left to sort.
    totals = ", ".join(
        f"{'max' if name == 'max_order_qty' else 'sum'}({name}_{side}) AS {name}_{side}"
        for side in "bs"
        for name in names
    )
    sides = ", ".join(
        "named_struct('side', '{}', {}, 'opposite', {})".format(
            side,
            ", ".join(f"'{n}', {n}_{own}" for n in names),
            f"coalesce(qty_fill_{other}, 0D)",
        )
        for side, own, other in (("BUY", "b", "s"), ("SELL", "s", "b"))
    )
    ratio = "least(f.n_cancel / nullif(f.n_new, 0), 1D)"
    return f"""
SELECT trader_id, trader_name, desk, symbol, f.side AS side, timestamp_micros(w) AS window_start_ts,
  timestamp_micros(w + {FLOW_WINDOW_S * 1_000_000}L) AS window_end_ts, f.n_new AS n_new, f.n_cancel AS n_cancel,
  f.n_fill AS n_fill, coalesce(f.qty_new, 0D) AS qty_new, coalesce(f.qty_cancel, 0D) AS qty_cancel,
  coalesce(f.qty_fill, 0D) AS qty_fill, {ratio} AS cancel_ratio, f.max_order_qty AS max_order_qty,
  f.opposite AS opposite_fill_qty, mean AS baseline_cancel_ratio,
  ({ratio} - mean) / greatest(stddev, {LEAST_STDDEV!r}D) AS deviation_score,
  w + {FLOW_WINDOW_S * 1_000_000}L <= {watermark_us}L AS is_final
FROM (SELECT x.*, explode(array({sides})) AS f FROM (
    SELECT trader_id, max(trader_name) AS trader_name, max(desk) AS desk, symbol, w, {totals}
    FROM (SELECT trader_id, trader_name, desk, symbol, w, {sums}
          FROM (SELECT *, explode(array({starts})) AS w
                FROM {facts} WHERE kind = 'O' AND event_type IN ('NEW', 'CANCEL', 'FILL'))
          GROUP BY trader_id, trader_name, desk, symbol, w)
    GROUP BY trader_id, symbol, w) x) y
LEFT JOIN (SELECT trader_id AS norm_of, mean, stddev FROM {baselines} WHERE metric = 'CANCEL_RATIO')
  ON trader_id = norm_of
WHERE f.n_any > 0"""
