"""The live feed against a local server that plays a recording in the feed's own format."""

import json
import threading
import time
from collections import Counter

import pytest
from websockets.sync.server import serve

from streaming.messages import MARKET_TRADES, ORDERS, QUOTES, encode
from streaming.sources.bitstamp import BitstampDecoder, decode_all
from streaming.sources.bitstamp_files import read_log
from streaming.sources.live import BitstampLive
from tests.sources.test_recordings import BITSTAMP_LOG, FEED, owners


def frames(log: str) -> list[str]:
    """The lines of a recorded log as frames of today's public feed."""
    found = []
    for line in log.splitlines():
        receive_ms, kind, text = line.split(" ", 2)
        data = json.loads(text)
        data["microtimestamp"] = str(int(receive_ms) * 1000)
        if kind == "order_book":
            found.append(json.dumps({"event": "data", "channel": "order_book_btcusd", "data": data}))
            continue
        data |= {
            "amount_str": f"{float(data['amount']):.8f}",
            "price_str": str(data["price"]),
            "id_str": str(data["id"]),
        }
        channel = "live_trades_btcusd" if kind == "trade" else "live_orders_btcusd"
        found.append(json.dumps({"event": kind, "channel": channel, "data": data}))
    return found


class Player:
    """A server that sends one script per connection; a script is frames and commands."""

    def __init__(self, *scripts: list[str]) -> None:
        self.scripts = list(scripts)
        self.subscribed: list[set[str]] = []
        self.server = serve(self._handle, "127.0.0.1", 0)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}"

    def _handle(self, connection) -> None:
        channels = set()
        while len(channels) < 3:
            request = json.loads(connection.recv(timeout=5))
            assert request["event"] == "bts:subscribe"
            channels.add(request["data"]["channel"])
            connection.send(
                json.dumps({"event": "bts:subscription_succeeded", "channel": request["data"]["channel"], "data": {}})
            )
        self.subscribed.append(channels)
        for frame in self.scripts.pop(0) if self.scripts else []:
            if frame == "drop":
                connection.socket.close()
                return
            if frame == "hang":
                time.sleep(1.2)
                continue
            connection.send(frame)
        for _ in range(100):
            if self.stopped:
                return
            time.sleep(0.02)

    stopped = False

    def close(self) -> None:
        self.stopped = True
        self.server.shutdown()
        self.thread.join(5)


@pytest.fixture
def play():
    players: list[Player] = []

    def start(*scripts: list[str], want: int, **options):
        """Messages of the live feed until `want` came."""
        player = Player(*scripts)
        players.append(player)
        options = {"backoff_s": (0.05, 0.1), "silence_s": 30.0} | options
        feed = BitstampLive(BitstampDecoder(FEED, owners()), url=player.url, **options)
        stop = threading.Event()
        timer = threading.Timer(20, stop.set)
        timer.start()
        got = []
        for message in feed.messages(stop):
            got.append(message)
            if len(got) >= want:
                stop.set()
        timer.cancel()
        return got, feed, player

    yield start
    for player in players:
        player.close()


def expected(tmp_path) -> list[bytes]:
    file = tmp_path / "x.log"
    file.write_text(BITSTAMP_LOG)
    return [encode(m.value) for m in decode_all(BitstampDecoder(FEED, owners()), read_log(file))]


def test_live_gives_what_the_recording_gives(play, tmp_path):
    wanted = expected(tmp_path)
    got, feed, player = play(frames(BITSTAMP_LOG), want=len(wanted))
    assert [encode(m.value) for m in got] == wanted
    assert player.subscribed[0] == {"live_orders_btcusd", "live_trades_btcusd", "order_book_btcusd"}
    assert (feed.connections, feed.gaps) == (1, [])
    assert Counter(m.topic for m in got) == {ORDERS: 8, MARKET_TRADES: 1, QUOTES: 1}


def test_dropped_connection_is_a_gap_that_ends_what_nobody_knows_of(play):
    sent = frames(BITSTAMP_LOG)
    # Order 1 works when the connection drops; its later change and delete are about an order that was cancelled.
    got, feed, _ = play([*sent[:3], "drop"], sent[5:], want=6)
    orders = [
        (m.value["type"], m.value["order_id"][-1], m.value.get("cancel_reason")) for m in got if m.topic == ORDERS
    ]
    assert orders == [
        ("NEW", "1", None), ("NEW", "2", None), ("REPLACE", "1", None),
        ("CANCEL", "1", "DISCONNECT"), ("CANCEL", "2", "DISCONNECT"),
    ]  # fmt: skip
    assert feed.connections == 2
    assert len(feed.gaps) == 1
    assert 0 < feed.gaps[0].to_us - feed.gaps[0].from_us < 20e6


def test_feed_may_ask_to_reconnect(play, tmp_path):
    sent = frames(BITSTAMP_LOG)
    ask = json.dumps({"event": "bts:request_reconnect", "channel": "", "data": ""})
    got, feed, _ = play([*sent[:1], ask], sent[1:2], want=3)
    assert [m.value["type"] for m in got] == ["NEW", "CANCEL", "NEW"]
    assert feed.gaps[0].reason == "the feed asked to reconnect"


def test_silence_is_a_gap(play):
    sent = frames(BITSTAMP_LOG)
    got, feed, _ = play([*sent[:1], "hang", "hang"], sent[1:2], want=3, silence_s=0.5)
    assert [m.value["type"] for m in got] == ["NEW", "CANCEL", "NEW"]
    assert "silent" in feed.gaps[0].reason


def test_unreadable_frames_are_counted_and_skipped(play):
    sent = frames(BITSTAMP_LOG)
    junk = ["{", "[]", '{"event": "trade", "channel": "live_trades_btcusd", "data": {"price": "x"}}', '{"no": "event"}']
    got, feed, _ = play([*junk, *sent[:2]], want=2)
    assert [m.value["type"] for m in got] == ["NEW", "NEW"]
    assert feed.unreadable == 4


def test_trade_ids_of_todays_feed_name_the_orders(play):
    """Today's trades say side and orders; the amounts need not be unique."""
    sent = frames(BITSTAMP_LOG)
    trade = json.loads(sent[4])
    trade["data"] |= {"type": 1, "buy_order_id": 1, "sell_order_id": 2}
    got, _, _ = play([*sent[:4], json.dumps(trade), *sent[5:]], want=10)
    fills = [m.value for m in got if m.value.get("type") == "FILL"]
    assert [f["liquidity"] for f in fills] == ["ADDED", "REMOVED"]
    assert next(m.value for m in got if m.topic == MARKET_TRADES)["aggressor_side"] == "SELL"


def test_no_server_is_waited_for():
    states: list[str] = []
    feed = BitstampLive(
        BitstampDecoder(FEED, owners()), url="ws://127.0.0.1:1", backoff_s=(0.01, 0.02), on_state=states.append
    )
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    assert list(feed.messages(stop)) == []
    assert len(states) > 3
    assert "not connected" in states[0]
    assert states[1].endswith("again in 0.02 s")
