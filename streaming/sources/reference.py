"""The rows of the reference views for the simulated firm, counted from an anchor day.

Keys are stable (`CE-001`, `RL-001`, …): a start on another day updates the rows of the start before.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import yaml

from streaming.messages import Message, reference_message
from streaming.sources.corporate_events import corporate_event_rows
from streaming.sources.sessions import Calendar, Session, to_us

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming.sources.firm import Firm

Row = dict[str, Any]
PLANS = yaml.safe_load(Path(__file__).with_name("reference.yaml").read_text(encoding="utf-8"))
NORMS_FILE = Path(__file__).with_name("norms.yaml")
OFFICERS = ("L.Brandt", "M.Chen", "P.Novotny", "S.Iyer")
BROKERS = ("Nordhaven Invest", "Brightline Brokers", "Carrow Direct", "Zenly Trade")


def reference_messages(
    firm: Firm, calendar: Calendar, rate: float, seed: int = 7, norms: dict[str, Any] | None = None
) -> Iterator[Message]:
    """All reference rows, each as a message of the topic `reference`. `rate` scales the norms of message counts."""
    rng = Random(f"{seed}|reference")
    for row in instrument_rows(firm):
        yield reference_message("instruments", (row["symbol"],), row)
    for row in trader_rows(firm):
        yield reference_message("traders", (row["trader_id"],), row)
    for row in account_rows(firm):
        yield reference_message("accounts", (row["account_id"],), row)
    for session in calendar.sessions():
        row = calendar_row(session)
        yield reference_message("trading_calendar", (row["venue"], row["trade_date"]), row)
    for row in corporate_event_rows(firm, rng):
        yield reference_message("corporate_events", (row["event_id"],), row)
    for row in restricted_rows(firm):
        yield reference_message("restricted_list", (row["list_id"],), row)
    for row in threshold_rows():
        yield reference_message("thresholds", (row["detector"], row["parameter"], str(row["version"])), row)
    for row in baseline_rows(firm, rate, norms):
        yield reference_message("trader_baselines", (row["trader_id"], row["metric"]), row)
    for row in personal_trade_rows(firm, rng):
        yield reference_message("personal_trades", (row["personal_trade_id"],), row)


def instrument_rows(firm: Firm) -> Iterator[Row]:
    """One row per instrument."""
    for i in firm.instruments:
        yield {
            "symbol": i.symbol, "isin": i.isin, "instrument_name": i.name, "issuer_name": i.issuer,
            "asset_class": i.asset_class, "sector": i.sector, "country": i.country, "venue": i.venue,
            "currency": i.currency, "tick_size": i.tick, "lot_size": i.lot,
            "adv_20d": round(i.typical_qty * 9_000 * firm.activity[i.symbol], 2),
            # Measured: the firm's own orders narrow the quoted spread to about 0.87 of the market's.
            "avg_spread_bps_20d": round(0.87 * i.spread_bps, 4), "underlying_symbol": i.underlying,
        }  # fmt: skip


def trader_rows(firm: Firm) -> Iterator[Row]:
    """One row per trader."""
    for t in firm.traders:
        left = firm.left.get(t.trader_id)
        yield {
            "trader_id": t.trader_id, "trader_name": t.name, "desk": t.desk, "business_unit": t.business_unit,
            "manager_id": t.manager_id, "location": t.location, "is_algo": t.is_algo, "risk_tier": t.risk_tier,
            "max_order_notional": t.max_order_notional, "is_wall_crossed": t.is_wall_crossed,
            "start_date": t.start_date, "end_date": left.isoformat() if left else None,
        }  # fmt: skip


def account_rows(firm: Firm) -> Iterator[Row]:
    """One row per account."""
    for a in firm.accounts:
        yield {
            "account_id": a.account_id, "account_type": a.account_type, "account_name": a.name,
            "beneficial_owner_id": a.owner, "employee_trader_id": a.employee, "opened_date": a.opened.isoformat(),
            "country": a.country, "risk_rating": a.risk_rating,
        }  # fmt: skip


def calendar_row(s: Session) -> Row:
    """One venue's trading day."""
    return {
        "venue": s.venue, "trade_date": s.trade_date.isoformat(), "is_trading_day": s.is_open, "timezone": s.timezone,
        "open_us": s.open_us or None, "close_us": s.close_us or None, "closing_auction_start_us": s.closing_auction_us,
        "is_half_day": s.is_half_day, "holiday_name": s.holiday_name,
    }  # fmt: skip


def restricted_rows(firm: Firm) -> Iterator[Row]:
    """The restricted, watch and insider list around the anchor day."""
    for n, (kind, symbol, scope, scope_id, reason, start, end) in enumerate(PLANS["restricted_list"], 1):
        yield {
            "list_id": f"RL-{n:03}", "list_type": kind, "symbol": symbol,
            "issuer_name": firm.by_symbol[symbol].issuer, "scope": scope, "scope_id": scope_id, "reason": reason,
            "start_us": day_us(firm.anchor, start), "end_us": None if end is None else day_us(firm.anchor, end),
            "added_by": OFFICERS[n % 4],
        }  # fmt: skip


def threshold_rows() -> Iterator[Row]:
    """Parameters of all detectors; some have an earlier version with other values."""
    first, second = to_us(datetime(2025, 1, 6, tzinfo=UTC)), to_us(datetime(2026, 3, 2, 8, tzinfo=UTC))
    for n, (detector, body) in enumerate(PLANS["thresholds"].items()):
        earlier = body.get("version_1", {})
        for k, (parameter, (value, unit)) in enumerate(body["parameters"].items()):
            common = {"detector": detector, "parameter": parameter, "unit": unit}
            if earlier:
                yield common | {
                    "value": float(earlier.get(parameter, value)), "version": 1, "effective_from_us": first,
                    "effective_to_us": second, "approved_by": OFFICERS[n % 4], "rationale": "Initial calibration",
                }  # fmt: skip
            yield common | {
                "value": float(value), "version": 2 if earlier else 1,
                "effective_from_us": second if earlier else first, "effective_to_us": None,
                "approved_by": OFFICERS[(n + k) % 4],
                "rationale": "Back-test on the last quarter" if earlier else "Initial calibration",
            }  # fmt: skip


def baseline_rows(firm: Firm, rate: float, norms: dict[str, Any] | None = None) -> Iterator[Row]:
    """Each trader's norm: as measured by `norms.py` on this simulator, or the norms given.

    Counts are scaled to `rate` messages a second and a day of 6.5 hours.
    """
    if norms is None:
        norms = yaml.safe_load(NORMS_FILE.read_text(encoding="utf-8")) if NORMS_FILE.exists() else {}
    as_of = (firm.anchor - timedelta(days=1)).isoformat()
    for trader in firm.traders:
        norm = norms.get(trader.trader_id)
        if norm is None:
            continue
        daily_orders = norm["orders_share"] * rate * 6.5 * 3600
        values = {
            "CANCEL_RATIO": (norm["cancel_ratio"], norm["cancel_ratio_sd"]),
            "ORDERS_PER_DAY": (daily_orders, 0.2 * daily_orders),
            "AVG_ORDER_QTY": (norm["avg_qty"], 0.12 * norm["avg_qty"]),
            "ORDER_TO_TRADE_RATIO": (norm["order_to_trade"], 0.15 * norm["order_to_trade"]),
            "MESSAGES_PER_MINUTE": (norm["messages_share"] * rate * 60, 0.25 * norm["messages_share"] * rate * 60),
        }
        for metric, (mean, deviation) in values.items():
            high = mean + 1.645 * deviation
            yield {
                "trader_id": trader.trader_id, "metric": metric, "mean": round(mean, 6), "stddev": round(deviation, 6),
                "p95": round(min(high, 1.0) if metric == "CANCEL_RATIO" else high, 6),
                "n_days": 14 if trader.trader_id == "T604" else 20, "as_of_date": as_of,
            }  # fmt: skip


def personal_trade_rows(firm: Firm, rng: Random) -> Iterator[Row]:
    """What employees report from their own brokers over the last quarter; some break a rule of personal dealing."""
    people = [t for t in firm.traders if not t.is_algo]
    liquid = [i for i in firm.instruments if i.asset_class in ("EQUITY", "CRYPTO", "ETF")]
    moments = sorted(day_us(firm.anchor, -rng.random() * 90) for _ in range(70))
    for n, moment in enumerate(moments, 1):
        person, inst = people[int(rng.random() * len(people))], liquid[int(rng.random() * len(liquid))]
        status = "APPROVED" if rng.random() < 0.8 else "NONE" if rng.random() < 0.7 else "DENIED"
        expired = rng.random() < 0.1
        expiry = moment + int((-rng.random() if expired else 3 * rng.random()) * 86_400_000_000)
        day = datetime.fromtimestamp(moment // 1_000_000, UTC).date()
        held = rng.choice((30, 30, 30, 5)) if rng.random() < 0.85 else -2
        yield {
            "personal_trade_id": f"PT-{n:04}", "trader_id": person.trader_id, "broker": BROKERS[n % 4],
            "symbol": inst.symbol, "side": "BUY" if rng.random() < 0.55 else "SELL",
            "qty": max(inst.min_qty, round(inst.typical_qty * rng.uniform(0.1, 0.8), inst.qty_digits)),
            "price": round(inst.price * rng.uniform(0.95, 1.05), 4), "trade_us": moment,
            "trade_date": day.isoformat(), "preclearance_status": status,
            "preclearance_expiry_us": expiry if status == "APPROVED" else None,
            "min_holding_until": (day + timedelta(days=held)).isoformat(),
        }  # fmt: skip


def day_us(anchor: date, days: float) -> int:
    """Epoch microseconds of midnight UTC of the anchor day plus a number of days."""
    return to_us(datetime.combine(anchor, time(0), UTC)) + int(days * 86_400) * 1_000_000
