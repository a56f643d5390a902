"""Measures how each simulated trader behaves, for the view trader_baselines: `python -m streaming.sources.norms`.

Plays an hour and a half with seeds that no run uses by default, counts, and writes `norms.yaml`. Run it again after
changing the simulator's behaviour; a test compares the file with a fresh, shorter measurement.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import yaml

from streaming.messages import ORDERS
from streaming.sources.reference import NORMS_FILE
from streaming.sources.sessions import Calendar, to_us
from streaming.sources.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streaming.messages import Message
    from streaming.sources.identities import Identities

DAILY_SPREAD = 0.05
"""Standard deviation of a trader's true cancel ratio from day to day, beside the chance of few orders."""


def measure(minutes: float = 30.0, seeds: Iterable[int] = (901, 902, 903), rate: float = 300.0) -> dict[str, Any]:
    """Trader → norms; counts as shares of all messages of the simulator."""
    seen: Counter[str] = Counter()
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for seed in seeds:
        day = date(2026, 3, 4)
        start_us = to_us(datetime(2026, 3, 4, 15, 0, tzinfo=UTC))
        simulator = Simulator(start_us=start_us, seed=seed, rate=rate, calendar=Calendar(day, day, start_us))
        for message in simulator.run(start_us + int(minutes * 60e6)):
            seen["messages"] += 1
            if message.topic == ORDERS:
                _count(sums, message)
    return {trader: _norm(c, seen["messages"], rate) for trader, c in sorted(sums.items())}


def _count(sums: dict[str, Counter[str]], message: Message) -> None:
    row = message.value
    assert isinstance(row, dict)
    c = sums[row["trader_id"]]
    c["messages"] += 1
    c[row["type"]] += 1
    if row["type"] == "NEW":
        c["qty"] += row["order_qty"]


def market_norms(counts: Counter[str], qty: float, identities: Identities) -> dict[str, Any]:
    """Norms for owners drawn by chance: all behave as the market, only more or less often.

    Args:
        counts: order messages of the recording by type, all orders taken as the firm's.
        qty: quantity of all its new orders.
        identities: how owners are drawn.
    """
    found = {}
    for trader, weight in identities.trader_weights().items():
        share = identities.firm_share * weight
        own = Counter({kind: round(n * share) for kind, n in counts.items()})
        own["qty"] = round(qty * share)
        own["messages"] = own.total() - own["qty"]
        norm = _norm(own, sum(counts.values()), 1.0)
        norm["avg_qty"] = round(qty / max(1, counts["NEW"]), 8)
        found[trader] = norm
    return found


def _norm(c: Counter[str], messages: int, rate: float) -> dict[str, float]:
    orders = max(1, c["NEW"])
    ratio = min(1.0, c["CANCEL"] / orders)
    daily_orders = orders / messages * rate * 6.5 * 3600
    chance = (ratio * (1 - ratio) / max(1.0, daily_orders)) ** 0.5
    return {
        "cancel_ratio": round(ratio, 4),
        "cancel_ratio_sd": round(min((chance**2 + DAILY_SPREAD**2) ** 0.5, max(0.01, (1 - ratio) / 1.5)), 4),
        "avg_qty": round(c["qty"] / orders, 3),
        "order_to_trade": round(orders / max(1, c["FILL"]), 3),
        "orders_share": round(orders / messages, 6),
        "messages_share": round(c["messages"] / messages, 6),
    }


def main() -> None:
    """Measure and write the file."""
    text = yaml.safe_dump(measure(), sort_keys=True, default_flow_style=None, width=120)
    NORMS_FILE.write_text(
        "# Written by `python -m streaming.sources.norms`; counts are shares of all messages.\n" + text
    )


if __name__ == "__main__":
    main()
