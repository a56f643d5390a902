"""A route without Kafka: hand-made messages become batches of the real ingest, maintenance and reader."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from streaming.alerts import AlertStore
from streaming.arrivals import Arrivals
from streaming.batch_plan import RAW_DDL, BatchPlan
from streaming.catalogue import Catalogue
from streaming.history import History
from streaming.ingest import Ingest
from streaming.live_views import Generation, LiveViews, Segment
from streaming.maintenance import Maintenance
from streaming.reader import Reader
from streaming.reference import ReferenceRows, ReferenceTable, decode_reference, reference_views
from streaming.segments import DDL
from streaming.session import quiet_session
from streaming.settings import PipelineSettings
from streaming.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pyspark.sql import SparkSession

START_US = 1_763_650_800_000_000
"""2025-11-20 15:00 UTC, in trading hours of New York."""
REFERENCE: dict[str, list[dict[str, Any]]] = {
    "instruments": [
        {"symbol": "ABC", "issuer_name": "ABC Corp.", "asset_class": "EQUITY", "sector": "Tech", "venue": "XNAS",
         "tick_size": 0.01, "avg_spread_bps_20d": 5.0},
        {"symbol": "XYZ", "issuer_name": "XYZ Industries", "asset_class": "EQUITY", "sector": "Energy",
         "venue": "XNYS", "tick_size": 0.01, "avg_spread_bps_20d": 10.0},
    ],
    "traders": [
        {"trader_id": "T1", "trader_name": "Ann O'Neil", "desk": "EQ-NY"},
        {"trader_id": "T2", "trader_name": "Bo Lindström", "desk": "EQ-NY"},
    ],
    "accounts": [
        {"account_id": "C1", "account_type": "CLIENT"},
        {"account_id": "E1", "account_type": "EMPLOYEE"},
    ],
    "trading_calendar": [
        {"venue": "XNAS", "trade_date": "2025-11-20", "is_trading_day": True, "timezone": "America/New_York"},
        {"venue": "XNYS", "trade_date": "2025-11-20", "is_trading_day": True, "timezone": "America/New_York"},
    ],
    "trader_baselines": [
        {"trader_id": "T1", "metric": "CANCEL_RATIO", "mean": 0.5, "stddev": 0.1, "n_days": 20},
        {"trader_id": "T1", "metric": "AVG_ORDER_QTY", "mean": 150.0, "stddev": 50.0, "n_days": 20},
    ],
    "corporate_events": [
        {"event_id": "CE-1", "issuer_name": "ABC Corp.", "symbol": "ABC", "event_type": "EARNINGS",
         "announce_us": START_US, "window_start_us": START_US - 86_400_000_000,
         "window_end_us": START_US + 86_400_000_000},
        {"event_id": "CE-2", "issuer_name": "ABC Corp.", "symbol": "ABC", "event_type": "EARNINGS",
         "announce_us": START_US + 90 * 86_400_000_000, "window_start_us": START_US + 90 * 86_400_000_000,
         "window_end_us": START_US + 91 * 86_400_000_000},
    ],
    "restricted_list": [
        {"list_id": "RL-1", "list_type": "RESTRICTED", "symbol": "XYZ", "scope": "FIRM", "start_us": START_US + 1_000},
    ],
    "thresholds": [
        {"detector": "SPOOFING", "parameter": name, "value": value, "version": 3, "effective_from_us": START_US - 1}
        for name, value in {"window_s": 30, "size_multiple": 5, "touch_multiple": 3, "min_orders": 5,
                            "cancel_ratio": 0.9, "max_fill_ratio": 0.1, "cancel_after_fill_s": 5,
                            "deviation_sigma": 3}.items()
    ],
}  # fmt: skip

Sent = tuple[str, dict[str, Any] | bytes | None]


def order(kind: str, order_id: str, at_ms: int, event: str, **changes: Any) -> Sent:
    """An order event of a plain limit order."""
    body = {
        "type": kind, "event_id": event, "event_us": START_US + at_ms * 1000, "order_id": order_id, "symbol": "ABC",
        "venue": "XNAS", "side": "BUY", "order_type": "LIMIT", "time_in_force": "DAY", "price": 10.0,
        "order_qty": 100.0, "leaves_qty": 100.0, "cum_qty": 0.0, "trader_id": "T1", "account_id": "C1",
        "is_algo": False, "session_phase": "CONTINUOUS",
    }  # fmt: skip
    return "orders", body | changes


def quote(at_ms: int, seq: int, bid: float | None, ask: float | None, **changes: Any) -> Sent:
    """A best bid and offer."""
    body = {"quote_us": START_US + at_ms * 1000, "quote_seq": seq, "symbol": "ABC", "venue": "XNAS",
            "bid_price": bid, "bid_qty": 500.0, "ask_price": ask, "ask_qty": 400.0}  # fmt: skip
    return "quotes", body | changes


def trade(at_ms: int, trade_id: str, price: float, qty: float, **changes: Any) -> Sent:
    """A print of the public tape."""
    body = {"trade_id": trade_id, "trade_us": START_US + at_ms * 1000, "symbol": "ABC", "venue": "XNAS",
            "price": price, "qty": qty, "aggressor_side": "BUY", "is_auction": False}  # fmt: skip
    return "market_trades", body | changes


class Route:
    """The event route from the checked batch on. One partition a topic."""

    def __init__(self, spark: SparkSession, directory: Path, settings: PipelineSettings) -> None:
        self.spark = spark
        self.session = quiet_session(spark)
        self.settings, self.catalogue = settings, Catalogue.load()
        self.views = reference_views(self.catalogue)
        changes = [decode_reference(self.views, None, json.dumps({"view": view, "row": row}).encode())
                   for view, rows in REFERENCE.items() for row in rows]  # fmt: skip
        reference = ReferenceRows(self.views, {}).with_changes(changes)
        arrivals = Arrivals(settings.duplicate_horizon, int(settings.late_after_s * 1e6), settings.idle_after_s)
        seed = Segment(plan=self.session.createDataFrame([], DDL)._jdf.queryExecution().analyzed(),
                       free=lambda: None, first=0, last=0, rows=0)  # fmt: skip
        self.live = LiveViews(Generation(number=0, segments=(seed,), offsets={}, newest_us=0, watermark_us=0,
                                         reference=reference))  # fmt: skip
        plan = BatchPlan(self.session, largest_message=settings.largest_message, ahead_s=settings.ahead_s)
        self.ingest = Ingest(self.live, arrivals, plan)
        self.ingest.checkpoint = directory / "checkpoint"
        (self.ingest.checkpoint / "offsets").mkdir(parents=True)
        self.history = History(self.session, directory)
        table = ReferenceTable(self.session, directory)
        self.published: list[tuple[str, bytes]] = []
        self.maintenance = Maintenance(self.session, self.live, self.ingest, self.history, table, settings,
                                       self.published.extend, None)  # fmt: skip
        self.alerts = AlertStore(self.session, self.catalogue.views["alerts"], directory)
        self.reader = Reader(self.catalogue, self.live, self.ingest, self.history, table, self.alerts)
        self.ends: dict[str, int] = {}
        self._batches = 0

    def feed(self, messages: Sequence[Sent]) -> list[tuple[str, int]]:
        """Send one batch; returns (topic, offset) of each message."""
        rows, places = [], []
        for topic, body in messages:
            offset = self.ends.get(topic, 0)
            self.ends[topic] = offset + 1
            value = json.dumps(body).encode() if isinstance(body, dict) else body
            headers = [("producer", b"test"), ("schema_version", b"1")]
            at = datetime.fromtimestamp(START_US / 1e6 + 86_400, UTC)
            rows.append((b"k", value, topic, 0, offset, at, 0, headers))
            places.append((topic, offset))
        log = self.ingest.checkpoint / "offsets" / str(self._batches)  # type: ignore[operator]
        log.write_text("v1\n{}\n" + json.dumps({topic: {"0": end} for topic, end in self.ends.items()}))
        self.ingest.process(self.session.createDataFrame(rows, RAW_DDL), self._batches)
        self._batches += 1
        return places

    def snapshot(self, as_of: datetime | None = None) -> Snapshot:
        """The newest views."""
        return self.reader.snapshot(as_of, {})

    def rows(self, view: str, snapshot: Snapshot | None = None) -> list[dict[str, Any]]:
        """All rows of a view, sorted by its key."""
        opened = snapshot or self.snapshot()
        try:
            rows = opened.frame(view, self.spark.newSession()).toArrow().to_pylist()
        finally:
            if snapshot is None:
                opened.release()
        return sorted(rows, key=lambda row: tuple(str(row[name]) for name in self.catalogue.views[view].key))


@pytest.fixture
def route(spark: SparkSession, tmp_path: Path) -> Iterator[Route]:
    """A fresh route with the test's reference rows."""
    yield Route(spark, tmp_path, PipelineSettings(ahead_s=10**6, idle_after_s=0.0, late_after_s=10.0))


def at(ms: float) -> datetime:
    """A time that many milliseconds after the start."""
    us = START_US + round(ms * 1000)
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)


def until(condition: Any, timeout_s: float = 60.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)
