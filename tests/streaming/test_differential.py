"""The route against DuckDB: random flow in random batches, recomputed from the messages by a second implementation."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from streaming import batch_plan
from tests.streaming.conftest import START_US, order, quote

if TYPE_CHECKING:
    from tests.streaming.conftest import Route, Sent


def flow(seed: int, n: int) -> list[Sent]:
    """Valid life of many orders in two instruments, with quotes between."""
    rng = random.Random(seed)
    sent: list[Sent] = []
    working: dict[str, dict[str, Any]] = {}
    t, orders, execs = 0, 0, 0
    for i in range(n):
        t += rng.choice((0, 0, 1, 3, 50))  # equal times are common on real feeds
        symbol, venue = rng.choice((("ABC", "XNAS"), ("XYZ", "XNYS"), ("ABC", "XNYS")))
        place = {"symbol": symbol, "venue": venue}
        action = rng.random()
        if action < 0.4:
            bid = round(rng.uniform(9, 11), 2)
            sent.append(quote(t, i, bid, round(bid + rng.choice((0.01, 0.02, 0.05)), 2), **place))
        elif action < 0.7 or not working:
            orders += 1
            name = f"O{orders}"
            state = {"order_qty": float(rng.randint(1, 9) * 100), "cum_qty": 0.0, "avg_price": None, **place,
                     "side": rng.choice(("BUY", "SELL", "SELL_SHORT")), "price": round(rng.uniform(9, 11), 2)}  # fmt: skip
            working[name] = state
            sent.append(order("NEW", name, t, f"e{i}", leaves_qty=state["order_qty"], **state))
        else:
            name = rng.choice(list(working))
            state = working[name]
            kind = rng.choice(("REPLACE", "FILL", "FILL", "CANCEL", "EXPIRE"))
            extra: dict[str, Any] = {}
            if kind == "REPLACE":
                state["order_qty"] += 100.0
                state["price"] = round(state["price"] + 0.01, 2)
            elif kind == "FILL":
                left = state["order_qty"] - state["cum_qty"]
                qty = left if rng.random() < 0.5 else left / 2
                paid = (state["avg_price"] or 0.0) * state["cum_qty"] + qty * state["price"]
                state["cum_qty"] += qty
                state["avg_price"] = paid / state["cum_qty"]
                execs += 1
                extra = {"last_qty": qty, "last_price": state["price"], "exec_id": f"X{execs}"}
            leaves = 0.0 if kind in ("CANCEL", "EXPIRE") else state["order_qty"] - state["cum_qty"]
            sent.append(order(kind, name, t, f"e{i}", leaves_qty=leaves, **state, **extra))
            if leaves == 0.0:
                del working[name]
    return sent


STATE = """
SELECT order_id, min(event_us) FILTER (type = 'NEW') AS entry_us,
  CASE last(type ORDER BY i) WHEN 'CANCEL' THEN 'CANCELLED' WHEN 'EXPIRE' THEN 'EXPIRED'
    WHEN 'FILL' THEN CASE WHEN last(leaves_qty ORDER BY i) = 0 THEN 'FILLED' ELSE 'WORKING' END ELSE 'WORKING' END AS status,
  last(order_qty ORDER BY i) AS order_qty, last(cum_qty ORDER BY i) AS filled_qty, last(price ORDER BY i) AS limit_price,
  count(*) FILTER (type = 'REPLACE') AS n_replaces,
  CASE WHEN last(leaves_qty ORDER BY i) = 0 THEN last(event_us ORDER BY i) END AS end_us
FROM orders GROUP BY order_id ORDER BY order_id"""

MARKET = """
SELECT exec_id, (SELECT {'bid': last(q.bid_price ORDER BY q.quote_us, q.quote_seq),
    'ask': last(q.ask_price ORDER BY q.quote_us, q.quote_seq)}
  FROM quotes q WHERE q.symbol = f.symbol AND q.venue = f.venue AND q.quote_us < f.event_us) AS top
FROM orders f WHERE type = 'FILL' ORDER BY exec_id"""


@pytest.mark.parametrize(("seed", "small"), [(1, batch_plan.SMALL), (2, 0)], ids=["one task", "spread"])
def test_order_state_and_prevailing_quotes_equal_a_recomputation(
    route: Route, monkeypatch: pytest.MonkeyPatch, seed: int, small: int
) -> None:
    monkeypatch.setattr(batch_plan, "SMALL", small)
    sent, rng = flow(seed, 400), random.Random(seed)
    at = 0
    while at < len(sent):
        # A batch ends between two instants: what one instant caused is on the broker together.
        end = min(len(sent), at + rng.randint(60, 200))
        while end < len(sent) and _time(sent[end]) == _time(sent[end - 1]):
            end += 1
        route.feed(sent[at:end])
        at = end
    db = duckdb.connect()
    import pandas as pd

    for topic in ("orders", "quotes"):
        frame = pd.DataFrame([body for name, body in sent if name == topic])  # type: ignore[list-item]
        frame["i"] = range(len(frame))
        db.register(topic, frame)
    assert route.rows("dead_letters") == []
    mine = [
        (o["order_id"], _us(o["entry_ts"]), o["status"], o["order_qty"], o["filled_qty"], o["limit_price"],
         o["n_replaces"], _us(o["end_ts"]))
        for o in route.rows("orders")
    ]  # fmt: skip
    want = db.sql(STATE).fetchall()
    assert [row[:3] + row[6:7] for row in mine] == [row[:3] + row[6:7] for row in want]
    assert [row[7] for row in mine] == [None if row[7] is None else int(row[7]) for row in want]
    for got, wanted in zip(mine, want, strict=True):
        assert got[3:6] == pytest.approx(wanted[3:6])
    fills = [(f["exec_id"], f["bid_price"], f["ask_price"]) for f in route.rows("executions")]
    assert fills == [(exec_id, top["bid"], top["ask"]) for exec_id, top in db.sql(MARKET).fetchall()]


def _time(sent: Sent) -> int:
    body = sent[1]
    assert isinstance(body, dict)
    return int(body.get("event_us") or body["quote_us"])


def _us(moment: Any) -> int | None:
    return None if moment is None else round((moment.timestamp() - START_US / 1e6) * 1e6) + START_US
