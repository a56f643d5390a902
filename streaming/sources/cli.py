"""The command line of the feeds."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from random import Random
from threading import Event
from typing import TYPE_CHECKING

from streaming.connection import KafkaConnection
from streaming.messages import ORDERS, Message, encode
from streaming.sources.bitstamp import BitstampDecoder, NotBitstamp
from streaming.sources.disorder import Disorder
from streaming.sources.episodes import plant
from streaming.sources.firm import Firm
from streaming.sources.identities import Identities
from streaming.sources.live import URL, BitstampLive
from streaming.sources.load import LoadSink, LoadSource, run_load
from streaming.sources.lobster import NotLobster
from streaming.sources.norms import market_norms
from streaming.sources.producer import DeliveryFailed, KafkaSink, ProducerStopped
from streaming.sources.pump import Pace, pump
from streaming.sources.recipes import RECIPES
from streaming.sources.recorded import Feed
from streaming.sources.reference import reference_messages
from streaming.sources.replay import Replay, UnknownRecording, retimed
from streaming.sources.sessions import Calendar, from_us, to_us
from streaming.sources.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DAY_US = 86_400_000_000
TYPICAL_COUNTS = Counter({"NEW": 24_894, "CANCEL": 24_338, "FILL": 1_142, "REPLACE": 40})
TYPICAL_QTY, TYPICAL_RATE = 272_192.0, 272.0
"""What a busy crypto pair looks like before it is known: order messages of five hours of the recording of 2015, coins
entered in them, and messages a second of today's feed."""
PAST_EPISODES = (("SPOOFING", "ABC", 18.5), ("LAYERING", "AAPL", 17.0), ("SPOOFING", "TSLA", 16.2),
                 ("WASH_TRADE", "MSFT", 19.0), ("SPOOFING", "ABC", 15.8), ("RAMPING", "ABC.B", 18.0),
                 ("SPOOFING", "NVDA", 16.9))  # fmt: skip
"""What happened one, two, three … days before the start: detector, instrument, hour UTC. Left out on closed days."""
HISTORY_MESSAGES_PER_DAY = 2_500
SESSION_S = 6.5 * 3600


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one feed until it ends or is interrupted. Exit code 0: all sent; 2: wrong usage; 3: Kafka refused or left."""
    options = parser().parse_args(arguments)
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        return int(options.run(options, stop))
    except (ProducerStopped, DeliveryFailed):
        return 3
    except (UnknownRecording, NotBitstamp, NotLobster) as error:
        _say(str(error))
        return 2


def parser() -> argparse.ArgumentParser:
    """All options of all feeds."""
    top = argparse.ArgumentParser(prog="python -m streaming.sources", description=__doc__)
    feeds = top.add_subparsers(required=True, metavar="FEED")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--bootstrap", help="host:port of the brokers; else NLQ_KAFKA_* settings")
    common.add_argument("--speed", type=_speed, default=1.0, help="times real time, or max (default 1)")
    common.add_argument("--seed", type=int, default=7)
    common.add_argument("--count", type=int, help="stop after so many events")
    common.add_argument("--no-reference", action="store_true", help="send no reference rows")
    simulate = feeds.add_parser("simulate", parents=[common], help="the simulated firm")
    simulate.add_argument(
        "--rate", type=float, default=300.0, help="messages a second while venues trade (default 300)"
    )
    simulate.add_argument("--start", type=_instant, help="start of event time, ISO; default now")
    simulate.add_argument("--hours", choices=("always", "real"), default="always", help="whether venues ever rest")
    simulate.add_argument("--history-days", type=int, default=10,
                          help="trading days sent beforehand, at a low rate, when the topic is empty (default 10)")  # fmt: skip
    simulate.add_argument("--plant", action="append", default=[], metavar="DETECTOR[:STRENGTH][@SECONDS]",
                          help="an episode of abuse so many seconds after the start (default strength 2, 40 s); repeatable")  # fmt: skip
    simulate.add_argument("--plant-every", type=float, default=240.0, metavar="SECONDS",
                          help="an episode of a random kind about that often, the first a SPOOFING after 60 s; 0 = none")  # fmt: skip
    simulate.add_argument("--trouble", type=float, default=0.0, metavar="SHARE",
                          help="share of messages beside which a bad, late or doubled one is sent")  # fmt: skip
    simulate.add_argument("--labels", type=Path, help="append the ground truth of episodes here, JSON lines")
    simulate.set_defaults(run=run_simulate)
    replay = feeds.add_parser("replay", parents=[common], help="a recording: LOBSTER files, a Bitstamp log or rows")
    replay.add_argument("path", type=Path)
    replay.add_argument("--times", choices=("now", "shifted", "original"), default="now",
                        help="as if it happened now (default); in the last trading day; when it was recorded")  # fmt: skip
    replay.add_argument("--firm-share", type=float, default=0.2, help="share of orders that are the firm's")
    replay.add_argument("--owners", choices=("order", "behaviour"), default="order", help="what owners are drawn by")
    replay.set_defaults(run=run_replay)
    live_feed = feeds.add_parser("live", parents=[common], help="Bitstamp's public feed, over the internet")
    live_feed.add_argument("--url", default=URL)
    live_feed.add_argument("--pair", choices=("btcusd",), default="btcusd")
    live_feed.add_argument("--firm-share", type=float, default=0.2)
    live_feed.set_defaults(run=run_live)
    load = feeds.add_parser(
        "load", help="simulated messages encoded beforehand, for benchmarks (needs confluent-kafka)"
    )
    load.add_argument("--bootstrap", help="host:port of the brokers; else NLQ_KAFKA_* settings")
    load.add_argument("--rate", type=_speed, default=5_000.0, help="messages a second, or max")
    load.add_argument("--seconds", type=float)
    load.add_argument("--count", type=int)
    load.add_argument("--seed", type=int, default=7)
    load.set_defaults(run=run_load_feed)
    return top


def run_load_feed(options: argparse.Namespace, stop: Event) -> int:
    """Benchmark load. Reference rows must be there already, from a short `simulate --count 1`."""
    source, sink = LoadSource(seed=options.seed), LoadSink(connection_of(options))
    sent, took = run_load(source, sink, rate=options.rate, count=options.count, seconds=options.seconds, stop=stop)
    _say(f"{sent} messages in {took:.1f} s, {sent / took:.0f} a second; {sink.failed} refused")
    return 0 if sink.failed == 0 else 3


def run_replay(options: argparse.Namespace, stop: Event) -> int:
    """A recording, paced by its own times."""
    begun = datetime.now(UTC)
    replay = Replay(
        options.path,
        seed=options.seed,
        firm_share=options.firm_share,
        mode=options.owners,
        times=options.times,
        now=begun,
    )
    sink = connect(options, f"replay-{replay.kind}", stop)
    if not options.no_reference:
        always = to_us(begun) if options.times == "now" else None
        around = begun.date() if options.times == "now" else replay.day
        calendar = Calendar(around - timedelta(days=45), around + timedelta(days=14), always)
        norms, rate = replay.norms()
        pump(reference_messages(replay.firm, calendar, rate, options.seed, norms), sink, stop=stop)
        sink.flush()
    messages: Iterator[Message] = replay.messages()
    start_us = to_us(datetime.now(UTC))
    if options.times == "now":
        messages = retimed(messages, options.speed, start_us)
        pace = Pace(start_us, 1.0) if options.speed else None
    else:
        messages, start_us = _first_time(messages)
        pace = Pace(start_us, options.speed) if options.speed else None
    sent = pump(messages, sink, pace=pace, stop=stop, count=options.count)
    sink.flush()
    sink.close()
    _say(f"{sent} messages sent; source rows {dict(replay.counts.source)}; {replay.counts.unborn} of unknown orders")
    return 0


def _first_time(messages: Iterator[Message]) -> tuple[Iterator[Message], int]:
    first = next(messages, None)
    return (messages, 0) if first is None else (chain([first], messages), first.event_us)


def run_live(options: argparse.Namespace, stop: Event) -> int:
    """Bitstamp's public feed until stopped."""
    begun = datetime.now(UTC)
    today = begun.date()
    firm = Firm.load(today)
    identities = Identities(firm, f"live-{options.pair}", options.seed, options.firm_share)
    feed = Feed(symbol="BTC-USD", venue="BTSP", time_in_force="GTC", tag=f"V{begun:%Y%m%d%H%M%S}")
    sink = connect(options, "bitstamp-live", stop)
    if not options.no_reference:
        calendar = Calendar(today - timedelta(days=45), today + timedelta(days=60), to_us(begun))
        norms = market_norms(TYPICAL_COUNTS, TYPICAL_QTY, identities)
        pump(reference_messages(firm, calendar, TYPICAL_RATE, options.seed, norms), sink, stop=stop)
        sink.flush()
    live_feed = BitstampLive(BitstampDecoder(feed, identities), pair=options.pair, url=options.url, on_state=_say)
    sent = pump(live_feed.messages(stop), sink, stop=stop, count=options.count)
    sink.flush()
    sink.close()
    _say(f"{sent} messages sent over {live_feed.connections} connections with {len(live_feed.gaps)} gaps")
    return 0


def run_simulate(options: argparse.Namespace, stop: Event) -> int:
    """The simulated firm: reference rows, past days, then live."""
    sink = connect(options, "simulator", stop)
    wall_us = to_us(datetime.now(UTC))
    ahead = options.start is None and (options.speed is None or options.speed > 1)
    if ahead:
        _say("faster than the clock: event time begins a day ago, so that it does not run ahead")
    start_us = options.start or (wall_us - DAY_US if ahead else wall_us)
    days = options.history_days if sink.end_offsets(ORDERS) == 0 else 0
    simulator = build_simulator(start_us, seed=options.seed, rate=options.rate, hours=options.hours, history_days=days)
    if not options.no_reference:
        pump(reference_messages(simulator.firm, simulator.calendar, options.rate, options.seed), sink, stop=stop)
        sink.flush()
    time.monotonic()
    pump(past_days(simulator, start_us), sink, stop=stop)
    sink.flush()
    simulator.set_rate(options.rate)
    for wish in options.plant:
        plant_wish(simulator, wish, start_us)
    if options.plant_every:
        plant(simulator, "SPOOFING", start_us + 60_000_000)
        plant_now_and_then(simulator, options.plant_every)
    pace = Pace(start_us, options.speed, wall_us / 1e6)
    trouble = Disorder(
        options.seed, duplicates=options.trouble / 3, late=options.trouble / 3, faults=options.trouble / 3
    )
    messages = trouble.apply(live(simulator, options.labels))
    unsent: list[Message] = []
    sent = pump(messages, sink, pace=pace, stop=stop, count=options.count, unsent=unsent)
    if options.count is None:
        never = {m.value["order_id"] for m in unsent if isinstance(m.value, dict) and m.value.get("type") == "NEW"}
        for message in simulator.stop():
            if isinstance(message.value, dict) and message.value.get("order_id") not in never:
                sink.send(message)
    sink.flush()
    sink.close()
    _say(f"{sent} messages sent" + (f"; dead letters owed: {dict(trouble.expected)}" if options.trouble else ""))
    return 0


def live(simulator: Simulator, labels: Path | None) -> Iterator[Message]:
    """Messages without end; labels are written as episodes end."""
    written = 0
    while True:
        yield from simulator.run(simulator.now + 1_000_000)
        if labels is not None and len(simulator.labels) > written:
            with labels.open("ab") as file:
                file.writelines(encode(label.as_dict()) + b"\n" for label in simulator.labels[written:])
            written = len(simulator.labels)


def plant_wish(simulator: Simulator, wish: str, start_us: int) -> None:
    """Plant what a `--plant` option asks for: DETECTOR[:STRENGTH][@SECONDS].

    Raises:
        SystemExit: the wish cannot be read; the message says how one is written.
    """
    what, _, seconds = wish.partition("@")
    detector, _, strength = what.partition(":")
    try:
        at_us = start_us + int(float(seconds or 40) * 1e6)
        plant(simulator, detector, at_us, strength=float(strength or 2))
    except ValueError as error:
        raise SystemExit(f"feed: --plant {wish}: {error}; write DETECTOR[:STRENGTH][@SECONDS]") from error


def plant_now_and_then(simulator: Simulator, seconds: float) -> None:
    """Plant an episode of a random kind about every so many seconds; the same seed plants the same."""
    rng = Random(f"{simulator.seed}|plant")

    def again(now: int) -> None:
        detector = rng.choice(sorted(RECIPES))
        plant(simulator, detector, now + 40_000_000, strength=rng.choice((1.0, 1.5, 2.0, 3.0)))
        simulator.after(now, rng.uniform(0.5, 1.5) * seconds, again)

    simulator.after(simulator.now, rng.uniform(0.5, 1.0) * seconds, again)


def build_simulator(start_us: int, *, seed: int, rate: float, hours: str, history_days: int) -> Simulator:
    """A simulator that begins `history_days` trading days before `start_us` (now, usually)."""
    today = from_us(start_us).date()
    calendar = Calendar(today - timedelta(days=45), today + timedelta(days=60), start_us if hours == "always" else None)
    first = calendar.trading_days_back(today, history_days) if history_days else None
    begin = to_us(datetime(first.year, first.month, first.day, tzinfo=UTC)) if first else start_us
    first_id = Simulator.first_id_at(start_us)
    return Simulator(start_us=begin, seed=seed, rate=rate, calendar=calendar, first_id=first_id, anchor=today)


def past_days(simulator: Simulator, until_us: int, per_day: int = HISTORY_MESSAGES_PER_DAY) -> Iterator[Message]:
    """The days before, at a low rate, then the day so far at three times that."""
    today: date = from_us(until_us).date()
    midnight = to_us(datetime(today.year, today.month, today.day, tzinfo=UTC))
    if simulator.now >= until_us:
        return
    simulator.set_rate(per_day / SESSION_S)
    for n, (detector, symbol, hour) in enumerate(PAST_EPISODES, 1):
        at_us = midnight - n * DAY_US + int(hour * 3.6e9)
        if at_us > simulator.now and simulator.calendar.session("XNAS", from_us(at_us).date()).is_open:
            plant(simulator, detector, at_us, symbol=symbol)
    yield from simulator.run(min(midnight, until_us))
    simulator.set_rate(3 * per_day / SESSION_S)
    yield from simulator.run(until_us)


def connect(options: argparse.Namespace, producer: str, stop: Event) -> KafkaSink:
    """The sink that the options or the environment name."""
    return KafkaSink(connection_of(options), producer, stop=stop, on_state=_say)


def connection_of(options: argparse.Namespace) -> KafkaConnection:
    """The brokers that the options or the environment name.

    Raises:
        SystemExit: neither names any.
    """
    if options.bootstrap:
        return KafkaConnection(bootstrap_servers=options.bootstrap)
    connection = KafkaConnection.from_environ(os.environ)
    if connection is None:
        raise SystemExit("feed: name the brokers with --bootstrap host:port or NLQ_KAFKA_BOOTSTRAP")
    return connection


def _say(text: str) -> None:
    sys.stderr.write(f"feed: {text}\n")
    sys.stderr.flush()


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number above 0, or max")
    return value


def _instant(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
