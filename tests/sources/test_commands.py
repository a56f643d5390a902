"""The feeds as they are started: `python -m streaming.sources …`."""

import json
import threading
from collections import Counter
from itertools import islice

import pytest

from streaming.messages import MARKET_TRADES, ORDERS, QUOTES, REFERENCE
from streaming.sources import cli
from streaming.sources.load import LoadSource
from tests.sources.test_recordings import bitstamp, lobster  # noqa: F401 - fixtures

ID_FIELDS = {ORDERS: "event_id", MARKET_TRADES: "trade_id"}


class Collected:
    """Stands in for Kafka."""

    def __init__(self, there: int = 0) -> None:
        self.messages: list = []
        self.there = there
        self.flushed = self.closed = False

    def send(self, message) -> None:
        self.messages.append(message)

    def flush(self) -> None:
        self.flushed = True

    def close(self) -> None:
        self.closed = True

    def end_offsets(self, topic: str) -> int:
        return self.there


@pytest.fixture
def feed(monkeypatch):
    def run(*arguments: str, there: int = 0) -> Collected:
        sink = Collected(there)
        monkeypatch.setattr(cli, "connect", lambda *_: sink)
        options = cli.parser().parse_args(list(arguments))
        assert options.run(options, threading.Event()) == 0
        assert sink.flushed
        assert sink.closed
        return sink

    return run


def test_simulate_sends_reference_rows_past_days_then_live(feed):
    sink = feed(
        "simulate", "--history-days", "1", "--start", "2026-11-20T15:00:00Z", "--count", "400", "--speed", "max"
    )
    topics = [m.topic for m in sink.messages]
    events = topics.index(next(t for t in topics if t != REFERENCE))
    assert REFERENCE not in topics[events:], "reference rows come first"
    times = [m.event_us for m in sink.messages[events:]]
    assert times == sorted(times)
    assert len(sink.messages) - events > 1000
    start_us = 1_795_186_800_000_000
    assert sum(t >= start_us for t in times) == 400


def test_simulate_sends_no_past_to_a_topic_that_has_one(feed):
    sink = feed(
        "simulate", "--start", "2026-11-20T15:00:00Z", "--count", "50", "--speed", "max", "--no-reference", there=7
    )
    assert len(sink.messages) == 50


def test_simulate_plants_and_labels(feed, tmp_path):
    labels = tmp_path / "labels.jsonl"
    sink = feed("simulate", "--history-days", "0", "--start", "2026-11-20T15:00:00Z", "--speed", "max", "--no-reference",
                "--plant", "SPOOFING:1.5@40", "--plant-every", "0", "--count", "20000", "--labels", str(labels))  # fmt: skip
    label = json.loads(labels.read_text())
    assert (label["detector"], label["strength"], label["decoy"]) == ("SPOOFING", 1.5, False)
    sent = {m.value["order_id"] for m in sink.messages if m.topic == ORDERS}
    assert set(label["order_ids"]) <= sent


def test_replay_sends_owners_and_all_of_the_recording(feed, lobster, bitstamp):  # noqa: F811
    for path in (lobster, bitstamp):
        sink = feed("replay", str(path), "--speed", "max", "--firm-share", "1")
        views = Counter(m.value["view"] for m in sink.messages if m.topic == REFERENCE)
        assert views["traders"] == 42
        assert views["trader_baselines"] > 0
        events = [m for m in sink.messages if m.topic != REFERENCE]
        assert {m.topic for m in events} == {ORDERS, MARKET_TRADES, QUOTES}
        times = [m.event_us for m in events]
        assert times == sorted(times)


def test_errors_say_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("NLQ_KAFKA_BOOTSTRAP", raising=False)
    assert cli.main(["replay", str(tmp_path / "missing"), "--bootstrap", "127.0.0.1:1"]) == 2
    assert "missing" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="NLQ_KAFKA_BOOTSTRAP"):
        cli.main(["simulate"])
    with pytest.raises(SystemExit):
        cli.main(["simulate", "--speed", "0"])


def test_load_repeats_a_block_without_repeating_an_id():
    source = LoadSource(size=2000, first_lap=1_000_001)
    block = len(source.block)
    sent = [(topic, json.loads(before + b"1795000000000000" + behind)) for topic, _, before, behind in
            islice(source.messages(), 2 * block)]  # fmt: skip
    ids = [row[ID_FIELDS[topic]] for topic, row in sent if topic in ID_FIELDS]
    assert len(set(ids)) == len(ids)
    quotes = [(row["symbol"], row["quote_seq"]) for topic, row in sent if topic == QUOTES]
    assert len(set(quotes)) == len(quotes)
    leaves = {row["order_id"]: row["leaves_qty"] for topic, row in sent if topic == ORDERS}
    assert set(leaves.values()) == {0.0}, "no order of a lap works when the next one begins"
    same = LoadSource(size=2000, first_lap=1_000_001)
    assert list(islice(same.messages(), block)) == list(
        islice(LoadSource(size=2000, first_lap=1_000_001).messages(), block)
    )
