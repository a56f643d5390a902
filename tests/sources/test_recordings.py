"""Replays reproduce the check figures of the recordings exactly, and the hand-made fixtures row by row."""

import gzip
import lzma
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import jsonschema
import pytest

from streaming.messages import MARKET_TRADES, ORDERS, QUOTES, encode
from streaming.sources.bitstamp import BitstampDecoder, NotBitstamp, decode, decode_all
from streaming.sources.bitstamp_files import read_log, read_rows
from streaming.sources.book import ASK, BID, Book
from streaming.sources.firm import Firm
from streaming.sources.identities import Identities
from streaming.sources.lobster import LobsterReplay, NotLobster, find_files
from streaming.sources.recorded import Feed
from streaming.sources.replay import Replay, UnknownRecording, last_finished_day, retimed
from tests.sources.conftest import recording

FEED = Feed(symbol="BTC-USD", venue="BTSP", time_in_force="GTC", tag="test")
# One order of each fate. The fourth row executes what the third left; the last two concern an order born before.
LOBSTER_MESSAGES = """\
34200.004241176,1,11,100,5853300,1
34200.1,1,12,50,5854000,-1
34200.2,2,11,40,5853300,1
34200.300000999,4,11,60,5853300,1
34200.4,5,0,7,5853500,-1
34200.5,3,12,50,5854000,-1
34200.6,4,99,10,5853000,1
34200.7,3,99,20,5853000,1
"""
LOBSTER_BOOK = """\
5859400,200,5853300,100
5854000,50,5853300,100
5854000,50,5853300,60
5854000,50,5853000,30
5854000,50,5853000,30
5859400,200,5853000,30
5859400,200,5853000,20
5859400,200,5852000,5
"""
BITSTAMP_LOG = """\
1430001000000 order_created {"price": "236.47", "amount": "2.00000000", "datetime": "1000", "id": 1, "order_type": 0}
1430001000100 order_created {"price": "236.40", "amount": "0.50000000", "datetime": "1000", "id": 2, "order_type": 1}
1430001000110 order_changed {"price": "236.47", "amount": "1.50000000", "datetime": "1000", "id": 1, "order_type": 0}
1430001000112 order_deleted {"price": "236.40", "amount": "0.00000000", "datetime": "1000", "id": 2, "order_type": 1}
1430001000120 trade {"price": 236.47, "amount": 0.5000000000000001, "id": 77}
1430001000900 order_book {"bids": [["236.47", "1.5"]], "asks": [["236.60", "3.0"]]}
1430001001900 order_book {"bids": [["236.47", "1.5"]], "asks": [["236.60", "3.0"]]}
1430001002000 order_changed {"price": "236.30", "amount": "1.40000000", "datetime": "1000", "id": 1, "order_type": 0}
1430001003000 order_deleted {"price": "236.30", "amount": "1.40000000", "datetime": "1000", "id": 1, "order_type": 0}
1430001003000 order_deleted {"price": "236.30", "amount": "1.40000000", "datetime": "1000", "id": 1, "order_type": 0}
1430001004000 order_deleted {"price": "200.00", "amount": "9.00000000", "datetime": "900", "id": 3, "order_type": 0}
"""


def owners(share: float = 1.0, **options) -> Identities:
    return Identities(Firm.load(date(2026, 11, 20)), "test", firm_share=share, **options)


@pytest.fixture
def lobster(tmp_path: Path) -> Path:
    name = "AAPL_2012-06-21_0930-1030"
    with gzip.open(tmp_path / f"{name}_message_1.csv.gz", "wt") as file:
        file.write(LOBSTER_MESSAGES)
    with gzip.open(tmp_path / f"{name}_L1book.csv.gz", "wt") as file:
        file.write(LOBSTER_BOOK)
    return tmp_path


@pytest.fixture
def bitstamp(tmp_path: Path) -> Path:
    file = tmp_path / "2015-05-01.log.xz"
    file.write_bytes(lzma.compress(BITSTAMP_LOG.encode()))
    return file


def of(messages: list, topic: str) -> list[dict]:
    return [m.value for m in messages if m.topic == topic]


# -- hand-made fixtures


def test_lobster_row_by_row(lobster, schemas):
    messages_file, book_file = find_files(lobster)
    replay = LobsterReplay(messages_file, book_file, owners())
    messages = list(replay.messages())
    events = [(r["type"], r["side"], r["leaves_qty"], r["cum_qty"]) for r in of(messages, ORDERS)]
    assert events == [
        ("NEW", "BUY", 100, 0), ("NEW", "SELL", 50, 0), ("REPLACE", "BUY", 60, 0), ("FILL", "BUY", 0, 60),
        ("CANCEL", "SELL", 0, 0), ("FILL", "BUY", 0, 0), ("CANCEL", "BUY", 0, 0),
    ]  # fmt: skip
    replaced, filled = of(messages, ORDERS)[2:4]
    assert replaced["order_qty"] == 60, "a partial cancel makes the order smaller, it is no CANCEL"
    assert (filled["liquidity"], filled["last_price"], filled["avg_price"]) == ("ADDED", 585.33, 585.33)
    assert filled["event_us"] % 1_000_000 == 300_000, "nanoseconds are cut, not rounded"
    prints = [(t["aggressor_side"], t["qty"], t["price"]) for t in of(messages, MARKET_TRADES)]
    assert prints == [("SELL", 60, 585.33), ("BUY", 7, 585.35), ("SELL", 10, 585.3)], (
        "the aggressor faces the resting side"
    )
    assert [q["quote_seq"] for q in of(messages, QUOTES)] == [1, 2, 3, 4, 6, 7, 8], "row 5 left the book as it was"
    assert replay.counts.unborn == 2
    first = of(messages, ORDERS)[0]["event_us"]
    assert datetime.fromtimestamp(first / 1e6, UTC).isoformat()[:19] == "2012-06-21T13:30:00", "New York in summer"
    for message in messages:
        jsonschema.validate(message.value, schemas[message.topic])


def test_lobster_moves_by_local_days(lobster):
    messages_file, book_file = find_files(lobster)
    moved = LobsterReplay(messages_file, book_file, owners(), day=date(2026, 11, 20))
    first = next(m for m in moved.messages() if m.topic == ORDERS)
    assert datetime.fromtimestamp(first.event_us / 1e6, UTC).isoformat()[:19] == "2026-11-20T14:30:00", "winter time"


def test_others_orders_show_only_on_the_tape(lobster):
    messages_file, book_file = find_files(lobster)
    replay = LobsterReplay(messages_file, book_file, owners(0.0))
    messages = list(replay.messages())
    assert not of(messages, ORDERS)
    assert len(of(messages, MARKET_TRADES)) == 3
    assert replay.counts.market_only + len(of(messages, MARKET_TRADES)) - 2 == 8, "each row is accounted for"


def test_damaged_lobster_rows_are_named(lobster):
    messages_file, book_file = find_files(lobster)
    with gzip.open(messages_file, "wt") as file:
        file.write(LOBSTER_MESSAGES.replace("34200.2,2,", "34200.2,two,").replace(",40,", ",forty,"))
    with pytest.raises(NotLobster, match="row 3"):
        list(LobsterReplay(messages_file, book_file, owners()).messages())


def test_bitstamp_record_by_record(bitstamp, schemas):
    decoder = BitstampDecoder(FEED, owners())
    messages = list(decode_all(decoder, read_log(bitstamp)))
    events = [(r["type"], r["order_id"][-1], r["leaves_qty"], r["cum_qty"]) for r in of(messages, ORDERS)]
    assert events == [
        ("NEW", "1", 2.0, 0), ("NEW", "2", 0.5, 0), ("FILL", "1", 1.5, 0.5), ("FILL", "2", 0.0, 0.5),
        ("REPLACE", "1", 1.4, 0.5), ("CANCEL", "1", 0.0, 0.5), ("CANCEL", "1", 0.0, 0.0), ("CANCEL", "3", 0.0, 0.0),
    ]  # fmt: skip
    rows = of(messages, ORDERS)
    assert [rows[2]["liquidity"], rows[3]["liquidity"]] == ["ADDED", "REMOVED"], "the younger order crossed"
    assert rows[3]["last_price"] == 236.47, "at the price of the older one"
    assert rows[2]["counterparty_account_id"] == rows[3]["account_id"]
    assert rows[3]["counterparty_account_id"] == rows[2]["account_id"]
    assert rows[5]["event_id"] == rows[6]["event_id"], "a record that came twice has one id"
    assert rows[2]["event_us"] == 1_430_001_000_110_000, "the time of a change is its receipt, not the order's creation"
    assert of(messages, MARKET_TRADES)[0] | {"aggressor_side": "SELL", "qty": 0.5} == of(messages, MARKET_TRADES)[0]
    assert len(of(messages, QUOTES)) == 1, "one row per change"
    for message in messages:
        jsonschema.validate(message.value, schemas[message.topic])


def test_a_change_without_its_trade_is_a_replace(tmp_path):
    file = tmp_path / "x.log"
    file.write_text("".join(line + "\n" for line in BITSTAMP_LOG.splitlines() if " trade " not in line))
    messages = list(decode_all(BitstampDecoder(FEED, owners()), read_log(file)))
    assert [r["type"] for r in of(messages, ORDERS)][2:4] == ["REPLACE", "FILL"]


def test_decoder_refuses_what_is_no_record():
    for kind, document in (("trade", {"price": 1}), ("order_created", {"id": "x"}), ("heartbeat", {})):
        with pytest.raises(NotBitstamp):
            decode(kind, document, 0)


def test_damaged_log_lines_are_named(tmp_path):
    file = tmp_path / "x.log"
    file.write_text(BITSTAMP_LOG + "1430001005000 trade {broken\n")
    with pytest.raises(NotBitstamp, match="line 12"):
        list(read_log(file))


def test_recordings_are_recognised(lobster, bitstamp, tmp_path):
    assert Replay(lobster).kind == "lobster"
    assert Replay(bitstamp).kind == "bitstamp-log"
    rows = tmp_path / "orders.csv"
    rows.write_text(
        "id,timestamp,exchange.timestamp,price,volume,action,direction\n5,1000,1000,236.47,200000000,created,bid\n"
    )
    assert Replay(rows).kind == "bitstamp-rows"
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(UnknownRecording):
            Replay(path)


def test_shifted_days_are_over(lobster):
    now = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
    assert last_finished_day("XNAS", now) == date(2026, 11, 20), "today's session still runs, then comes a weekend"
    assert Replay(lobster, times="shifted", now=now).day == date(2026, 11, 20)


def test_retimed_messages_happen_now(lobster):
    start_us = 1_795_000_000_000_000
    messages = list(retimed(Replay(lobster, times="now", firm_share=1.0).messages(), 10.0, start_us))
    times = [m.event_us for m in messages]
    assert times[0] == start_us
    assert times == sorted(times)
    assert times[-1] - start_us == pytest.approx(69_575, abs=2), "0.7 s at ten times the speed"
    assert of(messages, ORDERS)[0]["event_us"] == times[0]


def test_norms_come_from_the_recording(lobster):
    norms, rate = Replay(lobster, times="original").norms()
    assert rate > 0
    assert all(norm["cancel_ratio"] == 1.0 or norm["orders_share"] < 1 for norm in norms.values())


# -- owners


def test_owners_are_the_same_everywhere():
    """The values are part of the contract: replay, restart and another machine must agree."""
    one = owners(1.0)
    found = [one.owner(str(n)) for n in (1, 2, 3)]
    assert [(o.trader.trader_id, o.account.account_id) for o in found] == [
        (o.trader.trader_id, o.account.account_id) for o in (owners(1.0).owner(str(n)) for n in (1, 2, 3))
    ]
    # printf '7|test|firm|1' | sha256sum → 0004b71847d62e09…
    assert one.fraction("firm", "1") == (0x0004B71847D62E09 >> 11) / 2**53
    assert Identities(one.firm, "test", seed=8).fraction("firm", "1") != one.fraction("firm", "1")


def test_owner_shares_are_as_documented():
    identities = owners(0.2)
    found = [identities.owner(str(n)) for n in range(20_000)]
    mine = [o for o in found if o is not None]
    assert 0.19 < len(mine) / len(found) < 0.21
    counts = Counter(o.trader.trader_id for o in mine)
    for trader, share in identities.trader_weights().items():
        assert counts[trader] / len(mine) == pytest.approx(share, abs=0.02)
    assert sum(identities.trader_weights().values()) == pytest.approx(1.0)
    assert all(o.account.employee in (None, o.trader.trader_id) for o in mine), "nobody uses another's own account"


def test_behaviour_mode_gives_similar_neighbours_one_trader():
    identities = owners(1.0, mode="behaviour")
    near = {identities.owner(str(n), qty=100, entry_us=5_000_000).trader.trader_id for n in range(50)}
    far = {identities.owner(str(n), qty=100, entry_us=n * 10_000_000).trader.trader_id for n in range(50)}
    assert len(near) == 1
    assert len(far) > 5


# -- the book


def test_book_keeps_the_best_prices():
    book = Book()
    book.add(1, BID, 100, 5)
    book.add(2, BID, 101, 3)
    book.add(3, ASK, 103, 2)
    assert (book.best(BID), book.best(ASK), book.is_crossed()) == ((101, 3), (103, 2), False)
    assert book.reduce(2, 1)
    assert book.best(BID) == (101, 2)
    assert book.remove(2)
    assert not book.remove(2)
    assert book.best(BID) == (100, 5)
    book.add(4, BID, 101, 1)
    assert book.best(BID) == (101, 1), "a level can come back"
    book.add(5, BID, 103, 1)
    assert book.is_crossed()
    with pytest.raises(KeyError):
        book.add(5, BID, 90, 1)


# -- the recordings themselves, where they are


def test_lobster_check_figures():
    messages_file, book_file = find_files(recording("aapl_lobster_20120621"))
    replay = LobsterReplay(messages_file, book_file, owners())
    born: set[str] = set()
    ended: Counter[bool] = Counter()
    filled: set[str] = set()
    seconds: Counter[int] = Counter()
    last: dict = {}
    for message in replay.messages():
        row = message.value
        if message.topic == QUOTES:
            assert row["bid_price"] < row["ask_price"]
            continue
        if message.topic == MARKET_TRADES:
            continue
        seconds[message.event_us // 1_000_000] += 1
        order = row["order_id"]
        if row["type"] == "NEW":
            born.add(order)
        elif row["type"] == "FILL":
            filled.add(order)
        if order in born and row["leaves_qty"] == 0:
            ended[order in filled] += 1
        last[row["type"]] = row
    assert replay.counts.source == {
        "new": 44_256, "partial cancel": 469, "delete": 41_004, "visible execution": 4_067, "hidden execution": 2_201,
    }  # fmt: skip
    assert replay.counts.sent == {
        "NEW": 44_256, "REPLACE": 469, "CANCEL": 41_004, "FILL": 4_067, MARKET_TRADES: 6_268, QUOTES: 23_440,
    }  # fmt: skip
    assert replay.counts.unborn == 84
    assert round(100 * ended[False] / ended.total(), 1) == 93.0


def test_lobster_book_is_the_given_one_wherever_no_earlier_order_hides():
    messages_file, book_file = find_files(recording("aapl_lobster_20120621"))
    book, seen = Book(), Counter()
    with gzip.open(messages_file, "rt") as rows, gzip.open(book_file, "rt") as tops:
        for row, top in zip(rows, tops, strict=True):
            _, kind, order, size, price, direction = row.split(",")
            if kind == "1":
                book.add(int(order), int(direction), int(price), int(size))
            elif kind in "24":
                book.reduce(int(order), int(size))
            elif kind == "3":
                book.remove(int(order))
            ask_price, ask_qty, bid_price, bid_qty = (int(x) for x in top.split(","))
            assert not book.is_crossed()
            seen[_compare(book.best(BID), bid_price, bid_qty, BID)] += 1
            seen[_compare(book.best(ASK), ask_price, ask_qty, ASK)] += 1
    # "unseen end": one order that the recording, cut at 50 levels, never deletes is our best bid for 90 messages.
    assert seen == {"equal": 183_697, "earlier order": 207, "unseen end": 90}


def _compare(mine: tuple[int, int] | None, price: int, qty: int, side: int) -> str:
    if mine == (price, qty):
        return "equal"
    if mine is None or side * (price - mine[0]) > 0 or (price == mine[0] and qty > mine[1]):
        return "earlier order"
    return "unseen end"


def test_bitstamp_check_figures():
    folder = recording("btc_bitstamp_l3_20150501")
    decoder = BitstampDecoder(FEED, owners())
    messages = list(decode_all(decoder, read_log(folder / "2015-05-01.log.xz")))
    assert decoder.counts.source == {
        "order_created": 24_894, "order_changed": 602, "order_deleted": 24_918, "trade": 575, "order_book": 5_011,
    }  # fmt: skip
    sent = decoder.counts.sent
    assert (sent["NEW"], sent["CANCEL"], sent[MARKET_TRADES]) == (24_894, 24_338, 575)
    assert sent["FILL"] + sent["REPLACE"] == 580 + 602, "full fills, and changes"
    assert sum("aggressor_side" in t for t in of(messages, MARKET_TRADES)) == 575, "every print has its orders"
    repeated = [n for n in Counter(r["event_id"] for r in of(messages, ORDERS)).values() if n > 1]
    assert repeated == [2], "the one duplicate row"
    times = [m.event_us for m in messages]
    assert times == sorted(times)
    assert not [r for r in of(messages, ORDERS) if r["leaves_qty"] < 0 or r.get("last_qty", 1) <= 0]


def test_bitstamp_rows_tell_the_same_orders_as_the_log():
    folder = recording("btc_bitstamp_l3_20150501")
    decoder = BitstampDecoder(FEED, owners())
    for _ in decode_all(decoder, read_rows(folder / "orders.csv.xz")):
        pass
    assert decoder.counts.source == {"order_created": 24_894, "order_changed": 602, "order_deleted": 24_918}
    assert (decoder.counts.sent["NEW"], decoder.counts.sent["CANCEL"]) == (24_894, 24_338)


def test_two_replays_are_equal():
    folder = recording("btc_bitstamp_l3_20150501")

    def run() -> list[bytes]:
        replay = Replay(folder, times="original")
        return [encode(m.value) for m in replay.messages()]

    assert run() == run()
