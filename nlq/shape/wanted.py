"""Whether the rows themselves are wanted: their key or a list of columns is asked for, whatever else looks like a figure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.both import both_columns
from nlq.shape.figures import row_sql

if TYPE_CHECKING:
    from nlq.shape.state import Shaper
    from nlq.understand.reading import Mention

_KEY_WORDS = frozenset("id ids ref refs reference references #s identifier identifiers".split())
_ROW_NOUNS = {
    "orders": frozenset("order orders ticket tickets".split()),
    "executions": frozenset("exec execs execution executions fill fills trade trades deal deals".split()),
}
"""In a list of columns ("order, trader, replaces") the noun alone is the key."""
_ASKING = frozenset("which list show give identify find what name see get pull display provide furnish".split())
_TELLING = ("indicating", "showing", "stating", "giving", "specifying", "state", "give", "show", "indicate")
"""Before "for each" these ask for columns of every row."""
_FIGURES = frozenset("avg median stddev p95 p90 p99 p75 p25 corr distinct".split())
_BREAK = re.compile(
    r"->|=>|:(?!\d)|(?<=\s)[-–—](?=\s)|[(?;]|\.(?=\s)|\blist\b|\bgive\b|\bshow(?:ing)?\b|\btell me\b|\bneed\b|\bwant\b|\bwith\b|\bindicating\b"
    r"|\bstating\b|\bspecifying\b|\bnaming\b|\bincluding\b|\bplus\b"
)
_BETWEEN = re.compile(r"[,/&+]|\band\b|\bn\b|\bplus\b")
_HOW_MUCH = re.compile(r"how (?:many|much|big|large)|what (?:size|quantity)", re.IGNORECASE)


def wants_rows(sh: Shaper) -> bool:
    """Whether the answer is a list of rows although keys and figures are named."""
    view = sh.world.catalogue.views[sh.view]
    if sh.proposal is not None:
        return False
    if any(s.name in _FIGURES for m in sh.m for s in m.of("agg")) or any(m.is_op("yesno", "share") for m in sh.m):
        return False
    if (
        any(m.is_op("percent", "versus", "bucket") and sh.free(i) for i, m in enumerate(sh.m))
        or _grouping(sh)
        or _rows_counted(sh)
    ):
        return False
    if both_columns(sh):
        return False
    return _key_asked(sh, view.key) or _columns_listed(sh) or _rows_asked(sh)


def _grouping(sh: Shaper) -> bool:
    """Whether a grouping word governs a noun: "per desk", but not "how many each"."""
    for i, m in enumerate(sh.m):
        if not m.is_op("group") or m.text.lower() in ("each", "respective", "individually", "apiece", "by"):
            continue
        told = sh.reading.question[: m.span[0]].lower().rstrip().endswith(_TELLING)
        return bool(sh.near(i, 1, 1)) and m.text.lower() not in ("across", "every") and not told
    text = sh.reading.question.lower()
    by = re.search(r"(?:\bby|\bfor each|\bof each|\beach)\s+(?!the\b|whom|one\b|more|less|over|at|an?\b|\d)(\w+)", text)
    return by is not None and any(
        m.span[0] <= by.start(1) < m.span[1] and bool(m.of("dim")) and m.kind == "sense" for m in sh.m
    )


def _rows_counted(sh: Shaper) -> bool:
    """ "How many fills", "more than 20 trades": the rows are counted, not listed."""
    for i, m in enumerate(sh.m):
        if not _is_rows(sh, m):
            continue
        for j in sh.near(i, -1, 1):
            compare = sh.m[j].compare
            if any(s.name == "count" for s in sh.m[j].of("agg")) or (compare is not None and compare.explicit):
                return sh.view != "order_flow_30s"
    return False


def _counted(sh: Shaper, i: int) -> bool:
    """Whether a counting word stands right before: "how many order ids"."""
    return any(sh.m[j].of("agg") for j in sh.near(i, -1, 1) if i - j <= 3)


def _key_asked(sh: Shaper, key: tuple[str, ...] | list[str]) -> bool:
    """The row's own identifier is asked for: "order ids please", "exec / qty / px"."""
    if len(key) != 1:
        return False
    for i, m in enumerate(sh.m):
        if m.kind == "filler" and m.text.lower() in _KEY_WORDS and not _counted(sh, i):
            if not sh.reading.question[: m.span[0]].rstrip().endswith(("'s", "s'")):
                return True
        names = {s.name for s in m.of("col")} | {sh.world.lexicon.dimensions.get(s.name, "") for s in m.of("dim")}
        if m.kind == "sense" and key[0] in names and key[0] not in sh.bound.filtered and not _counted(sh, i):
            return True
    return False


def _columns_listed(sh: Shaper) -> bool:
    """A list of columns behind the description of the rows: "…: order, trader, amends"."""
    text = sh.reading.question
    for mark in reversed(list(_BREAK.finditer(text))):
        tail = [i for i, m in enumerate(sh.m) if m.span[0] >= mark.end()]
        head = [i for i, m in enumerate(sh.m) if m.span[1] <= mark.start()]
        if not any(_condition(sh, i) for i in head) and mark.start() > 0:
            continue
        items = [p for p in _BETWEEN.split(text[mark.end() :].strip(" .?)")) if p.strip()]
        if len(items) >= 2 and _all_columns(sh, tail, items) and not _figure_before(sh, head):
            return True
    return False


def _condition(sh: Shaper, i: int) -> bool:
    """Whether a mention narrows the rows: a name, something bound, "> 1000"."""
    compare = sh.m[i].compare
    return sh.m[i].kind == "value" or i in sh.bound.used or (compare is not None and compare.explicit)


def _all_columns(sh: Shaper, tail: list[int], items: list[str]) -> bool:
    named, keyed = 0, 0
    for i in tail:
        m = sh.m[i]
        noun = m.text.lower() in _ROW_NOUNS.get(sh.view, ())
        if m.kind in ("sign", "filler") or noun:
            keyed += noun
            named += noun
            continue
        if m.kind != "sense" or m.of("cond") or (m.of("agg") and not _HOW_MUCH.fullmatch(m.text)):
            if not _HOW_MUCH.search(m.text):
                return False
        if not (m.of("dim") or m.of("col") or m.of("meas") or _HOW_MUCH.fullmatch(m.text)):
            return False
        named += 1
        keyed += bool(m.of("dim")) or any(_plain(sh, s.name) for s in m.of("col"))
    return named >= 2 and keyed >= 1 and len(items) <= named + 2


def _plain(sh: Shaper, column: str) -> bool:
    """Whether a column holds no figure."""
    known = sh.world.catalogue.views[sh.view].columns.get(column)
    return known is None or known.type not in ("DOUBLE", "INT", "BIGINT")


def _figure_before(sh: Shaper, head: list[int]) -> bool:
    return any(sh.m[i].of("agg") or sh.m[i].is_op("top", "bottom", "group") for i in head)


def _rows_asked(sh: Shaper) -> bool:
    """ "Which orders …, whose, and how many replaces each": the rows' own noun is what is asked for."""
    for i, m in enumerate(sh.m):
        if not _is_rows(sh, m) or m.text.lower() in ("traded", "executed", "ordered", "dealt", "trading"):
            continue
        before = [sh.m[j].text.lower() for j in range(max(0, i - 8), i)]
        if any(sh.m[j].of("agg") or sh.m[j].is_op("top", "bottom") for j in range(i)):
            return False
        if any(w in _ASKING for text in before for w in text.split()) and not _asked_before(sh, i):
            return any(_HOW_MUCH.search(x.text) for x in sh.m[i + 1 :])
        return False
    return False


def _asked_before(sh: Shaper, i: int) -> bool:
    """Whether something else is asked for before the rows: "which traders had orders …"."""
    for j in sh.near(i, -1, 4):
        m = sh.m[j]
        if m.kind == "sense" and m.of("dim") and not m.of("code") and j not in sh.bound.used:
            return True
    return False


def _is_rows(sh: Shaper, m: Mention) -> bool:
    return any(s.name == sh.view for s in m.of("view")) or (
        m.is_op("trades") and sh.view == "executions" and m.text.lower().rstrip("s") in ("trade", "deal")
    )


def take_rows(sh: Shaper) -> list[tuple[int, str, str]]:
    """Keys and counts become columns: "how many replaces" is the column, a bare "how many" the quantity.

    Returns:
        The quantities that a bare "how many" asks for, as measures without an aggregate.
    """
    asked: list[tuple[int, str, str]] = []
    for d in sh.dims:
        d.grouped = d.led = False
    for i, m in enumerate(sh.m):
        if m.kind != "sense" or not sh.free(i):
            continue
        if m.is_op("group") and m.text.lower() in ("each", "apiece", "individually", "respective"):
            sh.used.add(i)
        if not any(s.name in ("count", "sum") for s in m.of("agg")):
            continue
        following = sh.near(i, 1, 1)
        column = bool(following) and any(row_sql(sh, s.name) for s in sh.m[following[0]].of("meas"))
        if _HOW_MUCH.fullmatch(m.text) and not column and (sql := row_sql(sh, "qty")):
            asked.append((i, "qty", sql))
            sh.used.add(i)
        elif column and not any(s.name == "sum" for s in m.of("agg")):
            sh.used.add(i)
    return asked
