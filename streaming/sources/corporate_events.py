"""News about the issuers around the anchor day: results with their watched windows, and other headlines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from streaming.sources.sessions import to_us

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from streaming.sources.firm import Firm

PLAN = yaml.safe_load(Path(__file__).with_name("reference.yaml").read_text(encoding="utf-8"))["corporate_events"]


def corporate_event_rows(firm: Firm, rng: Random) -> Iterator[dict[str, Any]]:
    """Rows in order of announcement. Whether an event is the latest of its kind depends on the time of asking."""
    midnight = datetime(firm.anchor.year, firm.anchor.month, firm.anchor.day, tzinfo=UTC)
    rows = []
    for symbol, day, hour, from_day, to_day, surprise, move in PLAN["earnings"]:
        announced = midnight + timedelta(days=day, hours=hour)
        past = day <= 0
        issuer = firm.by_symbol[symbol].issuer
        period = _fiscal_period(announced)
        verb = "reports" if past else "to report"
        rows.append({
            "issuer_name": issuer, "symbol": symbol, "event_type": "EARNINGS", "fiscal_period": period,
            "announce_us": to_us(announced + timedelta(minutes=rng.randint(0, 40))),
            "window_start_us": to_us(midnight + timedelta(days=from_day)),
            "window_end_us": to_us(midnight + timedelta(days=to_day)),
            "surprise_pct": surprise if past else None, "price_move_pct": move if past else None,
            "headline": f"{issuer} {verb} {period} results",
        })  # fmt: skip
    for symbol, kind, day, move, headline in PLAN["news"]:
        announced = midnight + timedelta(days=day, hours=14, minutes=rng.randint(0, 59), seconds=rng.randint(0, 59))
        rows.append({
            "issuer_name": firm.by_symbol[symbol].issuer, "symbol": symbol, "event_type": kind, "fiscal_period": None,
            "announce_us": to_us(announced), "window_start_us": None, "window_end_us": None, "surprise_pct": None,
            "price_move_pct": move, "headline": headline,
        })  # fmt: skip
    for n, row in enumerate(rows, 1):
        yield {"event_id": f"CE-{n:03}", **row}


def _fiscal_period(announced: datetime) -> str:
    """The quarter before the announcement, e.g. 2026Q3 for November 2026."""
    quarter = (announced.month - 1) // 3
    return f"{announced.year}Q{quarter}" if quarter else f"{announced.year - 1}Q4"
