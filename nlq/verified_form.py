"""The shape of a verified query: its entry, its slots, and when a question has the same words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import sqlglot
from sqlglot import exp

from retrieval.documents import Document
from streaming.catalogue import Catalogue

DIALECT = "databricks"
State = Literal["CANDIDATE", "APPROVED", "REJECTED", "RETIRED"]
Resolver = Callable[[str, str], str | None]
"""(column, words of the question) → the value that stands in that column for these words, None when there is none."""

_COURTESIES = frozenset(
    [
        "please",
        "pls",
        "plz",
        "show",
        "give",
        "me",
        "us",
        "list",
        "the",
        "a",
        "an",
        "can",
        "could",
        "you",
        "i",
        "want",
        "to",
        "see",
        "tell",
        "get",
        "kindly",
    ]
)
"""Words that change nothing wherever they stand. Operators (only, both, each, not, same, other) are never among them."""
_WORD = re.compile(r"\{\w+\}|\w[\w.-]*[\w%]|\w|[%$€£]|[!<>=≥≤+*/-]+")


class VerifiedError(ValueError):
    """A verified query cannot be stored, approved or read; the message names the entry and the reason."""


class SelfApproval(VerifiedError):
    """Author and approver are the same person; somebody else must approve."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A value that stands in both question and SQL and may differ from question to question."""

    name: str
    column: str
    """Column that the value is compared with; `number` for a number."""
    value: str
    """As in the question that was approved."""


@dataclass(frozen=True, kw_only=True)
class VerifiedQuery:
    """One entry. A changed SQL is a new version with its own approval; entries are never edited."""

    id: str
    version: int = 1
    question: str
    """With `{slot}` for each value."""
    sql: str
    """Spark SQL with `{slot}`, `{as_of}` and `{as_of_date}`."""
    slots: tuple[Slot, ...] = ()
    reading: str = ""
    author: str
    approver: str | None = None
    state: State = "CANDIDATE"
    changed_at: str = ""
    """ISO 8601 instant of the last change of state."""
    reason: str = ""
    """Why it was rejected or retired."""
    views: tuple[str, ...] = ()
    catalogue: str = ""
    """Digest of the definitions of its views when it was last checked."""

    def example(self) -> Document:
        """The entry as a retrieval document, with the values of the question that was approved."""
        values = {slot.name: slot.value for slot in self.slots}
        return Document(
            id=f"example:{self.id}",
            kind="example",
            text=_put(self.question, values),
            views=self.views,
            sql=filled(self.sql, self.slots, values),
            author=self.author,
        )


def parameterised(question: str, sql: str, author: str, catalogue: Catalogue, *, reading: str = "") -> VerifiedQuery:
    """A candidate with the values that stand word for word in both question and SQL made slots.

    Codes (CANCELLED, BUY) stay as they are: another code makes another question, often of another shape.

    Raises:
        VerifiedError: the SQL does not parse.
    """
    tree = parse_select(sql, "candidate")
    text = question
    slots: list[Slot] = []
    coded = {c.name for view in catalogue.views.values() for c in view.columns.values() if c.codes}
    for literal in tree.find_all(exp.Literal):
        column = _compared_with(literal)
        if column is None or column in coded or len(words_of(literal.name)) != 1:
            continue
        if any(slot.value.lower() == literal.name.lower() for slot in slots):
            continue
        if column == "number" and len(re.findall(rf"(?<![\w.]){re.escape(literal.name)}(?![\w.])", sql)) > 1:
            continue
        found = re.findall(rf"(?<![\w.]){re.escape(literal.name)}(?![\w%]|\.\d)", text, re.IGNORECASE)
        if len(found) == 1:
            name = f"{column}_{len(slots) + 1}"
            text = re.sub(
                rf"(?<![\w.]){re.escape(literal.name)}(?![\w%]|\.\d)", f"{{{name}}}", text, flags=re.IGNORECASE
            )
            slots.append(Slot(name=name, column=column, value=literal.name))
    template = sql
    for slot in slots:
        shown = re.escape(slot.value)
        pattern = rf"(?<![\w.]){shown}(?![\w.])" if slot.column == "number" else rf"'{shown}'"
        template = re.sub(pattern, f"{{{slot.name}}}", template)
        # The sentence goes with the values, too: it must not name one person over another one's rows.
        reading = re.sub(rf"(?<![\w.]){shown}(?![\w%]|\.\d)", f"{{{slot.name}}}", reading, flags=re.IGNORECASE)
    identity = hashlib.sha256(" ".join(words_of(text)).encode()).hexdigest()[:12]
    return VerifiedQuery(
        id=f"vq-{identity}",
        question=text,
        sql=template,
        slots=tuple(slots),
        reading=reading,
        author=author,
        changed_at=now(),
    )


def bound(entry: VerifiedQuery, as_of: datetime) -> str:
    """The SQL with the approved values and a clock in it, ready to be checked."""
    sql = filled(entry.sql, entry.slots, {slot.name: slot.value for slot in entry.slots})
    return with_clock(sql, as_of)


def with_clock(sql: str, as_of: datetime) -> str:
    """`{as_of}` and `{as_of_date}` as literals of an instant."""
    instant = as_of.astimezone(UTC)
    moment = instant.strftime("%Y-%m-%d %H:%M:%S.%f")
    return sql.replace("{as_of}", f"TIMESTAMP '{moment}'").replace("{as_of_date}", f"DATE '{instant:%Y-%m-%d}'")


def words_of(text: str) -> tuple[str, ...]:
    """The words and signs that must agree, in order; courtesies and punctuation are dropped."""
    plain = text.replace("’", "'").lower()
    plain = re.sub(r"'s\b", " 's ", plain)
    return tuple(w for w in _WORD.findall(plain) if w not in _COURTESIES)


def form_key(words: Sequence[str]) -> tuple[str, ...]:
    """What every wording that could match has in common: how many words there are."""
    return (str(len(words)),)


def fill(
    template: Sequence[str], asked: Sequence[str], slots: Sequence[Slot], resolve: Resolver | None
) -> dict[str, str] | None:
    """The slots' values when the words agree, else None."""
    known = {f"{{{slot.name}}}": slot for slot in slots}
    values: dict[str, str] = {}
    for wanted, given in zip(template, asked, strict=True):
        slot = known.get(wanted)
        if slot is None:
            if wanted != given:
                return None
            continue
        value = _value(slot, given, resolve)
        if value is None or values.get(slot.name, value) != value:
            return None
        values[slot.name] = value
    return values


def _value(slot: Slot, given: str, resolve: Resolver | None) -> str | None:
    if slot.column == "number":
        return given if re.fullmatch(r"\d+(?:\.\d+)?", given) else None
    if resolve is None:
        return slot.value if given == slot.value.lower() else None
    return resolve(slot.column, given)


def stated(reading: str, slots: Sequence[Slot], values: dict[str, str]) -> str:
    """A reading with this question's values in it; those that it does not name are added."""
    left = [values[slot.name] for slot in slots if f"{{{slot.name}}}" not in reading and slot.name in values]
    text = _put(reading, values)
    return f"{text.rstrip('. ')} (for {', '.join(left)})." if text and left else text


def _put(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def filled(sql: str, slots: Sequence[Slot], values: dict[str, str]) -> str:
    """The SQL with values in its slots, quoted so that no value can be more than a literal."""
    quoted = {
        slot.name: values[slot.name] if slot.column == "number" else exp.Literal.string(values[slot.name]).sql(DIALECT)
        for slot in slots
    }
    return _put(sql, quoted)


def _compared_with(literal: exp.Literal) -> str | None:
    """Column that a literal is compared with by = or IN, `number` for a compared number; None for anything else."""
    parent = literal.parent
    if isinstance(parent, exp.In) and not literal.is_string:
        return None
    if not isinstance(parent, (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In)):
        return None
    if not literal.is_string:
        return "number" if not isinstance(parent, (exp.EQ, exp.NEQ)) else None
    return parent.this.name if isinstance(parent.this, exp.Column) else None


def parse_select(sql: str, name: str) -> exp.Expr:
    """The syntax tree of one SELECT.

    Raises:
        VerifiedError: it is not one; `name` says whose.
    """
    plain = re.sub(r"(?i)\bwindow\s*\(", "tumbling_window(", with_clock(sql, datetime.now(UTC)))
    try:
        tree = sqlglot.parse_one(plain, read=DIALECT)
    except sqlglot.errors.SqlglotError as error:
        raise VerifiedError(f"{name}: the SQL does not parse: {error}") from error
    if not isinstance(tree, exp.Query):
        raise VerifiedError(f"{name}: the SQL is not a SELECT")
    return tree


def now() -> str:
    """This instant as it is written into entries."""
    return datetime.now(UTC).isoformat(timespec="seconds")
