"""An `Answer` as JSON and Arrow IPC bytes, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nlq.contracts import Answer, Clarification, LedgerEntry, Status, Turn

if TYPE_CHECKING:
    import pyarrow as pa


def answer_to(answer: Answer) -> dict[str, Any]:
    """Everything of the answer but its table, as plain JSON values."""
    clarification = answer.clarification
    return {
        "status": answer.status.value,
        "question": answer.question,
        "query_id": answer.query_id,
        "sql": answer.sql,
        "truncated": answer.truncated,
        "as_of": answer.as_of.isoformat() if answer.as_of else None,
        "offsets": {topic: {str(p): o for p, o in parts.items()} for topic, parts in answer.offsets.items()},
        "versions": dict(answer.versions),
        "views": list(answer.views),
        "reading": answer.reading,
        "grounding": [
            {"phrase": e.phrase, "span": list(e.span) if e.span else None, "predicate": e.predicate, "reason": e.reason}
            for e in answer.grounding
        ],
        "clarification": (
            {"question": clarification.question, "choices": list(clarification.choices)} if clarification else None
        ),
        "reason": answer.reason,
        "draft": answer.draft,
        "confidence": answer.confidence,
        "origin": answer.origin,
        "timings": dict(answer.timings),
    }


def answer_from(body: Mapping[str, Any], arrow: bytes | None = None) -> Answer:
    """The answer again, with the table from its Arrow IPC bytes."""
    clarification = body.get("clarification")
    return Answer(
        status=Status(body["status"]),
        question=body["question"],
        query_id=body["query_id"],
        sql=body.get("sql"),
        table=table_from(arrow) if arrow else None,
        truncated=bool(body.get("truncated")),
        as_of=datetime.fromisoformat(body["as_of"]) if body.get("as_of") else None,
        offsets={
            topic: {int(p): int(o) for p, o in parts.items()} for topic, parts in (body.get("offsets") or {}).items()
        },
        versions=dict(body.get("versions") or {}),
        views=tuple(body.get("views") or ()),
        reading=body.get("reading") or "",
        grounding=tuple(
            LedgerEntry(
                phrase=e["phrase"],
                span=(e["span"][0], e["span"][1]) if e.get("span") else None,
                predicate=e["predicate"],
                reason=e["reason"],
            )
            for e in body.get("grounding") or ()
        ),
        clarification=(
            Clarification(question=clarification["question"], choices=tuple(clarification["choices"]))
            if clarification
            else None
        ),
        reason=body.get("reason"),
        draft=body.get("draft"),
        confidence=body.get("confidence"),
        origin=body.get("origin"),
        timings=dict(body.get("timings") or {}),
    )


def table_to(table: pa.Table) -> bytes:
    """The table as an Arrow IPC stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def table_from(content: bytes) -> pa.Table:
    """The table of an Arrow IPC stream."""
    import pyarrow as pa

    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()


def turn_to(turn: Turn) -> dict[str, str]:
    """An earlier question as JSON."""
    return {"question": turn.question, "sql": turn.sql}
