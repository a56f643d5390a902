"""The development sign-in speaks OpenID Connect, and only to this machine."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.access import Access
from app.dev_signin import development_provider
from app.identity import Identities, principal_for
from app.settings import Oidc
from streaming.catalogue import Catalogue

if TYPE_CHECKING:
    from pathlib import Path

OIDC = Oidc(issuer="http://127.0.0.1:8600/dev-signin", client_id="nlq-ui", development=True)
BACK = "http://localhost:8601/oauth2callback"
VERIFIER = "v" * 48
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {"client_id": "nlq-ui", "redirect_uri": BACK, "state": "s1", "nonce": "n1", "code_challenge": CHALLENGE}


@pytest.fixture
def browser(tmp_path: Path) -> TestClient:
    app = FastAPI()
    app.include_router(development_provider(OIDC, Catalogue.load(), tmp_path / "key.jwk", (BACK,)))
    return TestClient(app, base_url="http://127.0.0.1:8600", follow_redirects=False)


def code_of(browser: TestClient, **form: str) -> str:
    chosen = {"user": "sven", "role": "supervisor", "desk": "Rates", **form}
    response = browser.post("/dev-signin/authorize", params=ASKED, data=chosen)
    assert response.status_code == 303
    back = urlsplit(response.headers["location"])
    assert parse_qs(back.query)["state"] == ["s1"]
    return parse_qs(back.query)["code"][0]


def test_the_whole_way_from_the_page_to_a_principal(browser: TestClient, tmp_path: Path) -> None:
    page = browser.get("/dev-signin/authorize", params=ASKED)
    assert "nobody checks who you are" in page.text
    form = {"code": code_of(browser), "redirect_uri": BACK, "code_verifier": VERIFIER}
    token = browser.post("/dev-signin/token", data=form).json()["id_token"]
    identities = Identities(Access(tmp_path), OIDC, lambda url: browser.get(urlsplit(url).path).json())
    person = identities.person(f"Bearer {token}")
    user = principal_for(person, Catalogue.load())
    assert (user.user_id, user.role, user.desk) == ("sven", "supervisor", "Rates")


def test_a_code_works_once_and_only_with_its_verifier(browser: TestClient) -> None:
    code = code_of(browser)
    wrong = {"code": code, "redirect_uri": BACK, "code_verifier": "x" * 48}
    assert browser.post("/dev-signin/token", data=wrong).status_code == 400
    right = {"code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
    assert browser.post("/dev-signin/token", data=right).status_code == 400  # it was spent


@pytest.mark.parametrize("change", [{"client_id": "other"}, {"redirect_uri": "https://evil.example/steal"}])
def test_unknown_clients_and_addresses_are_turned_down(browser: TestClient, change: dict[str, str]) -> None:
    assert browser.get("/dev-signin/authorize", params={**ASKED, **change}).status_code == 400
    assert browser.post("/dev-signin/authorize", params={**ASKED, **change}, data={"user": "x"}).status_code == 400


def test_an_unknown_role_is_turned_down(browser: TestClient) -> None:
    response = browser.post("/dev-signin/authorize", params=ASKED, data={"user": "x", "role": "root"})
    assert response.status_code == 400


def test_another_machine_or_host_name_gets_nothing(browser: TestClient) -> None:
    assert browser.get("/dev-signin/keys", headers={"host": "surveillance.evil.example"}).status_code == 403
    app = browser.app
    stranger = TestClient(app, base_url="http://127.0.0.1:8600", client=("10.0.0.7", 4711))
    assert stranger.get("/dev-signin/keys").status_code == 403
