"""A digest of a result that does not depend on the order in which Spark happened to return its rows."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def fingerprint(table: pa.Table) -> str:
    """SHA-256 over the column names and the sorted rows, as hex.

    Row order is left out because SQL without ORDER BY promises none; an answer replayed on the same versions has the
    same rows and so the same fingerprint. Floats keep their shortest exact form, instants their microseconds.
    """
    rows = sorted(json.dumps(list(row.values()), default=str, ensure_ascii=False) for row in table.to_pylist())
    digest = hashlib.sha256(json.dumps(table.column_names).encode())
    for row in rows:
        digest.update(b"\0" + row.encode())
    return digest.hexdigest()
