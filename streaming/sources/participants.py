"""The firm's people and algorithms: who trades what, with what orders, for whom, and for how long."""

from __future__ import annotations

import math
from bisect import bisect
from itertools import accumulate
from typing import TYPE_CHECKING

from streaming.sources.firm import Account, Instrument, Trader
from streaming.sources.market import BUY, SELL, Market, Order
from streaming.sources.sessions import from_us

if TYPE_CHECKING:
    from streaming.sources.simulator import Simulator

MARKET_MAKER_SHARE = 0.82
"""Share of order entries that are quotes of market makers."""
NORMAL_RATE = 300.0
"""Messages a second at which order lifetimes are as on real venues. They shrink and stretch with the rate, so that
books are equally deep, and orders meet equally many market moves, at any rate."""
LIFETIME_S = {"maker": 0.8, "algo": 4.0, "person": 12.0}


class Participants:
    """All traders of one simulator. Uses the simulator's generator, exchange and timers."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.rng, self.exchange, self.firm = simulator.rng, simulator.exchange, simulator.firm
        self.markets, self.after = simulator.markets, simulator.after
        self.quiet, self.avoided = simulator.quiet, simulator.avoided
        self.stops: dict[str, list[Order]] = {}
        """Stop orders that wait for a print, by symbol."""
        self._prepare_choices()

    def _prepare_choices(self) -> None:
        firm = self.firm
        makers = [t for t in firm.traders if t.is_market_maker]
        people = [t for t in firm.traders if not t.is_algo]
        self._makers, self._people = makers, people
        self._algos = {t.desk: [a for a in firm.traders if a.desk == t.desk and a.is_algo and not a.is_market_maker]
                       for t in firm.traders}  # fmt: skip
        maker_weight = {"ALGO61": 4.0, "ALGO62": 3.5, "ALGO71": 1.8, "ALGO51": 0.9}
        self._maker_weights = cumulative([maker_weight.get(t.trader_id, 1.0) for t in makers])
        # A Zipf-like spread: some people trade ten times as much as others.
        self._people_weights = cumulative([1.0 / (1 + (i * 7) % len(people)) ** 0.6 for i in range(len(people))])
        self._universe = {t.trader_id: self._choice_of_markets(t) for t in firm.traders}
        self._books = {t.trader_id: firm.accounts_of(t) for t in firm.traders}

    def _choice_of_markets(self, trader: Trader) -> tuple[list[Market], list[float]]:
        names = [i for i in self.firm.instruments if _trades(trader, i)]
        return [self.markets[i.symbol] for i in names], cumulative([self.firm.activity[i.symbol] for i in names])

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
        return min(40.0, max(0.01, NORMAL_RATE / self.simulator.rate))

    # -- order entry

    def act(self, now: int) -> None:
        """Somebody of the firm enters an order, or would if the market were open and the name allowed."""
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
            self.stops.setdefault(o.inst.symbol, []).append(o)
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


def cumulative(weights: list[float]) -> list[float]:
    """Running shares of the whole; the last is 1, so that every draw below 1 finds a place."""
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
