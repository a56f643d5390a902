"""Verified queries: somebody's question with SQL that answers it, approved by a second person."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.apply import LONGEST_TEXT, SYSTEM
from app.changes import ChangeRefused, Kind
from nlq.contracts import Status
from nlq.verified_clock import timeless
from nlq.verified_form import VerifiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.changes import Change
    from app.world import World
    from nlq.contracts import Principal
    from nlq.verified import VerifiedQueries

log = logging.getLogger(__name__)
LONGEST_QUESTION = 500
PROPOSERS = frozenset({"officer", "supervisor", "analyst", "engineer", "auditor"})


def verified_query(world: World) -> Kind:
    """Approve `{question, sql, reading?, as_of?}`; `as_of` is the time that the SQL was drafted at."""

    def check(body: Mapping[str, Any], asker: Principal) -> dict[str, Any]:
        question = " ".join(str(body.get("question") or "").split())
        sql, reading = str(body.get("sql") or "").strip().rstrip(";"), str(body.get("reading") or "").strip()
        if not question or len(question) > LONGEST_QUESTION or not sql:
            raise ChangeRefused(f"A verified query needs a question of at most {LONGEST_QUESTION} characters and SQL.")
        store, reading, check = _store(world), reading[:LONGEST_TEXT], runs_as(world, asker)
        try:
            sql = timeless(sql, question, _instant(body.get("as_of")))
            entry = store.candidate(question, sql, asker.user_id, reading=reading, check=check)
        except VerifiedError as error:
            raise ChangeRefused(_without_name(error)) from error
        there = store.matching(question)
        if any(match.entry.sql == entry.sql for match in there):
            raise ChangeRefused("This question is approved with this SQL already.")
        return {
            "question": question, "sql": sql, "reading": reading, "form": entry.question, "form_sql": entry.sql,
            "slots": [asdict(slot) for slot in entry.slots], "asked_as": asker.role,
            "replaces": {match.entry.id: match.entry.sql for match in there},
        }  # fmt: skip

    def apply(change: Change, approver: Principal) -> None:
        store, body = _store(world), change.body
        try:
            entry = _kept(store, change)
            store.approve(entry.id, approver.user_id, check=runs_as(world, approver))
        except VerifiedError as error:
            raise ChangeRefused(_without_name(error)) from error
        for other in set(body["replaces"]) - {entry.id}:
            # Two answers to the same words would cancel each other out.
            store.retire(other, f"replaced by {entry.id}")

    def reject(change: Change, approver: Principal, reason: str) -> None:
        store = _store(world)
        store.reject(_kept(store, change).id, approver.user_id, reason or "no reason given")

    return Kind(proposers=PROPOSERS, check=check, apply=apply, reject=reject)


def revalidate(world: World) -> None:
    """Run the approved queries whose views the catalogue defines otherwise than before; failures are retired."""
    if world.engine is None or world.engine.parts.verified is None:
        return
    store = world.engine.parts.verified
    drifted = len(store.drifted())
    if not drifted:
        return
    retired = store.revalidate(runs_as(world, SYSTEM))
    log.info("the catalogue changed: %d verified queries run again, %d retired", drifted, len(retired))
    world.record_event("VERIFIED_RERUN", {"checked": drifted, "retired": [entry.id for entry in retired]})


def runs_as(world: World, asker: Principal) -> Callable[[str], str | None]:
    """A check that a statement passes both walls with somebody's rights; each run is on the record like a question."""

    def check(sql: str) -> str | None:
        assert world.engine is not None
        answer = world.engine.run_sql(sql, user=asker)
        return None if answer.status is Status.ANSWERED else str(answer.reason or "it does not run")

    return check


def _kept(store: VerifiedQueries, change: Change) -> Any:
    body = change.body
    return store.propose(body["question"], body["sql"], change.proposed_by, reading=body["reading"])


def _store(world: World) -> VerifiedQueries:
    if world.engine is None or world.engine.parts.verified is None:
        raise ChangeRefused(f"The engine is {world.state}; try again when it is ready.")
    store: VerifiedQueries = world.engine.parts.verified
    return store


def _instant(text: Any) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise ChangeRefused("as_of is not an ISO 8601 instant.") from None
    if moment.tzinfo is None:
        raise ChangeRefused("as_of needs a time zone.")
    return moment


def _without_name(error: Exception) -> str:
    """The message without the id that the entry would have had."""
    text = str(error)
    head, _, rest = text.partition(": ")
    return rest if rest and head.startswith(("vq-", "candidate")) else text
