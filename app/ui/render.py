"""An answer on the page. Text out of data and models is shown as it stands, never as Markdown or HTML."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from app.ui.correct import show_editor
from app.ui.view_model import (
    ORIGINS,
    Chart,
    assumptions,
    chart_for,
    count_text,
    csv_bytes,
    instant_text,
    ledger_rows,
    offset_rows,
    one_row,
    plain,
    reading_text,
    reason_text,
    scalar,
    seconds_text,
    timing_rows,
)
from nlq.contracts import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from app.ui.conversation import Exchange
    from nlq.client import Client
    from nlq.contracts import Answer

INK, GRID, LABEL = "#1f4e79", "#e6e9ed", "#3f4b59"
LINES = ["#1f4e79", "#b3541e", "#3b7a57", "#7a4f9a", "#8c6d1f", "#a8324a", "#4a6a78", "#5c5c5c"]
"""Dark enough on white, and apart from each other for the colour-blind."""
SHOWN_ROWS = 1_000
NOTES = {
    Status.UNANSWERABLE: ("The data for this is not here", ":material/database_off:", "blue"),
    Status.REFUSED: ("Not allowed", ":material/block:", "red"),
    Status.FAILED: ("This did not work", ":material/error:", "red"),
    Status.CLARIFY: ("One question back", ":material/help:", "blue"),
}


@dataclass(frozen=True, kw_only=True)
class Actions:
    """What can be done from an answer."""

    ask: Callable[[str], None]
    """Continue the conversation."""
    client: Client
    run_sql: Callable[[Exchange, str], None]
    say: Callable[[Client, Exchange, str], None]
    """Take feedback."""


def show_exchange(exchange: Exchange, key: str, actions: Actions, *, newest: bool) -> None:
    """A question and what came of it."""
    with st.chat_message("user", avatar=":material/person:"):
        st.text(exchange.question)
    with st.chat_message("assistant", avatar=":material/query_stats:"):
        if exchange.error is not None:
            st.error(plain(exchange.error), icon=":material/cloud_off:")
            st.button(
                "Ask again", key=f"{key}-again", on_click=actions.ask, args=(exchange.question,), disabled=not newest,
                icon=":material/refresh:",
            )  # fmt: skip
        elif exchange.answer is not None:
            _show_answer(exchange, exchange.answer, key, actions, newest=newest)
            _show_foot(exchange, exchange.answer, key, actions)


def _show_answer(exchange: Exchange, answer: Answer, key: str, actions: Actions, *, newest: bool) -> None:
    if exchange.by_hand:
        st.badge(
            "Your own SQL: nobody has checked that it answers the question", icon=":material/edit:", color="orange"
        )
    if answer.status is not Status.ANSWERED:
        words, icon, colour = NOTES[answer.status]
        st.badge(words, icon=icon, color=colour)
    elif not exchange.by_hand:
        if answer.origin == "verified":
            st.badge("Approved question", icon=":material/verified:", color="green", help=ORIGINS["verified"])
        if answer.reading and not answer.reading.startswith(f"As the approved question {exchange.question!r}"):
            st.text(reading_text(answer.reading))
    if answer.clarification is not None:
        st.text(answer.clarification.question)
        for number, choice in enumerate(answer.clarification.choices):
            st.button(
                plain(choice), key=f"{key}-choice-{number}", on_click=actions.ask, args=(choice,), disabled=not newest,
                icon=":material/subdirectory_arrow_right:",
            )  # fmt: skip
    if answer.reason:
        st.text(reason_text(answer.reason))
    if answer.table is not None:
        _show_table(answer.table, key, truncated=answer.truncated)
    if assumed := assumptions(answer.grounding):
        st.caption(plain("Taken for granted: " + "; ".join(assumed) + "."))
    if answer.draft and answer.status is not Status.ANSWERED:
        with st.expander("Unverified draft", icon=":material/draft:"):
            if answer.reading:
                st.caption(plain(f"It would answer: {reading_text(answer.reading)}"))
            st.caption(
                "This was not run, because not every word of your question could be tied to the data. You may correct "
                "it, run it as your own, and propose it for approval."
            )
            show_editor(exchange, answer.draft, key, actions.client, actions.run_sql)


def _show_table(table: pa.Table, key: str, *, truncated: bool) -> None:
    if (single := scalar(table)) is not None:
        st.metric(plain(single[0]), single[1])
        return
    if table.num_rows == 0:
        st.caption("No rows.")
        return
    if (facts := one_row(table)) is not None:
        with st.container(horizontal=True, gap="large", key=f"{key}-facts"):
            for name, value in facts:
                st.metric(plain(name), value, width="content")
        return
    if (chart := chart_for(table)) is not None:
        as_chart, as_table = st.tabs(["Chart", "Table"])
        with as_chart:
            _show_chart(table, chart)
        with as_table:
            show_grid(table, key, truncated=truncated)
    else:
        show_grid(table, key, truncated=truncated)


def show_grid(table: pa.Table, key: str, *, truncated: bool) -> None:
    """A result as a table that can be sorted and searched, with what is not shown."""
    frame = table.slice(0, SHOWN_ROWS).to_pandas()
    height = min(35 * (len(frame) + 1) + 3, 420)
    st.dataframe(
        frame, hide_index=True, width="stretch", height=height, column_config=_columns(table), key=f"{key}-t",
        alt=f"Result with {table.num_rows} rows: {', '.join(table.column_names)}",
    )  # fmt: skip
    notes = [f"{count_text(table.num_rows)} row{'s' if table.num_rows != 1 else ''}"]
    if table.num_rows > SHOWN_ROWS:
        notes.append(f"the first {count_text(SHOWN_ROWS)} are shown")
    if truncated:
        notes.append("cut at the row limit, so totals made from this table would be wrong")
    st.caption(", ".join(notes))


def _columns(table: pa.Table) -> dict[str, object]:
    """How columns are shown. Every text is plain text: no links, no images."""
    import pyarrow as pa

    shown: dict[str, object] = {}
    for field in table.schema:
        label = field.name.replace("_", " ")
        if pa.types.is_timestamp(field.type):
            shown[field.name] = st.column_config.DatetimeColumn(label, format="YYYY-MM-DD HH:mm:ss", timezone="UTC")
        elif pa.types.is_floating(field.type) or pa.types.is_integer(field.type):
            shown[field.name] = st.column_config.NumberColumn(label, format="localized")
        elif pa.types.is_string(field.type):
            shown[field.name] = st.column_config.TextColumn(label)
        else:
            shown[field.name] = st.column_config.Column(label)
    return shown


def _show_chart(table: pa.Table, chart: Chart) -> None:
    import altair as alt

    frame = table.to_pandas()
    words = f"{chart.y} by {chart.x}".replace("_", " ")  # read out to who cannot see the chart
    y = alt.Y(f"{_name(chart.y)}:Q", title=chart.y.replace("_", " "))
    if chart.kind == "bar":
        x = alt.X(f"{_name(chart.y)}:Q", title=chart.y.replace("_", " "), axis=alt.Axis(tickCount=6))
        rows = alt.Y(
            f"{_name(chart.x)}:N", sort=None if chart.ranked else "-x", title=None, axis=alt.Axis(labelLimit=180)
        )
        bars = alt.Chart(frame).mark_bar(color=INK, cornerRadiusEnd=2, height={"band": 0.7}).encode(x=x, y=rows)
        drawn = bars.properties(height=alt.Step(26))
    else:
        moments = frame[chart.x]
        short = (moments.max() - moments.min()).total_seconds() < 86_400 if hasattr(moments.iloc[0], "hour") else False
        axis = alt.Axis(format="%H:%M" if short else "%d %b", labelOverlap=True)
        x = alt.X(f"{_name(chart.x)}:T", title=None, scale=alt.Scale(type="utc"), axis=axis)
        lines = alt.Chart(frame).mark_line(color=INK, strokeWidth=1.75)
        if chart.series:
            colours = alt.Color(f"{_name(chart.series)}:N", title=None, scale=alt.Scale(range=LINES))
            drawn = lines.encode(x=x, y=y, color=colours)
        else:
            drawn = lines.encode(x=x, y=y)
        drawn = drawn.properties(height=260)
    styled = (
        drawn.properties(description=words)
        .configure_view(stroke=None)
        .configure_axis(gridColor=GRID, domainColor=GRID, tickColor=GRID, labelColor=LABEL, titleColor=LABEL)
    )
    st.altair_chart(styled, width="stretch")


def _name(column: str) -> str:
    """A column name in Altair's shorthand, where dots, brackets and colons have a meaning."""
    return "".join(f"\\{c}" if c in r".[]:\'" + '"' else c for c in column)


def _show_foot(exchange: Exchange, answer: Answer, key: str, actions: Actions) -> None:
    left, middle, right = st.columns([6, 1.1, 1.1], vertical_alignment="center")
    left.caption(_freshness(exchange, answer))
    if answer.table is not None and answer.table.num_rows:
        middle.download_button(
            "CSV", partial(csv_bytes, answer.table), file_name=f"{answer.query_id}.csv", mime="text/csv", key=f"{key}-csv",
            icon=":material/download:", type="tertiary", on_click="ignore",
        )  # fmt: skip
    with right:
        thumb = st.feedback("thumbs", key=f"{key}-thumb")
    verdict = {0: "wrong", 1: "right"}.get(thumb) if thumb is not None else None
    if verdict and verdict != exchange.feedback:
        actions.say(actions.client, exchange, verdict)
    if exchange.feedback == "wrong" and answer.sql:
        with st.expander("Correct it", icon=":material/edit:", expanded=True):
            show_editor(exchange, answer.sql, f"{key}-fix", actions.client, actions.run_sql)
    if answer.sql or answer.grounding:
        _show_evidence(answer, exchange.seconds)


def _show_evidence(answer: Answer, seconds: float) -> None:
    """Everything that lets a reader check the answer, folded away."""
    with st.expander("How this answer came about", icon=":material/rule:"):
        words, sql, sources, times = st.tabs(["Your words", "SQL", "What was read", "On the record"])
        with words:
            if rows := ledger_rows(answer.grounding):
                st.table(rows, border="horizontal")
            else:
                st.caption("Nothing is noted about the words.")
        with sql:
            if answer.sql:
                st.caption("This ran, after it was checked against your rights.")
                st.code(answer.sql, language="sql", wrap_lines=True)
            else:
                st.caption("Nothing ran.")
        with sources:
            if answer.views:
                st.caption(plain(f"Views: {', '.join(answer.views)}"))
            if rows := offset_rows(answer.offsets, answer.versions):
                st.table(rows, border="horizontal")
        with times:
            st.caption(plain(f"Reference {answer.query_id}. It took {seconds_text(seconds)}."))
            if answer.confidence is not None:
                came = ORIGINS.get(answer.origin or "", answer.origin or "unknown")
                st.caption(plain(f"{came} Confidence {answer.confidence:.0%}."))
            if rows := timing_rows(answer.timings):
                st.table(rows, border="horizontal")


def _freshness(exchange: Exchange, answer: Answer) -> str:
    parts = []
    if answer.as_of is not None and answer.table is not None:
        parts.append(f"Data as of {instant_text(answer.as_of)}")
        age = ((exchange.at or datetime.now(UTC)) - answer.as_of).total_seconds()
        if exchange.as_of is not None:
            parts.append("the earlier time that you chose")
        elif age >= 0:
            parts.append(f"{seconds_text(age)} old when answered")
    parts.append(f"took {seconds_text(exchange.seconds)}")
    return plain(reading_text(" · ".join(parts)))
