"""The chat page: `streamlit run app/ui/main.py`, which `nlq up` does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from app.ui.conversation import KEPT, Exchange, conversation, signed_in_client, who
from app.ui.examples import examples_for
from app.ui.render import show_exchange
from app.ui.sidebar import show_sidebar
from app.ui.view_model import plain, seconds_text, stage_text
from nlq.client import ServiceError

if TYPE_CHECKING:
    from nlq.client import Client

ICON = Path(__file__).with_name("icon.svg")  # a named icon would be fetched from a font server on the internet

st.set_page_config(page_title="Trade surveillance", page_icon=str(ICON), layout="wide")


def ask(question: str) -> None:
    """Take a question; it is asked in the run that follows."""
    st.session_state.pending = question


def page() -> None:
    """Everything, top to bottom."""
    client = signed_in_client()
    person = who(client)
    show_sidebar(client, person, ask)
    talk = conversation()
    if typed := st.chat_input("Ask about orders, trades, quotes, alerts …", max_chars=2_000):
        ask(typed)
    pending = st.session_state.pop("pending", None)
    welcome = st.empty()  # a slot of its own, so that it goes at once when a question comes
    if not talk.exchanges and pending is None:
        with welcome.container():
            _welcome(str(person["role"]))
    for number, exchange in enumerate(talk.exchanges):
        newest = number == len(talk.exchanges) - 1 and pending is None
        show_exchange(exchange, f"x{number}", ask, lambda e, v: _feedback(client, e, v), newest=newest)
    if pending is not None:
        talk.exchanges.append(_answer(client, pending))
        del talk.exchanges[:-KEPT]
        st.rerun()


def _welcome(role: str) -> None:
    st.header("What would you like to know?", anchor=False)
    st.caption(
        "Every answer says how the question was understood, what was read and as of when. When something is not "
        "clear, you are asked back."
    )
    columns = st.columns(2)
    for number, example in enumerate(examples_for(role)):
        columns[number % 2].button(
            plain(example), key=f"example-{number}", on_click=ask, args=(example,), width="stretch"
        )


def _answer(client: Client, question: str) -> Exchange:
    """Ask, with the stages shown as they begin."""
    began = time.monotonic()
    exchange = Exchange(question=question)
    with st.chat_message("user", avatar=":material/person:"):
        st.text(question)
    with (
        st.chat_message("assistant", avatar=":material/query_stats:"),
        st.status("Reading the question", expanded=True) as shown,
    ):

        def progress(stage: str) -> None:
            shown.update(label=stage_text(stage))
            st.caption(f"{seconds_text(time.monotonic() - began)}  {stage_text(stage)}")

        try:
            purpose = st.session_state.get("case", "").strip() or None
            history = conversation().history()
            exchange.answer = client.ask(question, history=history, purpose=purpose, progress=progress)
        except ServiceError as error:
            exchange.error = str(error)
    exchange.seconds = time.monotonic() - began
    return exchange


def _feedback(client: Client, exchange: Exchange, verdict: str) -> None:
    try:
        assert exchange.answer is not None
        client.feedback(exchange.answer.query_id, verdict)
    except ServiceError as error:
        st.toast(plain(str(error)))
    else:
        exchange.feedback = verdict
        st.toast("Noted, thank you.")


page()
