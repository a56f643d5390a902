"""The simulated firm: its instruments, traders and accounts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import yaml

SHIPPED = Path(__file__).with_name("firm.yaml")

CLIENT_NAMES = (
    "Northgate Pension Fund", "Harbour Capital LP", "Bluewater Asset Mgmt", "Kestrel Macro Fund", "Orchid Family Office",
    "Sable Point Partners", "Alder Insurance", "Meridian Growth", "Redwood Endowment", "Tarn Global Equity",
    "Quill Hedge Fund", "Ostara Holdings",
)  # fmt: skip
N_CLIENTS, N_HOUSE, N_MARKET_MAKING, N_ERROR = 36, 14, 7, 4
FIRM_OWNER = "BO-FIRM"
COUNTRIES = ("US", "GB", "DE", "FR")
RATINGS = ("LOW", "HIGH", "LOW", "MEDIUM")


@dataclass(frozen=True)
class Instrument:
    """One tradable instrument; quantities in units, prices in its currency."""

    symbol: str
    isin: str
    name: str
    issuer: str
    asset_class: str
    sector: str
    country: str | None
    venue: str
    currency: str
    tick: float
    lot: float
    price: float
    """Starting price."""
    typical_qty: float
    """Median quantity of an order."""
    spread_bps: float
    """Mean quoted spread."""
    underlying: str | None

    @property
    def qty_digits(self) -> int:
        """Decimal places of a quantity."""
        return 3 if self.asset_class == "CRYPTO" else 0

    @property
    def min_qty(self) -> float:
        """Smallest quantity traded."""
        return {"CRYPTO": 0.001, "EQUITY": 10.0, "ETF": 10.0}.get(self.asset_class, 1.0)


@dataclass(frozen=True)
class Trader:
    """One trader, a person or an algorithm."""

    trader_id: str
    name: str
    desk: str
    business_unit: str
    manager_id: str | None
    location: str
    is_algo: bool
    risk_tier: str
    max_order_notional: float
    is_wall_crossed: bool
    start_date: str

    @property
    def is_market_maker(self) -> bool:
        """Quotes both sides on market-making accounts."""
        return self.is_algo and self.trader_id in ("ALGO51", "ALGO61", "ALGO62", "ALGO71")


@dataclass(frozen=True)
class Account:
    """One account."""

    account_id: str
    account_type: str
    name: str
    owner: str
    employee: str | None
    opened: date
    country: str
    risk_rating: str


@dataclass(frozen=True)
class Firm:
    """Instruments, traders and accounts on one anchor day."""

    anchor: date
    instruments: tuple[Instrument, ...]
    traders: tuple[Trader, ...]
    activity: dict[str, float]
    left: dict[str, date] = field(default_factory=dict)
    """Trader → last day."""

    @classmethod
    def load(cls, anchor: date, path: Path = SHIPPED) -> Self:
        """Read the firm's fixed facts; dates that move with the day of the run are counted from `anchor`."""
        raw: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        return cls(
            anchor=anchor,
            instruments=tuple(Instrument(*row) for row in raw["instruments"]),
            traders=tuple(Trader(*row) for row in raw["traders"]),
            activity={i[0]: float(raw["activity"].get(i[0], 1.0)) for i in raw["instruments"]},
            left={trader: anchor - timedelta(days=days) for trader, days in raw["left"].items()},
        )

    @cached_property
    def accounts(self) -> tuple[Account, ...]:
        """Clients', house, market-making, employees' and error accounts; some owners have several."""
        return (*self._clients(), *self._house(), *self._employees())

    @cached_property
    def by_symbol(self) -> dict[str, Instrument]:
        """Symbol → instrument."""
        return {i.symbol: i for i in self.instruments}

    @cached_property
    def by_trader(self) -> dict[str, Trader]:
        """Trader id → trader."""
        return {t.trader_id: t for t in self.traders}

    @cached_property
    def by_account(self) -> dict[str, Account]:
        """Account id → account."""
        return {a.account_id: a for a in self.accounts}

    def accounts_of(self, trader: Trader) -> dict[str, list[Account]]:
        """Account type → the accounts that a trader enters orders for."""
        n = self.traders.index(trader)
        clients, makers, errors = (
            [a for a in self.accounts if a.account_type == kind] for kind in ("CLIENT", "MARKET_MAKING", "ERROR")
        )
        return {
            "CLIENT": [clients[(n * 5 + k * 7) % len(clients)] for k in range(6)],
            "HOUSE": [a for a in self.accounts if a.name.startswith(f"House {trader.desk} ")],
            "EMPLOYEE": [a for a in self.accounts if a.employee == trader.trader_id],
            "MARKET_MAKING": [makers[(n + k) % len(makers)] for k in range(2)],
            "ERROR": [errors[n % len(errors)]],
        }

    def is_active(self, trader: Trader, day: date) -> bool:
        """Whether the trader is employed on that day."""
        return day <= self.left.get(trader.trader_id, date.max) and trader.start_date <= day.isoformat()

    def _clients(self) -> list[Account]:
        found = []
        for n in range(N_CLIENTS):
            # Two of three owners hold several accounts; one client account belongs to a trader of the firm.
            owner = f"BO-{301 + n}" if n % 3 == 2 else f"BO-{501 + (n * 7) % 10}"
            owner = "BO-T44" if n == 29 else owner
            opened = self.anchor - timedelta(days=9 * (36 - n)) if n >= 32 else date(2010 + n % 15, n % 12 + 1, 10)
            name = f"{CLIENT_NAMES[n % 12]} {'I' * (n // 12 + 1)}"
            found.append(
                Account(f"C-{1001 + n}", "CLIENT", name, owner, None, opened, COUNTRIES[n % 4], RATINGS[n % 4])
            )
        return found

    def _house(self) -> list[Account]:
        desks = self.desks
        found = [
            Account(f"H-{2001 + n}", "HOUSE", f"House {desks[n % len(desks)]} {n // len(desks) + 1}", FIRM_OWNER, None,
                    date(2011 + n, 3, 1), "US", "LOW")
            for n in range(N_HOUSE)
        ]  # fmt: skip
        found += [
            Account(f"M-{3001 + n}", "MARKET_MAKING", f"Market making book {n + 1}", FIRM_OWNER, None,
                    date(2014 + n, 6, 1), "US", "LOW")
            for n in range(N_MARKET_MAKING)
        ]  # fmt: skip
        return found + [
            Account(f"ERR-{n + 1}", "ERROR", f"Error account {n + 1}", FIRM_OWNER, None, date(2012, 1, 3), "US", "LOW")
            for n in range(N_ERROR)
        ]

    def _employees(self) -> list[Account]:
        people = [t for t in self.traders if not t.is_algo and t.trader_id not in ("T1000", *self.left)]
        found = []
        for n, person in enumerate(people[::2] + people[1:8:2]):
            household = n % 4 == 0
            # One household shares its owner with clients' accounts: a wash trade hides there.
            owner = "BO-501" if n == 0 else f"BO-{person.trader_id}"
            found.append(
                Account(f"E-{4001 + n}", "EMPLOYEE", person.name + (" (household)" if household else ""), owner,
                        person.trader_id, date(2012 + n % 13, n % 12 + 1, 20), COUNTRIES[n % 3], RATINGS[n % 4])
            )  # fmt: skip
        return found

    @cached_property
    def desks(self) -> tuple[str, ...]:
        """Desks in the order in which they first occur."""
        return tuple(dict.fromkeys(t.desk for t in self.traders))
