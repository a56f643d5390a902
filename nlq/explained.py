"""Words that say once more what the finished statement says already: "alerts *raised*", "orders that *ended* cancelled".

The binder gives every word one place. Much of what people say needs none: the verb by which a row comes into being,
the noun of a column that a comparison named before, the "by how much" of a figure that is shown. Such a word is no
filler, for beside another statement it would ask for something else. So it is looked at last, when the statement is
finished: a leftover word is explained when `explained.yaml` knows what it says there and the statement has just that.
It is the counterpart of `nlq/demands.py`, which asks what the words demand and the statement lacks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import sqlglot
import yaml

from nlq.demands import Statement, check_parts
from nlq.ground import unplaced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlq.understand.reading import Mention, Reading

_FILE = Path(__file__).with_name("explained.yaml")
_NAME = re.compile(r"[a-z_]+\.[a-z_]+|[a-z_]+")
_MAX_LEFT = 8
"""A question of which more is left over was not understood, whatever single words may mean."""


@dataclass(frozen=True, kw_only=True)
class Restatement:
    """One line of `explained.yaml`."""

    said: re.Pattern[str]
    unless: re.Pattern[str] | None
    view: frozenset[str]
    needs: tuple[str, ...]
    follows: bool
    """Only in a question that changes the one before it."""


@cache
def restatements() -> tuple[Restatement, ...]:
    """The lines of the shipped file.

    Raises:
        ValueError: a line names a part of a statement that there is none of.
    """
    out = []
    for line in yaml.safe_load(_FILE.read_text(encoding="utf-8")):
        needs = tuple(line.get("needs", ()))
        check_parts(_FILE.name, line["said"], needs)
        out.append(
            Restatement(
                said=re.compile(line["said"], re.IGNORECASE),
                unless=re.compile(line["unless"], re.IGNORECASE) if line.get("unless") else None,
                view=frozenset(str(line.get("view", "")).split()),
                needs=needs,
                follows=bool(line.get("follows")),
            )
        )
    return tuple(out)


def explained(
    reading: Reading,
    used: set[int],
    sql: str,
    view: str,
    measures: Mapping[str, Mapping[str, str]],
    *,
    follows: bool = False,
) -> set[int]:
    """Which of the mentions that found no place the statement expresses already.

    Args:
        reading: the question taken apart.
        used: positions of the mentions that found a place.
        sql: the drafted statement, Spark SQL.
        view: the view that it reads first.
        measures: of the vocabulary, measure → expression by view.
        follows: whether the question changes the one before it.
    """
    left = set(unplaced(reading, used))
    if not left or len(left) > _MAX_LEFT:
        return set()
    try:
        statement = Statement(sql)
    except sqlglot.errors.SqlglotError:
        return set()
    out = {i for i in left if _said_twice(reading, i, statement, view, measures)}
    if not follows:
        out |= {i for i in left if reading.mentions[i].kind == "word" and _in_heading(reading, i)}
    for line in restatements():
        if len(out) == len(left):
            break
        if (line.follows and not follows) or (line.view and not any(f" {v}" in statement.text for v in line.view)):
            continue
        if line.unless and line.unless.search(reading.question):
            continue
        spans = [m.span() for m in line.said.finditer(reading.question)]
        found = {i for i in left - out for a, b in spans if _inside(reading.mentions[i], a, b)}
        if found and (not line.needs or any(map(statement.has, line.needs))):
            out |= found
    return out


def _inside(mention: Mention, start: int, end: int) -> bool:
    return start <= mention.span[0] and mention.span[1] <= end


_HEADING = re.compile(r"\s*(?P<words>[^\W\d][\w' /-]{2,40})(?::\s|\.\s+(?=[A-Z]))")
_TITLE = 4
"""Words of a heading, at most."""
_CUTS = frozenset("by per each every of no not without need only".split())
"""With these it is no title but a part of the question."""
_REST = 4
"""Meaning-bearing mentions behind a heading, at least: it then only names what they describe."""


def _in_heading(reading: Reading, i: int) -> bool:
    """ "Stuck orders: working for more than a day", "Halt casualties. Orders cancelled …": the title of what follows it."""
    heading = _HEADING.match(reading.question)
    if heading is None or reading.mentions[i].span[1] > heading.end():
        return False
    words = heading["words"].lower().split()
    if len(words) > _TITLE or _CUTS & set(words):
        return False
    behind = [m for m in reading.mentions if m.span[0] >= heading.end() and m.kind not in ("filler", "sign", "word")]
    return len(behind) >= _REST


def _said_twice(
    reading: Reading, i: int, statement: Statement, view: str, measures: Mapping[str, Mapping[str, str]]
) -> bool:
    """ "Over 50,000 notional, show the notional": a figure that was bound before and is among the columns shown."""
    mention = reading.mentions[i]
    if mention.kind != "sense" or len(mention.senses) != len(mention.of("meas")):
        return False
    for sense in mention.of("meas"):
        sql = measures.get(sense.name, {}).get(view, "")
        columns = set(_NAME.findall(sql.split("#")[0].lower()))
        if sql and " " not in sql and columns <= statement.columns:
            return True
    return False
