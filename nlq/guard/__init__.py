"""Wall 1: hostile text in, canonical SQL out. Default deny; see docs/guard.md."""

from __future__ import annotations

from nlq.guard.limits import GuardLimits
from nlq.guard.route import check
from nlq.guard.statements import check_file

__all__ = ["GuardLimits", "check", "check_file"]
