"""The service over HTTP: who gets in, what comes out, what never does."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import RSAKey

from app.access import Access, AccessDenied, Person, RateLimit, TooManyQuestions
from app.changes import Changes
from app.identity import Identities
from app.serve import end_local_token, local_token
from app.service import build_app
from app.settings import Oidc
from app.world import World
from nlq.client import Client, ServiceError, connect
from nlq.contracts import Principal, Status, Turn
from nlq.record.verify import verify
from streaming.catalogue import Catalogue
from tests.app.fakes import ALERT_ROWS, AS_OF, FakeWorld, by_trader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ISSUER = "https://sso.example"
OIDC = Oidc(issuer=ISSUER, client_id="nlq-ui")
KEY = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


def fetch(url: str) -> Any:
    return {
        f"{ISSUER}/.well-known/openid-configuration": {"jwks_uri": f"{ISSUER}/keys"},
        f"{ISSUER}/keys": {"keys": [KEY.as_dict(private=False)]},
    }[url]


class Setup:
    def __init__(self, data: Path, **world: Any) -> None:
        self.access = Access(data / "access")
        self.access.set_person(Person(user_id="anna", roles=("officer",)))
        self.access.set_person(Person(user_id="sven", roles=("supervisor", "analyst"), desk="Rates"))
        self.access.set_person(Person(user_id="audrey", roles=("auditor",)))
        self.access.set_person(Person(user_id="bo", roles=("officer",)))
        self.token = {name: self.access.new_token(name) for name in ("anna", "bo", "sven", "audrey")}
        self.world = FakeWorld(data, **world)
        self.limit = RateLimit(20)
        self.changes = Changes(data / "access", {}, self.world.record_event)
        self.app = build_app(self.world, Identities(self.access, OIDC, fetch), self.limit, self.changes)
        self.data = data

    def client(self, http: TestClient, who: str = "anna", **options: Any) -> Client:
        http.headers.clear()
        return Client("http://127.0.0.1:8600", self.token.get(who, who), http=http, **options)


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


@pytest.fixture
def http(setup: Setup) -> Iterator[TestClient]:
    with TestClient(setup.app, raise_server_exceptions=False) as client:
        yield client


def test_an_answer_over_http_is_the_same_answer(setup: Setup, http: TestClient) -> None:
    stages: list[str] = []
    answer = setup.client(http).ask("which traders cancel most", progress=stages.append)
    assert stages == ["understand", "check", "execute"]
    assert answer.status is Status.ANSWERED
    assert answer.table is not None
    assert answer.table.equals(by_trader())
    assert answer.as_of == AS_OF
    assert answer.offsets["orders"] == {0: 1_204_551, 1: 1_199_020}
    assert answer.grounding[0].span == (0, 5)
    assert answer.grounding[2].span is None
    assert answer.versions == {"events": 412}
    assert len(answer.to_pandas()) == 7


def test_who_asks_is_what_the_token_says_and_history_travels(setup: Setup, http: TestClient) -> None:
    turn = Turn(question="orders today", sql="SELECT 1")
    setup.client(http, "sven").ask("which of them", history=[turn], as_of=AS_OF, purpose="CASE-1")
    _, user, history = setup.world.fake.asked[-1]
    assert (user.user_id, user.role, user.desk, user.purpose) == ("sven", "supervisor", "Rates", "CASE-1")
    assert history == (turn,)


def test_sql_of_a_person_goes_the_same_way(setup: Setup, http: TestClient) -> None:
    answer = setup.client(http, "sven").sql("SELECT 1", purpose="CASE-2")
    assert answer.status is Status.ANSWERED
    question, user, _ = setup.world.fake.asked[-1]
    assert (question, user.role, user.desk, user.purpose) == ("sql: SELECT 1", "supervisor", "Rates", "CASE-2")


def test_clarification_and_refusal_travel(setup: Setup, http: TestClient) -> None:
    client = setup.client(http)
    asked_back = client.ask("large orders")
    assert asked_back.clarification is not None
    assert asked_back.clarification.choices[1] == "Orders above 1 million USD"
    assert asked_back.draft == "SELECT * FROM orders"
    assert client.ask("delete everything").reason == "CHANGES_DATA: questions only read."


@pytest.mark.parametrize(
    "token",
    [None, "nlq_0000_wrong", "nlq_", "garbage", "a.b.c", "nlq_deadbeef_" + "x" * 43],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/ask"), ("POST", "/sql"), ("POST", "/check"), ("GET", "/status"), ("GET", "/alerts"), ("GET", "/me"),
     ("POST", "/feedback"), ("POST", "/audit/replay")],
)  # fmt: skip
def test_nothing_opens_without_a_sign_in(http: TestClient, token: str | None, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {"question": "x", "sql": "SELECT 1", "query_id": "Q", "verdict": "right"}
    response = http.request(method, path, headers=headers, json=body)
    assert response.status_code == 401
    assert response.json().keys() == {"detail"}


def test_a_role_that_was_taken_away_is_gone_at_the_next_request(setup: Setup, http: TestClient) -> None:
    client = setup.client(http, "sven")
    assert client.who()["roles"] == ["supervisor", "analyst"]
    setup.access.set_person(Person(user_id="sven", roles=("analyst",)))
    assert client.who()["role"] == "analyst"
    setup.access.set_person(Person(user_id="sven", roles=()), active=False)
    with pytest.raises(ServiceError) as refused:
        client.ask("which traders")
    assert refused.value.status == 401
    assert setup.world.fake.asked == []


def test_a_person_takes_only_roles_and_desks_of_their_own(setup: Setup, http: TestClient) -> None:
    assert setup.client(http, "sven", role="analyst").who()["role"] == "analyst"
    for options in ({"role": "officer"}, {"role": "nobody"}, {"desk": "Equities"}):
        with pytest.raises(ServiceError) as refused:
            setup.client(http, "sven", **options).who()
        assert refused.value.status == 401


def test_tokens_are_revoked_expire_and_are_stored_as_hashes(setup: Setup, tmp_path: Path) -> None:
    token = setup.token["anna"]
    assert setup.access.owner(token).user_id == "anna"
    secret = token.rsplit("_", 1)[1] if "_" not in token[13:] else token[13:]
    assert secret.encode() not in (tmp_path / "access" / "access.sqlite").read_bytes()
    assert not (tmp_path / "access" / "access.sqlite").stat().st_mode & 0o077
    with pytest.raises(AccessDenied):
        setup.access.owner(token, now=datetime.now(UTC) + timedelta(days=91))
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), token[:13], token + "x", token.upper()):
        with pytest.raises(AccessDenied):
            setup.access.owner(wrong)
    assert setup.access.revoke(token)
    assert not setup.access.revoke(token)
    with pytest.raises(AccessDenied):
        setup.access.owner(token)
    with pytest.raises(AccessDenied, match="no rights"):
        setup.access.new_token("stranger")


def test_too_many_questions_are_turned_down_by_person(setup: Setup, http: TestClient) -> None:
    for _ in range(20):
        setup.limit.take("anna")
    with pytest.raises(ServiceError) as refused:
        setup.client(http).ask("which traders")
    assert refused.value.status == 429
    assert setup.client(http, "audrey").ask("which traders").status is Status.ANSWERED


def test_the_rate_limit_slides() -> None:
    now = [0.0]
    limit = RateLimit(2, clock=lambda: now[0])
    limit.take("anna")
    now[0] = 30.0
    limit.take("anna")
    with pytest.raises(TooManyQuestions) as full:
        limit.take("anna")
    assert full.value.retry_s == 30.0
    now[0] = 60.0
    limit.take("anna")


def id_token(**changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "nlq-ui", "sub": "u1", "email": "eva@bank.example", "roles": ["officer"]}
    claims |= {"email_verified": True}
    claims |= {"iat": now, "exp": now + 600} | changes
    key = changes.pop("key", KEY)
    claims.pop("key", None)
    return jwt.encode({"alg": "RS256", "kid": KEY.kid}, claims, key)


def test_an_id_token_of_the_provider_opens_with_its_roles(setup: Setup, http: TestClient) -> None:
    assert setup.client(http, id_token()).who()["user_id"] == "eva@bank.example"
    setup.access.set_person(Person(user_id="eva@bank.example", roles=("engineer",)))
    assert setup.client(http, id_token()).who()["role"] == "engineer"  # rights given here go first


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"aud": "other"},
        {"exp": int(time.time()) - 120},
        {"iat": int(time.time()) - 9 * 3600},
        {"nbf": int(time.time()) + 3600},
        {"sub": ""},
        {"roles": []},
        {"roles": ["root"]},
        {"key": RSAKey.generate_key(2048, auto_kid=True)},
    ],
)
def test_other_id_tokens_open_nothing(setup: Setup, http: TestClient, changes: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as refused:
        setup.client(http, id_token(**changes)).who()
    assert refused.value.status == 401


def test_an_unsigned_id_token_opens_nothing(setup: Setup, http: TestClient) -> None:
    head, body, _ = id_token().split(".")
    for forged in (f"eyJhbGciOiJub25lIn0.{body}.", f"{head}.{body}.", f"{head}.{body}.AAAA"):
        with pytest.raises(ServiceError):
            setup.client(http, forged).who()


def test_check_says_the_rule_and_runs_nothing(setup: Setup, http: TestClient) -> None:
    client = setup.client(http)
    allowed = client.check("SELECT COUNT(*) AS n FROM orders")
    assert allowed["allowed"]
    assert "LIMIT" in allowed["sql"]
    assert client.check("SELECT order_id FROM orders WHERE entry_ts < now()")["allowed"]
    refused = client.check("DROP TABLE orders")
    assert (refused["allowed"], refused["sql"]) == (False, None)
    assert not setup.client(http, "audrey").check("SELECT * FROM orders")["allowed"]
    assert setup.world.fake.asked == []


def test_alerts_are_shown_to_roles_that_may_see_them(setup: Setup, http: TestClient) -> None:
    assert [a["alert_id"] for a in setup.client(http).alerts(limit=2)] == [a["alert_id"] for a in ALERT_ROWS[:2]]
    assert setup.client(http, "sven").alerts() == []  # nobody is tipped off


def test_a_fault_shows_no_row_and_no_secret(setup: Setup, http: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ServiceError) as failed:
        setup.client(http).ask("boom")
    for text in (str(failed.value), caplog.text):
        assert "hunter2" not in text


def test_without_a_record_nothing_runs(setup: Setup, http: TestClient) -> None:
    setup.world.fake.record.close()
    with pytest.raises(ServiceError, match="record") as failed:
        setup.client(http).ask("which traders")
    assert failed.value.status == 503


def test_every_question_is_on_the_record(setup: Setup, http: TestClient) -> None:
    answer = setup.client(http).ask("which traders")
    setup.client(http).feedback(answer.query_id, "wrong", "Kim Lund is missing, mail kim@example.org")
    rows = setup.world.fake.record.rows().to_pylist()
    assert [(r["query_id"], r["user_id"]) for r in rows] == [(answer.query_id, "anna")]
    assert verify(setup.data / "record").intact
    kept = json.loads((setup.data / "feedback.jsonl").read_text())
    assert (kept["verdict"], kept["user"]) == ("wrong", "anna")
    assert "kim@example.org" not in kept["comment"]
    assert b"Kim Lund" not in (setup.data / "record" / "record.jsonl").read_bytes()


def test_only_auditors_replay(setup: Setup, http: TestClient) -> None:
    with pytest.raises(ServiceError) as refused:
        setup.client(http).replay("Q-1")
    assert refused.value.status == 403


def test_a_world_that_still_starts_says_so(tmp_path: Path) -> None:
    setup = Setup(tmp_path, ready=False)
    with TestClient(setup.app) as http:
        assert http.get("/healthz").json() == {"state": "starting", "detail": "starting up"}
        with pytest.raises(ServiceError, match="starting") as refused:
            setup.client(http).ask("which traders")
        assert refused.value.status == 503


def test_metrics_count_outcomes_and_name_nobody(setup: Setup, http: TestClient) -> None:
    setup.client(http).ask("which traders")
    setup.client(http).ask("large orders")
    http.headers.clear()
    text = http.get("/metrics").text
    assert 'nlq_questions_total{status="ANSWERED"} 1.0' in text
    assert 'nlq_questions_total{status="CLARIFY"} 1.0' in text
    assert "nlq_ready 1.0" in text
    assert "nlq_stream_lag 118.0" in text
    assert "anna" not in text


def test_answers_are_not_cached_and_not_framed(http: TestClient) -> None:
    headers = http.get("/healthz").headers
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    "body",
    [{}, {"question": "x" * 4_001}, {"question": "x", "as_of": "2026-11-09T15:30:00"}, {"question": "x", "history": 3}],
)
def test_unusable_requests_are_turned_down(setup: Setup, http: TestClient, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {setup.token['anna']}"}
    assert http.post("/ask", json=body, headers=headers).status_code == 422
    assert setup.world.fake.asked == []


def test_a_token_never_travels_in_clear_to_another_machine() -> None:
    with pytest.raises(ValueError, match="https"):
        connect("http://surveillance.bank.example:8600", "nlq_x")
    with pytest.raises(ValueError, match="address"):
        connect("surveillance.bank.example")


def test_no_service_there_names_the_address_and_the_fix() -> None:
    with connect("http://127.0.0.1:9", "nlq_x") as client, pytest.raises(ServiceError, match=r"127.0.0.1:9.*nlq up"):
        client.status()


@pytest.mark.parametrize("claims", [{"email_verified": False}, {"email_verified": None}, {"email_verified": "true"}])
def test_an_address_that_nobody_checked_brings_nobodys_rights(
    setup: Setup, http: TestClient, claims: dict[str, Any]
) -> None:
    """Many providers let people write any address into their own profile."""
    setup.access.set_person(Person(user_id="eva@bank.example", roles=("auditor",)))
    who = setup.client(http, id_token(preferred_username="eva@bank.example", **claims)).who()
    assert (who["user_id"], who["role"]) == ("u1", "officer")


def test_the_claim_that_names_people_can_be_set(setup: Setup) -> None:
    named = Identities(setup.access, Oidc(issuer=ISSUER, client_id="nlq-ui", user_claim="oid"), fetch)
    assert named.person(f"Bearer {id_token(oid='o-77')}").user_id == "o-77"
    with pytest.raises(AccessDenied, match="names nobody"):
        named.person(f"Bearer {id_token()}")


@pytest.mark.parametrize("sub", ["local", "a\u202eb", "x" * 300, "a\nb"])
def test_no_sign_in_takes_a_name_that_is_none(setup: Setup, http: TestClient, sub: str) -> None:
    with pytest.raises(ServiceError) as refused:
        setup.client(http, id_token(sub=sub, email_verified=False)).who()
    assert refused.value.status == 401


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_without_end_is_turned_down_before_it_is_read(http: TestClient, chunked: bool) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 100_000
            yield b"x" * 100_000

    response = http.post("/ask", content=chunks() if chunked else b"x" * 2_000_000)
    assert response.status_code in (400, 413)


def test_an_unreadable_request_is_not_sent_back(setup: Setup, http: TestClient) -> None:
    headers = {"Authorization": f"Bearer {setup.token['anna']}", "Content-Type": "application/json"}
    response = http.post("/ask", content='{"question": "\\ud800 hunter2"}', headers=headers)
    assert response.status_code == 422
    assert "question" in response.json()["detail"]
    assert "hunter2" not in response.text
    deep = http.post("/ask", content=b'{"question":"x","history":' + b"[" * 100_000, headers=headers)
    assert deep.status_code in (400, 422)


def test_feedback_counts_against_the_limit(setup: Setup, http: TestClient) -> None:
    for _ in range(20):
        setup.limit.take("anna")
    with pytest.raises(ServiceError) as refused:
        setup.client(http).feedback("Q-1", "right")
    assert refused.value.status == 429


def test_the_token_of_this_machine_ends_with_the_development_sign_in(tmp_path: Path) -> None:
    access = Access(tmp_path / "access")
    token = local_token(access, tmp_path, Catalogue.load()).read_text()
    assert "officer" in access.owner(token).roles
    end_local_token(access, tmp_path)
    with pytest.raises(AccessDenied):
        access.owner(token)
    assert not (tmp_path / "access" / "local.token").exists()
    again = local_token(access, tmp_path, Catalogue.load()).read_text()
    assert access.owner(again).user_id == "local"


def test_alerts_are_read_once_for_all_pages_of_the_same_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, asked = World(Catalogue.load(), lambda _: None, name="x", data=tmp_path), []  # type: ignore[arg-type, return-value]
    world.engine = SimpleNamespace(parts=SimpleNamespace(purpose_views=frozenset()))  # type: ignore[assignment]
    monkeypatch.setattr(
        world, "rows", lambda sql, user: asked.append(sql) or [{"alert_id": str(n)} for n in range(200)]
    )
    officer = Principal(user_id="anna", role="officer")
    sizes = [len(world.alerts(officer, limit)) for limit in (1, 7, 200)]
    assert (sizes, len(asked)) == ([1, 7, 200], 1)
    world.alerts(Principal(user_id="quinn", role="analyst"), 5)
    assert len(asked) == 2
    world.forget_alerts()
    world.alerts(officer, 5)
    assert len(asked) == 3
