"""What the record keeps of a question: the fields before it runs and after, and the hash of a result."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from nlq.record.canonical import canonical, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from nlq.contracts import Answer, Principal


def result_hash(table: pa.Table | None) -> str | None:
    """SHA-256 of a result as a set of rows with counts: the order of rows does not matter, columns and values do.

    Floating numbers count with 10 significant digits, since a parallel sum differs in its last bits from run to run.
    """
    if table is None:
        return None
    digest = hashlib.sha256(canonical(list(table.column_names)))
    rows = sorted(canonical([_cell(value) for value in row.values()]) for row in table.to_pylist())
    for row in rows:
        digest.update(hashlib.sha256(row).digest())
    return digest.hexdigest()


def _cell(value: Any) -> Any:
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return f"{value:.10g}"
        case Decimal():
            return format(value.normalize(), "f")
        case datetime() | date():
            return plain(value)
        case list() | tuple():
            return [_cell(item) for item in value]
        case dict():
            return {str(key): _cell(item) for key, item in value.items()}
    return plain(value)


def before(question: str, user: Principal, **more: Any) -> dict[str, Any]:
    """Fields of `Record.begin`: who asks what, and whatever else is known before anything runs.

    Give under these names what there is: sql, views, rule, as_of, offsets, versions, model, model_sha256, prompt_hash,
    document_hashes, origin, confidence, reading, drafts, history, catalogue_version, policy_version.
    """
    asked = {"question": question, "user_id": user.user_id, "role": user.role, "desk": user.desk}
    return {**asked, "purpose": user.purpose, **more}


def after(answer: Answer, **more: Any) -> dict[str, Any]:
    """Fields of `Record.complete` for an answer; the rows themselves are not kept, their hash is."""
    table = answer.table
    fields: Mapping[str, Any] = {
        "status": answer.status.value,
        "sql": answer.sql,
        "views_read": list(answer.views),
        "as_of_ts": answer.as_of,
        "offsets": answer.offsets,
        "versions": answer.versions,
        "n_rows": None if table is None else table.num_rows,
        "truncated": answer.truncated,
        "result_hash": result_hash(table),
        "duration_ms": round(sum(answer.timings.values()) * 1000),
        "timings": answer.timings,
        "origin": answer.origin,
        "confidence": answer.confidence,
        "reading": answer.reading,
        "reason": answer.reason,
        "draft": answer.draft,
        "clarification": answer.clarification,
        "grounding": answer.grounding,
    }
    return {**fields, **more}
