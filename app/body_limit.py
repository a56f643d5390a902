"""No request may be larger than any of ours needs: a body is read before anybody is asked who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 1_000_000
"""Bytes. The largest honest one is a question with twenty earlier statements."""


class _TooLarge(Exception):
    pass


class BodyLimit:
    """Answers 413 to a request whose body is, or grows, larger than the limit."""

    def __init__(self, app: App, largest: int = LARGEST_BODY) -> None:
        self._app, self._largest = app, largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._largest:
                raise _TooLarge
            return message

        try:
            if not declared.isdigit() or int(declared) > self._largest:
                raise _TooLarge
            await self._app(scope, counted, send)
        except _TooLarge:
            refusal = JSONResponse({"detail": f"A request has at most {self._largest:,} bytes."}, 413)
            await refusal(scope, receive, send)
