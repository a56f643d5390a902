"""What happens to orders: entry, matching against the market and each other, cancels, auctions, busts. Emits messages."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from streaming.messages import MARKET_TRADES, ORDERS, QUOTES, Message
from streaming.sources.market import BUY, SELL, Market, Order

if TYPE_CHECKING:
    from random import Random

MAX_LEVELS = 4
"""Levels that one aggressive order walks through before the rest is cancelled or rests."""


class Exchange:
    """All venues. Every change of an order, print and change of the best quote becomes a message in `out`."""

    def __init__(self, rng: Random, first_id: int) -> None:
        self.rng = rng
        self.out: deque[Message] = deque()
        self.first_id = first_id
        self.n_orders = self.n_events = self.n_execs = self.n_trades = self.n_parents = 0
        self.fills: dict[str, list[str]] = {}
        """Order → exec ids, only for orders that are watched."""
        self.working: dict[str, Order] = {}

    # -- ids and messages

    def order_id(self, parent: bool = False) -> str:
        """A fresh order id, O-… or P-… for a client order that will be sliced."""
        if parent:
            self.n_parents += 1
            return f"P-{self.first_id + self.n_parents}"
        self.n_orders += 1
        return f"O-{self.first_id + self.n_orders}"

    def _event(self, now: int, kind: str, o: Order, extra: dict[str, Any] | None = None) -> None:
        self.n_events += 1
        inst = o.inst
        row: dict[str, Any] = {
            "type": kind, "event_id": f"EV-{self.first_id + self.n_events}", "event_us": now, "order_id": o.order_id,
            "symbol": inst.symbol, "venue": inst.venue, "side": o.side_name, "order_type": o.order_type,
            "time_in_force": o.tif, "order_qty": o.qty, "leaves_qty": o.leaves, "cum_qty": o.cum,
            "trader_id": o.trader.trader_id, "account_id": o.account.account_id, "is_algo": o.algo,
            "session_phase": "CONTINUOUS" if o.market.phase == "CLOSED" else o.market.phase,
        }  # fmt: skip
        if o.tick is not None and o.order_type not in ("MARKET", "STOP"):
            row["price"] = o.market.price(o.tick)
        if o.cum:
            row["avg_price"] = round(o.paid / o.cum, 8)
        if o.parent:
            row["parent_order_id"] = o.parent
        if extra:
            row.update(extra)
        self.out.append(Message(ORDERS, inst.symbol, row, now))

    def quote(self, now: int, m: Market) -> None:
        """Emit the best bid and offer if it changed; none outside continuous trading."""
        if m.phase != "CONTINUOUS":
            return
        top = m.top()
        if top == m.shown:
            return
        m.shown = top
        m.seq += 1
        row = {
            "quote_us": now, "quote_seq": self.first_id + m.seq, "symbol": m.inst.symbol, "venue": m.inst.venue,
            "bid_price": m.price(top[0]), "bid_qty": top[1], "ask_price": m.price(top[2]), "ask_qty": top[3],
        }  # fmt: skip
        self.out.append(Message(QUOTES, m.inst.symbol, row, now))

    def trade(self, now: int, m: Market, tick: int, qty: float, aggressor: int | None) -> None:
        """Emit one print of the public tape; no aggressor means an auction."""
        self.n_trades += 1
        row: dict[str, Any] = {
            "trade_id": f"MT-{self.first_id + self.n_trades}", "trade_us": now, "symbol": m.inst.symbol,
            "venue": m.inst.venue, "price": m.price(tick), "qty": qty, "is_auction": aggressor is None,
        }  # fmt: skip
        if aggressor is not None:
            row["aggressor_side"] = "BUY" if aggressor == BUY else "SELL"
        self.out.append(Message(MARKET_TRADES, m.inst.symbol, row, now))

    # -- the life of an order

    def new(self, now: int, o: Order) -> None:
        """Accept an order. It neither rests nor trades yet."""
        self.working[o.order_id] = o
        self._event(now, "NEW", o)

    def rest(self, now: int, o: Order) -> None:
        """Put a limit order on the book; what reaches the other side trades first."""
        m = o.market
        if o.tick is not None and o.side * (o.tick - m.best(-o.side)) >= 0:
            self.take(now, o)
        elif o.working:
            m.add(o)
            self.quote(now, m)

    def _end(self, o: Order) -> None:
        o.working = False
        self.working.pop(o.order_id, None)
        o.market.remove(o)

    def cancel(self, now: int, o: Order, reason: str = "TRADER") -> None:
        """Cancel what is left of a working order."""
        if not o.working:
            return
        self._end(o)
        o.leaves = 0.0
        self._event(now, "CANCEL", o, {"cancel_reason": reason})
        self.quote(now, o.market)

    def expire(self, now: int, o: Order) -> None:
        """End a day order with the session."""
        if o.working:
            self._end(o)
            o.leaves = 0.0
            self._event(now, "EXPIRE", o)

    def reject(self, now: int, o: Order, reason: str) -> None:
        """Refuse an order right after entry."""
        self._end(o)
        o.leaves = 0.0
        self._event(now, "REJECT", o, {"reject_reason": reason})

    def replace(self, now: int, o: Order, tick: int, qty: float) -> None:
        """Change limit and quantity of a resting order; a price that reaches the other side is kept one tick away."""
        if not o.working or o.tick is None or qty <= o.cum:
            return
        m = o.market
        m.remove(o)
        far = m.best(-o.side)
        o.tick = max(1, tick if o.side * (tick - far) < 0 else far - o.side)
        o.qty, o.leaves = qty, round(qty - o.cum, 8)
        self._event(now, "REPLACE", o)
        m.add(o)
        self.quote(now, m)

    def fill(self, now: int, o: Order, tick: int, qty: float, liquidity: str, *, other: Order | None = None) -> str:
        """Fill part of an order; the caller emits the print."""
        qty = min(qty, o.leaves)
        price = o.market.price(tick)
        o.cum, o.leaves = round(o.cum + qty, 8), round(o.leaves - qty, 8)
        o.paid += qty * price
        self.n_execs += 1
        exec_id = f"X-{self.first_id + self.n_execs}"
        extra: dict[str, Any] = {"exec_id": exec_id, "last_qty": qty, "last_price": price, "liquidity": liquidity}
        if other is not None:
            extra["counterparty_account_id"] = other.account.account_id
        if o.leaves <= 0:
            self._end(o)
        self._event(now, "FILL", o, extra)
        if o.order_id in self.fills:
            self.fills[o.order_id].append(exec_id)
        return exec_id

    def bust(self, now: int, o: Order, exec_id: str) -> None:
        """Annul a fill. The order's own quantities stay as the venue reported them."""
        self._event(now, "BUST", o, {"ref_exec_id": exec_id})

    def correct(self, now: int, o: Order, exec_id: str, qty: float, price: float) -> None:
        """Annul a fill and report it anew at another price."""
        self.n_execs += 1
        extra = {"ref_exec_id": exec_id, "exec_id": f"X-{self.first_id + self.n_execs}", "last_qty": qty,
                 "last_price": price}  # fmt: skip
        self._event(now, "CORRECT", o, extra)

    # -- matching

    def take(self, now: int, o: Order) -> None:
        """Match an aggressive order against the other side; the rest is cancelled or rests."""
        m, far = o.market, -o.side
        if o.tif == "FOK" and m.shown_at(far, m.best(far)) < o.leaves:
            self.cancel(now, o, "IOC_REMAINDER")
            return
        for _ in range(MAX_LEVELS):
            best = m.best(far)
            if not o.working or (o.tick is not None and o.side * (o.tick - best) < 0):
                break
            if not self._take_firm(now, o, best) or not o.working:
                break
            if m.touch[far] == best:
                self._take_anonymous(now, o, best)
        if o.working:
            crosses = o.tick is None or o.side * (o.tick - m.best(far)) >= 0
            if o.tif in ("IOC", "FOK") or o.order_type in ("MARKET", "STOP") or crosses:
                self.cancel(now, o, "IOC_REMAINDER")
            else:
                m.add(o)
        self.quote(now, m)

    def _take_firm(self, now: int, o: Order, best: int) -> bool:
        """Trade with the firm's own orders at a level. False when self-match prevention stopped the order."""
        for resting in list(o.market.resting[-o.side].get(best, ())):
            if self._pulls(resting, 0.85, 0.0):
                self.cancel(now, resting)
            elif resting.account.owner == o.account.owner:
                self.cancel(now, o, "SELF_MATCH")
                return False
            elif o.working:
                self.cross(now, resting, o, best)
        return True

    def cross(self, now: int, resting: Order, taking: Order, tick: int, qty: float | None = None) -> tuple[str, str]:
        """Trade two of the firm's orders with each other: two fills, one print."""
        qty = min(resting.leaves, taking.leaves, qty or taking.leaves)
        passive = self.fill(now, resting, tick, qty, "ADDED", other=taking)
        active = self.fill(now, taking, tick, qty, "REMOVED", other=resting)
        self.trade(now, taking.market, tick, qty, taking.side)
        return passive, active

    def _take_anonymous(self, now: int, o: Order, best: int) -> None:
        m, far = o.market, -o.side
        qty = min(o.leaves, m.size[far])
        self.fill(now, o, best, qty, "REMOVED")
        self.trade(now, m, best, qty, o.side)
        m.size[far] = round(m.size[far] - qty, 8)
        if m.size[far] <= 0:
            # The level is used up: the market's next one is one tick further away.
            m.touch[far] = max(1, best + o.side)
            m.size[far] = m.draw_qty(m.inst.typical_qty * 2.5, 0.6)

    def _pulls(self, o: Order, maker: float, person: float) -> bool:
        """Whether an order is cancelled in time when the market comes to it."""
        if o.plan is not None:
            return o.plan == "dodge"
        return self.rng.random() < (maker if o.trader.is_market_maker else person)

    def market_print(self, now: int, m: Market, aggressor: int) -> None:
        """Somebody in the market trades at the touch: against the firm's order there, or among others."""
        side = -aggressor
        best = m.best(side)
        orders = m.resting[side].get(best)
        if orders and (m.touch[side] != best or self.rng.random() < 0.15):
            o = orders[0]
            if self._pulls(o, 0.88, 0.0):
                self.cancel(now, o)
            else:
                qty = min(o.leaves, m.draw_qty(m.inst.typical_qty))
                self.fill(now, o, best, qty, "ADDED")
                self.trade(now, m, best, qty, aggressor)
        elif m.touch[side] == best:
            qty = min(m.draw_qty(m.inst.typical_qty * 0.8), m.size[side])
            self.trade(now, m, best, qty, aggressor)
            m.size[side] = round(m.size[side] - qty, 8)
            if m.size[side] <= 0:
                m.size[side] = m.draw_qty(m.inst.typical_qty * 2.5, 0.6)
        self.quote(now, m)

    def requote(self, now: int, m: Market) -> None:
        """Move the market; the firm's orders that stand in the way are pulled or hit first."""
        bid, ask = m.next_touch(now)
        for side, reach in ((BUY, ask), (SELL, bid)):
            for tick in sorted(m.resting[side], reverse=side == BUY):
                if side * (tick - reach) < 0:
                    break
                for o in list(m.resting[side].get(tick, ())):
                    if self._pulls(o, 0.93, 0.35):
                        self.cancel(now, o)
                    else:
                        qty = o.leaves
                        self.fill(now, o, tick, qty, "ADDED")
                        self.trade(now, m, tick, qty, -side)
        if m.touch == {BUY: bid, SELL: ask}:
            side = BUY if self.rng.random() < 0.5 else SELL
            m.size[side] = m.draw_qty(m.inst.typical_qty * 2.5, 0.6)
        m.set_touch(bid, ask)
        self.quote(now, m)

    def uncross(self, now: int, m: Market) -> None:
        """Trade the auction: one print at one price, with the firm's orders that reach it in the volume."""
        bid, ask = m.next_touch(now)
        tick = bid if self.rng.random() < 0.5 else ask
        total = m.draw_qty(m.inst.typical_qty * 60, 0.5)
        for o in list(m.auction):
            if o.tick is None or o.side * (o.tick - tick) >= 0:
                qty = o.leaves
                total += qty
                self.fill(now, o, tick, qty, "AUCTION")
            elif o.tif == "AT_CLOSE":
                self.cancel(now, o, "IOC_REMAINDER")
        m.auction = [o for o in m.auction if o.working]
        self.trade(now, m, tick, round(total, 8), None)
        m.set_touch(bid, ask)
