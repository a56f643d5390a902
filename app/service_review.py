"""Routes of what needs a second person: alerts, thresholds, entitlements, verified queries."""

# Annotations are evaluated here: FastAPI reads them at run time.
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from app.apply import in_force
from app.apply_alert import take_up
from app.changes import APPROVERS, same_person
from app.service_parts import Asker, Parts

router = APIRouter()


class Proposal(BaseModel):
    """Body of `POST /changes`."""

    kind: str = Field(max_length=40)
    body: dict[str, Any]


class Decision(BaseModel):
    """Body of `POST /changes/{id}`: the hash says which text was read."""

    hash: str = Field(min_length=64, max_length=64)
    approve: bool
    reason: str = Field(default="", max_length=1_000)


class Review(BaseModel):
    """Body of `POST /alerts/{id}`."""

    status: str = Field(max_length=20)


@router.post("/alerts/{alert_id}")
def review(service: Parts, alert_id: str, body: Review, asker: Asker) -> dict[str, str]:
    """Take an open alert up or escalate it. Closing one is a change that a second person approves."""
    service.limit.take(asker.user_id)
    take_up(service.world, alert_id, body.status, asker)
    return {"state": body.status}


@router.get("/thresholds")
def thresholds(service: Parts, asker: Asker) -> dict[str, Any]:
    """The thresholds in force, for who may change them."""
    if asker.role not in APPROVERS:
        raise HTTPException(403, "Only officers see and change thresholds here; others may ask for them.")
    return {"thresholds": in_force(service.world)}


@router.get("/changes")
def open_changes(service: Parts, asker: Asker) -> dict[str, Any]:
    """Changes that wait for a second person, and the last ones that were decided; for others than officers, their own."""
    waiting, decided = service.changes.open(), service.changes.decided()
    if asker.role not in APPROVERS:
        waiting = [change for change in waiting if same_person(change.proposed_by, asker.user_id)]
        decided = [change for change in decided if same_person(change.proposed_by, asker.user_id)]
    return {
        "changes": [asdict(change) for change in waiting],
        "decided": [asdict(change) for change in decided],
        "may_decide": asker.role in APPROVERS,
        "may_propose": service.changes.kinds_for(asker.role),
    }


@router.post("/changes")
def propose(service: Parts, body: Proposal, asker: Asker) -> dict[str, Any]:
    """Propose a change that has weight; nothing happens until somebody else approves it."""
    service.limit.take(asker.user_id)  # a proposed query is run
    return asdict(service.changes.propose(body.kind, body.body, asker))


@router.post("/changes/{change_id}")
def decide(service: Parts, change_id: str, body: Decision, asker: Asker) -> dict[str, Any]:
    """Approve or reject what somebody else proposed."""
    changes = service.changes
    return asdict(changes.decide(change_id, body.hash, approve=body.approve, asker=asker, reason=body.reason))
