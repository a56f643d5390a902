"""Small looks at what runs: is a port free, does the service answer, does the page, does the model."""

from __future__ import annotations

import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.run_state import RunState

if TYPE_CHECKING:
    from app.settings import Settings

MODEL_TTL_S = 5.0
"""Status is asked for every few seconds by every open page; the model is looked at once for all of them."""


class PortTaken(RuntimeError):
    """A port that is needed cannot be used; the message names it, and the setting for another."""


def check_ports(settings: Settings, *, with_ui: bool, with_broker: bool = False) -> None:
    """See that nobody else listens where service, page and embedded broker will.

    Raises:
        PortTaken: somebody does.
    """
    wanted = [("service", settings.host, settings.port, "NLQ_PORT")]
    if with_ui:
        wanted.append(("chat page", "127.0.0.1", settings.ui_port, "NLQ_UI_PORT"))
    if with_broker and settings.kafka is None and settings.kafka_port:
        # The service is started beside the broker: it must not find a stranger's there.
        wanted.append(("broker", "127.0.0.1", settings.kafka_port, "NLQ_KAFKA_PORT"))
    for what, host, port, variable in wanted:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise PortTaken(
                    f"{what}: port {port} on {host} cannot be used ({error.strerror}). Stop the program that has "
                    f"it, or name another port in {variable}."
                ) from error


def service_health(settings: Settings) -> dict[str, Any]:
    """What `/healthz` says; empty when nobody answers."""
    try:
        with _open(settings, f"{settings.url}/healthz", 5.0) as response:
            body: dict[str, Any] = json.load(response)
            return body
    except (OSError, ValueError, urllib.error.URLError):
        return {}


def page_answers(settings: Settings) -> bool:
    """Whether the chat page can be opened."""
    scheme = "https" if settings.tls_certificate else "http"
    host = "127.0.0.1" if settings.on_loopback else settings.host
    try:
        with _open(settings, f"{scheme}://{host}:{settings.ui_port}/_stcore/health", 1.0) as response:
            return bool(response.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _open(settings: Settings, address: str, timeout_s: float) -> Any:
    # Our own processes, and nothing secret in either direction: the certificate need not name this address.
    context = ssl._create_unverified_context() if settings.tls_certificate else None  # noqa: S323, SLF001
    return urllib.request.urlopen(address, timeout=timeout_s, context=context)  # noqa: S310


class ModelLook:
    """Whether the language model answers: `ready`, `loading`, `unreachable` or `none`, with words where it is not well."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held: tuple[float, tuple[str, str]] | None = None

    def __call__(self) -> tuple[str, str]:
        """State and detail; looked at anew at most every few seconds."""
        if self._held is None or time.monotonic() - self._held[0] > MODEL_TTL_S:
            self._held = (time.monotonic(), self._look())
        return self._held[1]

    def _look(self) -> tuple[str, str]:
        llm, ours = self._settings.llm, self._settings.llm_model == "embedded"
        run = RunState.load(self._settings.data)
        fault = run.failed.get("model", "") if run is not None else ""
        if llm is None or llm == "embedded":
            return "none", fault
        if _connects(llm):
            return "ready", ""
        if not ours:
            return "unreachable", f"nothing answers at {urlsplit(llm).hostname}; see NLQ_LLM_URL"
        return ("unreachable", fault) if fault else ("loading", "the language model is being loaded")


def _connects(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection(
            (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)), 1.0
        ):
            return True
    except OSError:
        return False
