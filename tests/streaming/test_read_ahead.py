"""Events in a backlog may overtake the reference rows they name; they must not become dead letters for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kafka import KafkaProducer

from streaming.broker import Broker
from streaming.messages import REFERENCE
from streaming.read_ahead import read_ahead
from streaming.topics import ensure_topics
from tests.streaming.conftest import order

if TYPE_CHECKING:
    from pathlib import Path

    from tests.streaming.conftest import Route


def _instrument(symbol: str) -> dict[str, object]:
    row = {"symbol": symbol, "issuer_name": f"{symbol} Ltd", "asset_class": "EQUITY", "venue": "XNAS"}
    return {"view": "instruments", "row": row}


def test_an_event_that_overtakes_its_instrument_is_kept(route: Route) -> None:
    late = json.dumps(_instrument("LATE")).encode()
    route.ingest.ahead = lambda begin: [(None, late), (None, b"not JSON")] if begin == {0: 1} else []
    route.feed(
        [
            (REFERENCE, _instrument("FIRST")),
            order("NEW", "O-1", 0, "EV-1", symbol="LATE"),
            order("NEW", "O-2", 1, "EV-2", symbol="NOBODY"),
        ]
    )
    assert [row["order_id"] for row in route.rows("orders")] == ["O-1"]
    assert [row["error_field"] for row in route.rows("dead_letters")] == ["symbol"]


def test_the_topic_is_read_from_the_given_offsets_to_its_end(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        ensure_topics(broker.connection, partitions=2)
        producer = KafkaProducer(**broker.connection.python_producer())
        sent = [producer.send(REFERENCE, key=b"k%d" % n, value=b"%d" % n).get(30) for n in range(50)]
        producer.close()
        everything = read_ahead(broker.connection, {place.partition: 0 for place in sent})
        assert sorted(int(value) for _, value in everything if value is not None) == list(range(50))
        last = max(sent, key=lambda place: (place.partition, place.offset))
        rest = read_ahead(broker.connection, {last.partition: last.offset})
        assert [value for _, value in rest] == [b"%d" % sent.index(last)]
        assert read_ahead(broker.connection, {last.partition: last.offset + 1}) == []
