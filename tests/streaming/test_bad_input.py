"""Nothing is dropped in silence: each kind of bad message becomes a dead letter with its bytes, and the stream goes on."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from tests.streaming.conftest import order, quote, trade

if TYPE_CHECKING:
    from tests.streaming.conftest import Route

HUGE = json.dumps(order("NEW", "O1", 0, "huge", pad="x" * 2_000_000)[1]).encode()


def body(**changes: Any) -> dict[str, Any]:
    return order("NEW", "OB", 10, "eb")[1] | changes


BAD: list[tuple[str, Any, str, str | None]] = [
    ("orders", b'{"type": "NEW", "event_id"', "PARSE", None),
    ("orders", b"", "PARSE", None),
    ("orders", None, "PARSE", None),
    ("orders", b'["an", "array"]', "PARSE", None),
    ("orders", json.dumps(body(event_id="b0")).encode() + b" trailing", "PARSE", None),
    ("quotes", b'{"symbol": "A\xff\xfe"}', "PARSE", None),
    ("orders", b'{"a":' * 3000 + b"1" + b"}" * 3000, "PARSE", None),
    ("orders", body(event_id="b1", price="ten"), "SCHEMA", "price"),
    ("orders", body(event_id="b2", event_us=1.5), "SCHEMA", "event_us"),
    ("orders", body(event_id="b3", trader_id=None), "MISSING_FIELD", "trader_id"),
    ("orders", body(event_id=""), "MISSING_FIELD", "event_id"),
    ("orders", body(event_id="b5", type="FILL", last_qty=1.0, last_price=1.0), "MISSING_FIELD", "exec_id"),
    ("orders", body(event_id="b6", price=None), "MISSING_FIELD", "price"),
    ("quotes", quote(10, 90, None, None)[1], "MISSING_FIELD", "bid_price"),
    ("orders", body(event_id="b7", order_qty=-5.0), "OUT_OF_RANGE", "order_qty"),
    ("orders", body(event_id="b8", side="HOLD"), "OUT_OF_RANGE", "side"),
    ("market_trades", trade(10, "b9", float("nan"), 1.0)[1], "OUT_OF_RANGE", "price"),
    ("market_trades", trade(10, "b10", 0.0, 1.0)[1], "OUT_OF_RANGE", "price"),
    ("quotes", quote(10, 91, 9.9, 10.0, bid_qty=-1.0)[1], "OUT_OF_RANGE", "bid_qty"),
    ("orders", body(event_id="b11", event_us=1_700_000_000_000), "OUT_OF_RANGE", "event_us"),
    ("orders", body(event_id="b12", event_us=9_000_000_000_000_000), "OUT_OF_RANGE", "event_us"),
    ("orders", HUGE, "OUT_OF_RANGE", None),
    ("orders", body(event_id="b13", symbol="NOPE"), "UNKNOWN_REFERENCE", "symbol"),
    ("orders", body(event_id="b14", venue="XXXX"), "UNKNOWN_REFERENCE", "venue"),
    ("orders", body(event_id="b15", trader_id="T9"), "UNKNOWN_REFERENCE", "trader_id"),
    ("orders", body(event_id="b16", account_id="A9"), "UNKNOWN_REFERENCE", "account_id"),
    ("orders", body(event_id="b17", type="CANCEL", order_id="never", leaves_qty=0), "UNKNOWN_REFERENCE", "order_id"),
]  # fmt: skip


def test_each_bad_message_is_kept_with_its_reason_and_good_ones_pass(route: Route) -> None:
    good = [order("NEW", "O1", 5, "g1"), quote(5, 1, 9.9, 10.0), quote(6, 2, 9.9, None), trade(5, "t1", 10.0, 1.0)]
    places = route.feed([*good, *((topic, value) for topic, value, _, _ in BAD)])[len(good) :]
    dead = {(row["topic"], row["offset"]): row for row in route.rows("dead_letters")}
    found = [(dead[place]["error_class"], dead[place]["error_field"]) for place in places if place in dead]
    assert found == [(error, field) for _, _, error, field in BAD]
    assert len(dead) == len(BAD)
    for place, (_, value, _, _) in zip(places, BAD, strict=True):
        sent = json.dumps(value).encode() if isinstance(value, dict) else value
        payload = dead[place]["payload"]
        if payload is not None and payload.startswith("base64:"):
            payload = base64.b64decode(payload.removeprefix("base64:"))
        elif payload is not None:
            payload = payload.encode()
        assert payload == sent
        assert dead[place]["producer"] == "test"
        assert dead[place]["error_message"]
    assert [len(route.rows(view)) for view in ("order_events", "quotes", "market_trades")] == [1, 2, 1]


def test_duplicates_and_late_events_leave_the_state_alone(route: Route) -> None:
    fill = {"last_qty": 40.0, "last_price": 10.0, "leaves_qty": 60.0, "cum_qty": 40.0, "exec_id": "X1"}
    route.feed([quote(0, 1, 9.9, 10.0), order("NEW", "O1", 10, "e1"), order("FILL", "O1", 20, "e2", **fill)])
    route.feed([order("FILL", "O1", 20, "e2", **fill),  # sent again
                order("FILL", "O1", 25, "e3", **fill),  # a new event with an old exec_id
                quote(0, 1, 9.9, 10.0),
                order("NEW", "O2", 60_000, "e4"), quote(60_000, 2, 9.8, 9.9), trade(60_000, "t1", 1.0, 1.0)])  # fmt: skip
    route.feed([order("CANCEL", "O1", 40_000, "e5", leaves_qty=0.0, cum_qty=40.0), trade(60_001, "t2", 1.0, 1.0)])
    assert [(d["topic"], d["error_class"], d["error_field"]) for d in route.rows("dead_letters")] == [
        ("orders", "DUPLICATE", "event_id"), ("orders", "DUPLICATE", "exec_id"), ("orders", "LATE", "event_us"),
        ("quotes", "DUPLICATE", "quote_seq"),
    ]  # fmt: skip
    orders = {row["order_id"]: row for row in route.rows("orders")}
    assert (orders["O1"]["status"], orders["O1"]["filled_qty"]) == ("WORKING", 40.0)
    assert len(route.rows("executions")) == 1


def test_every_message_is_a_row_once_in_memory_and_in_history(route: Route) -> None:
    route.feed([order("NEW", "O1", 5, "g1"), *((topic, value) for topic, value, _, _ in BAD)])
    assert route.maintenance.step()
    history = route.history.frame(route.session, route.maintenance.last.version)  # type: ignore[union-attr]
    places = [(r["topic"], r["offset"]) for r in history.select("topic", "offset").collect()]
    assert sorted(places) == sorted({(topic, i) for topic, end in route.ends.items() for i in range(end)})
    sent = {json.loads(value)["payload_base64"] for _, value in route.published}
    assert base64.b64encode(HUGE).decode() in sent, "the dead-letter topic has the bytes too"
    assert len(route.published) == len(BAD)
