"""Erasing personal data, retention and legal hold: keys are deleted, entries never."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from nlq.record.errors import UnderHold
from nlq.record.keystore import Hold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlq.record.record import Record


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """What an erasure did."""

    erased: tuple[str, ...]
    kept_by_retention: tuple[str, ...] = ()
    """Younger than the time for which the law wants them kept."""
    kept_by_hold: tuple[str, ...] = ()


def erase_person(record: Record, person: str, *, by: str, reason: str, now: datetime | None = None) -> Erasure:
    """Erase who asked and what, for every question of a person that neither retention nor a hold protects."""
    now = now or datetime.now(UTC)
    mine = record.keys.questions(person=person)
    old = set(record.keys.questions(person=person, before=(now - record.settings.keep).isoformat()))
    return _erase(record, mine, old, by=by, reason=reason)


def erase_question(record: Record, query_id: str, *, by: str, reason: str, now: datetime | None = None) -> Erasure:
    """Erase the personal parts of one question.

    Raises:
        UnderHold: a legal hold covers it.
        UnknownQuery: there is no such question.
    """
    now = now or datetime.now(UTC)
    record.entry(query_id)
    if record.keys.held([query_id]):
        raise UnderHold(f"{query_id} is under legal hold; `nlq audit hold` says by whom")
    old = set(record.keys.questions(before=(now - record.settings.keep).isoformat()))
    return _erase(record, [query_id], old, by=by, reason=reason)


def apply_retention(record: Record, *, now: datetime | None = None) -> Erasure:
    """Erase the personal parts of every question older than `shred_after`, but for those under hold."""
    if record.settings.shred_after is None:
        return Erasure(erased=())
    before = ((now or datetime.now(UTC)) - record.settings.shred_after).isoformat()
    due = record.keys.questions(before=before)
    return _erase(record, due, set(due), by="retention", reason=f"older than {record.settings.shred_after.days} days")


def place_hold(record: Record, scope: Literal["person", "query", "all"], value: str, *, by: str, reason: str) -> Hold:
    """Keep what a person asked, one question, or everything, whatever retention says.

    Raises:
        UnknownQuery: there is no such question.
    """
    if scope == "query":
        record.entry(value)
    hold = Hold(
        id=f"H-{secrets.token_hex(4)}",
        scope=scope,
        value=value,
        reason=reason,
        placed_by=by,
        at=datetime.now(UTC).isoformat(),
    )
    # A person's name stays in the key store: entries of the chain can never be erased.
    record.event("HOLD_PLACED", {"hold": hold.id, "scope": scope, "by": by})
    record.keys.place(hold)
    return hold


def lift_hold(record: Record, hold_id: str, *, by: str) -> bool:
    """End a hold; False when there is none of this id."""
    if hold_id not in {hold.id for hold in record.keys.holds()}:
        return False
    record.event("HOLD_LIFTED", {"hold": hold_id, "by": by})
    return record.keys.lift(hold_id)


def _erase(record: Record, asked: Sequence[str], old: set[str], *, by: str, reason: str) -> Erasure:
    held = record.keys.held(list(asked))
    erased = tuple(q for q in asked if q in old and q not in held)
    if erased:
        # The event comes first: an erasure without its entry would be a silent one.
        record.event("ERASED", {"query_ids": list(erased), "by": by, "reason": reason})
        record.keys.forget(list(erased))
    return Erasure(
        erased=erased,
        kept_by_retention=tuple(q for q in asked if q not in old and q not in held),
        kept_by_hold=tuple(q for q in asked if q in held),
    )
