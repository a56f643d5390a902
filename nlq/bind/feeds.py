"""Topics, faulty fields and texts of messages: what "executions", "price" and "VOD" mean beside partitions and dead letters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.bind.state import Binder, quote
from nlq.plan import Part
from nlq.understand.tokens import stem

if TYPE_CHECKING:
    from nlq.understand.reading import Mention

_MISSING = re.compile(r"\b(?:missing|absent|lack(?:s|ed|ing)?|without|blank|empty)\b")
_PAYLOAD = re.compile(r"\b(?:payloads?|body|bodies|bytes|text|grep|contain\w*|mention\w*|carry|carries|raw message)\b")
_AT = ("partition", "partitions", "p")


def bind_feeds(b: Binder) -> None:
    """Conditions on topic, partition, field and text over the views of the pipeline itself."""
    if b.view not in ("dead_letters", "ingest_status"):
        return
    for i, mention in enumerate(b.reading.mentions):
        if i not in b.bound.used and mention.kind != "number":
            _topic(b, i, mention)
    _partition(b)
    if b.view == "dead_letters":
        _fields(b)
        _text(b)


def _parts(name: str) -> tuple[str, ...]:
    return tuple(stem(w) for w in re.split(r"[._\s]+", name.lower()) if w)


def _topic(b: Binder, i: int, mention: Mention) -> None:
    """ "The executions feed", "tape messages", "except reference": a topic by its name or by the view that it fills."""
    topics = {_parts(t): t for t in b.world.values.values.get("topic", ())}
    names = [_parts(mention.text), *(_parts(s.name) for s in mention.of("view") if s.name != b.view)]
    for name in names:
        near = [t for parts, t in topics.items() if parts == name] or [
            t for parts, t in topics.items() if parts[: len(name)] == name and mention.kind == "sense"
        ]
        if len(near) == 1:
            b.bound.columns.setdefault("topic", []).append((i, (near[0],), b.negated(i)))
            b.bound.used.add(i)
            if i + 1 < len(b.reading.mentions) and b.reading.mentions[i + 1].is_dim("topic"):
                b.bound.used.add(i + 1)
            return


def _partition(b: Binder) -> None:
    """ "Partition 3", "p3"."""
    for i, m in enumerate(b.reading.mentions):
        short = re.fullmatch(r"p(\d{1,3})", m.text.lower())
        if short and m.kind == "word":
            _put(b, f"partition = {int(short[1])}", m, {i})
            continue
        number = m.compare.number if m.compare is not None and not m.compare.explicit else None
        before = [k for k in range(i - 1, max(-1, i - 3), -1) if b.reading.mentions[k].kind != "sign"][:1]
        if number is None or number.unit is not None or not before or i in b.bound.used:
            continue
        if b.reading.mentions[before[0]].text.lower() in _AT and m.text.isdigit():
            _put(b, f"partition = {int(number.value)}", m, {i, before[0]})


def _fields(b: Binder) -> None:
    """The field at fault by the words around it: "missing price", "the price field was absent", "on price"."""
    fields = b.world.values.values.get("error_field", ())
    mentions = b.reading.mentions
    for i, m in enumerate(mentions):
        low = m.text.lower().replace(" ", "_")
        if low not in fields or "error_field" in b.bound.columns:
            continue
        around = range(max(0, i - 3), min(len(mentions), i + 4))
        text = b.reading.question[mentions[around[0]].span[0] : mentions[around[-1]].span[1]].lower()
        before = mentions[i - 1].text.lower() if i else ""
        missing = _MISSING.search(text)
        if not (missing or re.search(r"\bfields?\b", text) or before in ("the", "a", "no", "its", "on")):
            continue
        beside = {j for j in around if _MISSING.fullmatch(mentions[j].text.lower()) or mentions[j].text == "field"}
        _put(b, f"error_field = {quote(low)}", m, {i} | beside)
        if missing and "error_class" not in b.bound.columns:
            b.bound.where.append(Part(sql="error_class = 'MISSING_FIELD'", phrase=missing.group(), reason="code"))


def _text(b: Binder) -> None:
    """ "With VOD in the payload": a name that no column holds is looked for in the message itself."""
    if not _PAYLOAD.search(b.reading.question.lower()):
        return
    for i, m in enumerate(b.reading.mentions):
        doubt = f"{m.text!r} fits no column of {b.view}"
        if m.kind == "value" and doubt in b.bound.doubts:
            like = m.text.replace("%", "").replace("_", "")
            _put(b, f"payload LIKE {quote(f'%{like}%')}", m, {i})
            b.bound.doubts.remove(doubt)


def _put(b: Binder, sql: str, mention: Mention, used: set[int]) -> None:
    b.bound.where.append(Part(sql=sql, phrase=mention.text, span=mention.span, reason="value"))
    b.bound.used |= used
