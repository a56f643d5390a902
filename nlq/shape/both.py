"""Every one of several values must occur: "spoofing and layering both", "a spoofing alert AND a layering alert"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Part

if TYPE_CHECKING:
    from nlq.shape.state import Dim, Shaper

_AND_A = re.compile(r"^[^.;?]{0,25}\b(?:and (?:also |then )?(?:an?|at least one|one)\b|AND\b|as well as|plus an?\b)")


def both_columns(sh: Shaper) -> list[tuple[str, list[str], list[int]]]:
    """Columns of which all named values are asked for: (column, values, the words that say so)."""
    marks = [i for i, m in enumerate(sh.m) if m.is_op("both")]
    out = []
    for column, found in sh.bound.columns.items():
        values = [v for _, vs, negated in found for v in vs if not negated]
        said = sorted(i for i, _, negated in found if not negated)
        # "Sells … the selling account" says one thing twice.
        if len({tuple(vs) for _, vs, negated in found if not negated}) < 2 or len(said) < 2 or len(set(values)) < 2:
            continue
        between = sh.reading.question[sh.m[said[0]].span[1] : sh.m[said[-1]].span[0]]
        if marks or _AND_A.match(between) or (sh.proposal is not None and sh.p("having") > 0.6):
            out.append((column, list(dict.fromkeys(values)), marks))
    return out


def require_both(sh: Shaper, keys: list[Dim]) -> None:
    """Add the condition that every named value occurs in the group."""
    if not keys or sh.having:
        return
    for column, values, marks in both_columns(sh):
        if any(d.sql == column for d in keys):
            continue
        phrase = sh.m[marks[0]].text if marks else ""
        sh.having.append(Part(sql=f"count(DISTINCT {column}) = {len(values)}", reason="both", phrase=phrase))
        if column == "side" and not any(p.sql.startswith("side ") for p in sh.where):
            sh.where.append(Part(sql=f"side IN ({', '.join(map(repr, values))})", reason="code"))
        sh.used |= set(marks)
        return
