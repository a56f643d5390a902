"""Runs an old answer again on the old versions and compares the result with the hash on record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nlq.contracts import Principal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlq.build import Parts


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What came of running a recorded question again."""

    query_id: str
    same: bool
    reason: str
    """In words: equal, or what differs, or why it could not be run."""
    sql: str | None = None
    recorded_hash: str | None = None
    replayed_hash: str | None = None
    recorded_rows: int | None = None
    replayed_rows: int | None = None


def replay(parts: Parts, query_id: str) -> Replay:
    """Run the SQL of a recorded answer with the same rights on the same offsets and versions.

    Raises:
        nlq.record.UnknownQuery: the record holds no such question.
    """
    from nlq.execute import ExecutionError
    from nlq.fingerprint import fingerprint
    from nlq.guard import check

    past = parts.record.entry(query_id)
    if why := unrepeatable(past):
        return Replay(query_id=query_id, same=False, reason=why)
    user = Principal(user_id=past["user_id"], role=past["role"], desk=past.get("desk"), purpose=past.get("purpose"))
    as_of = datetime.fromisoformat(past["as_of_ts"])
    try:
        snapshot = parts.source.snapshot(as_of)
    except LookupError as error:
        return Replay(query_id=query_id, same=False, reason=f"That snapshot cannot be opened again: {error}")
    with snapshot:
        if moved := _moved(past.get("versions") or {}, snapshot.versions):
            return Replay(query_id=query_id, same=False, reason=moved, sql=past["sql"])
        # What ran holds the role's filters already; from the draft they are written anew, and must be the same.
        verdict = check(past.get("drafted_sql") or past["sql"], parts.catalogue, user, as_of=snapshot.as_of)
        if not verdict.allowed or verdict.sql != past["sql"]:
            how = f"refuse it ({verdict.rule})" if not verdict.allowed else "make other SQL of it"
            reason = f"The rules of today {how}; the answer was given under earlier ones."
            return Replay(query_id=query_id, same=False, reason=reason, sql=past["sql"])
        try:
            result = parts.executor.run(verdict, snapshot, user)
        except ExecutionError as error:
            return Replay(query_id=query_id, same=False, reason=f"It could not be run: {error}", sql=past["sql"])
    replayed = fingerprint(result.table)
    same = replayed == past.get("result_hash")
    return Replay(
        query_id=query_id,
        same=same,
        reason="The result is the same." if same else "The result differs from the one on record.",
        sql=past["sql"],
        recorded_hash=past.get("result_hash"),
        replayed_hash=replayed,
        recorded_rows=past.get("n_rows"),
        replayed_rows=result.table.num_rows,
    )


def unrepeatable(past: Mapping[str, Any]) -> str | None:
    """Why a recorded question cannot be run again, as far as the record alone tells."""
    if past["erased"]:
        return "The SQL was erased with its personal data."
    if past.get("status") != "ANSWERED" or not past.get("sql"):
        return f"Nothing ran: it ended as {past.get('status', 'open')}."
    return None


def _moved(recorded: Mapping[str, int], opened: Mapping[str, int]) -> str | None:
    for table, version in recorded.items():
        if table in opened and opened[table] != version:
            return f"Table {table!r} was read at version {version}; only version {opened[table]} can be opened."
    return None
