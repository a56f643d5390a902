"""The simulator: a trading firm and its markets as a deterministic stream of messages.

The same seed, start, rate and calls give the same bytes on every machine: one `random.Random`, a heap of timers ordered
by (time, number), no wall clock. Event time is simulated time; `pump.py` ties it to the clock of the wall.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING

from streaming.sources.corporate_events import corporate_event_rows
from streaming.sources.exchange import Exchange
from streaming.sources.firm import Account, Firm, Instrument, Trader
from streaming.sources.market import BUY, SELL, Market, Order
from streaming.sources.reference import restricted_rows
from streaming.sources.sessions import Calendar, Phase, from_us

if TYPE_CHECKING:
    from streaming.messages import Message
    from streaming.sources.episodes import Episode

ENTRIES_PER_MESSAGE = 0.205
STEPS_PER_MESSAGE = 0.375
"""Order entries and market moves for each message of the rate asked; found by counting (tests hold them to 15 %)."""
MARKET_MAKER_SHARE = 0.82
PRINT_SHARE = 0.30
NORMAL_RATE = 300.0
"""Messages a second at which order lifetimes are as on real venues. They shrink and stretch with the rate, so that
books are equally deep, and orders meet equally many market moves, at any rate."""
LIFETIME_S = {"maker": 0.8, "algo": 4.0, "person": 12.0}
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
        self._stops: dict[str, list[Order]] = {}
        self.quiet: dict[tuple[str, str], int] = {}
        """(trader, symbol) → until when the trader enters nothing else there; keeps planted episodes clean."""
        self.avoided: dict[str, tuple[int, int]] = {}
        """Restricted symbol → from when until when most of the firm keeps away from it."""
        for row in restricted_rows(self.firm):
            if row["list_type"] == "RESTRICTED" and row["scope"] == "FIRM":
                self.avoided[row["symbol"]] = (row["start_us"], row["end_us"] or 1 << 62)
        self._prepare_choices()
        for s in self.calendar.sessions():
            for at, phase in s.phases():
                self.at(max(at, start_us) if at <= start_us else at, self._phase_change(s.venue, phase))
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
                self._entry(now)
            if out:
                yield from out
                out.clear()

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
            if m.inst.symbol in self._stops:
                self._trigger_stops(now, m)
        else:
            self.exchange.requote(now, m)

    def _trigger_stops(self, now: int, m: Market) -> None:
        waiting = [o for o in self._stops.pop(m.inst.symbol) if o.working]
        for o in waiting:
            if self.rng.random() < 0.15 and o.order_type == "STOP":
                self.exchange.take(now, o)
        if left := [o for o in waiting if o.working]:
            self._stops[m.inst.symbol] = left

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

    # -- who trades what

    def _prepare_choices(self) -> None:
        firm = self.firm
        self._market_list = list(self.markets.values())
        self._market_weights = _cumulative([firm.activity[m.inst.symbol] for m in self._market_list])
        makers = [t for t in firm.traders if t.is_market_maker]
        people = [t for t in firm.traders if not t.is_algo]
        self._makers, self._people = makers, people
        self._algos = {t.desk: [a for a in firm.traders if a.desk == t.desk and a.is_algo and not a.is_market_maker]
                       for t in firm.traders}  # fmt: skip
        maker_weight = {"ALGO61": 4.0, "ALGO62": 3.5, "ALGO71": 1.8, "ALGO51": 0.9}
        self._maker_weights = _cumulative([maker_weight.get(t.trader_id, 1.0) for t in makers])
        # A Zipf-like spread: some people trade ten times as much as others.
        self._people_weights = _cumulative([1.0 / (1 + (i * 7) % len(people)) ** 0.6 for i in range(len(people))])
        self._universe = {t.trader_id: self._choice_of_markets(t) for t in firm.traders}
        self._books = {t.trader_id: firm.accounts_of(t) for t in firm.traders}

    def _choice_of_markets(self, trader: Trader) -> tuple[list[Market], list[float]]:
        names = [i for i in self.firm.instruments if _trades(trader, i)]
        return [self.markets[i.symbol] for i in names], _cumulative([self.firm.activity[i.symbol] for i in names])

    def universe(self, trader: Trader) -> list[Market]:
        """The instruments that a trader trades."""
        return self._universe[trader.trader_id][0]

    def account_for(self, trader: Trader) -> Account:
        """Draw an account: market makers' books, otherwise mostly clients', some house, a few own and error accounts."""
        books, r = self._books[trader.trader_id], self.rng.random()
        kind = "MARKET_MAKING" if trader.is_market_maker else "CLIENT" if r < 0.62 else "HOUSE" if r < 0.93 else (
            "EMPLOYEE" if r < 0.98 else "ERROR")  # fmt: skip
        choice = books[kind] or books["HOUSE"]
        return choice[int(self.rng.random() * len(choice))]

    def _stretch(self) -> float:
        return min(40.0, max(0.01, NORMAL_RATE / self.rate))

    # -- order entry

    def _entry(self, now: int) -> None:
        rng = self.rng
        if rng.random() < MARKET_MAKER_SHARE:
            trader = self._makers[bisect(self._maker_weights, rng.random())]
        else:
            trader = self._people[bisect(self._people_weights, rng.random())]
        markets, weights = self._universe[trader.trader_id]
        m = markets[bisect(weights, rng.random())]
        symbol = m.inst.symbol
        if m.phase in ("CLOSED", "POST_CLOSE") or not self.firm.is_active(trader, from_us(now).date()):
            return
        if now < self.quiet.get((trader.trader_id, symbol), 0):
            return
        shut, opened = self.avoided.get(symbol, (0, 0))
        if shut <= now < opened and rng.random() < 0.98:
            return
        if m.phase != "CONTINUOUS":
            if rng.random() < 0.25:
                self._auction_order(now, m, trader)
        elif trader.is_market_maker:
            self._maker_order(now, m, trader)
        elif rng.random() < 0.012:
            self._parent_order(now, m, trader)
        else:
            self._person_order(now, m, trader)

    def order(
        self, m: Market, trader: Trader, account: Account, *, side: int, qty: float, tick: int | None,
        order_type: str = "LIMIT", tif: str = "DAY", parent: str | None = None,
    ) -> Order:  # fmt: skip
        """Make an order with the next id; it is not entered yet."""
        short = (
            side == SELL
            and account.account_type in ("CLIENT", "HOUSE", "MARKET_MAKING")
            and m.inst.asset_class in ("EQUITY", "ETF")
            and self.rng.random() < 0.25
        )
        oid = self.exchange.order_id()
        return Order(
            oid, m, side=side, qty=qty, tick=tick, order_type=order_type, tif=tif, trader=trader, account=account,
            short=short, parent=parent,
        )  # fmt: skip

    def _maker_order(self, now: int, m: Market, trader: Trader) -> None:
        rng, x = self.rng, self.exchange
        side = BUY if rng.random() < 0.5 else SELL
        distance = int(rng.expovariate(1.0 / (1 + m.mean_spread)))
        tick = max(1, m.best(side) - side * distance)
        o = self.order(
            m, trader, self.account_for(trader), side=side, qty=m.draw_qty(m.inst.typical_qty, 0.5), tick=tick
        )
        x.new(now, o)
        x.rest(now, o)
        if o.working:
            self._cancel_later(now, o, "maker")

    def _person_order(self, now: int, m: Market, trader: Trader) -> None:
        rng = self.rng
        side = BUY if rng.random() < 0.55 else SELL
        qty, account, r = m.draw_qty(m.inst.typical_qty), self.account_for(trader), rng.random()
        near, far = m.best(side), m.best(-side)
        if r < 0.78:
            tick = max(1, near - side * int(rng.expovariate(1.0 / (1 + 2 * m.mean_spread))))
            kind, tif = ("PEGGED", "DAY") if r < 0.03 else ("LIMIT", "GTC" if r < 0.09 else "DAY")
            o = self.order(
                m,
                trader,
                account,
                side=side,
                qty=qty,
                tick=near if kind == "PEGGED" else tick,
                order_type=kind,
                tif=tif,
            )
        elif r < 0.93:
            tif = "IOC" if r < 0.84 else "FOK" if r < 0.855 else "DAY"
            o = self.order(m, trader, account, side=side, qty=qty, tick=far + side * int(rng.random() * 3), tif=tif)
        elif r < 0.965:
            o = self.order(m, trader, account, side=side, qty=qty, tick=None, order_type="MARKET")
        elif r < 0.985:
            kind = "STOP" if r < 0.975 else "STOP_LIMIT"
            tick = far + side * int(2 + 6 * m.mean_spread * rng.random())
            limit = tick if kind == "STOP_LIMIT" else None
            o = self.order(m, trader, account, side=side, qty=qty, tick=limit, order_type=kind)
        else:
            o = self.order(m, trader, account, side=side, qty=qty, tick=near, tif="AT_CLOSE")
        self._enter(now, o, r)

    def _enter(self, now: int, o: Order, r: float) -> None:
        """Enter a person's order: refuse a few, match the aggressive ones a moment later, let the others rest."""
        x, rng = self.exchange, self.rng
        x.new(now, o)
        if rng.random() < 0.02:
            reasons = ("PRICE_COLLAR", "MAX_NOTIONAL", "UNKNOWN_ACCOUNT", "NO_LOCATE" if o.short else "PRICE_COLLAR")
            reason = reasons[int(rng.random() * 4)]
            self.after(now, 0.0002 + 0.001 * rng.random(), lambda t: x.reject(t, o, reason) if o.working else None)
        elif o.tif == "AT_CLOSE":
            o.market.auction.append(o)
            self._cancel_later(now, o, "person", 60.0)
        elif o.order_type in ("STOP", "STOP_LIMIT"):
            self._stops.setdefault(o.inst.symbol, []).append(o)
            self._cancel_later(now, o, "person", 2.0)
        elif 0.78 <= r < 0.965:
            self.after(now, 0.0002 + 0.0008 * rng.random(), lambda t: self._match(t, o))
        else:
            x.rest(now, o)
            if o.working:
                self._cancel_later(now, o, "person")

    def _match(self, now: int, o: Order) -> None:
        if not o.working:
            return
        if o.market.phase != "CONTINUOUS":
            self.exchange.cancel(now, o, "HALT")
            return
        before = self.exchange.n_execs
        self.exchange.take(now, o)
        if o.leaves > 0:
            self._cancel_later(now, o, "person")
        elif self.exchange.n_execs > before and self.rng.random() < 0.006:
            self._bust_later(now, o)

    def _bust_later(self, now: int, o: Order) -> None:
        """The venue annuls, or corrects, the last fill of an ended order a few seconds or minutes later."""
        x, rng = self.exchange, self.rng
        exec_id, qty = f"X-{x.first_id + x.n_execs}", 0.0
        last = next((msg.value for msg in reversed(x.out) if isinstance(msg.value, dict)
                     and msg.value.get("exec_id") == exec_id and msg.value["order_id"] == o.order_id), None)  # fmt: skip
        if last is None:
            return
        qty, price = last["last_qty"], last["last_price"]
        if rng.random() < 0.6:
            self.after(now, rng.uniform(5, 200), lambda t: x.bust(t, o, exec_id))
        else:
            better = round(price - o.side * o.market.tick, 6)
            self.after(now, rng.uniform(5, 200), lambda t: x.correct(t, o, exec_id, qty, better))

    def _cancel_later(self, now: int, o: Order, kind: str, times: float = 1.0) -> None:
        rng = self.rng
        life = LIFETIME_S[kind] * times * self._stretch() * math.exp(rng.gauss(0, 1.1))
        if o.tif == "GTC":
            life *= 30
        if o.tick is not None and o.tif != "AT_CLOSE" and o.order_type == "LIMIT" and rng.random() < 0.12:
            self.after(now, life * rng.random(), lambda t: self._amend(t, o))
        self.after(now, life, lambda t: self.exchange.cancel(t, o))

    def _amend(self, now: int, o: Order) -> None:
        """Move the price by a tick or two, or take part of the quantity off."""
        if not o.working or o.tick is None or o.market.phase != "CONTINUOUS":
            return
        if self.rng.random() < 0.3:
            less = max(o.cum + o.inst.min_qty, o.market.round_qty(o.qty * 0.6))
            self.exchange.replace(now, o, o.tick, min(o.qty, less))
        else:
            self.exchange.replace(now, o, max(1, o.tick + (1 if self.rng.random() < 0.5 else -1)), o.qty)

    def _auction_order(self, now: int, m: Market, trader: Trader) -> None:
        side = BUY if self.rng.random() < 0.5 else SELL
        tick = max(1, m.touch[side] + side * int(self.rng.gauss(2, 6)))
        o = self.order(m, trader, self.account_for(trader), side=side, qty=m.draw_qty(m.inst.typical_qty),
                       tick=tick, tif="AT_CLOSE" if m.phase == "CLOSING_AUCTION" else "DAY")  # fmt: skip
        self.exchange.new(now, o)
        m.auction.append(o)

    def _parent_order(self, now: int, m: Market, trader: Trader) -> None:
        """A client order that an algorithm of the desk works in slices; it has no fills of its own."""
        rng, x = self.rng, self.exchange
        algos = self._algos[trader.desk]
        if not algos:
            return
        slices = rng.randint(6, 14)
        part = max(m.inst.min_qty, m.draw_qty(m.inst.typical_qty * 2, 0.4))
        side = BUY if rng.random() < 0.5 else SELL
        account = self._books[trader.trader_id]["CLIENT"][0]
        limit = max(1, m.best(side) + side * 12)
        p = Order(x.order_id(parent=True), m, side=side, qty=round(part * slices, 3), tick=limit, order_type="LIMIT",
                  tif="DAY", trader=trader, account=account)  # fmt: skip
        x.new(now, p)
        algo = algos[int(rng.random() * len(algos))]
        gap = 4.0 * self._stretch()
        for n in range(slices):
            self.after(now, gap * (n + rng.random()), lambda t: self._slice(t, p, algo, part))
        self.after(now, gap * (slices + 2), lambda t: x.expire(t, p) if rng.random() < 0.7 else x.cancel(t, p))

    def _slice(self, now: int, p: Order, algo: Trader, qty: float) -> None:
        m, rng = p.market, self.rng
        if not p.working or m.phase != "CONTINUOUS":
            return
        if rng.random() < 0.4:
            o = self.order(m, algo, p.account, side=p.side, qty=qty, tick=m.best(-p.side), tif="IOC", parent=p.order_id)
            self.exchange.new(now, o)
            self.after(now, 0.0004, lambda t: self._match(t, o))
            return
        o = self.order(m, algo, p.account, side=p.side, qty=qty, tick=m.best(p.side), parent=p.order_id)
        self.exchange.new(now, o)
        self.exchange.rest(now, o)
        if o.working:
            self._cancel_later(now, o, "algo")


def _cumulative(weights: list[float]) -> list[float]:
    total = math.fsum(weights)
    found = [w / total for w in accumulate(weights)]
    found[-1] = 1.0
    return found


DESK_VENUES: dict[str, tuple[str, ...]] = {
    "EQ-NY": ("XNAS", "XNYS"), "EQ-LDN": ("XLON",), "EQ-FRA": ("XETR",), "EQ-DERIV": ("XCBO", "XCME"),
    "CRYPTO": ("BTSP",),
}  # fmt: skip


def _trades(trader: Trader, inst: Instrument) -> bool:
    """Which instruments a trader's desk is in; market makers quote far more than their desk's people trade."""
    if trader.trader_id == "ALGO61":
        return inst.venue in ("XNAS", "XNYS")
    if trader.trader_id == "ALGO62":
        return inst.venue in ("XLON", "XETR", "XCBO") or inst.asset_class == "ETF"
    if trader.desk == "ETF-MM":
        return inst.asset_class == "ETF"
    if trader.desk == "EQ-DERIV" and inst.symbol in ("ABC", "TSLA"):
        return True
    return inst.venue in DESK_VENUES[trader.desk]
