"""The HTTP service: questions, checks, status, alerts, metrics. It answers `/healthz` while the world still starts."""

# Annotations are evaluated here: FastAPI reads them at run time.
import asyncio
import base64
import json
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from app.access import AccessDenied, RateLimit, TooManyQuestions
from app.body_limit import BodyLimit
from app.changes import ChangeRefused, Changes
from app.identity import Identities
from app.metrics import Metrics
from app.service_parts import Asker, Parts, Service, Somebody, service_of
from app.service_review import router as review_router
from app.settings import LOOPBACK
from app.world import MAX_ALERTS, World, WorldNotReady
from nlq.contracts import Answer, Turn
from nlq.engine import Engine
from nlq.record import RecordUnavailable, UnknownQuery
from nlq.record.redact import redact
from nlq.wire import answer_to, table_to

log = logging.getLogger(__name__)
HEARTBEAT_S = 10.0
NO_RECORD = "The record of questions cannot be written, so nothing runs."
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
router = APIRouter()


class TurnBody(BaseModel):
    """An earlier question of the conversation."""

    question: str = Field(max_length=2_000)
    sql: str = Field(max_length=20_000)


class Question(BaseModel):
    """Body of `POST /ask`."""

    question: str = Field(max_length=4_000)
    as_of: datetime | None = None
    history: list[TurnBody] = Field(default_factory=list, max_length=20)
    purpose: str | None = Field(default=None, max_length=200)


class Statement(BaseModel):
    """Body of `POST /check` and `POST /sql`."""

    sql: str = Field(max_length=100_000)
    as_of: datetime | None = None
    purpose: str | None = Field(default=None, max_length=200)


class Replay(BaseModel):
    """Body of `POST /audit/replay`."""

    query_id: str = Field(max_length=64)


class Feedback(BaseModel):
    """Body of `POST /feedback`."""

    query_id: str = Field(max_length=64)
    verdict: str = Field(pattern="^(right|wrong)$")
    comment: str = Field(default="", max_length=1_000)


def build_app(world: World, identities: Identities, limit: RateLimit, changes: Changes) -> FastAPI:
    """The service over a world that may still be starting."""
    service = Service(world=world, identities=identities, limit=limit, metrics=Metrics(), changes=changes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        world.start()
        try:
            yield
        finally:
            await asyncio.to_thread(world.stop)

    app = FastAPI(
        title="Trade surveillance query engine", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.state.service = service
    app.include_router(router)
    app.include_router(review_router)
    for error, handler in (
        (AccessDenied, _denied),
        (TooManyQuestions, _too_many),
        (RecordUnavailable, _no_record),
        (WorldNotReady, _not_ready),
        (ChangeRefused, _refused_change),
        (RequestValidationError, _unusable),
    ):
        app.add_exception_handler(error, handler)
    app.middleware("http")(_with_headers)
    app.add_middleware(BodyLimit)
    return app


@router.get("/healthz")
def healthz(service: Parts, request: Request) -> dict[str, str]:
    """State of the world, for whoever starts and restarts us; to this machine also what it is at while it starts."""
    world, peer = service.world, request.client.host if request.client else ""
    told = world.state in ("starting", "failed") and peer in (*LOOPBACK, "testclient")
    return {"state": world.state, "detail": world.detail if told else ""}


@router.get("/metrics")
def prometheus(service: Parts) -> Response:
    """Counters and gauges; numbers only, so that no sign-in is asked for."""
    return Response(service.metrics.text(service.world.status()), media_type="text/plain; version=0.0.4")


@router.get("/status")
def status(service: Parts, _: Somebody) -> dict[str, Any]:
    """How everything is."""
    return service.world.status()


@router.get("/me")
def me(service: Parts, person: Somebody, asker: Asker) -> dict[str, Any]:
    """Who asks, and with which rights."""
    roles = service.world.catalogue.roles
    return {
        "user_id": asker.user_id,
        "role": asker.role,
        "desk": asker.desk,
        "roles": [role for role in person.roles if role in roles],
        "views": sorted(roles[asker.role].views),
        "development": person.development,
    }


@router.post("/ask")
def ask(service: Parts, body: Question, asker: Asker) -> StreamingResponse:
    """Lines of JSON: one for each stage as it begins, and the answer (or an error) as the last."""
    engine = _engine(service)
    _needs_zone(body.as_of)
    service.limit.take(asker.user_id)
    user = replace(asker, purpose=body.purpose)
    history = [Turn(question=turn.question, sql=turn.sql) for turn in body.history]
    return _answering(
        service,
        lambda progress: engine.ask(body.question, user=user, as_of=body.as_of, history=history, progress=progress),
    )


@router.post("/sql")
def sql(service: Parts, body: Statement, asker: Asker) -> StreamingResponse:
    """Run SQL written by a person, through the same walls and onto the same record; answers as `/ask` does."""
    engine = _engine(service)
    _needs_zone(body.as_of)
    service.limit.take(asker.user_id)
    user = replace(asker, purpose=body.purpose)
    return _answering(service, lambda _: engine.run_sql(body.sql, user=user, as_of=body.as_of))


def _engine(service: Service) -> Engine:
    if service.world.engine is None:
        raise WorldNotReady(f"The engine is {service.world.state}. {service.world.detail}")
    return service.world.engine


def _needs_zone(as_of: datetime | None) -> None:
    if as_of is not None and as_of.tzinfo is None:
        raise HTTPException(422, "as_of needs a time zone, such as 2026-11-09T15:30:00+00:00.")


def _answering(service: Service, work: Callable[[Callable[[str], None]], Answer]) -> StreamingResponse:
    def run(progress: Callable[[str], None]) -> dict[str, Any]:
        began = time.monotonic()
        answer = work(progress)
        service.metrics.asked(answer.status.value, time.monotonic() - began, answer.timings)
        table = base64.b64encode(table_to(answer.table)).decode() if answer.table is not None else None
        return {"event": "answer", "answer": answer_to(answer), "arrow": table}

    return StreamingResponse(_streamed(run), media_type="application/x-ndjson")


@router.post("/check")
def check(service: Parts, body: Statement, asker: Asker) -> dict[str, Any]:
    """The guard's verdict on a statement; runs nothing."""
    from nlq.guard import GuardLimits
    from nlq.guard import check as guard

    _needs_zone(body.as_of)
    engine = service.world.engine
    limits = GuardLimits(purpose_for=engine.parts.purpose_views if engine is not None else frozenset())
    user = replace(asker, purpose=body.purpose)
    verdict = guard(body.sql, service.world.catalogue, user, body.as_of or datetime.now(UTC), limits)
    return {
        "allowed": verdict.allowed,
        "rule": verdict.rule,
        "message": verdict.message,
        "sql": verdict.sql,
        "views": list(verdict.views),
    }


@router.get("/alerts")
def alerts(service: Parts, asker: Asker, limit: Annotated[int, Query(ge=1, le=MAX_ALERTS)] = 50) -> dict[str, Any]:
    """The newest alerts that the role may see."""
    return {"alerts": service.world.alerts(asker, limit)}


@router.post("/feedback")
def feedback(service: Parts, body: Feedback, asker: Asker) -> dict[str, str]:
    """Note whether an answer was right. Comments may name people and can be erased; the record cannot."""
    service.limit.take(asker.user_id)
    service.world.record_event("FEEDBACK", {"query_id": body.query_id, "verdict": body.verdict, "role": asker.role})
    service.world.keep_feedback(body.query_id, asker.user_id, body.verdict, body.comment)
    return {"state": "noted"}


@router.post("/audit/replay")
def replay(service: Parts, body: Replay, asker: Asker) -> dict[str, Any]:
    """Run a recorded answer again with the rights of who asked, and say whether the result is the same; no rows."""
    from nlq.audit import replay as run

    if asker.role != "auditor":
        raise HTTPException(403, "Only an auditor may replay recorded answers.")
    service.limit.take(asker.user_id)
    try:
        done = run(_engine(service).parts, body.query_id)
    except UnknownQuery:
        raise HTTPException(404, f"The record holds no question {body.query_id!r}.") from None
    return asdict(done) | {"sql": None}


def _denied(request: Request, error: Exception) -> JSONResponse:
    service_of(request).metrics.denied.inc()
    return JSONResponse({"detail": str(error)}, 401, {"WWW-Authenticate": "Bearer"})


def _too_many(_: Request, error: Exception) -> JSONResponse:
    retry = error.retry_s if isinstance(error, TooManyQuestions) else 60
    return JSONResponse({"detail": str(error)}, 429, {"Retry-After": str(round(retry) + 1)})


def _no_record(_: Request, error: Exception) -> JSONResponse:
    log.error("record unavailable: %s", error)
    return JSONResponse({"detail": NO_RECORD}, 503)


def _not_ready(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "5"})


def _unusable(_: Request, error: Exception) -> JSONResponse:
    # What was sent is not sent back: it may hold what cannot be written as UTF-8, or what nobody should repeat.
    wrong = error.errors() if isinstance(error, RequestValidationError) else []
    places = "; ".join(f"{'.'.join(str(part) for part in e['loc'][1:])}: {e['msg']}" for e in wrong)
    return JSONResponse({"detail": places.encode("utf-8", "replace").decode() or "The request cannot be read."}, 422)


def _refused_change(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 409)


async def _with_headers(request: Request, call_next: Any) -> Response:
    response: Response = await call_next(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _streamed(work: Callable[[Callable[[str], None]], dict[str, Any]]) -> Iterator[str]:
    """Run `work(progress)` on a thread and give its stages and its result as lines of JSON."""
    events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def run() -> None:
        try:
            events.put(work(lambda stage: events.put({"event": "stage", "stage": stage})))
        except RecordUnavailable as error:
            log.error("record unavailable: %s", error)
            events.put({"event": "error", "status": 503, "message": NO_RECORD})
        except Exception as error:  # noqa: BLE001 - the boundary of a request; an unknown fault can hold row values
            log.error("question failed: %s", redact(repr(error)))
            events.put({"event": "error", "status": 500, "message": "The question failed because of a fault here."})

    threading.Thread(target=run, name="ask", daemon=True).start()
    while True:
        try:
            event = events.get(timeout=HEARTBEAT_S)
        except queue.Empty:
            yield "\n"  # keeps proxies and clients from thinking that nobody is there
            continue
        yield json.dumps(event, default=str) + "\n"
        if event["event"] != "stage":
            return
