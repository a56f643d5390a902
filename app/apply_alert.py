"""The review of alerts: taking one up is one person's work, closing one needs a second person."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from app.apply import LONGEST_TEXT, SYSTEM
from app.changes import ChangeRefused, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.changes import Change
    from app.world import World
    from nlq.contracts import Principal

OPEN = ("NEW", "IN_REVIEW", "ESCALATED")
CLOSED = ("FALSE_POSITIVE", "CONFIRMED", "REPORTED")
REVIEWERS = frozenset({"officer"})
FACTS = "alert_id, detector, severity, status, symbol, trader_id, desk, created_ts, explanation"


def closing(world: World) -> Kind:
    """Close an alert: `{alert_id, status, reason}` with a status of `CLOSED`."""

    def check(body: Mapping[str, Any], _: Principal) -> dict[str, Any]:
        status, reason = str(body.get("status") or ""), str(body.get("reason") or "").strip()[:LONGEST_TEXT]
        if status not in CLOSED:
            raise ChangeRefused(f"An alert is closed as {', '.join(CLOSED[:-1])} or {CLOSED[-1]}.")
        if not reason:
            raise ChangeRefused("Say why the alert can be closed; the second person and the record need it.")
        _reviewable(world)
        row = _alert(world, str(body.get("alert_id") or ""))
        if row["status"] == status:
            raise ChangeRefused(f"{row['alert_id']} is {status} already.")
        facts = {name: row[name] for name in ("alert_id", "detector", "severity", "symbol", "trader_id")}
        return {**facts, "explanation": row["explanation"], "was": row["status"], "status": status, "reason": reason}

    def apply(change: Change, approver: Principal) -> None:
        body = change.body
        row = _alert(world, body["alert_id"])
        if row["status"] != body["was"]:
            raise ChangeRefused(f"{body['alert_id']} is {row['status']} by now, not {body['was']}; propose it anew.")
        _reviewable(world)(body["alert_id"], str(body["status"]))
        world.forget_alerts()

    return Kind(proposers=REVIEWERS, check=check, apply=apply)


def take_up(world: World, alert_id: str, status: str, asker: Principal) -> None:
    """Move an open alert to another open status, in charge of who does it.

    Raises:
        ChangeRefused: not with this role or status, or the alert is closed.
    """
    if asker.role not in REVIEWERS or status not in OPEN[1:]:
        raise ChangeRefused(f"The role {asker.role} cannot set an alert to {status!r} alone.")
    review = _reviewable(world)
    row = _alert(world, alert_id)
    if row["status"] not in OPEN:
        raise ChangeRefused(f"{alert_id} is closed as {row['status']}.")
    world.record_event("ALERT_STATUS", {"alert": alert_id, "was": row["status"], "is": status, "by": asker.user_id})
    review(alert_id, status, asker.user_id)
    world.forget_alerts()


def _reviewable(world: World) -> Any:
    source = world.engine.parts.source if world.engine is not None else None
    review = getattr(source, "review_alert", None)
    if review is None:
        raise ChangeRefused("Alerts of a directory are changed in its files.")
    return review


def _alert(world: World, alert_id: str) -> dict[str, Any]:
    # The id goes into SQL: nothing but what ids are made of.
    if re.fullmatch(r"[\w-]{1,80}", alert_id, re.ASCII):
        for row in world.rows(f"SELECT {FACTS} FROM alerts WHERE alert_id = '{alert_id}'", SYSTEM):
            return row
    raise ChangeRefused(f"There is no alert {alert_id[:80]!r}.")
