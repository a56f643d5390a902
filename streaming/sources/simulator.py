"""The simulator: a trading firm and its markets as a deterministic stream of messages.

The same seed, start, rate and calls give the same bytes on every machine: one `random.Random`, a heap of timers ordered
by (time, number), no wall clock. Event time is simulated time; `pump.py` ties it to the clock of the wall.
"""

from __future__ import annotations

import heapq
from bisect import bisect
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from random import Random
from typing import TYPE_CHECKING

from streaming.sources.corporate_events import corporate_event_rows
from streaming.sources.exchange import Exchange
from streaming.sources.firm import Firm
from streaming.sources.market import BUY, SELL, Market
from streaming.sources.participants import NORMAL_RATE, Participants, cumulative
from streaming.sources.reference import restricted_rows
from streaming.sources.sessions import Calendar, Phase, from_us

if TYPE_CHECKING:
    from streaming.messages import Message
    from streaming.sources.episodes import Episode

ENTRIES_PER_MESSAGE = 0.205
STEPS_PER_MESSAGE = 0.375
"""Order entries and market moves for each message of the rate asked; found by counting (tests hold them to 15 %)."""
PRINT_SHARE = 0.30
ID_EPOCH_S = 1_767_225_600
"""2026-01-01; ids count from the start second of a run, so that two runs never share one."""
IDS_PER_SECOND = 100_000

Action = Callable[[int], None]


class Simulator:
    """Plays the firm from `start_us` on. `run(until_us)` yields messages in order of event time."""

    def __init__(
        self, *, start_us: int, seed: int = 7, rate: float = NORMAL_RATE, calendar: Calendar | None = None,
        first_id: int | None = None, anchor: date | None = None,
    ) -> None:  # fmt: skip
        """Begin at `start_us` (epoch microseconds) with `rate` messages a second while all venues trade.

        `first_id` is the number that ids count from; by default it is made of the start second. `anchor` is the day
        that reference rows count from, by default the day of `start_us`.
        """
        self.now = start_us
        self.rate = rate
        self.seed = seed
        self.rng = Random(f"{seed}|firm")
        self.labels: list[Episode] = []
        """Planted episodes that have ended."""
        self.n_planted = 0
        anchor = anchor or from_us(start_us).date()
        self.calendar = calendar or Calendar(anchor - timedelta(days=45), anchor + timedelta(days=14))
        self.firm = Firm.load(anchor)
        if first_id is None:
            first_id = self.first_id_at(start_us)
        self.exchange = Exchange(self.rng, first_id)
        self.markets = {i.symbol: Market(i, self.rng, start_us) for i in self.firm.instruments}
        self._heap: list[tuple[int, int, Action]] = []
        self._n = 0
        self.quiet: dict[tuple[str, str], int] = {}
        """(trader, symbol) → until when the trader enters nothing else there; keeps planted episodes clean."""
        self.avoided: dict[str, tuple[int, int]] = {}
        """Restricted symbol → from when until when most of the firm keeps away from it."""
        for row in restricted_rows(self.firm):
            if row["list_type"] == "RESTRICTED" and row["scope"] == "FIRM":
                self.avoided[row["symbol"]] = (row["start_us"], row["end_us"] or 1 << 62)
        self._market_list = list(self.markets.values())
        self._market_weights = cumulative([self.firm.activity[m.inst.symbol] for m in self._market_list])
        self.participants = Participants(self)
        self._schedule_phases(start_us)
        for row in corporate_event_rows(self.firm, Random(0)):
            if row["price_move_pct"] is not None and row["announce_us"] > start_us:
                self.at(row["announce_us"], self._news(row["issuer_name"], row["price_move_pct"]))
        self._next_step = start_us
        self._next_entry = start_us
        self.at(start_us + 60_000_000, self._incident)

    @staticmethod
    def first_id_at(instant_us: int) -> int:
        """The number that ids of a run count from when it starts at that instant."""
        return (instant_us // 1_000_000 - ID_EPOCH_S) * IDS_PER_SECOND

    # -- the loop

    def run(self, until_us: int) -> Iterator[Message]:
        """Play on to `until_us` (exclusive)."""
        heap, out = self._heap, self.exchange.out
        while True:
            timer = heap[0][0] if heap else until_us
            now = min(timer, self._next_step, self._next_entry)
            if now >= until_us:
                self.now = until_us
                return
            self.now = now
            if timer <= now:
                heapq.heappop(heap)[2](now)
            elif self._next_step <= now:
                self._next_step = now + self._wait(STEPS_PER_MESSAGE)
                self._step(now)
            else:
                self._next_entry = now + self._wait(ENTRIES_PER_MESSAGE)
                self.participants.act(now)
            # Taken off one by one: whoever stops reading in the middle misses nothing and gets nothing twice.
            while out:
                yield out.popleft()

    def set_rate(self, rate: float) -> None:
        """Go on with another number of messages a second."""
        self.rate = rate
        self._next_step = self.now + self._wait(STEPS_PER_MESSAGE)
        self._next_entry = self.now + self._wait(ENTRIES_PER_MESSAGE)

    def stop(self) -> list[Message]:
        """Cancel all working orders, as a venue does when its client disconnects."""
        for order in list(self.exchange.working.values()):
            self.exchange.cancel(self.now, order, "DISCONNECT")
        out = list(self.exchange.out)
        self.exchange.out.clear()
        return out

    def _wait(self, per_message: float) -> int:
        return 1 + int(self.rng.expovariate(self.rate * per_message) * 1e6)

    def at(self, when: int, action: Action) -> None:
        """Do something at an instant of simulated time."""
        self._n += 1
        heapq.heappush(self._heap, (when, self._n, action))

    def after(self, now: int, seconds: float, action: Action) -> None:
        """Do something later in simulated time."""
        self.at(now + 1 + int(seconds * 1e6), action)

    # -- venues

    def _schedule_phases(self, start_us: int) -> None:
        # At one instant the end of a session sorts before the beginning of the next: CLOSED < CONTINUOUS < PRE_OPEN.
        changes = sorted((at, s.venue, phase) for s in self.calendar.sessions() for at, phase in s.phases())
        # Of the changes before the start only the last of each venue counts, and no auction is held for it.
        current = {venue: phase for at, venue, phase in changes if at <= start_us}
        for venue, phase in current.items():
            self.at(start_us, self._phase_change(venue, phase))
        for at, venue, phase in changes:
            if at > start_us:
                self.at(at, self._phase_change(venue, phase))

    def _phase_change(self, venue: str, phase: Phase) -> Action:
        def change(now: int) -> None:
            for m in self.markets.values():
                if m.inst.venue == venue and m.phase != phase:
                    self._enter_phase(now, m, phase)

        return change

    def _enter_phase(self, now: int, m: Market, phase: Phase) -> None:
        x = self.exchange
        if m.phase in ("OPENING_AUCTION", "CLOSING_AUCTION") and phase in ("CONTINUOUS", "POST_CLOSE"):
            x.uncross(now, m)
        if phase in ("POST_CLOSE", "CLOSED"):
            for o in [o for o in x.working.values() if o.market is m and (o.tif != "GTC" or o.parent is not None)]:
                x.expire(now, o)
            m.resting[BUY].clear()
            m.resting[SELL].clear()
        m.phase = phase
        m.shown = None
        if phase == "CONTINUOUS":
            waiting, m.auction = m.auction, []
            m.set_touch(*m.next_touch(now))
            for o in waiting:
                if o.working and o.tif != "AT_CLOSE":
                    x.rest(now, o)
                elif o.working:
                    m.auction.append(o)
            x.quote(now, m)

    def _step(self, now: int) -> None:
        m = self._market_list[bisect(self._market_weights, self.rng.random())]
        if m.phase != "CONTINUOUS":
            return
        if self.rng.random() < PRINT_SHARE:
            side = BUY if self.rng.random() < 0.5 else SELL
            self.exchange.market_print(now, m, side)
            if m.inst.symbol in self.participants.stops:
                self._trigger_stops(now, m)
        else:
            self.exchange.requote(now, m)

    def _trigger_stops(self, now: int, m: Market) -> None:
        stops = self.participants.stops
        waiting = [o for o in stops.pop(m.inst.symbol) if o.working]
        for o in waiting:
            if self.rng.random() < 0.15 and o.order_type == "STOP":
                self.exchange.take(now, o)
        if left := [o for o in waiting if o.working]:
            stops[m.inst.symbol] = left

    def _incident(self, now: int) -> None:
        """Now and then a gateway loses its session, or an instrument is halted for a moment."""
        self.after(now, self.rng.uniform(240, 900), self._incident)
        working = list(self.exchange.working.values())
        if not working:
            return
        victim = working[int(self.rng.random() * len(working))]
        halt = self.rng.random() < 0.4
        for o in working:
            if (o.market is victim.market) if halt else (o.trader is victim.trader):
                self.exchange.cancel(now, o, "HALT" if halt else "DISCONNECT")

    def _news(self, issuer: str, move_pct: float) -> Action:
        """An announcement moves what the market thinks the issuer's shares are worth, for good."""

        def announce(_: int) -> None:
            for m in self._market_list:
                if m.inst.issuer == issuer and m.inst.asset_class == "EQUITY":
                    m.fair *= 1 + move_pct / 100
                    m.start_price *= 1 + move_pct / 100

        return announce
