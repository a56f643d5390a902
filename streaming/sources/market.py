"""The state of one simulated instrument: a fair price, an anonymous market around it, and the firm's resting orders."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

    from streaming.sources.firm import Account, Instrument, Trader

BUY: Final = 1
SELL: Final = -1
VOLATILITY: Final = 1.2e-4
"""Standard deviation of the log price over one second, about 2 % over a session."""
PULL_BACK: Final = 2e-6
"""Share of the distance to the starting price that is undone each second, so that prices stay plausible for weeks."""


class Order:
    """One of the firm's orders, from entry to end."""

    __slots__ = (
        "account",
        "algo",
        "cum",
        "inst",
        "leaves",
        "liquid",
        "market",
        "order_id",
        "order_type",
        "paid",
        "parent",
        "plan",
        "price",
        "qty",
        "short",
        "side",
        "tick",
        "tif",
        "trader",
        "working",
    )  # fmt: skip

    def __init__(
        self, order_id: str, market: Market, *, side: int, qty: float, tick: int | None, order_type: str, tif: str,
        trader: Trader, account: Account, short: bool = False, parent: str | None = None,
    ) -> None:  # fmt: skip
        self.order_id, self.market, self.inst, self.side = order_id, market, market.inst, side
        self.qty, self.leaves, self.cum, self.paid = qty, qty, 0.0, 0.0
        self.tick = tick
        """Limit in ticks; None without a limit."""
        self.order_type, self.tif = order_type, tif
        self.trader, self.account, self.short, self.parent = trader, account, short, parent
        self.algo = trader.is_algo
        self.working = True
        self.plan: str | None = None
        """Of planted episodes: "keep" is never pulled by chance, "dodge" always when the market comes near."""

    @property
    def side_name(self) -> str:
        """BUY, SELL or SELL_SHORT."""
        return "BUY" if self.side == BUY else "SELL_SHORT" if self.short else "SELL"


class Market:
    """One instrument at its venue. Prices are whole ticks; the displayed book is never locked or crossed."""

    def __init__(self, inst: Instrument, rng: Random, start_us: int) -> None:
        self.inst = inst
        self.rng = rng
        self.start_price = inst.price
        self.fair = inst.price * math.exp(rng.gauss(0, 0.004))
        self.last_us = start_us
        self.tick = inst.tick
        self.price_digits = max(2, -math.floor(math.log10(inst.tick) + 1e-9) + (1 if inst.tick < 0.01 else 0))
        self.mean_spread = max(1.0, inst.spread_bps * 1e-4 * inst.price / inst.tick)
        self.phase = "CLOSED"
        self.resting: dict[int, dict[int, list[Order]]] = {BUY: {}, SELL: {}}
        self.auction: list[Order] = []
        self.touch = {BUY: 0, SELL: 0}
        """Best anonymous bid and offer, in ticks."""
        self.size = {BUY: 0.0, SELL: 0.0}
        """Anonymous quantity there."""
        self.shown: tuple[int, float, int, float] | None = None
        self.seq = 0
        self.set_touch(*self.next_touch(start_us))

    def price(self, tick: int) -> float:
        """The price of a tick, without binary dust."""
        return round(tick * self.tick, self.price_digits)

    def draw_qty(self, median: float, spread: float = 0.7) -> float:
        """A log-normal quantity in units that the instrument trades in."""
        qty = median * math.exp(self.rng.gauss(0, spread))
        return max(self.inst.min_qty, self.round_qty(qty))

    def round_qty(self, qty: float) -> float:
        """Quantity rounded to what is traded: tens of shares, whole contracts, thousandths of coins."""
        inst = self.inst
        if inst.asset_class in ("EQUITY", "ETF"):
            return float(round(qty / 10) * 10)
        return round(qty, inst.qty_digits) if inst.qty_digits else float(round(qty))

    def next_touch(self, now_us: int) -> tuple[int, int]:
        """Let the fair price wander up to now and put a spread around it."""
        seconds = max(0.0, (now_us - self.last_us) / 1e6)
        self.last_us = now_us
        rng = self.rng
        drift = PULL_BACK * min(seconds, 50_000.0) * math.log(self.start_price / self.fair)
        self.fair *= math.exp(drift + VOLATILITY * math.sqrt(min(seconds, 20_000.0)) * rng.gauss(0, 1))
        # 1 + geometric: the mean is mean_spread and one tick is the least.
        extra = self.mean_spread - 1.0
        spread = 1 + (int(rng.expovariate(1.0 / extra) + 0.5) if extra > 0.05 else 0)
        bid = max(1, math.floor(self.fair / self.tick - spread / 2 + rng.random() * 0.5))
        return bid, bid + spread

    def set_touch(self, bid: int, ask: int) -> None:
        """Place the anonymous best bid and offer with fresh quantities where they moved."""
        for side, tick in ((BUY, bid), (SELL, ask)):
            if self.touch[side] != tick or self.size[side] <= 0:
                self.touch[side] = tick
                self.size[side] = self.draw_qty(self.inst.typical_qty * 2.5, 0.6)

    def best(self, side: int) -> int:
        """Best displayed tick of a side."""
        levels = self.resting[side]
        if not levels:
            return self.touch[side]
        return max(*levels, self.touch[side]) if side == BUY else min(*levels, self.touch[side])

    def shown_at(self, side: int, tick: int) -> float:
        """Displayed quantity at a tick that is the best of its side."""
        qty = self.size[side] if self.touch[side] == tick else 0.0
        orders = self.resting[side].get(tick)
        return round(qty + sum(o.leaves for o in orders), 8) if orders else qty

    def top(self) -> tuple[int, float, int, float]:
        """Best bid tick and quantity, best offer tick and quantity."""
        bid, ask = self.best(BUY), self.best(SELL)
        return bid, self.shown_at(BUY, bid), ask, self.shown_at(SELL, ask)

    def add(self, order: Order) -> None:
        """Let an order rest; its limit must not reach the other side."""
        assert order.tick is not None
        self.resting[order.side].setdefault(order.tick, []).append(order)

    def remove(self, order: Order) -> None:
        """Take an order off the book, if it rests there."""
        levels = self.resting[order.side]
        orders = levels.get(order.tick) if order.tick is not None else None
        if orders and order in orders:
            orders.remove(order)
            if not orders:
                del levels[order.tick]  # type: ignore[arg-type]
        elif order in self.auction:
            self.auction.remove(order)
