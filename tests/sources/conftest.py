"""What the tests of the sources share."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from streaming.sources.sessions import Calendar, to_us
from streaming.sources.simulator import Simulator

START_US = to_us(datetime(2026, 11, 20, 15, 0, tzinfo=UTC))
RECORDINGS = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def simulator(seed: int = 7, rate: float = 300.0, start_us: int = START_US) -> Simulator:
    calendar = Calendar(date(2026, 11, 19), date(2026, 11, 24), start_us)
    return Simulator(start_us=start_us, seed=seed, rate=rate, calendar=calendar)


@pytest.fixture(scope="session")
def minutes() -> list:
    """Five simulated minutes, with an episode of every kind."""
    from streaming.sources.episodes import plant
    from streaming.sources.recipes import RECIPES

    s = simulator()
    for n, detector in enumerate(sorted(RECIPES)):
        plant(s, detector, START_US + (40 + 5 * n) * 1_000_000)
    messages = list(s.run(START_US + 330_000_000))
    return [messages, s]


@pytest.fixture(scope="session")
def schemas() -> dict:
    folder = Path(__file__).resolve().parents[2] / "streaming" / "schemas"
    return {f.name.split(".")[0]: json.loads(f.read_text(encoding="utf-8")) for f in folder.glob("*.v1.json")}


def recording(name: str) -> Path:
    """A folder with a market recording, or a skipped test."""
    path = RECORDINGS / name
    if not path.is_dir():
        pytest.skip(f"put the recording {name!r} into {RECORDINGS} to run this (see docs/sources.md)")
    return path
