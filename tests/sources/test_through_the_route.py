"""What the simulator sends, the route takes: every message is a row or a dead letter of the class that was owed."""

from collections import Counter
from datetime import UTC, date, datetime

import pytest

from streaming.messages import MARKET_TRADES, ORDERS, QUOTES
from streaming.settings import PipelineSettings
from streaming.sources.disorder import FAULTS, Disorder
from streaming.sources.reference import reference_messages
from streaming.sources.sessions import Calendar, to_us
from streaming.sources.simulator import Simulator
from tests.streaming import conftest as route_harness

START_US = to_us(datetime(2025, 11, 20, 15, 0, tzinfo=UTC))
CALENDAR = Calendar(date(2025, 11, 20), date(2025, 11, 21), START_US)


@pytest.fixture
def route(spark, tmp_path, monkeypatch):
    simulated = Simulator(start_us=START_US, rate=100, calendar=CALENDAR)
    rows: dict[str, list] = {}
    for message in reference_messages(simulated.firm, CALENDAR, 100):
        rows.setdefault(message.value["view"], []).append(message.value["row"])
    monkeypatch.setattr(route_harness, "REFERENCE", rows)
    return route_harness.Route(spark, tmp_path, PipelineSettings(ahead_s=10**6, idle_after_s=0.0, late_after_s=10.0))


@pytest.mark.timeout(600)  # on a busy machine Spark alone may take minutes
def test_every_message_is_a_row_or_the_dead_letter_that_is_owed(route):
    simulated = Simulator(start_us=START_US, rate=60, calendar=CALENDAR)
    clean = list(simulated.run(START_US + 36_000_000))
    # A batch lasts about 10 s; late events must lie behind the watermark of the batch before theirs.
    # Two megabytes are tested by the pipeline itself; here they would cost most of the time.
    kinds = tuple(fault for fault in FAULTS if fault.name != "2 MB message")
    disorder = Disorder(duplicates=0.03, late=0.1, late_by_s=24.0, faults=0.05, kinds=kinds)
    sent = list(disorder.apply(clean))
    for start in range(0, len(sent), 700):
        route.feed([(m.topic, m.value) for m in sent[start : start + 700]])

    dead = route.rows("dead_letters")
    assert Counter(row["error_class"] for row in dead) == disorder.expected
    assert set(disorder.expected) >= {
        "PARSE",
        "SCHEMA",
        "MISSING_FIELD",
        "OUT_OF_RANGE",
        "UNKNOWN_REFERENCE",
        "DUPLICATE",
        "LATE",
    }
    rows = {view: len(route.rows(view)) for view in ("order_events", "market_trades", "quotes")}
    types = Counter(m.value["type"] for m in clean if m.topic == ORDERS)
    assert rows["order_events"] == types.total() - types["BUST"] - types["CORRECT"]
    assert rows["market_trades"] == sum(m.topic == MARKET_TRADES for m in clean)
    assert rows["quotes"] == sum(m.topic == QUOTES for m in clean)
    orders = route.rows("orders")
    assert len(orders) == types["NEW"]
    assert all(o["filled_qty"] <= o["order_qty"] for o in orders)
