"""What approved changes do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.access import Person
from app.changes import ChangeRefused
from nlq.contracts import Principal

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.access import Access
    from app.changes import Change
    from app.world import World
    from streaming.connection import KafkaConnection

SEND_WITHIN_S = 15.0


def entitlement(access: Access, world: World) -> Callable[[Change, str], None]:
    """Set a person's roles and desk: `{user_id, roles, desk?}`; no roles take all rights away."""

    def apply(change: Change, _: str) -> None:
        body = change.body
        roles = tuple(str(role) for role in body.get("roles") or ())
        if not body.get("user_id") or any(role not in world.catalogue.roles for role in roles):
            raise ChangeRefused("An entitlement needs user_id and roles of the catalogue.")
        access.set_person(Person(user_id=str(body["user_id"]), roles=roles, desk=body.get("desk")), active=bool(roles))

    return apply


def threshold(world: World, connection: KafkaConnection | None) -> Callable[[Change, str], None]:
    """Begin a new version of a detector's threshold: `{detector, parameter, value, rationale}`."""

    def apply(change: Change, approver: str) -> None:
        body = change.body
        if connection is None:
            raise ChangeRefused("Thresholds of a directory are changed in its files.")
        try:
            detector, parameter, value = str(body["detector"]), str(body["parameter"]), float(body["value"])
        except (KeyError, TypeError, ValueError):
            raise ChangeRefused("A threshold needs detector, parameter and a number as value.") from None
        now_us = int(datetime.now(UTC).timestamp() * 1e6)
        current = _current(world, detector, parameter)
        if current is None:
            raise ChangeRefused(f"{detector} has no parameter {parameter!r}.")
        ended = {**current, "effective_to_us": now_us}
        begun = {
            **current,
            "value": value,
            "version": int(current["version"]) + 1,
            "effective_from_us": now_us,
            "effective_to_us": None,
            "approved_by": approver,
            "rationale": str(body.get("rationale") or ""),
        }
        _send(connection, [ended, begun])

    return apply


def _current(world: World, detector: str, parameter: str) -> dict[str, Any] | None:
    """The version in force, in the form of a reference message's row."""
    from nlq.guard import check

    engine = world.engine
    if engine is None:
        raise ChangeRefused(f"The engine is {world.state}; try again when it is ready.")
    user = Principal(user_id="approvals", role="officer")
    with engine.parts.source.snapshot() as snapshot:
        verdict = check("SELECT * FROM thresholds", world.catalogue, user, as_of=snapshot.as_of)
        rows = engine.parts.executor.run(verdict, snapshot, user).table.to_pylist()
    fits = [
        row for row in rows
        if row["detector"] == detector and row["parameter"] == parameter and row["effective_to_ts"] is None
    ]  # fmt: skip
    if not fits:
        return None
    row = max(fits, key=lambda r: r["version"])
    return {
        (name.removesuffix("_ts") + "_us" if name.endswith("_ts") else name): (
            int(value.timestamp() * 1e6) if isinstance(value, datetime) else value
        )
        for name, value in row.items()
    }


def _send(connection: KafkaConnection, rows: list[dict[str, Any]]) -> None:
    from kafka import KafkaProducer

    from streaming.messages import encode, reference_message

    producer = KafkaProducer(**connection.python_producer())
    headers = [("producer", b"approvals"), ("schema_version", b"1")]
    try:
        for row in rows:
            key = (str(row["detector"]), str(row["parameter"]), str(row["version"]))
            message = reference_message("thresholds", key, row)
            sent = producer.send(message.topic, key=message.key.encode(), value=encode(message.value), headers=headers)
            sent.get(timeout=SEND_WITHIN_S)
    finally:
        producer.close(timeout=SEND_WITHIN_S)
