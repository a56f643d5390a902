"""Service and model endpoint over TLS with a certificate of an authority of one's own."""

from __future__ import annotations

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from app.access import Access, Person, RateLimit
from app.changes import Changes
from app.identity import Identities
from app.service import build_app
from app.settings import SettingError, Settings
from nlq.client import ServiceError, connect
from nlq.contracts import Status
from nlq.draft import ModelDrafter, ModelUnreachable
from streaming.catalogue import Catalogue
from tests.app.fakes import FakeWorld
from tests.certificates import self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    self_signed(folder)
    return folder


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[tuple[str, str]]:
    """Address and token of a service with the settings of a certificate."""
    environ = {"NLQ_TLS_CERT": str(folder / "server.pem"), "NLQ_TLS_KEY": str(folder / "server.pem")}
    settings = Settings.from_environ({**environ, "NLQ_DATA": str(folder / "data")})
    access = Access(folder / "access")
    access.set_person(Person(user_id="anna", roles=("officer",)))
    world = FakeWorld(folder)
    app = build_app(world, Identities(access, None), RateLimit(100), Changes(folder / "access", {}, world.record_event))
    config = uvicorn.Config(
        app, port=0, log_config=None, ssl_certfile=settings.tls_certificate, ssl_keyfile=settings.tls_key
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"https://127.0.0.1:{port}", access.new_token("anna")
    server.should_exit = True
    thread.join(10)


def test_the_service_answers_over_tls_to_who_trusts_its_authority(
    service: tuple[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, token = service
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    assert connect(url, token).ask("which traders cancel most").status is Status.ANSWERED


def test_a_stranger_to_the_authority_and_plain_text_get_nothing(
    service: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, token = service
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(ServiceError):
        connect(url, token).ask("which traders cancel most")
    with pytest.raises(ServiceError):
        connect(url.replace("https", "http"), token).ask("which traders cancel most")


class _Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint with one answer."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": "SELECT count(*) AS n FROM orders"}
        body: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        text = json.dumps({**body, "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint(folder: Path) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Endpoint)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_the_model_endpoint_is_reached_over_tls_with_its_own_authority(endpoint: str, folder: Path) -> None:
    settings = Settings.from_environ({"NLQ_LLM_URL": endpoint, "NLQ_LLM_CA_FILE": str(folder / "ca.pem")})
    assert settings.llm is not None
    drafter = ModelDrafter(Catalogue.load(), url=settings.llm, ca_file=settings.llm_ca_file)
    assert drafter.draft("how many orders").sql == "SELECT count(*) AS n FROM orders"


def test_an_unknown_authority_is_not_trusted_with_a_question(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(ModelUnreachable):
        ModelDrafter(Catalogue.load(), url=endpoint).draft("how many orders")


def test_a_missing_authority_is_named() -> None:
    with pytest.raises(SettingError, match=r"NLQ_LLM_CA_FILE=/no/such\.pem is not a file"):
        Settings.from_environ({"NLQ_LLM_CA_FILE": "/no/such.pem"})
