"""The tamper-evident record: every question is appended before its query runs and completed after it.

Guarantees:
1. `begin` returns only after the entry is on disk (fsync), chained to the one before, and the signed head names it.
   When that fails, RecordUnavailable is raised and the caller must not run anything.
2. An entry is never changed. Erasing personal data deletes the key of its encrypted part, not the entry.
3. The head is signed and stored apart from the entries, first as what comes next, then as what is there; a crash
   between the two leaves a record that verifies, and every other difference is a finding.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlq.record.canonical import canonical, plain
from nlq.record.chain import GENESIS, Frontier, leaf, link
from nlq.record.errors import RecordDamaged, RecordUnavailable, UnknownQuery
from nlq.record.keystore import KeyStore
from nlq.record.questions import Questions
from nlq.record.seal import Checkpoint, Sealer, kept_size, load_public, opened, replace

if TYPE_CHECKING:
    import pyarrow as pa

ENTRIES = "record.jsonl"
CHECKPOINTS = "checkpoints.jsonl"
HEAD = "head.json"

OPEN_FIELDS = frozenset(
    [
        "role",
        "status",
        "views",
        "views_read",
        "columns",
        "model",
        "model_version",
        "model_sha256",
        "prompt_hash",
        "prompt_version",
        "documents",
        "document_hashes",
        "rule",
        "policy_version",
        "catalogue_version",
        "as_of",
        "as_of_ts",
        "offsets",
        "versions",
        "generation",
        "n_rows",
        "truncated",
        "result_hash",
        "sql_hash",
        "plan_hash",
        "duration_ms",
        "timings",
        "origin",
        "confidence",
        "interface",
        "kind",
    ]
)
"""Fields stored in the clear, since they name no person. Whatever is not listed here is encrypted."""


@dataclass(frozen=True, kw_only=True)
class RecordSettings:
    """How the record is kept."""

    checkpoints: Path | None = None
    """Directory of signed head and checkpoints; None is `<record>-seal` beside the record. Best on another disk."""
    seal_every: int = 100
    """Entries between two checkpoints that are kept for good."""
    seal_after: timedelta = timedelta(seconds=60)
    """Time between two checkpoints, when there were entries."""
    keep: timedelta = timedelta(days=1827)
    """Nothing younger is erased, whoever asks (five years: MAR Art. 16, MiFID II Art. 16(7))."""
    shred_after: timedelta | None = timedelta(days=2557)
    """`apply_retention` erases the personal parts of older questions; None keeps them."""
    min_free_bytes: int = 16 * 2**20
    """Less free space than this and nothing runs, so that what has begun can still be completed."""


class Record:
    """An append-only record in a directory. Safe for many threads, and for several processes on one machine."""

    def __init__(self, directory: Path, settings: RecordSettings) -> None:
        self.directory = directory
        self.settings = settings
        self.seals = settings.checkpoints or directory.with_name(directory.name + "-seal")
        self._mutex = threading.RLock()
        self.keys: KeyStore
        self.sealer: Sealer
        self._file = -1
        self._lock_file = -1
        self._size = 0
        self._bytes = 0
        self._head = GENESIS
        self._tree = Frontier()
        self._sealed_size = 0
        self._sealed_at = datetime.now(UTC)
        self._questions = Questions()
        self._running: set[str] = set()

    @classmethod
    def open(cls, directory: str | Path, settings: RecordSettings | None = None) -> Record:
        """Open the record of a directory, or begin a new one.

        Raises:
            RecordUnavailable: the directory cannot be written.
            RecordDamaged: what is there is not what was signed.
        """
        record = cls(Path(directory), settings or RecordSettings())
        try:
            record.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            record._file = os.open(record.directory / ENTRIES, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            record._lock_file = os.open(record.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            if record._signed_before() and not os.fstat(record._file).st_size:
                raise RecordDamaged(f"{record.directory / ENTRIES} is empty, but {record.seals} says it was not")
            record.sealer = Sealer(record.seals)
            record.keys = KeyStore(record.directory / "keys.sqlite")
        except (OSError, sqlite3.Error) as error:
            raise RecordUnavailable(f"the record in {record.directory} cannot be opened: {error}") from error
        with record._exclusive():
            record._recover()
        return record

    # -- writing -----------------------------------------------------------------------------------------------------

    def begin(self, fields: Mapping[str, Any]) -> str:
        """Append a question before anything runs; gives the id under which it is on record.

        `user_id` and `question` are expected among the fields; others are stored as they come, but for `query_id` and
        `asked_ts`, which the record sets.

        Raises:
            RecordUnavailable: it could not be written; run nothing.
        """
        now = datetime.now(UTC)
        query_id = f"Q-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        person = str(fields.get("user_id", ""))
        with self._writing():
            subject = self.keys.create(query_id, person, now.isoformat())
            given = {k: v for k, v in fields.items() if k not in ("query_id", "asked_ts")}
            self._append("BEGIN", query_id, {**given, "user_id": person}, {"subject": subject}, now)
            self._running.add(query_id)
        return query_id

    def complete(self, query_id: str, fields: Mapping[str, Any]) -> None:
        """Append what became of a question.

        Raises:
            RecordUnavailable: it could not be written; the answer must not be given out.
            UnknownQuery: no such question was begun.
            ValueError: it is complete already.
        """
        with self._writing():
            if (known := self._questions.state(query_id)) is None:
                raise UnknownQuery(f"no question {query_id!r} was begun in {self.directory}")
            if known == "complete":
                raise ValueError(f"question {query_id!r} is complete already")
            self._append("COMPLETE", query_id, fields, {}, datetime.now(UTC))
            self._running.discard(query_id)

    def note(self, query_id: str, fields: Mapping[str, Any]) -> None:
        """Append what is known of a question right before its SQL runs: SQL, views, as-of time, offsets, versions.

        Raises:
            RecordUnavailable: it could not be written; do not run the SQL.
            UnknownQuery: no such question was begun.
        """
        with self._writing():
            if self._questions.state(query_id) is None:
                raise UnknownQuery(f"no question {query_id!r} was begun in {self.directory}")
            self._append("NOTE", query_id, fields, {}, datetime.now(UTC))

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Append an event about the system itself (sign-in, erasure, hold, approval). The fields stay in the clear."""
        with self._writing():
            clear = {**{str(k): plain(v) for k, v in fields.items()}, "event": kind}
            self._append("EVENT", "", {}, clear, datetime.now(UTC))

    def seal(self) -> dict[str, Any]:
        """Sign a checkpoint now and keep it for good; gives the signed object, to be stored elsewhere too."""
        with self._writing():
            return self._seal()

    def close(self) -> None:
        """Seal and close."""
        with self._mutex:
            if self._file < 0:
                return
            if self._size > self._sealed_size:
                with self._exclusive():
                    self._catch_up()
                    self._seal()
            os.close(self._file)
            os.close(self._lock_file)
            self._file = -1
            self.keys.close()

    # -- reading -----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Number of entries."""
        return self._size

    def rows(self) -> pa.Table:
        """The rows of the `query_audit` view, oldest first. Erased parts are NULL, personal data in texts is masked."""
        with self._mutex, self._exclusive():
            self._catch_up()
            return self._questions.table(self.keys, self._running)

    def entry(self, query_id: str) -> dict[str, Any]:
        """Everything recorded about a question, the personal parts included while their key exists.

        Raises:
            UnknownQuery: there is no such question.
        """
        with self._mutex, self._exclusive():
            self._catch_up()
            found = self._questions.fields(query_id, self.keys)
        if found is None:
            raise UnknownQuery(f"no question {query_id!r} in {self.directory}")
        return found

    def query_ids(self) -> list[str]:
        """Ids of all questions, in the order in which they were begun."""
        with self._mutex, self._exclusive():
            self._catch_up()
            return self._questions.ids()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Nobody writes meanwhile, so that a copy of the files is whole."""
        with self._mutex, self._exclusive():
            yield

    # -- the file ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer, up to date with the file; any fault of disk or key store becomes RecordUnavailable."""
        try:
            with self._mutex, self._exclusive():
                if shutil.disk_usage(self.directory).free < self.settings.min_free_bytes:
                    raise OSError(28, "less free space than the record needs", str(self.directory))
                self._catch_up()
                yield
        except (OSError, sqlite3.Error) as error:
            raise RecordUnavailable(
                f"the record in {self.directory} cannot be written, so nothing runs: {error}. "
                "Make room or repair the disk, then ask again."
            ) from error

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if self._file < 0:
            raise RecordUnavailable(f"the record in {self.directory} is closed")
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _append(
        self, kind: str, query_id: str, fields: Mapping[str, Any], also_open: Mapping[str, Any], at: datetime
    ) -> None:
        seq = self._size
        clear = {k: plain(v) for k, v in fields.items() if k in OPEN_FIELDS and v is not None}
        hidden = {k: v for k, v in fields.items() if k not in OPEN_FIELDS and v is not None}
        # None also when the question was erased while it ran: then its personal parts are not wanted any more.
        locked = self.keys.lock(query_id, f"{seq}|{kind}", hidden) if hidden else None
        entry = {
            "at": at.isoformat(),
            "kind": kind,
            "locked": locked,
            "open": {**clear, **also_open},
            "query_id": query_id,
            "seq": seq,
        }
        body = canonical(entry)
        head = link(self._head, body)
        tree = self._tree.copy()
        tree.add(leaf(head))
        here = self._checkpoint(self._size, self._head, self._tree)
        following = self._checkpoint(seq + 1, head, tree)
        self._write_head(here, following)
        line = body + b"\t" + head.hex().encode() + b"\n"
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(28, f"only {written} of {len(line)} bytes written", ENTRIES)
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._bytes)
            raise
        self._take(entry, head, len(line))
        self._write_head(following, None)
        due = datetime.now(UTC) - self._sealed_at > self.settings.seal_after
        if due or self._size - self._sealed_size >= self.settings.seal_every:
            self._seal()

    def _take(self, entry: dict[str, Any], head: bytes, length: int) -> None:
        self._size += 1
        self._bytes += length
        self._head = head
        self._tree.add(leaf(head))
        self._questions.take(entry)
        if entry["kind"] == "EVENT" and entry["open"].get("event") == "ERASED":
            self.keys.drop_cached(entry["open"].get("query_ids", ()))

    def _catch_up(self) -> None:
        """Read what another process appended; checks the chain on the way."""
        size = os.fstat(self._file).st_size
        if size == self._bytes:
            return
        if size < self._bytes:
            raise RecordDamaged(f"{self.directory / ENTRIES} became shorter; `nlq audit verify` says more")
        with (self.directory / ENTRIES).open("rb") as stream:
            stream.seek(self._bytes)
            for line in stream:
                body, _, written = line.rstrip(b"\n").rpartition(b"\t")
                head = link(self._head, body)
                if not line.endswith(b"\n") or head.hex().encode() != written:
                    raise RecordDamaged(
                        f"{self.directory / ENTRIES}: entry {self._size} does not fit the chain; "
                        "`nlq audit verify` says more. Move the directory away to begin a new record."
                    )
                self._take(json.loads(body), head, len(line))

    def _recover(self) -> None:
        """After opening: read everything, put a torn last line aside, compare with the signed head."""
        torn = self._torn_tail()
        self._catch_up()
        expected = self._signed_heads()
        if expected and (self._size, self._head.hex()) not in expected:
            raise RecordDamaged(
                f"{self.directory / ENTRIES} has {self._size} entries, but the signed head in {self.seals} says "
                f"{' or '.join(str(size) for size, _ in sorted(expected))}; `nlq audit verify` says more."
            )
        if not expected and self._size:
            raise RecordDamaged(f"{self.seals / HEAD} is missing or not signed by our key: the tail cannot be trusted")
        self._write_head(self._checkpoint(self._size, self._head, self._tree), None)
        self._sealed_size = min(kept_size(self.seals / CHECKPOINTS, self.seals / "seal.pub"), self._size)
        if torn:
            self.event("TORN_LINE", {"bytes": torn})

    def _torn_tail(self) -> int:
        """Bytes of an unfinished last line (a crash while writing), moved to a file of their own."""
        content = (self.directory / ENTRIES).read_bytes()
        keep = content.rfind(b"\n") + 1
        if torn := len(content) - keep:
            (self.directory / f"torn-{secrets.token_hex(4)}").write_bytes(content[keep:])
            os.ftruncate(self._file, keep)
        return torn

    # -- the seal ----------------------------------------------------------------------------------------------------

    def _checkpoint(self, size: int, head: bytes, tree: Frontier) -> Checkpoint:
        return Checkpoint(size=size, head=head.hex(), root=tree.root().hex(), at=datetime.now(UTC).isoformat())

    def _write_head(self, here: Checkpoint, following: Checkpoint | None) -> None:
        signed = {"head": self.sealer.sign(here), "next": self.sealer.sign(following) if following else None}
        replace(self.seals / HEAD, canonical(signed))

    def _seal(self) -> dict[str, Any]:
        signed = self.sealer.sign(self._checkpoint(self._size, self._head, self._tree))
        with (self.seals / CHECKPOINTS).open("ab") as stream:
            stream.write(canonical(signed) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._sealed_size, self._sealed_at = self._size, datetime.now(UTC)
        return signed

    def _signed_before(self) -> bool:
        """Whether a head was signed here over at least one entry."""
        return any(size for size, _ in self._signed_heads())

    def _signed_heads(self) -> set[tuple[int, str]]:
        try:
            stored = json.loads((self.seals / HEAD).read_bytes())
            key = load_public(self.seals / "seal.pub")
        except (FileNotFoundError, ValueError):
            return set()
        found = (opened(stored.get(name), key) for name in ("head", "next"))
        return {(checkpoint.size, checkpoint.head) for checkpoint in found if checkpoint}
