"""The load generator of the benchmark, a process of its own: open loop, not slowed by the system that it measures.

`python -m evals.bench_load BOOTSTRAP --rate 5000 --seconds 60` or `--count 1000000` as fast as possible.
Of ten messages four are quotes, one is a print, five are order events: entries, and the fill or cancel that ends each
order 0.2 to 8 s later. Prints one JSON line at the end.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import time
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Producer

if TYPE_CHECKING:
    from collections.abc import Iterator

SYMBOLS: Final = [f"S{i:02}" for i in range(50)]
VENUES: Final = ("XNAS", "XNYS")
TRADERS: Final = [f"T{i:03}" for i in range(40)]
ACCOUNTS: Final = [f"A{i:03}" for i in range(80)]
BATCH_S: Final = 0.005


def reference_rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """(view, row) of the firm that trades here."""
    for n, symbol in enumerate(SYMBOLS):
        yield "instruments", {"symbol": symbol, "issuer_name": f"Issuer {n}", "asset_class": "EQUITY",
                              "sector": f"Sector {n % 8}", "venue": "XNAS", "tick_size": 0.01,
                              "avg_spread_bps_20d": 5.0, "adv_20d": 1e6}  # fmt: skip
    for n, trader in enumerate(TRADERS):
        yield "traders", {"trader_id": trader, "trader_name": f"Trader {n}", "desk": f"DESK-{n % 6}"}
        yield (
            "trader_baselines",
            {"trader_id": trader, "metric": "CANCEL_RATIO", "mean": 0.9, "stddev": 0.1, "n_days": 20},
        )
    for n, account in enumerate(ACCOUNTS):
        yield "accounts", {"account_id": account, "account_type": "HOUSE" if n % 4 else "CLIENT"}
    for venue in VENUES:
        yield "trading_calendar", {"venue": venue, "trade_date": "2026-01-02", "timezone": "America/New_York"}
    for name, value in {"window_s": 30, "size_multiple": 5, "touch_multiple": 3, "min_orders": 5, "cancel_ratio": 0.9,
                        "max_fill_ratio": 0.1, "cancel_after_fill_s": 5, "deviation_sigma": 3}.items():  # fmt: skip
        yield (
            "thresholds",
            {"detector": "SPOOFING", "parameter": name, "value": value, "version": 1, "effective_from_us": 1},
        )


class Flow:
    """Endless messages with the event time given."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.prefix = f"{seed:x}"
        self.n = 0
        self.open: list[tuple[int, str, str]] = []

    def next(self, now_us: int) -> tuple[str, str, str]:
        """(topic, key, JSON) of the next message."""
        rng, self.n = self.rng, self.n + 1
        n, draw = f"{self.prefix}-{self.n}", rng.random()
        i = int(rng.random() ** 2 * len(SYMBOLS))
        symbol, venue, price = SYMBOLS[i], VENUES[i % 2], 20 + i + rng.randint(-50, 50) / 100
        if draw < 0.4:
            return "quotes", symbol, (
                f'{{"quote_us":{now_us},"quote_seq":{self.n},"symbol":"{symbol}","venue":"{venue}",'
                f'"bid_price":{price:.2f},"bid_qty":300,"ask_price":{price + 0.02:.2f},"ask_qty":500}}')  # fmt: skip
        if draw < 0.5:
            return "market_trades", symbol, (
                f'{{"trade_id":"t{n}","trade_us":{now_us},"symbol":"{symbol}","venue":"{venue}","price":{price:.2f},'
                f'"qty":{rng.randint(1, 500)},"aggressor_side":"BUY","is_auction":false}}')  # fmt: skip
        if self.open and self.open[0][0] <= now_us:
            _, symbol, body = heapq.heappop(self.open)
            filled = rng.random() < 0.15
            end = ('"type":"FILL","leaves_qty":0,"cum_qty":100,"avg_price":20.5,"last_qty":100,"last_price":20.5,'
                   f'"exec_id":"x{n}","liquidity":"ADDED"' if filled
                   else '"type":"CANCEL","leaves_qty":0,"cum_qty":0,"cancel_reason":"TRADER"')  # fmt: skip
            return "orders", symbol, f'{{{end},"event_id":"e{n}","event_us":{now_us},{body}}}'
        body = (
            f'"order_id":"o{n}","symbol":"{symbol}","venue":"{venue}","side":"{"BUY" if draw < 0.75 else "SELL"}",'
            f'"order_type":"LIMIT","time_in_force":"DAY","price":{price:.2f},"order_qty":100,'
            f'"trader_id":"{TRADERS[self.n % 40]}","account_id":"{ACCOUNTS[self.n % 80]}","is_algo":true,'
            '"session_phase":"CONTINUOUS"')  # fmt: skip
        heapq.heappush(self.open, (now_us + rng.randint(200_000, 8_000_000), symbol, body))
        return (
            "orders",
            symbol,
            f'{{"type":"NEW","event_id":"e{n}","event_us":{now_us},"leaves_qty":100,"cum_qty":0,{body}}}',
        )


def main() -> None:
    """Send, and say what was sent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000_007)
    options = parser.parse_args()
    producer = Producer({"bootstrap.servers": options.bootstrap, "enable.idempotence": True, "acks": "all",
                         "compression.type": "lz4", "linger.ms": 5, "queue.buffering.max.messages": 500_000})  # fmt: skip
    flow, sent, start = Flow(options.seed), 0, time.time()
    headers = [("producer", b"bench"), ("schema_version", b"1")]

    def emit(now_us: int) -> None:
        topic, key, value = flow.next(now_us)
        while True:
            try:
                producer.produce(topic, value, key, headers=headers)
                return
            except BufferError:
                producer.poll(0.05)

    while sent < options.count if options.count else time.time() - start < options.seconds:
        now = time.time()
        due = options.count if not options.rate else int((now - start) * options.rate)
        # A backlog is spread over the last minutes, as an outage would leave it.
        for k in range(sent, min(due, sent + 20_000)):
            emit(int(now * 1e6) if options.rate else int((start - 300 + 300 * k / options.count) * 1e6))
            sent += 1
        producer.poll(0)
        if options.rate:
            time.sleep(max(0.0, BATCH_S - (time.time() - now)))
    producer.flush(60)
    print(json.dumps({"sent": sent, "seconds": round(time.time() - start, 2)}))


if __name__ == "__main__":
    main()
