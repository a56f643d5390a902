"""The route of one statement through wall 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlq.contracts import Principal, Verdict
from nlq.guard.limits import GuardLimits

if TYPE_CHECKING:
    from datetime import datetime

    from streaming.catalogue import Catalogue


def check(
    sql: str,
    catalogue: Catalogue,
    principal: Principal,
    as_of: datetime | None = None,
    limits: GuardLimits = GuardLimits(),  # noqa: B008 - frozen
) -> Verdict:
    """Decide whether `sql` may run for `principal` and write the text that runs in its place."""
    return Verdict(allowed=False, rule="NOT_READY", message="The guard is not ready.")
