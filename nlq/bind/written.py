"""Conditions written out as on a data sheet: "scope firm", "is_final = no", "announce time > as-of"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.bind.state import listed
from nlq.plan import Part
from nlq.understand.times import Clock

if TYPE_CHECKING:
    from nlq.bind.state import Binder
    from nlq.understand.reading import Mention

_IS = r"^\s*(?:flag\b|field\b|code\b)?\s*(?:={1,2}|:|is\b|equals\b|equal to\b|set to\b)?\s*"
_TRUTH = re.compile(_IS + r"(?:(?P<yes>true|yes|y|1)|(?P<no>false|no|n|0))\b(?!\s*[a-z])", re.IGNORECASE)
_CODE = re.compile(_IS + r"(?P<code>[a-z][a-z_]+(?:[ -][a-z]+)?)", re.IGNORECASE)
_INSTANT = re.compile(
    r"^\s*(?:is |was |lies )?(?P<op>>=?|<=?|after\b|before\b|later than\b|earlier than\b|past\b|ahead of\b)\s*(?:the )?"
    r"(?:as[- ]of(?:[- ]time)?|now|this moment|current time)\b",
    re.IGNORECASE,
)
_OPS = {"after": ">", "later than": ">", "past": ">", "ahead of": ">", "before": "<", "earlier than": "<"}


def bind_written(b: Binder) -> None:
    """A column's name followed by one of its values."""
    columns = b.world.catalogue.views[b.view].columns
    text = b.reading.question
    for i, m in enumerate(b.reading.mentions):
        if m.kind != "sense" or i in b.bound.used or any(c in b.bound.columns for c in _names(b, m)):
            continue
        for column in _names(b, m):
            found = _condition(b, column, text[m.span[1] :]) if column in columns else None
            if found is None:
                continue
            sql, end = found
            span = (m.span[0], m.span[1] + end)
            b.bound.where.append(Part(sql=sql, phrase=text[span[0] : span[1]], span=span, reason="code"))
            b.bound.used |= {
                k for k, x in enumerate(b.reading.mentions) if x.span[0] >= span[0] and x.span[1] <= span[1]
            }
            break


def _names(b: Binder, m: Mention) -> list[str]:
    return [s.name for s in m.of("col")] + [b.world.lexicon.dimensions.get(s.name, "") for s in m.of("dim")]


def _condition(b: Binder, column: str, after: str) -> tuple[str, int] | None:
    """The condition, and where its words end in what follows the column's name."""
    known = b.world.catalogue.views[b.view].columns[column]
    if known.type == "BOOLEAN" and (match := _TRUTH.match(after)):
        return (column if match["yes"] else f"NOT {column}"), match.end()
    if known.type == "TIMESTAMP" and (match := _INSTANT.match(after)):
        op = _OPS.get(match["op"].lower(), match["op"])
        return f"{column} {op} {Clock(as_of=b.world.as_of, time=None, day=None).now}", match.end()
    if known.codes and (match := _CODE.match(after)):
        words = re.split(r"[ -]", match["code"].upper())
        codes = {str(c).upper(): str(c) for c in known.codes}
        for n in (2, 1):
            if (code := codes.get("_".join(words[:n]))) is not None:
                end = match.start("code") + len(match["code"]) - (len(words[1]) + 1 if n == 1 and len(words) > 1 else 0)
                return listed(column, [code]), end
    return None
