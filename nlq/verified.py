"""Questions whose SQL a second person approved: kept as reviewable files, matched only when nothing is left to guess.

An entry holds the question and the SQL with their common values as slots. A new question matches when its words are the
entry's words in the same order, but for courtesies, and each slot is filled by a value of the same kind. Since every
other word must be equal, so are polarity ("not", "without", "more than"), time and grouping. Role rules are never part
of an entry; the guard applies them afterwards, as to any SQL.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify

from nlq.verified_form import (
    DIALECT,
    Resolver,
    SelfApproval,
    Slot,
    State,
    VerifiedError,
    VerifiedQuery,
    bound,
    fill,
    filled,
    form_key,
    now,
    parameterised,
    parse_select,
    stated,
    words_of,
)

if TYPE_CHECKING:
    from retrieval.documents import Document
    from streaming.catalogue import Catalogue

SHIPPED = Path(__file__).with_name("verified_queries")
"""Entries that come with the product, one file an author of questions."""

Check = Callable[[str], str | None]
"""Says what is wrong with an SQL text (clock and slots filled in), None when nothing is."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """An entry that answers a question, and the SQL with this question's values."""

    entry: VerifiedQuery
    sql: str
    """Spark SQL with `{as_of}` and `{as_of_date}` still in it."""
    values: dict[str, str] = field(default_factory=dict)

    @property
    def reading(self) -> str:
        """What the answer is, in the words that were approved; empty when there are none."""
        return stated(self.entry.reading, self.entry.slots, self.values)


class VerifiedQueries:
    """The entries that hold for one catalogue. Reading is lock-free; writing goes to one directory, one file a state."""

    def __init__(self, catalogue: Catalogue, directory: Path | None = None) -> None:
        """Open the entries.

        Args:
            catalogue: the world; entries on views it lacks or defines otherwise do not match until re-validated.
            directory: where this installation keeps its own entries; None for none.

        Raises:
            VerifiedError: a file is damaged.
        """
        self._catalogue = catalogue
        self._directory = directory
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, int], VerifiedQuery] = {}
        self._forms: dict[tuple[str, ...], list[VerifiedQuery]] = {}
        self._held: list[VerifiedQuery] = []

    @classmethod
    def open(
        cls,
        catalogue: Catalogue,
        directory: Path | None = None,
        *,
        leave_out: Collection[str] = (),
        shipped: Path | None = SHIPPED,
    ) -> VerifiedQueries:
        """Read the shipped entries and those of this installation.

        Args:
            catalogue: the world.
            directory: where this installation keeps its own entries; None for none.
            leave_out: authors whose entries are left out, as an evaluation on them must.
            shipped: directory of the shipped entries; None for none.
        """
        store = cls(catalogue, directory)
        for folder in (shipped, directory):
            for path in sorted(folder.glob("*.jsonl")) if folder is not None and folder.is_dir() else ():
                for entry in _read(path):
                    if entry.author not in leave_out:
                        store._entries[entry.id, entry.version] = entry
        store._index()
        return store

    def __len__(self) -> int:
        return len(self._current())

    def entries(self, state: State | None = None) -> list[VerifiedQuery]:
        """Entries in a state, every version, by id."""
        return [e for _, e in sorted(self._entries.items()) if state is None or e.state == state]

    def current(self) -> list[VerifiedQuery]:
        """The approved entries that may answer now."""
        return self._held

    def documents(self) -> list[Document]:
        """The approved entries as examples for retrieval and prompts."""
        return [entry.example() for entry in self._current()]

    def match(self, question: str, resolve: Resolver | None = None) -> Match | None:
        """The entry that this question is, with its values; None when there is none, or more than one SQL.

        Args:
            question: as asked.
            resolve: finds values in the data; without it the values must be those that were approved.
        """
        found = self.matching(question, resolve)
        return found[0] if found and len({match.sql for match in found}) == 1 else None

    def matching(self, question: str, resolve: Resolver | None = None) -> list[Match]:
        """Every entry that this question is; arguments as in `match`."""
        asked = words_of(question)
        found: list[Match] = []
        for entry in self._forms.get(form_key(asked), []):
            values = fill(words_of(entry.question), asked, entry.slots, resolve)
            if values is not None:
                found.append(Match(entry=entry, sql=filled(entry.sql, entry.slots, values), values=values))
        return found

    def candidate(
        self, question: str, sql: str, author: str, *, reading: str = "", check: Check | None = None
    ) -> VerifiedQuery:
        """What `propose` would keep; nothing is kept yet.

        Raises:
            VerifiedError: the SQL is not one SELECT over the catalogue's views.
        """
        entry = self._checked(parameterised(question, sql, author, self._catalogue, reading=reading), check)
        versions = [v for (i, v) in self._entries if i == entry.id]
        return replace(entry, version=max(versions, default=0) + 1)

    def propose(
        self, question: str, sql: str, author: str, *, reading: str = "", check: Check | None = None
    ) -> VerifiedQuery:
        """Keep a candidate, from feedback or a corrected draft. It matches nothing until somebody else approves it.

        Raises:
            VerifiedError: the SQL is not one SELECT over the catalogue's views.
        """
        return self._store(self.candidate(question, sql, author, reading=reading, check=check))

    def approve(self, entry_id: str, approver: str, *, check: Check | None = None) -> VerifiedQuery:
        """Approve the newest candidate of an id, as somebody else than its author.

        Raises:
            SelfApproval: the approver wrote it.
            VerifiedError: there is no such candidate, or its SQL no longer holds.
        """
        candidate = self._candidate(entry_id)
        if not approver or approver == candidate.author:
            raise SelfApproval(f"{entry_id}: {approver!r} wrote it; a second person must approve")
        entry = self._checked(candidate, check)
        return self._store(replace(entry, approver=approver, state="APPROVED", changed_at=now()))

    def reject(self, entry_id: str, approver: str, reason: str) -> VerifiedQuery:
        """Turn the newest candidate of an id down; it stays on file with the reason.

        Raises:
            VerifiedError: there is no such candidate.
        """
        candidate = self._candidate(entry_id)
        return self._store(replace(candidate, approver=approver, state="REJECTED", reason=reason, changed_at=now()))

    def retire(self, entry_id: str, reason: str) -> None:
        """End every approved version of an id; it matches nothing from now on."""
        old = [e for e in self.entries("APPROVED") if e.id == entry_id]
        self._store_all([replace(entry, state="RETIRED", reason=reason, changed_at=now()) for entry in old])

    def drifted(self) -> list[VerifiedQuery]:
        """Newest approved versions whose views are defined otherwise now; they match nothing until re-validated."""
        return [e for e in self._newest_approved() if e.catalogue != views_digest(self._catalogue, e.views)]

    def revalidate(self, check: Check | None = None) -> list[VerifiedQuery]:
        """Run every approved entry whose views changed against the catalogue as it is now.

        Args:
            check: the guard's verdict, or a run; gets the SQL with clock and values in it.

        Returns:
            The entries that failed; they are retired, with the reason on file.
        """
        retired, checked = [], []
        for entry in self.drifted():
            try:
                checked.append(self._checked(entry, check))
            except VerifiedError as error:
                retired.append(replace(entry, state="RETIRED", reason=str(error), changed_at=now()))
        self._store_all([*checked, *retired])
        return retired

    def _newest_approved(self) -> list[VerifiedQuery]:
        newest: dict[str, VerifiedQuery] = {}
        for (entry_id, _), entry in sorted(self._entries.items()):
            if entry.state == "APPROVED":
                newest[entry_id] = entry
        return list(newest.values())

    def _current(self) -> list[VerifiedQuery]:
        """The newest approved version of each id whose views are defined as they were when it was checked."""
        return [e for e in self._newest_approved() if e.catalogue == views_digest(self._catalogue, e.views)]

    def _index(self) -> None:
        forms: dict[tuple[str, ...], list[VerifiedQuery]] = {}
        self._held = self._current()
        for entry in self._held:
            forms.setdefault(form_key(words_of(entry.question)), []).append(entry)
        self._forms = forms

    def _candidate(self, entry_id: str) -> VerifiedQuery:
        found = [e for e in self.entries("CANDIDATE") if e.id == entry_id]
        if not found:
            raise VerifiedError(f"{entry_id}: no candidate of this id awaits approval")
        return found[-1]

    def _checked(self, entry: VerifiedQuery, check: Check | None) -> VerifiedQuery:
        sql = bound(entry, datetime.now(UTC))
        views = _views(sql, self._catalogue, entry.id)
        if check is not None and (problem := check(sql)):
            raise VerifiedError(f"{entry.id}: {problem}")
        return replace(entry, views=views, catalogue=views_digest(self._catalogue, views))

    def _store(self, entry: VerifiedQuery) -> VerifiedQuery:
        self._store_all([entry])
        return entry

    def _store_all(self, entries: Collection[VerifiedQuery]) -> None:
        if not entries:
            return
        with self._lock:
            if self._directory is not None:
                _write(self._directory, entries)  # first: what is not on disk must not answer anything
            self._entries |= {(entry.id, entry.version): entry for entry in entries}
            self._index()


def views_digest(catalogue: Catalogue, views: Iterable[str]) -> str:
    """Digest of what the catalogue says of some views; another digest means that entries must be checked anew."""
    content = [
        [name, [[c.name, c.type, list(c.codes), c.unit, c.meaning] for c in catalogue.views[name].columns.values()]]
        if name in catalogue.views
        else [name]
        for name in sorted(views)
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _views(sql: str, catalogue: Catalogue, name: str) -> tuple[str, ...]:
    """The views that the SQL reads, once every view and column in it is known to the catalogue."""
    tree = parse_select(sql, name)
    named = {cte.alias for cte in tree.find_all(exp.CTE)}
    views = {table.name for table in tree.find_all(exp.Table)} - named
    if unknown := views - set(catalogue.views):
        raise VerifiedError(f"{name}: reads {sorted(unknown)}, which the catalogue does not have")
    try:
        qualify(tree.copy(), schema=dict(catalogue.sqlglot_schema), dialect=DIALECT)
    except sqlglot.errors.SqlglotError as error:
        raise VerifiedError(f"{name}: {error}") from error
    return tuple(sorted(views))


def _read(path: Path) -> list[VerifiedQuery]:
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            raw = json.loads(line)
            raw["slots"] = tuple(Slot(**slot) for slot in raw.get("slots", ()))
            raw["views"] = tuple(raw.get("views", ()))
            entries.append(VerifiedQuery(**raw))
        except (json.JSONDecodeError, TypeError, AttributeError) as error:
            raise VerifiedError(f"{path}:{number}: not a verified query ({error}); restore the file") from error
    return entries


def _write(directory: Path, entries: Iterable[VerifiedQuery]) -> None:
    """Add or replace entries of the installation's file, whole file at once so that no reader sees half of it."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "local.jsonl"
    kept = {(e.id, e.version): e for e in (_read(path) if path.exists() else [])}
    write_entries(path, (kept | {(e.id, e.version): e for e in entries}).values())


def write_entries(path: Path, entries: Iterable[VerifiedQuery]) -> None:
    """Write entries to a file, one a line, by id and version."""
    lines = [json.dumps(asdict(e), ensure_ascii=False) for e in sorted(entries, key=lambda e: (e.id, e.version))]
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n" if lines else "")
    Path(temporary).replace(path)
