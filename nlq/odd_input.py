"""What people type that is no question about the data: nothing, noise, another language, SQL, two questions, a name that
is not on file, conditions that no row can meet. Each gets a clear outcome that says what to do instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from nlq.outcome import Outcome
from nlq.understand.mentions import COMMON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlq.plan import Part, Plan
    from nlq.understand.reading import Mention, Reading
    from retrieval.values import ValueIndex

EXAMPLES = (
    "how many open alerts per desk",
    "orders cancelled within 100 ms today",
    "average spread per instrument in the last hour",
)
"""Questions that are offered to somebody who has asked none."""
_SQL = re.compile(r"^\W*(?:select\b.+\bfrom\b|with\s+\w+\s+as\s*\()", re.IGNORECASE | re.DOTALL)
_FROM = re.compile(r"\bfrom\s+(?:\w+\.)?(\w+)", re.IGNORECASE)
_FOREIGN = frozenset(
    "el la los las del una unos qué que cuántos cuántas cuál cuáles hoy ayer órdenes operaciones por para con cómo dónde muestra "
    "le les des une du combien quels quelles quel quelle aujourd'hui hier ordres pour avec dans sur est sont montre "
    "der das den dem ein eine wie viele welche welcher heute gestern wurden wurde und für mit auf zeige alle "
    "il gli dei delle quanti quante oggi ieri ordini per con mostra uma quantos quantas hoje ontem ordens mostre "
    "het een hoeveel vandaag gisteren welke toon ile dzisiaj wczoraj kaç bugün".split()
)
"""Everyday words of other languages that are no English words of a trading floor."""
_OPENERS = r"(?:what|how (?:many|much|long|often)|who|which|when|where|list|show|give me|is|are|did|do|does|has|have)"
_ENDS = re.compile(
    rf"\?\s+(?={_OPENERS}\b)|[,;]?\s+and\s+(?=(?:what|how many|how much|who|which|when)\b)", re.IGNORECASE
)


def unreadable(question: str, views: Sequence[str]) -> Outcome | None:
    """Nothing to read: no words, SQL in place of a question, another script or language."""
    if not re.search(r"[^\W\d_]", question):
        return _ask("There are no words in this question. What would you like to know?")
    if _SQL.search(question):
        named = next((v for v in _FROM.findall(question) if v in views), "orders")
        noun = named.replace("_", " ")
        text = "This is SQL; it is not run here. Ask in words, or have it checked with `nlq check`."
        return _ask(text, (f"list the {noun} of today", f"how many {noun} today"))
    letters = [c for c in question if c.isalpha()]
    if sum(ord(c) > 0x24F for c in letters) > len(letters) / 2:
        return _ask("Only English is understood here. Could you ask in English?")
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", question.lower())
    foreign = [w for w in words if w in _FOREIGN]
    if len(foreign) >= 2 and len(foreign) * 3 >= len(words):
        return _ask("Only English is understood here. Could you ask in English?")
    return None


def nonsense(reading: Reading) -> Outcome | None:
    """Not one word of the question means anything here."""
    meant = [m for m in reading.mentions if m.kind not in ("filler", "sign", "word")]
    known = [m for m in meant if m.kind != "sense" or any(s.kind != "op" for s in m.senses)]
    if known:
        return None
    words = ", ".join(repr(w) for w in reading.words[:3])
    said = f"I do not understand {words}. " if words else ""
    return _ask(f"{said}What would you like to know?")


def two_questions(reading: Reading) -> Outcome | None:
    """Two questions in one, each about something else: they are answered one by one."""
    cuts = list(_ENDS.finditer(reading.question))
    if len(cuts) != 1:
        return None
    first, second = reading.question[: cuts[0].start()], reading.question[cuts[0].end() :]
    if not re.match(rf"\W*{_OPENERS}\b", first, re.IGNORECASE):
        return None
    at = cuts[0].end()
    before = _subjects([m for m in reading.mentions if m.span[1] <= at])
    after = _subjects([m for m in reading.mentions if m.span[0] >= at])
    if not before or not after or before & after:
        return None
    parts = tuple(p.strip(" ?,;.") for p in (first, second))
    return Outcome(
        kind="clarify",
        reason="These are two questions.",
        question="These are two questions. Which one first?",
        choices=parts,
    )


def _subjects(mentions: Sequence[Mention]) -> set[str]:
    """The views that some words are about by name."""
    found = {
        s.name for m in mentions for s in m.of("view") if not m.of("dim") and not m.of("code") and not m.of("meas")
    }
    return found | ({"executions"} if any(m.is_op("trades") for m in mentions) else set())


def unknown_names(reading: Reading, values: ValueIndex) -> Outcome | None:
    """A name that is not on file, with those that are spelled nearly like it."""
    for i, m in enumerate(reading.mentions):
        if m.kind not in ("unknown_value", "word") or (m.kind == "word" and not _named(reading, i)):
            continue
        near = [n for n in values.nearest(m.text.lower()) if _alike(n, m.text.lower())]
        choices = tuple(
            _with(reading.question, m, n.upper() if m.kind == "unknown_value" else n.title()) for n in near[:3]
        )
        if choices:
            text = f"{m.text!r} is not on file. Did you mean one of these?"
            return Outcome(kind="clarify", reason=text, question=text, choices=choices)
        if m.kind == "unknown_value":
            text = f"{m.text!r} is not on file, and nothing is spelled like it."
            return Outcome(
                kind="clarify", reason=text, question=text, choices=(_with(reading.question, m, "").strip(),)
            )
    return None


def _named(reading: Reading, i: int) -> bool:
    """Whether an unknown word stands where a name would: "in Telsa", "by Okafer"."""
    text = reading.mentions[i].text
    before = [m.text.lower() for m in reading.mentions[max(0, i - 1) : i]]
    return (
        len(text) >= 5
        and text.lower() not in COMMON
        and text[0].isupper()
        and bool(before)
        and before[0] in ("in", "of", "by", "for", "from", "at", "on")
    )


def _alike(name: str, word: str) -> bool:
    """Whether two spellings differ by a slip: the same first letter and hardly another length."""
    return name[:1] == word[:1] and abs(len(name) - len(word)) <= 2


def _with(question: str, m: Mention, name: str) -> str:
    return re.sub(r"\s+", " ", question[: m.span[0]] + name + question[m.span[1] :]).strip()


def contradiction(question: str, plan: Plan | None) -> Outcome | None:
    """Conditions that no row can meet together; the choices leave one of the two out."""
    if plan is None:
        return None
    said = [p for p in plan.where if p.phrase]
    for k, one in enumerate(said):
        for two in said[k + 1 :]:
            if _exclude(one, two):
                choices = tuple(_without(question, p.phrase) for p in (two, one))
                other = f"not {one.phrase!r}" if one.phrase == two.phrase else repr(two.phrase)
                text = f"Nothing can be both {one.phrase!r} and {other}. Which do you mean?"
                return Outcome(kind="clarify", reason=text, question=text, choices=choices)
    return None


def _without(question: str, phrase: str) -> str:
    """The question without one condition and the conjunction that led to it or away from it."""
    gone = re.escape(phrase)
    left = re.sub(rf"\s*\b(?:and|but|or)\s+{gone}|{gone}\s+(?:and|but|or)\b|{gone}", " ", question, count=1)
    return re.sub(r"\s+", " ", left).strip(" ,")


def _exclude(one: Part, two: Part) -> bool:
    """Whether two conditions on one expression leave nothing between them."""
    try:
        a, b = (sqlglot.parse_one(p.sql, dialect="databricks") for p in (one, two))
    except sqlglot.errors.SqlglotError:
        return False
    if not isinstance(a, exp.Binary) or not isinstance(b, exp.Binary) or a.this != b.this:
        return False
    if {type(a), type(b)} == {exp.EQ, exp.NEQ}:
        # "Sold Apple but bought none" says two things of two groups of rows; one code said and denied says nothing.
        code = one.reason == two.reason == "code" and one.phrase.lower() == two.phrase.lower()
        return code and bool(a.expression == b.expression)
    low, high = (a, b) if isinstance(a, exp.GT | exp.GTE) else (b, a)
    if not isinstance(low, exp.GT | exp.GTE) or not isinstance(high, exp.LT | exp.LTE):
        return False
    if not all(isinstance(x.expression, exp.Literal) and not x.expression.is_string for x in (low, high)):
        return False
    return float(low.expression.this) > float(high.expression.this)


def _ask(text: str, choices: tuple[str, ...] = EXAMPLES) -> Outcome:
    return Outcome(kind="clarify", reason=text, question=text, choices=choices, readable=False)
