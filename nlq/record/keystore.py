"""Keys of the entries' personal parts. Deleting a key erases what it locked, and the chain stays whole."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from nlq.record.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS people (person TEXT PRIMARY KEY, subject TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS keys (query_id TEXT PRIMARY KEY, subject TEXT NOT NULL, key BLOB NOT NULL, at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS keys_subject ON keys (subject);
CREATE TABLE IF NOT EXISTS holds (id TEXT PRIMARY KEY, scope TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL,
    placed_by TEXT NOT NULL, at TEXT NOT NULL);
"""


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A legal hold: what it covers may not be erased, by nobody and by no retention rule."""

    id: str
    scope: str
    """`person`, `query` or `all`."""
    value: str
    reason: str
    placed_by: str
    at: str


class KeyStore:
    """One random AES-256 key a question, found by query id or by person.

    Guarantee: `forget` overwrites the key's bytes in the file (SQLite secure_delete, no write-ahead log).
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        for pragma in ("journal_mode=DELETE", "synchronous=FULL", "secure_delete=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(SCHEMA)
        self._cache: dict[str, AESGCM] = {}

    def create(self, query_id: str, person: str, at: str) -> str:
        """Make the key of a question; gives the person's pseudonym, which means nothing once the person is erased."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                found = self._db.execute("SELECT subject FROM people WHERE person = ?", (person,)).fetchone()
                subject = found[0] if found else secrets.token_hex(8)
                if not found:
                    self._db.execute("INSERT INTO people VALUES (?, ?)", (person, subject))
                key = AESGCM.generate_key(256)
                self._db.execute("INSERT INTO keys VALUES (?, ?, ?, ?)", (query_id, subject, key, at))
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._cache[query_id] = AESGCM(key)
            return str(subject)

    def lock(self, query_id: str, place: str, value: dict[str, Any]) -> str | None:
        """Encrypt `value` under the question's key, bound to its place in the record.

        Gives nonce and ciphertext in hex; None when the key was erased.
        """
        cipher = self._cipher(query_id)
        if cipher is None:
            return None
        nonce = secrets.token_bytes(12)
        return (nonce + cipher.encrypt(nonce, canonical(value), f"{query_id}|{place}".encode())).hex()

    def unlock(self, query_id: str, place: str, locked: str) -> dict[str, Any] | None:
        """The value again; None when its key was erased.

        Raises:
            ValueError: the key does not fit: ciphertext or key was exchanged.
        """
        cipher = self._cipher(query_id)
        if cipher is None:
            return None
        raw = bytes.fromhex(locked)
        try:
            value: dict[str, Any] = json.loads(cipher.decrypt(raw[:12], raw[12:], f"{query_id}|{place}".encode()))
        except InvalidTag as error:
            raise ValueError(f"the personal part of {query_id} ({place}) does not fit its key") from error
        return value

    def forget(self, query_ids: list[str]) -> int:
        """Delete keys for good; gives how many there were."""
        with self._lock:
            gone = 0
            self._db.execute("BEGIN IMMEDIATE")
            for query_id in query_ids:
                gone += self._db.execute("DELETE FROM keys WHERE query_id = ?", (query_id,)).rowcount
                self._cache.pop(query_id, None)
            self._db.execute("DELETE FROM people WHERE subject NOT IN (SELECT subject FROM keys)")
            self._db.execute("COMMIT")
            return gone

    def drop_cached(self, query_ids: Iterable[str]) -> None:
        """Forget keys held in memory that another process has erased."""
        with self._lock:
            for query_id in query_ids:
                self._cache.pop(query_id, None)

    def questions(self, *, person: str | None = None, before: str | None = None) -> list[str]:
        """Ids whose key still exists, of one person and/or asked before an ISO instant."""
        sql, arguments = "SELECT query_id FROM keys WHERE 1=1", []
        if person is not None:
            sql += " AND subject = (SELECT subject FROM people WHERE person = ?)"
            arguments.append(person)
        if before is not None:
            sql += " AND at < ?"
            arguments.append(before)
        with self._lock:
            return [row[0] for row in self._db.execute(sql + " ORDER BY at, query_id", arguments)]

    def person_of(self, query_id: str) -> str | None:
        """Who asked, as long as the key exists."""
        with self._lock:
            row = self._db.execute(
                "SELECT person FROM people JOIN keys USING (subject) WHERE query_id = ?", (query_id,)
            ).fetchone()
        return row[0] if row else None

    def holds(self) -> list[Hold]:
        """Every hold in force."""
        with self._lock:
            rows = self._db.execute("SELECT id, scope, value, reason, placed_by, at FROM holds ORDER BY at").fetchall()
        return [Hold(id=r[0], scope=r[1], value=r[2], reason=r[3], placed_by=r[4], at=r[5]) for r in rows]

    def place(self, hold: Hold) -> None:
        """Put a hold in force."""
        with self._lock:
            self._db.execute(
                "INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?)",
                (hold.id, hold.scope, hold.value, hold.reason, hold.placed_by, hold.at),
            )

    def lift(self, hold_id: str) -> bool:
        """End a hold; False when there is none of this id."""
        with self._lock:
            return self._db.execute("DELETE FROM holds WHERE id = ?", (hold_id,)).rowcount > 0

    def held(self, query_ids: list[str]) -> set[str]:
        """Those of the questions that a hold covers."""
        holds = self.holds()
        if any(hold.scope == "all" for hold in holds):
            return set(query_ids)
        queries = {hold.value for hold in holds if hold.scope == "query"}
        people = {hold.value for hold in holds if hold.scope == "person"}
        return {q for q in query_ids if q in queries or (people and self.person_of(q) in people)}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _cipher(self, query_id: str) -> AESGCM | None:
        with self._lock:
            if query_id not in self._cache:
                row = self._db.execute("SELECT key FROM keys WHERE query_id = ?", (query_id,)).fetchone()
                if row is None:
                    return None
                if len(self._cache) > 4096:  # the keys of a long history need not stay in memory
                    self._cache.clear()
                self._cache[query_id] = AESGCM(row[0])
            return self._cache[query_id]
