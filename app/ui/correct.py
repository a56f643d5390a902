"""A draft or an answer put right by hand: run as one's own, or proposed for a second person's approval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.ui.view_model import plain
from nlq.client import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.ui.conversation import Exchange
    from nlq.client import Client

MAX_SQL = 20_000


def show_editor(exchange: Exchange, sql: str, key: str, client: Client, run: Callable[[Exchange, str], None]) -> None:
    """A field with the SQL, and what can be done with it."""
    text = st.text_area("SQL", pretty(sql), key=f"{key}-sql", height="content", max_chars=MAX_SQL)
    with st.container(horizontal=True, key=f"{key}-do"):
        if st.button("Run as my own", key=f"{key}-run", icon=":material/play_arrow:"):
            with st.spinner("Running"):
                run(exchange, text)
            st.rerun()
        with st.popover("Propose for approval", icon=":material/how_to_reg:"):
            _propose(exchange, text, key, client)


def _propose(exchange: Exchange, sql: str, key: str, client: Client) -> None:
    st.caption("When a second person approves it, this question is answered with this SQL from then on, for everyone.")
    with st.form(f"{key}-form", border=False):
        question = st.text_input("Question", exchange.question, max_chars=500)
        reading = st.text_input("What it answers, in a sentence", max_chars=500)
        sent = st.form_submit_button("Propose", type="primary")
    if not sent:
        return
    as_of = exchange.answer.as_of if exchange.answer is not None else None
    body = {"question": question, "sql": sql, "reading": reading, "as_of": as_of.isoformat() if as_of else None}
    try:
        change = client.propose("verified_query", body)
    except ServiceError as error:
        st.error(plain(str(error)), icon=":material/error:")
    else:
        st.success(plain(f"Proposed as {change['id']}. It waits under Changes for a second person."))


def pretty(sql: str) -> str:
    """The SQL over several lines, for reading; as it stands where it cannot be parsed."""
    import sqlglot

    try:
        return sqlglot.transpile(sql, read="databricks", write="databricks", pretty=True)[0]
    except sqlglot.errors.SqlglotError:
        return sql
