"""Who may do what: people with their roles, and API tokens that are stored only as hashes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKEN_PREFIX = "nlq_"  # noqa: S105 - says whose token it is, to people and to secret scanners
SCHEMA = """
CREATE TABLE IF NOT EXISTS people (user_id TEXT PRIMARY KEY, roles TEXT NOT NULL, desk TEXT, active INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (id TEXT PRIMARY KEY, hash BLOB NOT NULL, user_id TEXT NOT NULL, name TEXT NOT NULL,
    created TEXT NOT NULL, expires TEXT NOT NULL, revoked TEXT);
"""


class AccessDenied(Exception):
    """Nobody known, or not allowed. The message tells no more than who is allowed to know would need."""


class TooManyQuestions(Exception):
    """A person asked more than the limit; `retry_s` says when there is room again."""

    def __init__(self, retry_s: float) -> None:
        super().__init__(f"Too many questions in a minute; there is room again in {retry_s:.0f} s.")
        self.retry_s = retry_s


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody with rights."""

    user_id: str
    roles: tuple[str, ...]
    desk: str | None = None
    development: bool = False
    """Signed in where anyone may be anyone; may change desk and role at will."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """An API token as far as it is kept: never its secret."""

    id: str
    user_id: str
    name: str
    created: datetime
    expires: datetime
    revoked: datetime | None


class Access:
    """People and tokens in one file that only the owner can read. Every look-up reads the file anew: a role that was
    taken away is gone at the next question.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / "access.sqlite"
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        self._db.executescript(SCHEMA)

    def set_person(self, person: Person, *, active: bool = True) -> None:
        """Add somebody or change their rights; holds from the next request on."""
        with self._lock:
            self._db.execute(
                "INSERT INTO people VALUES (?, ?, ?, ?) ON CONFLICT (user_id) DO UPDATE SET roles = excluded.roles, "
                "desk = excluded.desk, active = excluded.active",
                (person.user_id, json.dumps(person.roles), person.desk, int(active)),
            )

    def person(self, user_id: str) -> Person | None:
        """Somebody's rights of this moment; None when unknown or no longer active."""
        with self._lock:
            row = self._db.execute("SELECT roles, desk, active FROM people WHERE user_id = ?", (user_id,)).fetchone()
        return Person(user_id=user_id, roles=tuple(json.loads(row[0])), desk=row[1]) if row and row[2] else None

    def new_token(self, user_id: str, *, name: str = "", lives: timedelta = timedelta(days=90)) -> str:
        """Make a token for somebody with rights; this is the only time that its secret is seen.

        Raises:
            AccessDenied: nobody of that name has rights.
        """
        if self.person(user_id) is None:
            raise AccessDenied(f"{user_id!r} has no rights here; give some with `nlq token new --role …`")
        token_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        with self._lock:
            self._db.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (token_id, _hash(secret), user_id, name, now.isoformat(), (now + lives).isoformat()),
            )
        return f"{TOKEN_PREFIX}{token_id}_{secret}"

    def revoke(self, token_id: str) -> bool:
        """End a token at once, by its id or its whole text; False when there is none or it was ended before."""
        token_id = token_id.removeprefix(TOKEN_PREFIX).partition("_")[0]
        with self._lock:
            found = self._db.execute(
                "UPDATE tokens SET revoked = ? WHERE id = ? AND revoked IS NULL",
                (datetime.now(UTC).isoformat(), token_id),
            )
        return found.rowcount > 0

    def tokens(self) -> list[Token]:
        """All tokens, newest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, user_id, name, created, expires, revoked FROM tokens ORDER BY created DESC"
            ).fetchall()
        return [
            Token(
                id=r[0],
                user_id=r[1],
                name=r[2],
                created=datetime.fromisoformat(r[3]),
                expires=datetime.fromisoformat(r[4]),
                revoked=datetime.fromisoformat(r[5]) if r[5] else None,
            )
            for r in rows
        ]

    def owner(self, token: str, now: datetime | None = None) -> Person:
        """Who a token stands for, with the rights of this moment.

        Raises:
            AccessDenied: unknown, wrong, expired or revoked; the message does not say which.
        """
        token_id, _, secret = token.removeprefix(TOKEN_PREFIX).partition("_")
        with self._lock:
            row = self._db.execute(
                "SELECT hash, user_id, expires, revoked FROM tokens WHERE id = ?", (token_id,)
            ).fetchone()
        # An unknown id is compared too, so that the time taken does not tell which ids exist.
        stored, user_id, expires, revoked = row or (bytes(32), "", "", "never")
        fits = hmac.compare_digest(stored, _hash(secret))
        fresh = not revoked and datetime.fromisoformat(expires) > (now or datetime.now(UTC))
        person = self.person(user_id) if fits and fresh else None
        if person is None:
            raise AccessDenied("This token opens nothing here.")
        return person

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class RateLimit:
    """At most `limit` questions of one person in any 60 seconds."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._asked: defaultdict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def take(self, user_id: str) -> None:
        """Count one question.

        Raises:
            TooManyQuestions: there is no room.
        """
        now = self._clock()
        with self._lock:
            asked = self._asked[user_id]
            while asked and asked[0] <= now - 60:
                asked.popleft()
            if len(asked) >= self.limit:
                raise TooManyQuestions(asked[0] + 60 - now)
            asked.append(now)


def _hash(secret: str) -> bytes:
    # The secret is 256 random bits: a slow password hash would add nothing but load.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
