"""A digest of a result that does not depend on the order in which Spark happened to return its rows."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def fingerprint(table: pa.Table) -> str:
    """SHA-256 over the column names and the sorted rows, as hex.

    Row order is left out because SQL without ORDER BY promises none; an answer replayed on the same versions has the
    same rows and so the same fingerprint. Floats count to 12 significant digits, since a sum over the same rows in another
    order, as from history instead of memory, differs in its last bits; instants keep their microseconds.
    """
    rows = sorted(json.dumps(_plain(list(row.values())), default=str, ensure_ascii=False) for row in table.to_pylist())
    digest = hashlib.sha256(json.dumps(table.column_names).encode())
    for row in rows:
        digest.update(b"\0" + row.encode())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    match value:
        case float():
            return f"{value:.12g}"
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in value.items()}
    return value
