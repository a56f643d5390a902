"""Approved changes of people's rights and of detector thresholds."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.access import Person
from app.changes import ChangeRefused, Kind
from nlq.contracts import Principal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.access import Access
    from app.changes import Change
    from app.world import World
    from streaming.connection import KafkaConnection

SEND_WITHIN_S = 15.0
LONGEST_TEXT = 1_000
SYSTEM = Principal(user_id="approvals", role="officer")
"""Reads what a change replaces; what it reads goes to officers only."""


def entitlement(access: Access, world: World) -> Kind:
    """Set a person's roles and desk: `{user_id, roles, desk?}`; no roles take all rights away."""

    def check(body: Mapping[str, Any], _: Principal) -> dict[str, Any]:
        user_id, listed, desk = str(body.get("user_id") or "").strip(), body.get("roles"), body.get("desk")
        roles = tuple(dict.fromkeys(str(role) for role in listed)) if isinstance(listed, list | tuple) else None
        if not user_id or len(user_id) > 128 or not user_id.isprintable() or roles is None:
            raise ChangeRefused("An entitlement needs user_id and a list of roles of the catalogue.")
        if unknown := [role for role in roles if role not in world.catalogue.roles]:
            raise ChangeRefused(f"The catalogue has no role {unknown[0]!r}.")
        desk = str(desk).strip()[:128] if desk else None
        if desk is None and any("user.desk" in str(world.catalogue.roles[role].row_filter) for role in roles):
            raise ChangeRefused(f"{', '.join(roles)}: this role sees the rows of one desk; say which.")
        now = access.person(user_id)
        was = {"roles": list(now.roles), "desk": now.desk} if now else None
        return {"user_id": user_id, "roles": list(roles), "desk": desk, "was": was}

    def apply(change: Change, _: Principal) -> None:
        body = change.body
        roles = tuple(str(role) for role in body["roles"])
        access.set_person(Person(user_id=str(body["user_id"]), roles=roles, desk=body.get("desk")), active=bool(roles))

    return Kind(proposers=frozenset({"officer", "engineer"}), check=check, apply=apply)


def threshold(world: World, connection: KafkaConnection | None) -> Kind:
    """Begin a new version of a detector's thresholds with one of them changed.

    Takes `{detector, parameter, value, rationale}`.
    """

    def check(body: Mapping[str, Any], _: Principal) -> dict[str, Any]:
        if connection is None:
            raise ChangeRefused("Thresholds of a directory are changed in its files.")
        try:
            detector, parameter, value = str(body["detector"]), str(body["parameter"]), float(body["value"])
        except (KeyError, TypeError, ValueError):
            raise ChangeRefused("A threshold needs detector, parameter and a number as value.") from None
        rationale = str(body.get("rationale") or "").strip()[:LONGEST_TEXT]
        if not rationale or not math.isfinite(value):
            raise ChangeRefused("A threshold needs a finite value and a rationale: why it should change.")
        rows = in_force(world, detector)
        row = next((row for row in rows if row["parameter"] == parameter), None)
        if row is None:
            known = ", ".join(sorted(r["parameter"] for r in rows))
            raise ChangeRefused(f"{detector} has no parameter {parameter!r}. It has: {known or 'none'}.")
        if row["value"] == value:
            raise ChangeRefused(f"{detector} {parameter} is {value:g} already.")
        return {
            "detector": detector, "parameter": parameter, "value": value, "unit": row["unit"], "rationale": rationale,
            "was": row["value"], "version": row["version"],
        }  # fmt: skip

    def apply(change: Change, approver: Principal) -> None:
        if connection is None:
            raise ChangeRefused("Thresholds of a directory are changed in its files.")
        body = change.body
        rows = in_force(world, body["detector"])
        if not rows or rows[0]["version"] != body["version"]:
            raise ChangeRefused("The thresholds were changed meanwhile; look at them again and propose anew.")
        _send(connection, next_version(rows, body, approver.user_id, datetime.now(UTC)))

    return Kind(proposers=frozenset({"officer"}), check=check, apply=apply)


def next_version(
    rows: list[dict[str, Any]], body: Mapping[str, Any], approver: str, now: datetime
) -> list[dict[str, Any]]:
    """The messages of a new version: all parameters of the detector begin anew, those of the old version end.

    A version holds all its parameters: one with the changed parameter alone would leave the detector without the rest.
    """
    now_us = int(now.timestamp() * 1e6)
    wire = [_on_the_wire(row) for row in rows]
    begun = [
        {
            **row,
            "version": int(row["version"]) + 1,
            "effective_from_us": now_us,
            "effective_to_us": None,
            "value": float(body["value"]) if row["parameter"] == body["parameter"] else row["value"],
            "approved_by": approver if row["parameter"] == body["parameter"] else row["approved_by"],
            "rationale": str(body["rationale"]) if row["parameter"] == body["parameter"] else row["rationale"],
        }
        for row in wire
    ]
    return begun + [{**row, "effective_to_us": now_us} for row in wire]


def in_force(world: World, detector: str | None = None) -> list[dict[str, Any]]:
    """The thresholds in force, of one detector or of all; of each detector the newest version whole."""
    rows = world.rows("SELECT * FROM thresholds", SYSTEM)
    current = [row for row in rows if row["effective_to_ts"] is None]
    newest: dict[str, int] = {}
    for row in current:
        newest[row["detector"]] = max(newest.get(row["detector"], 0), row["version"])
    fits = [r for r in current if r["version"] == newest[r["detector"]] and detector in (None, r["detector"])]
    return sorted(fits, key=lambda r: (r["detector"], r["parameter"]))


def _on_the_wire(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as a reference message has it."""
    return {
        (name.removesuffix("_ts") + "_us" if name.endswith("_ts") else name): (
            int(value.timestamp() * 1e6) if isinstance(value, datetime) else value
        )
        for name, value in row.items()
    }


def _send(connection: KafkaConnection, rows: list[dict[str, Any]]) -> None:
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    from streaming.messages import encode, reference_message

    headers = [("producer", b"approvals"), ("schema_version", b"1")]
    try:
        producer = KafkaProducer(**connection.python_producer())
        try:
            pending = []
            for row in rows:
                key = (str(row["detector"]), str(row["parameter"]), str(row["version"]))
                message = reference_message("thresholds", key, row)
                value = encode(message.value)
                pending.append(producer.send(message.topic, key=message.key.encode(), value=value, headers=headers))
            for sent in pending:
                sent.get(timeout=SEND_WITHIN_S)
        finally:
            producer.close(timeout=SEND_WITHIN_S)
    except KafkaError as error:
        raise ChangeRefused(f"Kafka did not take the change ({type(error).__name__}); propose it again.") from error
