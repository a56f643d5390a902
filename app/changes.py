"""Four eyes: a change that has weight is proposed by one person and takes hold when another one approves it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nlq.record.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from nlq.contracts import Principal

APPROVE_WITHIN = timedelta(hours=24)
APPROVERS = frozenset({"officer"})
"""Roles that decide, whatever the kind."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS changes (id TEXT PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL,
    proposed_by TEXT NOT NULL, at TEXT NOT NULL, state TEXT NOT NULL, decided_by TEXT, decided_at TEXT, reason TEXT);
"""
COLUMNS = "id, kind, body, hash, proposed_by, at, state, decided_by, decided_at, reason"
MAX_BODY = 40_000
MAX_OPEN = 50
"""Open proposals of one person: nobody can bury the one that matters under a thousand others."""


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
    """PROPOSED, APPROVED, REJECTED, FAILED or EXPIRED."""
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str = ""
    """Why it was rejected, or what kept it from taking hold."""


def _nothing(*_: object) -> None:
    """What most kinds do when they are rejected."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What one kind of change needs and does."""

    proposers: frozenset[str]
    """Roles that may propose it."""
    check: Callable[[Mapping[str, Any], Principal], dict[str, Any]]
    """(body, proposer) → the change in full, with what it replaces; raises ChangeRefused for one that cannot hold."""
    apply: Callable[[Change, Principal], None]
    """(change, approver): let it take hold."""
    reject: Callable[[Change, Principal, str], None] = _nothing
    """(change, who, reason): what else a rejection means."""


class Changes:
    """Proposed changes in one file. `note` puts a proposal or decision on the record before anything changes."""

    def __init__(
        self, directory: Path, kinds: Mapping[str, Kind], note: Callable[[str, Mapping[str, Any]], None]
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / "changes.sqlite"
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        self._db.executescript(SCHEMA)
        if "reason" not in {row[1] for row in self._db.execute("PRAGMA table_info(changes)")}:
            self._db.execute("ALTER TABLE changes ADD COLUMN reason TEXT")
        self._kinds, self._note = kinds, note
        self._lock = threading.Lock()

    def propose(self, kind: str, body: Mapping[str, Any], asker: Principal) -> Change:
        """Propose a change; nothing happens yet.

        Raises:
            ChangeRefused: no such kind, not with this role, or it could not take hold as it stands.
        """
        by, role = asker.user_id, asker.role
        rules = self._kinds.get(kind)
        if rules is None or role not in rules.proposers:
            raise ChangeRefused(f"The role {role} cannot propose changes of the kind {kind!r}.")
        if len(canonical(dict(body))) > MAX_BODY:
            raise ChangeRefused(f"A change has at most {MAX_BODY:,} characters.")
        text = canonical(rules.check(body, asker)).decode()
        change_id, now = f"C-{secrets.token_hex(4)}", datetime.now(UTC)
        digest = _digest(kind, text)
        with self._lock:
            mine = [change for change in self.open() if same_person(change.proposed_by, by)]
            if any(change.hash == digest for change in mine):
                raise ChangeRefused("You have proposed exactly this already; it waits for a second person.")
            if len(mine) >= MAX_OPEN:
                raise ChangeRefused(f"You have {MAX_OPEN} proposals open; wait until some are decided.")
            self._note("CHANGE_PROPOSED", {"change": change_id, "kind": kind, "hash": digest, "by": by, "role": role})
            self._db.execute(
                f"INSERT INTO changes ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, 'PROPOSED', NULL, NULL, NULL)",
                (change_id, kind, text, digest, by, now.isoformat()),
            )
        return self.get(change_id)

    def decide(
        self,
        change_id: str,
        digest: str,
        *,
        approve: bool,
        asker: Principal,
        reason: str = "",
        now: datetime | None = None,
    ) -> Change:
        """Approve or reject a change that somebody else proposed, within 24 hours, exactly as it was read.

        Its proposer may take it back, which is a rejection.

        Raises:
            ChangeRefused: own change, other role, too late, decided already, not the change that was read, or it
                could not take hold (its state is FAILED then).
        """
        now, by, role = now or datetime.now(UTC), asker.user_id, asker.role
        with self._lock:
            change = self.get(change_id)
            self._refuse(change, digest, approve=approve, by=by, role=role, now=now)
            state = "APPROVED" if approve else "REJECTED"
            noted = {"change": change_id, "kind": change.kind, "hash": change.hash, "by": by, "role": role}
            self._note(f"CHANGE_{state}", noted)
            rules = self._kinds[change.kind]
            try:
                if approve:
                    rules.apply(change, asker)
                else:
                    rules.reject(change, asker, reason)
            except Exception as error:
                state = "FAILED"
                reason = str(error) if isinstance(error, ChangeRefused) else type(error).__name__
                self._note("CHANGE_FAILED", noted)
                raise
            finally:
                self._db.execute(
                    "UPDATE changes SET state = ?, decided_by = ?, decided_at = ?, reason = ? WHERE id = ?",
                    (state, by, now.isoformat(), reason[:1_000], change_id),
                )
        return self.get(change_id)

    def _refuse(self, change: Change, digest: str, *, approve: bool, by: str, role: str, now: datetime) -> None:
        own = same_person(change.proposed_by, by)
        if role not in APPROVERS and (approve or not own):
            raise ChangeRefused(f"The role {role} cannot decide about changes.")
        if own and approve:
            raise ChangeRefused("Somebody else must approve what you propose.")
        if approve and same_person(str(change.body.get("user_id") or ""), by):
            raise ChangeRefused("Somebody else must approve what changes your own rights.")
        if change.state == "EXPIRED" or (change.state == "PROPOSED" and now - change.at > APPROVE_WITHIN):
            raise ChangeRefused(f"{change.id} is older than 24 hours; propose it anew.")
        if change.state != "PROPOSED":
            raise ChangeRefused(f"{change.id} is {change.state.lower()} already.")
        stored = _digest(change.kind, canonical(change.body).decode())
        if not (hmac.compare_digest(stored, change.hash) and hmac.compare_digest(digest, change.hash)):
            raise ChangeRefused(f"{change.id} is not the change that you read; read it again.")

    def kinds_for(self, role: str) -> list[str]:
        """Kinds of changes that a role may propose."""
        return sorted(name for name, kind in self._kinds.items() if role in kind.proposers)

    def get(self, change_id: str) -> Change:
        """One change.

        Raises:
            ChangeRefused: there is none of this id.
        """
        row = self._db.execute(f"SELECT {COLUMNS} FROM changes WHERE id = ?", (change_id,)).fetchone()
        if row is None:
            raise ChangeRefused(f"There is no change {change_id!r}.")
        return _change(row)

    def open(self) -> list[Change]:
        """Changes that wait for a decision, oldest first."""
        rows = self._db.execute(f"SELECT {COLUMNS} FROM changes WHERE state = 'PROPOSED' ORDER BY at").fetchall()
        return [change for row in rows if (change := _change(row)).state == "PROPOSED"]

    def decided(self, limit: int = 50) -> list[Change]:
        """Changes that were decided, failed or ran out, newest first."""
        rows = self._db.execute(f"SELECT {COLUMNS} FROM changes ORDER BY at DESC LIMIT ?", (limit,)).fetchall()
        return [change for row in rows if (change := _change(row)).state != "PROPOSED"]


def same_person(one: str, other: str) -> bool:
    """Whether two names are the same person's, however they are written: case, width and blanks do not count."""
    return bool(one.strip()) and _plain_name(one) == _plain_name(other)


def _plain_name(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def _digest(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}\0{text}".encode()).hexdigest()


def _change(row: tuple[Any, ...]) -> Change:
    at, state = datetime.fromisoformat(row[5]), row[6]
    if state == "PROPOSED" and datetime.now(UTC) - at > APPROVE_WITHIN:
        state = "EXPIRED"
    return Change(
        id=row[0],
        kind=row[1],
        body=json.loads(row[2]),
        hash=row[3],
        proposed_by=row[4],
        at=at,
        state=state,
        decided_by=row[7],
        decided_at=datetime.fromisoformat(row[8]) if row[8] else None,
        reason=row[9] or "",
    )
