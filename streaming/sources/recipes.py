"""How each kind of abuse is played. One function a detector; all take the stage and the time at which it begins."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from streaming.sources.episodes import Stage
from streaming.sources.firm import Account
from streaming.sources.market import BUY, SELL, Order

Recipe = Callable[[Stage, int], None]


def spoofing(s: Stage, now: int) -> None:
    """Large orders on one side, a small one on the other that is filled, then the large ones are cancelled."""
    _pressure(s, now, orders=max(2, round(6 * s.strength)), multiple=6.5 * s.strength, levels=1)


def layering(s: Stage, now: int) -> None:
    """Several orders on several levels of one side, a small one on the other that is filled, then all are cancelled."""
    _pressure(
        s, now, orders=max(2, round(5 * s.strength)), multiple=2.0 * s.strength, levels=max(2, round(4 * s.strength))
    )


def _pressure(s: Stage, now: int, *, orders: int, multiple: float, levels: int) -> None:
    m, rng = s.market, s.rng
    side = BUY if rng.random() < 0.5 else SELL
    small = s.mean_qty() * 0.6
    touch = m.shown_at(side, m.best(side))
    large = max(small * multiple, 3.3 * s.strength * s.mean_qty() if levels == 1 else 0.0)
    if levels == 1 and s.strength >= 1:
        large = max(large, 3.2 * touch)
    gap = min(0.9, 12.0 / orders)
    placed: list[Order] = []

    def place(t: int, n: int) -> None:
        tick = m.best(side) - side * (1 + n % levels if levels > 1 else rng.randint(1, 3))
        placed.append(s.enter(t, side, large * rng.uniform(0.95, 1.2), tick, plan="dodge"))
        # The market leans towards the small order, as it would with such a queue behind the touch.
        m.fair += side * m.tick * 0.25

    for n in range(orders):
        s.after(now, 0.2 + gap * (n + rng.random() * 0.5), partial(place, n=n))
    filled_after = 0.5 + gap * (orders + 1)

    def sell_into_it(t: int) -> None:
        genuine = s.enter(t, -side, small, m.best(-side))
        s.after(t, 0.6, lambda u: s.hit(u, genuine))

    if not s.decoy:
        s.after(now, filled_after - 0.6, sell_into_it)

    def withdraw(t: int) -> None:
        for n, order in enumerate(placed):
            s.after(t, 0.02 * n + rng.random() * 0.1, partial(s.cancel, o=order))
        s.after(t, 0.02 * len(placed) + 0.2, s.end)

    s.after(now, filled_after + rng.uniform(0.1, 3.0), withdraw)


def wash_trade(s: Stage, now: int) -> None:
    """Two accounts of one owner trade with each other, at the market, several times."""
    m = s.market
    owners: dict[str, list[Account]] = {}
    for account in s.simulator.firm.accounts:
        if account.account_type == "CLIENT":
            owners.setdefault(account.owner, []).append(account)
    pairs = [accounts for accounts in owners.values() if len(accounts) > 1]
    first, second = pairs[int(s.rng.random() * len(pairs))][:2]
    if s.decoy:
        second = next(a for a in s.simulator.firm.accounts if a.account_type == "CLIENT" and a.owner != first.owner)
    s.label.account_id = first.account_id
    times = max(1, round(3 * s.strength))

    def cross(t: int) -> None:
        side = BUY if s.rng.random() < 0.5 else SELL
        qty = s.mean_qty() * s.rng.uniform(0.8, 1.5)
        resting = s.enter(t, side, qty, m.best(side), account=first)

        def meet(u: int) -> None:
            if resting.working and resting.tick is not None:
                taking = s.make(u, -side, resting.leaves, resting.tick, account=second)
                s.simulator.exchange.cross(u, resting, taking, resting.tick)
                s.cancel(u, taking)
                s.simulator.exchange.quote(u, m)

        s.after(t, 0.05 + 0.2 * s.rng.random(), meet)

    for n in range(times):
        s.after(now, 4.0 * n, cross)
    s.after(now, 4.0 * times, s.end)


def marking_close(s: Stage, now: int) -> None:
    """Aggressive buying that lifts the price in the last minutes; plant it a few minutes before a close."""
    _climb(s, now, steps=max(2, round(8 * s.strength)), seconds=200.0, lift=0.0008 * s.strength, sell=False)


def ramping(s: Stage, now: int) -> None:
    """A run of own buys at ever higher prices, then a sale."""
    _climb(s, now, steps=max(3, round(8 * s.strength)), seconds=90.0, lift=0.0014, sell=True)


def _climb(s: Stage, now: int, *, steps: int, seconds: float, lift: float, sell: bool) -> None:
    m = s.market

    def step(t: int) -> None:
        if m.phase == "CONTINUOUS":
            s.take(t, BUY, m.shown_at(SELL, m.best(SELL)) * 1.1)
            m.fair *= 1 + lift
            s.simulator.exchange.requote(t, m)

    for n in range(steps):
        s.after(now, seconds * n / steps, step)
    if sell:
        s.after(now, seconds + 5, lambda t: s.take(t, SELL, s.mean_qty() * steps, ticks=5))
    s.after(now, seconds + 6, s.end)


def front_running(s: Stage, now: int) -> None:
    """A house order shortly before a large client order on the same side, by the same trader."""
    m, firm = s.market, s.simulator.firm
    client = next(a for a in firm.accounts if a.account_type == "CLIENT")
    block = max(10_500.0, s.mean_qty() * 20) if m.inst.asset_class != "CRYPTO" else s.mean_qty() * 60
    block *= min(1.0, s.strength)
    side = BUY if s.rng.random() < 0.5 else SELL
    s.take(now, -side if s.decoy else side, s.mean_qty() * 3)

    def client_order(t: int) -> None:
        parent = s.make(t, side, block, m.best(side) + side * 10, account=client)
        for n in range(4):
            s.after(t, 2.0 + 3 * n, lambda u: s.take(u, side, block / 40, account=client))
        s.after(t, 60.0, lambda u: s.cancel(u, parent))
        s.after(t, 15.0, lambda u: s.take(u, -side, s.mean_qty() * 3))

    s.after(now, s.rng.uniform(10, 90), client_order)
    s.after(now, 160.0, s.end)


def insider_dealing(s: Stage, now: int) -> None:
    """A position built in a name with news to come; plant it in an issuer with an announcement a few days later."""
    for n in range(max(2, round(4 * s.strength))):
        s.after(now, 20.0 * n, lambda t: s.take(t, SELL if s.decoy else BUY, s.mean_qty() * 4 * s.strength))
    s.after(now, 20.0 * max(2, round(4 * s.strength)), s.end)


def quote_stuffing(s: Stage, now: int) -> None:
    """Hundreds of orders entered and cancelled within two seconds."""
    m = s.market
    total = round(550 * s.strength)

    def burst(t: int) -> None:
        side = BUY if s.rng.random() < 0.5 else SELL
        order = s.enter(t, side, s.mean_qty() * 0.3, m.best(side) - side * s.rng.randint(0, 2), plan="dodge")
        s.after(t, 0.0008, lambda u: s.cancel(u, order))

    for n in range(total):
        s.after(now, 2.0 * n / max(total, 1), burst)
    s.after(now, 2.2, s.end)


def off_market_price(s: Stage, now: int) -> None:
    """Two of the firm's accounts trade several percent away from the market."""
    m = s.market
    away = m.best(BUY) * (1 + 0.06 * s.strength)
    other = next(a for a in s.simulator.firm.accounts if a.account_type == "CLIENT")
    selling = s.make(now, SELL, s.mean_qty(), round(away))
    buying = s.make(now, BUY, selling.qty, round(away), account=other)
    s.simulator.exchange.cross(now, selling, buying, round(away))
    s.end(now)


def restricted_list(s: Stage, now: int) -> None:
    """Trades in a name on the restricted list."""
    for n in range(max(1, round(s.strength))):
        s.after(now, 3.0 * n, lambda t: s.take(t, BUY, s.mean_qty()))
    s.after(now, 3.0 * max(1, round(s.strength)), s.end)


def personal_dealing(s: Stage, now: int) -> None:
    """An employee's own account trades what the employee's desk trades."""
    own = [a for a in s.simulator.firm.accounts if a.employee == s.trader.trader_id]
    employee = own[0] if own else next(a for a in s.simulator.firm.accounts if a.account_type == "EMPLOYEE")
    s.label.account_id = employee.account_id
    s.take(now, BUY, s.mean_qty(), account=employee)
    s.after(now, 2.0, lambda t: s.take(t, BUY, s.mean_qty() * 2))
    s.after(now, 4.0, s.end)


RECIPES: dict[str, Recipe] = {
    "SPOOFING": spoofing,
    "LAYERING": layering,
    "WASH_TRADE": wash_trade,
    "MARKING_CLOSE": marking_close,
    "RAMPING": ramping,
    "FRONT_RUNNING": front_running,
    "INSIDER_DEALING": insider_dealing,
    "QUOTE_STUFFING": quote_stuffing,
    "OFF_MARKET_PRICE": off_market_price,
    "RESTRICTED_LIST": restricted_list,
    "PERSONAL_DEALING": personal_dealing,
}
