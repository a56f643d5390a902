"""What the routes of the service work with, and who asks them."""

# Annotations are evaluated here: FastAPI reads them at run time.
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from app.access import Person, RateLimit
from app.changes import Changes
from app.identity import Identities, principal_for
from app.metrics import Metrics
from app.world import World
from nlq.contracts import Principal


@dataclass(frozen=True, kw_only=True)
class Service:
    """What the routes work with."""

    world: World
    identities: Identities
    limit: RateLimit
    metrics: Metrics
    changes: Changes


def service_of(request: Request) -> Service:
    """The parts of this service."""
    service: Service = request.app.state.service
    return service


Parts = Annotated[Service, Depends(service_of)]


def signed_in(service: Parts, authorization: Annotated[str | None, Header()] = None) -> Person:
    """Who sends the request."""
    return service.identities.person(authorization)


Somebody = Annotated[Person, Depends(signed_in)]


def principal(
    service: Parts,
    person: Somebody,
    x_nlq_role: Annotated[str | None, Header()] = None,
    x_nlq_desk: Annotated[str | None, Header()] = None,
) -> Principal:
    """With which rights: the person's first role, or the one of theirs that a header names."""
    return principal_for(person, service.world.catalogue, role=x_nlq_role, desk=x_nlq_desk)


Asker = Annotated[Principal, Depends(principal)]
