"""What templates share: whether the learnt parser leaves room for one, and which words it takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.bind import Bound, bind

if TYPE_CHECKING:
    from nlq.shape.state import Shaper


def likely(sh: Shaper, *shapes: str) -> bool:
    """Whether the learnt parser leaves room for one of these shapes; True without a parser."""
    return sh.proposal is None or max(sh.p(s) for s in shapes) > 0.15


def seen(sh: Shaper, view: str) -> bool:
    """Whether the learnt parser leaves room for a view; True without a parser."""
    return sh.proposal is None or sh.proposal.views.get(view, 0.0) > 0.15


def consume(sh: Shaper, pattern: str) -> None:
    """Mark every mention whose words match as used."""
    for i, m in enumerate(sh.m):
        stated = m.kind == "value" or (m.compare is not None and m.compare.explicit)
        if not stated and re.search(rf"\b(?:{pattern})|%", m.text, re.I):
            sh.used.add(i)


def bound_for(sh: Shaper, view: str) -> Bound:
    """The question bound to another view."""
    return bind(sh.world, sh.reading, view)
