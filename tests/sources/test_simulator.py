"""The simulated firm: deterministic, conserving, and in the proportions of real markets."""

from datetime import UTC, date, datetime

from streaming.messages import encode
from streaming.sources.sessions import Calendar, to_us
from streaming.sources.simulator import Simulator

START_US = to_us(datetime(2026, 11, 20, 15, 0, tzinfo=UTC))
CALENDAR = Calendar(date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 20))


def play(seconds: float = 60, seed: int = 7, rate: float = 300.0) -> list:
    simulator = Simulator(start_us=START_US, seed=seed, rate=rate, calendar=CALENDAR)
    return list(simulator.run(START_US + int(seconds * 1e6)))


def test_same_seed_same_bytes():
    assert [encode(m.value) for m in play(10)] == [encode(m.value) for m in play(10)]
    assert [encode(m.value) for m in play(10)] != [encode(m.value) for m in play(10, seed=8)]
