"""What one browser session remembers: who asks, the service's client, the questions and answers so far."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from nlq.client import Client, ServiceError
from nlq.contracts import Status, Turn

if TYPE_CHECKING:
    from nlq.contracts import Answer

IDLE_S = 15 * 60.0
MAX_TURNS = 6
"""Earlier questions sent along with a new one."""
NOW, EARLIER = "Now", "Earlier"
KEPT = 30
"""Exchanges kept on the page: tables of long conversations would fill the memory."""


@dataclass
class Exchange:
    """One question with what came of it."""

    question: str
    answer: Answer | None = None
    error: str | None = None
    seconds: float = 0.0
    feedback: str | None = None
    as_of: datetime | None = None
    """The earlier time that was asked for; None for now."""
    at: datetime | None = None
    """When the answer came."""
    by_hand: bool = False
    """The SQL was a person's own, so that nothing vouches for it but they."""
    number: int = 0
    """Place in the conversation, which does not change when old ones go."""


@dataclass
class Conversation:
    """The questions of this session, oldest first."""

    exchanges: list[Exchange] = field(default_factory=list)
    asked: int = 0

    def history(self) -> list[Turn]:
        """Earlier questions that were answered, for follow-ups."""
        turns = [
            Turn(question=e.question, sql=e.answer.sql)
            for e in self.exchanges
            if e.answer is not None and e.answer.status is Status.ANSWERED and e.answer.sql and not e.by_hand
        ]
        return turns[-MAX_TURNS:]


def conversation() -> Conversation:
    """That of this session."""
    if "conversation" not in st.session_state:
        st.session_state.conversation = Conversation()
    held: Conversation = st.session_state.conversation
    return held


def chosen_as_of() -> datetime | None:
    """The earlier time that was picked; None for now."""
    picked = st.session_state.get("as_of") if st.session_state.get("when") == EARLIER else None
    if not isinstance(picked, datetime):
        return None
    return picked.replace(tzinfo=UTC) if picked.tzinfo is None else picked.astimezone(UTC)


def case_reference() -> str | None:
    """What the person gave as the purpose of their questions."""
    return str(st.session_state.get("case") or "").strip() or None


def take_now() -> None:
    """Ask of the newest data again."""
    st.session_state.when = NOW


def signed_in_client() -> Client:
    """The service's client with the rights of who signed in; shows the sign-in page and ends the run otherwise."""
    if (given := st.session_state.get("client")) is not None:
        held: Client = given
        return held
    try:
        known = bool(st.user.is_logged_in)
    except AttributeError:
        st.error("Nobody can sign in here: no provider is set. Name one in NLQ_OIDC_ISSUER (docs/operating.md).")
        st.stop()
    if not known:
        _sign_in_page()
    token = st.user.tokens["id"]
    if is_idle():
        st.session_state.clear()
        st.logout()
    st.session_state.last_seen = time.monotonic()
    return _client(token, st.session_state.get("role"))


def is_idle() -> bool:
    """Whether nobody has done anything for so long that the screen may be unattended; what refreshes itself asks."""
    return time.monotonic() - st.session_state.get("last_seen", time.monotonic()) > IDLE_S


def who(client: Client) -> dict[str, Any]:  # type: ignore[return]  # st.stop() does not return
    """Whose session this is; the sign-in page when the service does not know them (any more)."""
    try:
        return client.who()
    except ServiceError as error:
        if error.status == 401:
            st.warning(str(error))
            st.button("Sign in again", on_click=_leave)
        else:
            st.error(str(error))
            st.button("Try again")
        st.stop()


def _client(token: str, role: str | None) -> Client:
    held = st.session_state.get("held_client")
    if held is None or held[0] != (token, role):
        url = os.environ.get("NLQ_URL", f"http://127.0.0.1:{os.environ.get('NLQ_PORT', '8600')}")
        held = ((token, role), Client(url, token, role=role))
        st.session_state.held_client = held
    client: Client = held[1]
    return client


def _sign_in_page() -> None:
    _, middle, _ = st.columns([1, 1.2, 1])
    with middle:
        st.space("large")
        st.title("Trade surveillance")
        st.write("Ask in plain English about orders, trades, quotes and alerts while they stream in.")
        st.button("Sign in", type="primary", on_click=st.login, width="stretch")
    st.stop()


def _leave() -> None:
    st.session_state.clear()
    if getattr(st.user, "is_logged_in", False):
        st.logout()
