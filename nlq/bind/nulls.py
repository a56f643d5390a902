"""Missing values: "orders without a limit price", "trades with no counterparty", "alerts whose closing time is blank"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.plan import Part

if TYPE_CHECKING:
    from nlq.bind.state import Binder

_MISSING = re.compile(
    r"\b(?:without|no|missing|lack(?:s|ing)?|null|blank|empty|absent)(?: an?| any| the| recorded| stated| known)*\W*$"
)
_IS_MISSING = re.compile(
    r"^\W*(?:is|are|was|were|being|field|value|still)*\W*(?:null|missing|blank|empty|not set|unset|not populated|unknown)\b"
)
_PRESENT = re.compile(r"^\W*(?:is|are|was|were)\W*(?:not null|populated|set|present|filled in|known)\b")


def bind_nulls(b: Binder) -> None:
    """Conditions on columns that the catalogue says may be NULL, where the words ask for their absence or presence."""
    view = b.world.catalogue.views[b.view]
    text = b.reading.question.lower()
    for i, m in enumerate(b.reading.mentions):
        if m.kind != "sense" or i in b.bound.used:
            continue
        names = [s.name for s in m.of("col")] + [b.world.lexicon.dimensions.get(s.name, "") for s in m.of("dim")]
        names += [b.world.lexicon.measures.get(s.name, {}).get(b.view, "") for s in m.of("meas")]
        column = next((n for n in names if n in view.columns and "NULL" in (view.columns[n].meaning or "")), None)
        if column is None:
            continue
        before, after = text[: m.span[0]], text[m.span[1] :]
        if _MISSING.search(before) or _IS_MISSING.match(after):
            sql = f"{column} IS NULL"
        elif _PRESENT.match(after):
            sql = f"{column} IS NOT NULL"
        else:
            continue
        b.bound.where.append(Part(sql=sql, phrase=m.text, span=m.span, reason="glossary: missing value"))
        b.bound.used.add(i)
        if i and b.reading.mentions[i - 1].is_op("not"):
            b.bound.used.add(i - 1)
