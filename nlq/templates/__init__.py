"""Shapes that need a second view or a second period: norms, own against the tape, two periods, absence, gaps, waits, events.

Each is recognised by its own words and built from the same bound conditions as a plain plan; one that does not fit
completely returns None and leaves the question to the plain shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlq.templates.absence import absence
from nlq.templates.events import around_event
from nlq.templates.gaps import gap
from nlq.templates.manager import manager_of, per_manager
from nlq.templates.norms import instrument_norm, trader_norm
from nlq.templates.periods import two_periods
from nlq.templates.tape import order_to_trade, own_and_market
from nlq.templates.versions import two_versions
from nlq.templates.waits import wait_for_first

if TYPE_CHECKING:
    from nlq.plan import Plan
    from nlq.shape.state import Rank, Shaper


_TEMPLATES = (
    manager_of,
    per_manager,
    wait_for_first,
    around_event,
    own_and_market,
    order_to_trade,
    trader_norm,
    instrument_norm,
    two_versions,
    two_periods,
    gap,
    absence,
)


def apply(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """The first template that fits, or None."""
    for template in _TEMPLATES:
        plan = template(sh, mode, rank)
        if plan is not None:
            return plan
    return None
