"""The simulated firm: deterministic, conserving, and in the proportions of real markets."""

import time
from collections import Counter, defaultdict
from datetime import UTC, date, datetime

import jsonschema
import pytest

from streaming.catalogue import Catalogue
from streaming.messages import MARKET_TRADES, ORDERS, QUOTES, encode
from streaming.sources.cli import build_simulator, past_days
from streaming.sources.firm import Firm
from streaming.sources.norms import measure
from streaming.sources.reference import baseline_rows, reference_messages
from streaming.sources.sessions import Calendar, session, to_us
from tests.sources.conftest import START_US, simulator

TOLERANCE = 1e-6


def rows(messages: list, topic: str) -> list[dict]:
    return [m.value for m in messages if m.topic == topic]


def test_same_seed_same_bytes():
    def run(seed: int) -> list:
        return [(m.topic, m.key, encode(m.value)) for m in simulator(seed).run(START_US + 10_000_000)]

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_reference_rows_are_the_same_for_a_day():
    firm, calendar = Firm.load(date(2026, 11, 20)), Calendar(date(2026, 11, 1), date(2026, 11, 30))
    assert list(reference_messages(firm, calendar, 300)) == list(reference_messages(firm, calendar, 300))


def test_event_time_never_goes_back(minutes):
    times = [m.event_us for m in minutes[0]]
    assert times == sorted(times)
    assert all(
        m.event_us == m.value[f] for m in minutes[0] for f in ("event_us", "trade_us", "quote_us") if f in m.value
    )


def test_rate_is_what_was_asked_for():
    for rate in (50.0, 3000.0):
        n = sum(1 for _ in simulator(rate=rate).run(START_US + int(9_000 / rate * 1e6)))
        assert 0.8 < n / 9_000 < 1.2, f"{n / 9_000:.2f} of the messages asked for at {rate:g} a second"


def test_every_message_fits_its_schema(minutes, schemas):
    validators = {name: jsonschema.Draft202012Validator(schema) for name, schema in schemas.items()}
    for message in minutes[0][::3]:
        validators[message.topic].validate(message.value)
    for kind in ("BUST", "CORRECT", "REJECT", "EXPIRE", "REPLACE"):
        for message in [m for m in minutes[0] if m.value.get("type") == kind][:20]:
            validators[message.topic].validate(message.value)
    firm, calendar = Firm.load(date(2026, 11, 20)), Calendar(date(2026, 11, 1), date(2026, 11, 30))
    for message in reference_messages(firm, calendar, 300):
        validators["reference"].validate(message.value)


def test_reference_rows_are_the_catalogues():
    catalogue = Catalogue.load()
    firm, calendar = Firm.load(date(2026, 11, 20)), Calendar(date(2026, 11, 1), date(2026, 11, 30))
    seen = Counter()
    for message in reference_messages(firm, calendar, 300):
        view, row = catalogue.views[message.value["view"]], message.value["row"]
        seen[view.name] += 1
        names = {name.removesuffix("_us") + "_ts" if name.endswith("_us") else name for name in row}
        # is_latest depends on when one asks, so it is not sent.
        assert names == set(view.columns) - {"is_latest"}, view.name
        assert message.key == "|".join([view.name, *(str(row[k]) for k in view.key)])
        for name, value in row.items():
            column = view.columns.get(name)
            if column is not None and column.codes and value is not None:
                assert value in column.codes, (view.name, name, value)
    assert seen["instruments"] == 26
    assert seen["accounts"] == 80
    assert set(seen) >= {"restricted_list", "corporate_events", "thresholds", "trader_baselines", "personal_trades"}


def test_thresholds_cover_all_detectors():
    detectors = set(Catalogue.load().views["alerts"].columns["detector"].codes)
    firm, calendar = Firm.load(date(2026, 11, 20)), Calendar(date(2026, 11, 20), date(2026, 11, 20))
    found = [m.value["row"] for m in reference_messages(firm, calendar, 300) if m.value["view"] == "thresholds"]
    assert {row["detector"] for row in found} == detectors
    current = Counter((r["detector"], r["parameter"]) for r in found if r["effective_to_us"] is None)
    assert set(current.values()) == {1}


def test_orders_conserve_quantity(minutes):
    """Replaying the events of each order gives the quantities that each event states."""
    state: dict[str, dict] = {}
    for row in rows(minutes[0], ORDERS):
        kind, order = row["type"], state.get(row["order_id"])
        if kind == "NEW":
            assert order is None, "an order is entered once"
            state[row["order_id"]] = {"qty": row["order_qty"], "cum": 0.0, "paid": 0.0, "open": True}
            continue
        assert order is not None
        if kind in ("BUST", "CORRECT"):
            continue
        assert order["open"], f"{kind} after the end of {row['order_id']}"
        if kind == "FILL":
            order["cum"] += row["last_qty"]
            order["paid"] += row["last_qty"] * row["last_price"]
            assert row["avg_price"] == pytest.approx(order["paid"] / order["cum"])
        order["qty"] = row["order_qty"]
        assert row["cum_qty"] == pytest.approx(order["cum"], abs=TOLERANCE)
        assert order["cum"] <= order["qty"] + TOLERANCE
        ended = kind in ("CANCEL", "REJECT", "EXPIRE")
        assert row["leaves_qty"] == pytest.approx(0.0 if ended else order["qty"] - order["cum"], abs=TOLERANCE)
        order["open"] = not ended and row["leaves_qty"] > 0


def test_every_fill_is_on_the_tape(minutes):
    """One print for each fill, one for the two fills of an internal cross; in auctions one for all."""
    prints = Counter()
    auctions = defaultdict(float)
    for row in rows(minutes[0], MARKET_TRADES):
        if row["is_auction"]:
            auctions[row["symbol"], row["trade_us"]] += row["qty"]
        else:
            prints[row["symbol"], row["trade_us"], row["price"], row["qty"]] += 1
    fills = Counter()
    for row in rows(minutes[0], ORDERS):
        if row["type"] == "FILL" and row["liquidity"] != "AUCTION":
            crossed = row["liquidity"] == "ADDED" and "counterparty_account_id" in row
            fills[row["symbol"], row["event_us"], row["last_price"], row["last_qty"]] += 0 if crossed else 1
    assert len(fills) > 300
    assert not fills - prints


def test_book_is_never_crossed_and_prints_touch_the_quote(minutes):
    last: dict[str, dict] = {}
    inside = total = 0
    recipes = {order_id for label in minutes[1].labels for order_id in label.order_ids}
    assert recipes
    for message in minutes[0]:
        row = message.value
        if message.topic == QUOTES:
            assert row["bid_price"] < row["ask_price"]
            assert row["bid_qty"] > 0
            assert row["ask_qty"] > 0
            before = last.get(row["symbol"])
            assert before is None or before["quote_seq"] < row["quote_seq"]
            assert before is None or {k: v for k, v in before.items() if k[:5] != "quote"} != {
                k: v for k, v in row.items() if k[:5] != "quote"
            }, "a quote is a change"
            last[row["symbol"]] = row
        elif message.topic == MARKET_TRADES and not row["is_auction"] and row["symbol"] in last:
            quote = last[row["symbol"]]
            total += 1
            inside += quote["bid_price"] - 1e-9 <= row["price"] <= quote["ask_price"] + 1e-9
    # Orders that walk through several levels, and the planted off-market cross, print outside the last quote.
    assert inside / total > 0.9, inside / total


def test_proportions_of_a_real_market(minutes):
    orders = rows(minutes[0], ORDERS)
    filled = {r["order_id"] for r in orders if r["type"] == "FILL"}
    ended = {r["order_id"] for r in orders if r["type"] in ("CANCEL", "REJECT", "EXPIRE") or r["leaves_qty"] == 0}
    people = {r["order_id"] for r in orders if not r["is_algo"]}
    assert 0.90 <= 1 - len(ended & filled) / len(ended) <= 0.97
    assert 0.4 <= 1 - len(ended & filled & people) / len(ended & people) <= 0.8
    kinds = Counter(r["type"] for r in orders)
    assert set(kinds) >= {"NEW", "REPLACE", "CANCEL", "FILL", "REJECT", "EXPIRE"}
    assert {r["side"] for r in orders} == {"BUY", "SELL", "SELL_SHORT"}
    assert {r["venue"] for r in orders} == {"XNAS", "XNYS", "XCBO", "XLON", "XETR", "XCME", "BTSP"}
    assert len({r["trader_id"] for r in orders}) >= 35
    types = {minutes[1].firm.by_account[r["account_id"]].account_type for r in orders}
    assert types == {"CLIENT", "HOUSE", "MARKET_MAKING", "EMPLOYEE", "ERROR"}
    children = [r for r in orders if "parent_order_id" in r]
    parents = {r["order_id"] for r in orders if r["order_id"].startswith("P-")}
    assert {r["parent_order_id"] for r in children} <= parents
    assert not parents & filled, "a parent's fills are its slices'"


def test_norms_are_how_traders_behave():
    """The baselines sent are those of this simulator, not of another version of it."""
    now = measure(minutes=4, seeds=(77,))
    sent = {
        r["trader_id"]: r for r in baseline_rows(Firm.load(date(2026, 11, 20)), 300) if r["metric"] == "CANCEL_RATIO"
    }
    for trader in ("ALGO61", "ALGO62", "ALGO71", "T1000", "T104"):
        assert now[trader]["cancel_ratio"] == pytest.approx(sent[trader]["mean"], abs=0.12), trader


def test_past_days_have_sessions_auctions_and_holidays():
    start_us = to_us(datetime(2026, 11, 20, 15, 0, tzinfo=UTC))
    simulated = build_simulator(start_us, seed=7, rate=300, hours="always", history_days=3)
    messages = list(past_days(simulated, start_us, per_day=1500))
    orders, prints = rows(messages, ORDERS), rows(messages, MARKET_TRADES)
    assert messages[-1].event_us < start_us
    phases = {r["session_phase"] for r in orders}
    assert phases >= {"PRE_OPEN", "OPENING_AUCTION", "CONTINUOUS", "CLOSING_AUCTION"}
    assert any(p["is_auction"] and "aggressor_side" not in p for p in prints)
    for row in orders:
        day = datetime.fromtimestamp(row["event_us"] // 1_000_000, UTC).date()
        if row["type"] == "NEW" and row["venue"] in ("XLON", "XETR") and day < date(2026, 11, 20):
            assert session(row["venue"], day).is_open, (row["venue"], day)
    assert {datetime.fromtimestamp(r["event_us"] // 1_000_000, UTC).date() for r in orders} >= {
        date(2026, 11, 18), date(2026, 11, 19), date(2026, 11, 20)
    }  # fmt: skip


def test_runs_share_no_ids():
    first = {m.value.get("event_id") for m in simulator().run(START_US + 5_000_000)} - {None}
    second = {m.value.get("event_id") for m in simulator(start_us=START_US + 5_000_000).run(START_US + 9_000_000)}
    assert first
    assert not first & second


def test_stop_leaves_no_working_order():
    simulated = simulator()
    messages = [*simulated.run(START_US + 20_000_000), *simulated.stop()]
    leaves = {m.value["order_id"]: m.value["leaves_qty"] for m in messages if m.topic == ORDERS}
    assert set(leaves.values()) == {0.0}


def test_a_reader_that_stops_midway_misses_nothing_and_gets_nothing_twice():
    simulated, read = simulator(), []
    for message in simulated.run(START_US + 20_000_000):
        read.append(message)
        if len(read) > 1000 and message.value.get("type") == "FILL":
            break  # its print has not been read yet
    read += simulated.stop()
    assert len({m.value["event_id"] for m in read if m.topic == ORDERS}) == sum(m.topic == ORDERS for m in read)
    whole = list(simulator().run(START_US + 20_000_000))
    assert read[: len(whole)][:1000] == whole[:1000]
    fills = Counter((m.value["symbol"], m.event_us) for m in read if m.value.get("type") == "FILL")
    prints = {(m.value["symbol"], m.event_us) for m in read if m.topic == MARKET_TRADES}
    assert set(fills) <= prints
    leaves = {m.value["order_id"]: m.value["leaves_qty"] for m in read if m.topic == ORDERS}
    assert set(leaves.values()) == {0.0}


def test_summer_time_moves_the_open():
    winter, summer = session("XNAS", date(2026, 11, 20)), session("XNAS", date(2026, 6, 19))
    assert datetime.fromtimestamp(winter.open_us / 1e6, UTC).hour == 14
    assert datetime.fromtimestamp(summer.open_us / 1e6, UTC).hour == 13
    assert session("XNAS", date(2026, 11, 21)).holiday_name == "Weekend"
    days = [session("XNAS", date(2026, 11, n)) for n in range(1, 31)]
    assert any(d.is_half_day for d in days)
    assert any(d.holiday_name == "Founders Day" for d in days)


def test_is_fast_enough_for_load_tests():
    """A sanity floor far below the measured rate, so that a busy machine does not fail it."""
    simulated = simulator(rate=25_000)
    begun = time.process_time()
    n = sum(len(encode(m.value)) > 0 for m in simulated.run(START_US + 1_000_000))
    assert n / (time.process_time() - begun) > 8_000
