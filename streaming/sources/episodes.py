"""Planted episodes of abuse with their ground truth. Recipes after published cases; strength 1 just reaches the usual
thresholds, 2 is plain, 0.5 must stay silent.

Orders of an episode go through the same exchange as all others: ids, times and prices do not give it away.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming.sources.firm import Account, Trader
    from streaming.sources.market import Market, Order
    from streaming.sources.simulator import Simulator

HUSH_S = 35.0
"""Before and after an episode its trader enters nothing else in the instrument, so that the label is exact."""


class UnknownRecipe(ValueError):
    """No recipe plants this; the message lists those there are."""


@dataclass
class Episode:
    """One planted episode: what a detector should find, or with `decoy` should leave alone."""

    episode_id: str
    detector: str
    strength: float
    decoy: bool
    trader_id: str
    account_id: str
    symbol: str
    venue: str
    start_us: int = 0
    end_us: int = 0
    order_ids: list[str] = field(default_factory=list)
    exec_ids: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The label as a JSON document."""
        return asdict(self)


@dataclass
class Stage:
    """Where one episode plays: who, what, and the bookkeeping of its orders."""

    simulator: Simulator
    market: Market
    trader: Trader
    account: Account
    rng: Random
    label: Episode
    strength: float
    decoy: bool

    def enter(
        self, now: int, side: int, qty: float, tick: int | None, *, account: Account | None = None, tif: str = "DAY",
        order_type: str = "LIMIT", plan: str = "keep",
    ) -> Order:  # fmt: skip
        """Enter an order that rests, and note it in the label."""
        o = self.make(now, side, qty, tick, account=account, tif=tif, order_type=order_type)
        o.plan = plan
        self.simulator.exchange.rest(now, o)
        return o

    def make(
        self, now: int, side: int, qty: float, tick: int | None, *, account: Account | None = None, tif: str = "DAY",
        order_type: str = "LIMIT",
    ) -> Order:  # fmt: skip
        """Enter an order that neither rests nor trades yet."""
        s = self.simulator
        qty = max(self.market.inst.min_qty, self.market.round_qty(qty))
        o = s.participants.order(self.market, self.trader, account or self.account, side=side, qty=qty,
                    tick=None if tick is None else max(1, tick), order_type=order_type, tif=tif)  # fmt: skip
        o.short = False
        s.exchange.fills[o.order_id] = self.label.exec_ids
        self.label.order_ids.append(o.order_id)
        s.exchange.new(now, o)
        return o

    def hit(self, now: int, o: Order) -> None:
        """Somebody in the market trades with the whole of a resting order."""
        if o.working and o.tick is not None and o.market.phase == "CONTINUOUS":
            qty, tick = o.leaves, o.tick
            self.simulator.exchange.fill(now, o, tick, qty, "ADDED")
            self.simulator.exchange.trade(now, o.market, tick, qty, -o.side)
            self.simulator.exchange.quote(now, o.market)

    def take(self, now: int, side: int, qty: float, *, account: Account | None = None, ticks: int = 2) -> Order:
        """Enter an order that trades at once, up to some ticks through the market."""
        o = self.make(now, side, qty, self.market.best(-side) + side * ticks, account=account, tif="IOC")
        self.simulator.exchange.take(now, o)
        return o

    def cancel(self, now: int, o: Order) -> None:
        """Cancel what is left of an order."""
        self.simulator.exchange.cancel(now, o)

    def after(self, now: int, seconds: float, action: Callable[[int], Any]) -> None:
        """Do something later."""
        self.simulator.after(now, seconds, action)

    def end(self, now: int) -> None:
        """Close the label."""
        self.label.end_us = now
        for order_id in self.label.order_ids:
            self.simulator.exchange.fills.pop(order_id, None)
        self.simulator.labels.append(self.label)

    def mean_qty(self) -> float:
        """Median order quantity in this instrument."""
        return self.market.inst.typical_qty


def plant(
    simulator: Simulator, detector: str, at_us: int, *, strength: float = 2.0, decoy: bool = False,
    trader_id: str | None = None, symbol: str | None = None,
) -> None:  # fmt: skip
    """Have an episode begin at `at_us`; its label joins `simulator.labels` when it has ended.

    An instrument that does not trade then is waited for, half an hour at most.

    Raises:
        UnknownRecipe: there is no recipe for `detector`.
    """
    from streaming.sources.recipes import RECIPES

    recipe = RECIPES.get(detector)
    if recipe is None:
        raise UnknownRecipe(f"no recipe plants {detector!r}; there are {', '.join(sorted(RECIPES))}")
    simulator.n_planted += 1
    rng = Random(f"{simulator.seed}|{detector}|{simulator.n_planted}")
    trader, market = _cast(simulator, rng, trader_id, symbol, detector)
    clients = [a for a in simulator.firm.accounts if a.account_type == "HOUSE" and trader.desk in a.name]
    account = clients[int(rng.random() * len(clients))]
    label = Episode(
        f"EP-{simulator.n_planted:04}", detector, strength, decoy, trader.trader_id, account.account_id,
        market.inst.symbol, market.inst.venue,
    )  # fmt: skip
    stage = Stage(simulator, market, trader, account, rng, label, strength, decoy)

    def hush(now: int) -> None:
        simulator.quiet[trader.trader_id, market.inst.symbol] = max(now, at_us) + int(3 * HUSH_S * 1e6)

    def begin(now: int) -> None:
        if market.phase == "CONTINUOUS":
            hush(now)
            label.start_us = now
            recipe(stage, now)
        elif now < at_us + 1_800_000_000:
            stage.after(now, 5.0, begin)

    simulator.at(max(simulator.now, at_us - int(HUSH_S * 1e6)), hush)
    simulator.at(max(simulator.now, at_us), begin)


def _cast(
    simulator: Simulator, rng: Random, trader_id: str | None, symbol: str | None, detector: str
) -> tuple[Trader, Market]:
    """Who plays, and in what: the wishes given, else people and ordinary instruments that the whole firm may trade."""
    firm = simulator.firm
    if symbol is None and detector == "RESTRICTED_LIST":
        symbol = "XYZ"
    if trader_id is not None:
        trader = firm.by_trader[trader_id]
    else:
        people = [t for t in firm.traders if not t.is_algo and firm.is_active(t, firm.anchor)]
        if symbol is not None:
            people = [t for t in people if simulator.markets[symbol] in simulator.participants.universe(t)] or people
        trader = people[int(rng.random() * len(people))]
    if symbol is not None:
        return trader, simulator.markets[symbol]
    choice = [m for m in simulator.participants.universe(trader) if m.inst.symbol not in simulator.avoided
              and m.inst.asset_class in ("EQUITY", "ETF", "CRYPTO")] or simulator.participants.universe(trader)  # fmt: skip
    return trader, choice[int(rng.random() * len(choice))]
