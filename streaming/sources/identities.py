"""Who a recorded order belongs to. Nobody publishes order-level data with trader ids, so a replay invents them.

All draws are SHA-256 of ASCII text, so replays, restarts and parallel runs agree on every machine:

    h(field) = first 8 bytes of SHA-256("seed|dataset|field|key") / 2**64
    firm?    = h("firm") < firm_share
    trader   = first rank whose cumulative Zipf weight (exponent 1.1) exceeds h("trader")
    account  = choice among the trader's accounts by h("account")

The key is the order id, or with `mode="behaviour"` the order's size bucket, distance bucket and 10-second block: then
similar orders at about the same time share a trader, and traders differ in character. The firm draw is always by order.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from streaming.sources.firm import Account, Firm, Trader

Mode = Literal["order", "behaviour"]
ZIPF_EXPONENT = 1.1
BLOCK_US = 10_000_000


@dataclass(frozen=True)
class Owner:
    """The trader and account of one recorded order."""

    trader: Trader
    account: Account


@dataclass(frozen=True)
class Identities:
    """Deterministic owners of a recording's orders."""

    firm: Firm
    dataset: str
    seed: int = 7
    firm_share: float = 0.2
    """Share of all orders that are the firm's; the others show only on the tape and in the quotes. 1.0 is for load tests:
    a firm that is the whole market has no market share to speak of."""
    mode: Mode = "order"

    def owner(self, order_id: str, *, qty: float = 0.0, distance_bps: float = 0.0, entry_us: int = 0) -> Owner | None:
        """The owner of an order, or None when it is not the firm's. An order keeps its owner through replaces."""
        if self.fraction("firm", order_id) >= self.firm_share:
            return None
        key = order_id
        if self.mode == "behaviour":
            key = f"{int(qty).bit_length()}|{int(abs(distance_bps) // 2)}|{entry_us // BLOCK_US}"
        trader = self.firm.traders[self._order_of_ranks[bisect_right(self._weights, self.fraction("trader", key))]]
        choice = self._accounts[trader.trader_id]
        return Owner(trader, choice[int(self.fraction("account", key) * len(choice))])

    def fraction(self, field: str, key: str) -> float:
        """A number in [0, 1) that depends on seed, dataset, field and key only."""
        digest = hashlib.sha256(f"{self.seed}|{self.dataset}|{field}|{key}".encode("ascii")).digest()
        # 53 bits: a double cannot round them up to 1.
        return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)

    def trader_weights(self) -> dict[str, float]:
        """Trader → share of the firm's orders that is expected to be theirs."""
        shares = [w - p for p, w in zip([0.0, *self._weights], self._weights, strict=False)]
        return {self.firm.traders[i].trader_id: share for i, share in zip(self._order_of_ranks, shares, strict=True)}

    @property
    def chance_of_same_trader(self) -> float:
        """Share of fills between two of the firm's orders that have one trader on both sides by chance alone."""
        return sum(weight**2 for weight in self.trader_weights().values())

    @cached_property
    def _weights(self) -> list[float]:
        raw = list(accumulate(1.0 / rank**ZIPF_EXPONENT for rank in range(1, len(self.firm.traders) + 1)))
        return [w / raw[-1] for w in raw[:-1]] + [1.0]

    @cached_property
    def _order_of_ranks(self) -> list[int]:
        """Which trader has which rank, shuffled by the seed: the first is not always the head of a desk."""
        n = len(self.firm.traders)
        return sorted(range(n), key=lambda i: (self.fraction("rank", self.firm.traders[i].trader_id), i))

    @cached_property
    def _accounts(self) -> dict[str, list[Account]]:
        found = {}
        for trader in self.firm.traders:
            books = self.firm.accounts_of(trader)
            kinds = ("MARKET_MAKING",) if trader.is_market_maker else ("CLIENT", "HOUSE", "EMPLOYEE", "ERROR")
            found[trader.trader_id] = [account for kind in kinds for account in books[kind]]
        return found
