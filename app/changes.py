"""Four eyes: a change that has weight is proposed by one person and takes hold when another one approves it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nlq.record.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

APPROVE_WITHIN = timedelta(hours=24)
RIGHTS: dict[str, frozenset[str]] = {
    "entitlement": frozenset({"officer", "engineer"}),
    "threshold": frozenset({"officer"}),
}
"""Kind → roles that may propose it. Every kind is approved by an officer."""
APPROVERS = frozenset({"officer"})
SCHEMA = """
CREATE TABLE IF NOT EXISTS changes (id TEXT PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL,
    proposed_by TEXT NOT NULL, at TEXT NOT NULL, state TEXT NOT NULL, decided_by TEXT, decided_at TEXT);
"""


class ChangeRefused(Exception):
    """The change may not be proposed or approved so; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A proposed change."""

    id: str
    kind: str
    body: dict[str, Any]
    hash: str
    """SHA-256 of kind and body: what the approver has read, and nothing else, is what takes hold."""
    proposed_by: str
    at: datetime
    state: str
    """PROPOSED, APPROVED, REJECTED or FAILED."""
    decided_by: str | None = None


class Changes:
    """Proposed changes in one file. `apply` holds what each kind does; `note` puts a decision on the record first."""

    def __init__(
        self,
        directory: Path,
        apply: Mapping[str, Callable[[Change, str], None]],
        note: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / "changes.sqlite"
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        self._db.executescript(SCHEMA)
        self._apply, self._note = apply, note
        self._lock = threading.Lock()

    def propose(self, kind: str, body: Mapping[str, Any], *, by: str, role: str) -> Change:
        """Propose a change; nothing happens yet.

        Raises:
            ChangeRefused: no such kind, or not with this role.
        """
        if kind not in self._apply or role not in RIGHTS.get(kind, ()):
            raise ChangeRefused(f"A {role} cannot propose changes of the kind {kind!r}.")
        text = canonical(dict(body)).decode()
        change_id, now = f"C-{secrets.token_hex(4)}", datetime.now(UTC)
        digest = _digest(kind, text)
        self._note("CHANGE_PROPOSED", {"change": change_id, "kind": kind, "hash": digest, "by": by})
        with self._lock:
            self._db.execute(
                "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, 'PROPOSED', NULL, NULL)",
                (change_id, kind, text, digest, by, now.isoformat()),
            )
        return self.get(change_id)

    def decide(
        self, change_id: str, digest: str, *, approve: bool, by: str, role: str, now: datetime | None = None
    ) -> Change:
        """Approve or reject a change that somebody else proposed, within 24 hours, exactly as it was read.

        Raises:
            ChangeRefused: own change, other role, too late, decided already, or not the change that was read.
        """
        now = now or datetime.now(UTC)
        with self._lock:
            change = self.get(change_id)
            own = change.proposed_by.strip().casefold() == by.strip().casefold()
            if role not in APPROVERS:
                raise ChangeRefused(f"A {role} cannot decide about changes.")
            if own and approve:
                raise ChangeRefused("Somebody else must approve what you propose.")
            if change.state != "PROPOSED":
                raise ChangeRefused(f"{change_id} is {change.state.lower()} already.")
            if now - change.at > APPROVE_WITHIN:
                raise ChangeRefused(f"{change_id} is older than 24 hours; propose it anew.")
            stored = _digest(change.kind, canonical(change.body).decode())
            if not (hmac.compare_digest(stored, change.hash) and hmac.compare_digest(digest, change.hash)):
                raise ChangeRefused(f"{change_id} is not the change that you read; read it again.")
            state = "APPROVED" if approve else "REJECTED"
            self._note(f"CHANGE_{state}", {"change": change_id, "hash": change.hash, "by": by})
            try:
                if approve:
                    self._apply[change.kind](change, by)
            except Exception:
                state = "FAILED"
                raise
            finally:
                self._db.execute(
                    "UPDATE changes SET state = ?, decided_by = ?, decided_at = ? WHERE id = ?",
                    (state, by, now.isoformat(), change_id),
                )
        return self.get(change_id)

    def get(self, change_id: str) -> Change:
        """One change.

        Raises:
            ChangeRefused: there is none of this id.
        """
        row = self._db.execute(
            "SELECT id, kind, body, hash, proposed_by, at, state, decided_by FROM changes WHERE id = ?", (change_id,)
        ).fetchone()
        if row is None:
            raise ChangeRefused(f"There is no change {change_id!r}.")
        return _change(row)

    def open(self) -> list[Change]:
        """Changes that wait for a decision, oldest first."""
        rows = self._db.execute(
            "SELECT id, kind, body, hash, proposed_by, at, state, decided_by FROM changes WHERE state = 'PROPOSED' "
            "ORDER BY at"
        ).fetchall()
        return [_change(row) for row in rows]


def _digest(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}\0{text}".encode()).hexdigest()


def _change(row: tuple[Any, ...]) -> Change:
    return Change(
        id=row[0],
        kind=row[1],
        body=json.loads(row[2]),
        hash=row[3],
        proposed_by=row[4],
        at=datetime.fromisoformat(row[5]),
        state=row[6],
        decided_by=row[7],
    )
