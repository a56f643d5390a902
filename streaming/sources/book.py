"""An order book rebuilt from single orders. Prices and quantities are integers in the recording's own units."""

from __future__ import annotations

import heapq
from typing import Final

BID: Final = 1
ASK: Final = -1


class Book:
    """Resting orders of one instrument by id, and the quantity on each price level."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[int, int, int]] = {}
        """Order id → side, price, quantity left."""
        self.levels: dict[int, dict[int, int]] = {BID: {}, ASK: {}}
        self._heaps: dict[int, list[int]] = {BID: [], ASK: []}

    def add(self, order_id: int, side: int, price: int, qty: int) -> None:
        """A new order rests.

        Raises:
            KeyError: an order with this id rests already.
        """
        if order_id in self.orders:
            raise KeyError(f"order {order_id} rests already")
        self.orders[order_id] = (side, price, qty)
        level = self.levels[side]
        if price in level:
            level[price] += qty
        else:
            level[price] = qty
            # Bids are kept negated: the top of either heap is the best price.
            heapq.heappush(self._heaps[side], -price if side == BID else price)

    def reduce(self, order_id: int, qty: int) -> bool:
        """Take quantity off an order (a fill or a partial cancel). False when the book does not know the order."""
        known = self.orders.get(order_id)
        if known is None:
            return False
        side, price, left = known
        qty = min(qty, left)
        if qty == left:
            del self.orders[order_id]
        else:
            self.orders[order_id] = (side, price, left - qty)
        level = self.levels[side]
        level[price] -= qty
        if level[price] <= 0:
            del level[price]
        return True

    def remove(self, order_id: int) -> bool:
        """Take an order off. False when the book does not know it."""
        known = self.orders.get(order_id)
        return known is not None and self.reduce(order_id, known[2])

    def best(self, side: int) -> tuple[int, int] | None:
        """Best price of a side and the quantity there; None when it is empty."""
        heap, level = self._heaps[side], self.levels[side]
        while heap:
            price = -heap[0] if side == BID else heap[0]
            if price in level:
                return price, level[price]
            heapq.heappop(heap)
        return None

    def is_crossed(self) -> bool:
        """Whether the best bid reaches the best offer, which no book of one venue may."""
        bid, ask = self.best(BID), self.best(ASK)
        return bid is not None and ask is not None and bid[0] >= ask[0]
