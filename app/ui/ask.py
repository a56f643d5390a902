"""The chat: a question, what came of it, and how it goes on."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.ui.conversation import KEPT, Exchange, case_reference, chosen_as_of, conversation, take_now
from app.ui.examples import examples_for
from app.ui.render import Actions, show_exchange
from app.ui.running import Running
from app.ui.view_model import instant_text, plain, seconds_text, stage_text
from nlq.client import ServiceError
from nlq.contracts import Answer, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlq.client import Client


LOOK_S = 0.1


def ask(question: str) -> None:
    """Take a question; it is asked in the run that follows."""
    st.session_state.pending = question


def ask_page(client: Client, person: Mapping[str, Any]) -> None:
    """Everything, top to bottom."""
    talk = conversation()
    as_of = chosen_as_of()
    _earlier_note(as_of)
    if typed := st.chat_input(
        "Ask about orders, trades, quotes, alerts …" if as_of is None else f"Ask as of {instant_text(as_of)} …",
        max_chars=2_000,
        submit_mode="disable",
    ):
        ask(typed)
    running = _under_way(client, as_of)
    welcome = st.empty()  # a slot of its own, so that it goes at once when a question comes
    if not talk.exchanges and running is None:
        with welcome.container():
            _welcome(str(person["role"]))
    actions = Actions(ask=ask, client=client, run_sql=lambda e, sql: _run_sql(client, e, sql), say=_feedback)
    for number, exchange in enumerate(talk.exchanges):
        newest = number == len(talk.exchanges) - 1 and running is None
        show_exchange(exchange, f"x{exchange.number}", actions, newest=newest)
    if running is not None:
        _watch(running)
        st.session_state.pop("running", None)
        _keep(running.exchange)
        st.rerun()


def _keep(exchange: Exchange) -> None:
    talk = conversation()
    talk.asked += 1
    exchange.number = talk.asked - 1
    talk.exchanges.append(exchange)
    del talk.exchanges[:-KEPT]


def _earlier_note(as_of: datetime | None) -> None:
    if as_of is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="earlier"):
        st.warning(plain(f"Questions are answered as of {instant_text(as_of)}, not now."), icon=":material/history:")
        st.button("Back to now", on_click=take_now, key="back-to-now", icon=":material/sensors:")


def _welcome(role: str) -> None:
    st.header("What would you like to know?", anchor=False)
    st.markdown(
        "Ask in plain English. Each answer says how your question was understood, which data was read and from when. "
        "If something is unclear you are asked back, and nothing is guessed."
    )
    columns = st.columns(2)
    for number, example in enumerate(examples_for(role)):
        columns[number % 2].button(
            plain(example), key=f"example-{number}", on_click=ask, args=(example,), width="stretch"
        )


def _under_way(client: Client, as_of: datetime | None) -> Running | None:
    """The question that is being answered; one that was just typed begins."""
    held: Running | None = st.session_state.get("running")
    if held is not None:
        return held
    question = st.session_state.pop("pending", None)
    if question is None:
        return None
    running = Running(exchange=Exchange(question=question, as_of=as_of))
    purpose = case_reference()
    history = conversation().history()
    running.start(
        lambda progress: client.ask(question, as_of=as_of, history=history, purpose=purpose, progress=progress)
    )
    st.session_state.running = running
    return running


def _watch(running: Running) -> None:
    """Show the stages as they begin, until the answer is there."""
    with st.chat_message("user", avatar=":material/person:"):
        st.text(running.exchange.question)
    with (
        st.chat_message("assistant", avatar=":material/query_stats:"),
        st.status("Reading the question", expanded=True) as status,
    ):
        shown = 0
        while not running.done.wait(LOOK_S):
            for after, stage in running.stages[shown:]:
                status.update(label=stage_text(stage))
                st.caption(f"{seconds_text(after)}  {stage_text(stage)}")
                shown += 1


def _run_sql(client: Client, origin: Exchange, sql: str) -> None:
    """Run SQL that a person wrote or took over; its result is theirs and is shown as such."""
    began = time.monotonic()
    exchange = Exchange(question=origin.question, as_of=origin.as_of, by_hand=True, at=datetime.now(UTC))
    try:
        as_of = origin.answer.as_of if origin.answer is not None else origin.as_of
        exchange.answer = client.sql(sql, as_of=as_of, purpose=case_reference())
    except ServiceError as error:
        exchange.error = str(error)
    exchange.seconds = time.monotonic() - began
    _keep(exchange)


def _feedback(client: Client, exchange: Exchange, verdict: str) -> None:
    answer: Answer | None = exchange.answer
    if answer is None or answer.status not in set(Status):
        return
    try:
        client.feedback(answer.query_id, verdict)
    except ServiceError as error:
        st.toast(plain(str(error)))
    else:
        exchange.feedback = verdict
        st.toast("Noted, thank you." if verdict == "right" else "Noted. You can correct it below.")
