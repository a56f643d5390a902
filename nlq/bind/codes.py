"""Codes, synonyms and glossary conditions → predicates; several values of one column become one condition."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from nlq.bind.state import Binder, listed
from nlq.plan import Part
from nlq.understand.times import Clock
from nlq.views import has, reach

if TYPE_CHECKING:
    from nlq.understand.lexicon import Sense
    from nlq.understand.reading import Mention


def bind_sense(b: Binder, i: int, mention: Mention) -> None:
    """One word of the vocabulary as a condition or a code, where the view has a place for it."""
    for sense in mention.senses:
        if sense.kind == "cond" and _condition(b, i, mention, sense):
            _within(b, i)
            return
    codes = [s for s in mention.senses if s.kind == "code"]
    codes.sort(
        key=lambda s: (
            -max(
                (b.role(c if v == b.view else f"{v}.{c}", "filter", "condition") for v, c, _ in s.places),
                default=0,
            )
        )
    )
    for sense in codes:
        if _code(b, i, sense):
            return


def _within(b: Binder, i: int) -> None:
    """ "Within the last earnings window": the preposition belongs to the condition."""
    for j in range(i - 1, max(-1, i - 3), -1):
        mention = b.reading.mentions[j]
        if mention.text.lower() in ("within", "inside"):
            b.bound.used.add(j)
        elif mention.kind != "filler":
            return


def _condition(b: Binder, i: int, mention: Mention, sense: Sense) -> bool:
    table = b.world.lexicon.conditions.get(sense.name, {})
    sql = table.get(b.view)
    if sql is None and "*" in table and has(b.world.catalogue, b.view, "trader_id"):
        sql = table["*"]
    if sql is None:
        return False
    if b.proposal is not None:
        names = [w for w in re.findall(r"(?:\w+\.)?[a-z_]{3,}", sql) if has(b.world.catalogue, b.view, w) or "." in w]
        if names and max(b.role(n, "filter", "condition", "group") for n in names) < 0.08:
            return False
    now = Clock(as_of=b.world.as_of, time=None, day=None)
    sql = sql.replace("{now}", now.now).replace("{today}", now.today)
    if b.negated(i) and sense.name in ("left", "employed"):
        other = b.world.lexicon.conditions["employed" if sense.name == "left" else "left"].get(b.view, sql)
        sql = other.replace("{today}", now.today)
    elif b.negated(i):
        sql = sql[4:] if sql.startswith("NOT ") else f"NOT {sql}" if " " not in sql else f"NOT ({sql})"
    if any(p.sql == sql for p in b.bound.where):
        b.bound.used.add(i)
        return True
    b.bound.where.append(
        Part(sql=sql, phrase=mention.text, span=mention.span, reason=f"glossary: {sense.name.replace('_', ' ')}")
    )
    b.bound.used.add(i)
    return True


def _code(b: Binder, i: int, sense: Sense) -> bool:
    places = sorted(
        sense.places,
        key=lambda p: -b.role(p[1] if p[0] == b.view else f"{p[0]}.{p[1]}", "filter", "condition"),
    )
    for view, column, codes in places:
        if view == b.view or view is None:
            if b.proposal is not None and b.role(column, "filter", "condition") < 0.08:
                continue
            b.bound.columns.setdefault(column, []).append((i, codes, b.negated(i)))
            b.bound.used.add(i)
            _ended(b, i, column)
            return True
    for view, column, codes in places:
        found = reach(b.world.catalogue, b.view, column)
        if found and found == f"{view}.{column}":
            if b.proposal is not None and b.role(found, "filter", "condition") < 0.08:
                continue
            b.bound.columns.setdefault(found, []).append((i, codes, b.negated(i)))
            b.bound.used.add(i)
            return True
    return False


_ENDED = re.compile(
    r"\b(?:(?:which|that|and|later|eventually|finally)\s+)?(?P<verb>ended|end|ending|wound|finished|turned|came|went|got)(?:\s+(?:up|out))?"
    r"(?:\s+(?:as|being|in|a|marked(?: as)?))*\s*$",
    re.IGNORECASE,
)


def _ended(b: Binder, i: int, column: str) -> None:
    """ "Orders that ended filled", "ended up as a false positive": the verb says no more than the state itself."""
    if column != "status":
        return
    m = b.reading.mentions[i]
    found = _ENDED.search(b.reading.question[: m.span[0]])
    if found is not None:
        b.bound.used |= {j for j in range(max(0, i - 6), i) if b.reading.mentions[j].span[0] >= found.start("verb")}


def merge_columns(b: Binder) -> None:
    """Several values of one column become one condition."""
    for column, found in b.bound.columns.items():
        plus = [(i, v) for i, v, negated in found if not negated]
        minus = [(i, v) for i, v, negated in found if negated]
        for group, negated in ((plus, False), (minus, True)):
            if not group:
                continue
            values = _merge(b, column, [v for _, v in group])
            if values is None:
                continue
            every = b.world.catalogue.views[b.view].columns.get(column)
            if len(group) > 1 and every is not None and every.codes and set(values) >= set(every.codes):
                b.bound.doubts.append(f"every {column} is named, and so none is chosen")
            mentions = [b.reading.mentions[i] for i, _ in group]
            span = (mentions[0].span[0], mentions[-1].span[1])
            reason = "code" if mentions[0].kind == "sense" else mentions[0].hits[0].how if mentions[0].hits else "value"
            phrase = ", ".join(m.text for m in mentions)
            b.bound.where.append(Part(sql=listed(column, values, negated), phrase=phrase, span=span, reason=reason))


def _merge(b: Binder, column: str, groups: list[tuple[str, ...]]) -> tuple[str, ...] | None:
    sets = [set(g) for g in groups]
    if column == "side" and len(sets) > 1:
        if any("BUY" in s for s in sets) and any("SELL" in s or "SELL_SHORT" in s for s in sets):
            return None
        if {"SELL_SHORT"} in sets and any("SELL" in s for s in sets):
            text = b.reading.question.lower()
            wide = any(
                w in text
                for w in (
                    "shorts in",
                    "short or long",
                    "long or short",
                    "short one",
                    "incl",
                    "shorts count",
                    "counted",
                    "short ones",
                    "shorts too",
                    "count as",
                    "plus short",
                    "short sales too",
                    "as well",
                    "either",
                )
            )
            return ("SELL", "SELL_SHORT") if wide else ("SELL_SHORT",)
    narrow = min(sets, key=len)
    if all(narrow <= s for s in sets):
        return tuple(v for g in groups for v in g if v in narrow)
    return tuple(dict.fromkeys(v for g in groups for v in g))


_OR = re.compile(
    r"^\s*,?\s*(?:\w+ )?or\s+(?:else )?(?:(?:with|in|were|was|are|is|the|a|an|on|at|had|have|those|instruction|to|of|tif|phase|"
    r"time in force|status|type|reason|field|flag|during|from|sent|entered|marked|as)\s+){0,4}$",
    re.IGNORECASE,
)


def bind_either(b: Binder) -> None:
    """ "In the closing auction or with the instruction at-close": two codes of different columns, either of which will do."""
    text = b.reading.question
    coded = sorted((p for p in b.bound.where if p.reason == "code" and p.span), key=lambda p: p.span or (0, 0))
    for one, two in itertools.pairwise(coded):
        assert one.span is not None
        assert two.span is not None
        columns = [p.sql.split()[0] for p in (one, two)]
        if columns[0] == columns[1] or not _OR.match(text[one.span[1] : two.span[0]]):
            continue
        both = Part(
            sql=f"({one.sql} OR {two.sql})",
            phrase=text[one.span[0] : two.span[1]],
            span=(one.span[0], two.span[1]),
            reason="code",
        )
        b.bound.where = [both if p is one else p for p in b.bound.where if p is not two]
        b.bound.used |= {
            k for k, m in enumerate(b.reading.mentions) if m.span[0] >= one.span[1] and m.span[1] <= two.span[0]
        }
        return
