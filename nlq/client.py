"""The engine's calls against a running service: `connect(url, token).ask(…)` gives the same `Answer` over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

from nlq.wire import answer_from, turn_to

if TYPE_CHECKING:
    import httpx

    from nlq.contracts import Answer, Turn

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ServiceError(RuntimeError):
    """The service said no or could not be reached; `status` is the HTTP status, 0 when there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def connect(
    url: str = "http://127.0.0.1:8600",
    token: str | None = None,
    *,
    role: str | None = None,
    desk: str | None = None,
    timeout: float = 300.0,
) -> Client:
    """A client of the service at `url`.

    Args:
        url: address of the service.
        token: API token (`nlq token new`) or ID token; says who asks.
        role: one of the person's roles; None is their usual one.
        desk: their desk, where the sign-in does not say it.
        timeout: seconds for one question.

    Raises:
        ValueError: a token would travel unencrypted to another machine.
    """
    return Client(url, token, role=role, desk=desk, timeout=timeout)


class Client:
    """Asks a running service. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        role: str | None = None,
        desk: str | None = None,
        timeout: float = 300.0,
        http: httpx.Client | None = None,
    ) -> None:
        import httpx

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http(s) address such as http://127.0.0.1:8600")
        if token and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError(f"a token may only travel to another machine over https, not to {url!r}")
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {name: value for name, value in (("X-NLQ-Role", role), ("X-NLQ-Desk", desk)) if value}
        self._http = http or httpx.Client(base_url=self.url, timeout=httpx.Timeout(timeout, connect=5.0))
        self._http.headers.update(headers)

    def ask(
        self,
        question: str,
        *,
        as_of: datetime | None = None,
        history: Sequence[Turn] = (),
        purpose: str | None = None,
        progress: Callable[[str], None] = lambda stage: None,
    ) -> Answer:
        """Ask; `progress` is called with each stage's name as it begins. Who asks is what the token says.

        Raises:
            ServiceError: not signed in, too many questions, or no service there.
        """
        body = {
            "question": question,
            "as_of": as_of.isoformat() if as_of else None,
            "history": [turn_to(turn) for turn in history],
            "purpose": purpose,
        }
        return self._answer("/ask", body, progress)

    def sql(self, sql: str, *, as_of: datetime | None = None, purpose: str | None = None) -> Answer:
        """Run SQL of your own, through the same checks and onto the same record as a question.

        Raises:
            ServiceError: not signed in, too many questions, or no service there.
        """
        body = {"sql": sql, "as_of": as_of.isoformat() if as_of else None, "purpose": purpose}
        return self._answer("/sql", body, lambda _: None)

    def check(self, sql: str) -> dict[str, Any]:
        """The guard's verdict on a statement for the role of the token; runs nothing."""
        return dict(self._call("POST", "/check", {"sql": sql}))

    def status(self) -> dict[str, Any]:
        """State of broker, stream, model and service, with freshness and lag."""
        return dict(self._call("GET", "/status"))

    def alerts(self, limit: int = 50, *, timeout: float | None = None) -> list[dict[str, Any]]:
        """The newest alerts that the role may see, newest first; `timeout` in seconds replaces the client's."""
        return list(self._call("GET", f"/alerts?limit={int(limit)}", timeout=timeout)["alerts"])

    def who(self) -> dict[str, Any]:
        """Whom the token stands for, and the roles it may take."""
        return dict(self._call("GET", "/me"))

    def feedback(self, query_id: str, verdict: str, comment: str = "") -> None:
        """Say whether an answer was right; goes on the record."""
        self._call("POST", "/feedback", {"query_id": query_id, "verdict": verdict, "comment": comment})

    def review_alert(self, alert_id: str, status: str) -> None:
        """Take an open alert up (`IN_REVIEW`) or escalate it (`ESCALATED`); closing one is a change of kind `alert`."""
        self._call("POST", f"/alerts/{quote(alert_id, safe='')}", {"status": status})

    def thresholds(self) -> list[dict[str, Any]]:
        """The detectors' thresholds in force; for officers."""
        return list(self._call("GET", "/thresholds")["thresholds"])

    def changes(self) -> dict[str, Any]:
        """Changes that wait (`changes`), were decided (`decided`), and what one's role may do about them."""
        return dict(self._call("GET", "/changes"))

    def propose(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Propose a change (`alert`, `entitlement`, `threshold`, `verified_query`) for a second person to approve.

        Raises:
            ServiceError: not with this role, or it could not take hold as it stands; the message says why.
        """
        return dict(self._call("POST", "/changes", {"kind": kind, "body": dict(body)}))

    def decide(self, change: Mapping[str, Any], *, approve: bool, reason: str = "") -> dict[str, Any]:
        """Approve or reject a change as it was read.

        Raises:
            ServiceError: one's own, decided already, too old, or changed since.
        """
        body = {"hash": change["hash"], "approve": approve, "reason": reason}
        return dict(self._call("POST", f"/changes/{quote(str(change['id']), safe='')}", body))

    def replay(self, query_id: str) -> dict[str, Any]:
        """Run a recorded answer again and compare; for auditors."""
        return dict(self._call("POST", "/audit/replay", {"query_id": query_id}))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, path: str, body: Mapping[str, Any], progress: Callable[[str], None]) -> Answer:
        for event in self._events(path, body):
            match event.get("event"):
                case "stage":
                    progress(str(event.get("stage")))
                case "answer":
                    table = event.get("arrow")
                    return answer_from(event["answer"], base64.b64decode(table) if table else None)
                case "error":
                    raise ServiceError(str(event.get("message")), int(event.get("status") or 500))
        raise ServiceError("the service closed the connection before the answer came")

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> Any:
        import httpx

        options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        try:
            response = self._http.request(method, path, json=body, **options)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        _raise_for(response)
        return response.json()

    def _events(self, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        import httpx

        try:
            with self._http.stream("POST", path, json=body) as response:
                if response.status_code != 200:
                    response.read()
                _raise_for(response)
                for line in response.iter_lines():
                    if line.strip():
                        yield json.loads(line)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ServiceError:
        return ServiceError(f"no service answers at {self.url} ({error}). Start it with `nlq up`.")


def _raise_for(response: httpx.Response) -> None:
    if response.status_code == 200:
        return
    try:
        detail = response.json().get("detail")
    except ValueError:
        detail = response.text[:200]
    raise ServiceError(str(detail or f"the service answered {response.status_code}"), response.status_code)
