"""What the record says about each question, as fields and as rows of the `query_audit` view."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from nlq.record.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from nlq.record.keystore import KeyStore


class Questions:
    """Index of the entries by question. Decrypted rows are kept until an entry or an erasure changes them."""

    def __init__(self) -> None:
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._rows: dict[str, dict[str, Any]] = {}

    def take(self, entry: Mapping[str, Any]) -> None:
        """Note one entry of the record."""
        if entry["kind"] == "EVENT":
            if entry["open"].get("event") == "ERASED":
                self._forget(entry["open"].get("query_ids", ()))
            return
        kept = {name: entry[name] for name in ("at", "kind", "locked", "open", "seq")}
        self._entries.setdefault(entry["query_id"], []).append(kept)
        self._rows.pop(entry["query_id"], None)

    def ids(self) -> list[str]:
        """Ids of all questions, oldest first."""
        return list(self._entries)

    def state(self, query_id: str) -> str | None:
        """`begun`, `complete` or None."""
        found = self._entries.get(query_id)
        if found is None:
            return None
        return "complete" if found[-1]["kind"] == "COMPLETE" else "begun"

    def fields(self, query_id: str, keys: KeyStore) -> dict[str, Any] | None:
        """All fields of a question, later entries over earlier ones."""
        found = self._entries.get(query_id)
        if found is None:
            return None
        merged: dict[str, Any] = {"query_id": query_id, "erased": False}
        for part in found:
            kind = part["kind"]
            if kind in ("BEGIN", "COMPLETE"):
                merged["asked_at" if kind == "BEGIN" else "completed_at"] = part["at"]
            merged.update(part["open"])
            if part["locked"]:
                hidden = keys.unlock(query_id, f"{part['seq']}|{kind}", part["locked"])
                merged["erased"] = merged["erased"] or hidden is None
                merged.update(hidden or {})
        return merged

    def table(self, keys: KeyStore, running: set[str]) -> pa.Table:
        """Every question as a row; one that never ended reads FAILED, one that is running has no status."""
        import pyarrow as pa

        for query_id in self._entries:
            if query_id not in self._rows:
                self._rows[query_id] = self._row(query_id, keys)
        rows = [
            row if row["status"] or query_id in running else {**row, "status": "FAILED"}
            for query_id, row in self._rows.items()
        ]
        rows.sort(key=lambda row: (row["asked_ts"], row["query_id"]))
        instant = pa.timestamp("us", tz="UTC")
        schema = pa.schema(
            [
                ("query_id", pa.string()),
                ("asked_ts", instant),
                ("user_id", pa.string()),
                ("role", pa.string()),
                ("question", pa.string()),
                ("status", pa.string()),
                ("sql", pa.string()),
                ("views_read", pa.list_(pa.string())),
                ("model", pa.string()),
                ("as_of_ts", instant),
                ("n_rows", pa.int64()),
                ("result_hash", pa.string()),
                ("duration_ms", pa.int64()),
            ]
        )
        return pa.Table.from_pylist(rows, schema=schema)

    def _row(self, query_id: str, keys: KeyStore) -> dict[str, Any]:
        fields = self.fields(query_id, keys) or {}
        as_of = fields.get("as_of_ts") or fields.get("as_of")
        return {
            "query_id": query_id,
            "asked_ts": datetime.fromisoformat(fields["asked_at"]) if "asked_at" in fields else None,
            "user_id": fields.get("user_id"),
            "role": fields.get("role"),
            "question": redact(str(fields["question"])) if fields.get("question") is not None else None,
            "status": fields.get("status") if "completed_at" in fields else None,
            "sql": fields.get("sql"),
            "views_read": list(fields.get("views_read") or fields.get("views") or ()),
            "model": fields.get("model"),
            "as_of_ts": datetime.fromisoformat(as_of) if as_of else None,
            "n_rows": fields.get("n_rows"),
            "result_hash": fields.get("result_hash"),
            "duration_ms": fields.get("duration_ms"),
        }

    def _forget(self, query_ids: Iterable[str]) -> None:
        for query_id in query_ids:
            self._rows.pop(query_id, None)
