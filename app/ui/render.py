"""An answer on the page. Text out of data and models is shown as it stands, never as Markdown or HTML."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import streamlit as st

from app.ui.view_model import (
    Chart,
    chart_for,
    count_text,
    csv_bytes,
    instant_text,
    ledger_rows,
    offset_rows,
    plain,
    scalar,
    seconds_text,
    timing_rows,
)
from nlq.contracts import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from app.ui.conversation import Exchange
    from nlq.contracts import Answer

INK, GRID = "#1f4e79", "#e6e9ed"
SHOWN_ROWS = 1_000
NOTES = {
    Status.UNANSWERABLE: ":material/database_off: **The data for this is not here**",
    Status.REFUSED: ":material/block: **Refused**",
    Status.FAILED: ":material/error: **Failed**",
    Status.CLARIFY: ":material/help: **One question back**",
}


def show_exchange(
    exchange: Exchange, key: str, ask: Callable[[str], None], say: Callable[[Exchange, str], None], *, newest: bool
) -> None:
    """A question and what came of it. `ask` continues the conversation; `say` takes feedback."""
    with st.chat_message("user", avatar=":material/person:"):
        st.text(exchange.question)
    with st.chat_message("assistant", avatar=":material/query_stats:"):
        if exchange.error is not None:
            st.error(plain(exchange.error), icon=":material/cloud_off:")
        elif exchange.answer is not None:
            _show_answer(exchange.answer, key, ask, newest=newest)
            _show_foot(exchange, exchange.answer, key, say)


def _show_answer(answer: Answer, key: str, ask: Callable[[str], None], *, newest: bool) -> None:
    if answer.status is not Status.ANSWERED:
        st.markdown(NOTES[answer.status])
    if answer.reading:
        st.text(answer.reading)
    if answer.clarification is not None:
        st.text(answer.clarification.question)
        for number, choice in enumerate(answer.clarification.choices):
            st.button(
                plain(choice), key=f"{key}-choice-{number}", on_click=ask, args=(choice,), disabled=not newest,
                icon=":material/subdirectory_arrow_right:",
            )  # fmt: skip
    if answer.reason:
        st.text(answer.reason)
    if answer.table is not None:
        _show_table(answer.table, key, truncated=answer.truncated)
    if answer.draft and answer.status is not Status.ANSWERED:
        with st.expander("Show unverified draft", icon=":material/draft:"):
            st.caption("Nobody vouches for this SQL: it was not run, since not every word could be tied to the data.")
            st.code(answer.draft, language="sql", wrap_lines=True)


def _show_table(table: pa.Table, key: str, *, truncated: bool) -> None:
    if (single := scalar(table)) is not None:
        st.metric(plain(single[0]), single[1])
        return
    if table.num_rows == 0:
        st.caption("No rows.")
        return
    if (chart := chart_for(table)) is not None:
        as_chart, as_table = st.tabs(["Chart", "Table"])
        with as_chart:
            _show_chart(table, chart)
        with as_table:
            _show_grid(table, key, truncated=truncated)
    else:
        _show_grid(table, key, truncated=truncated)


def _show_grid(table: pa.Table, key: str, *, truncated: bool) -> None:
    frame = table.slice(0, SHOWN_ROWS).to_pandas()
    height = min(35 * (len(frame) + 1) + 3, 420)
    st.dataframe(frame, hide_index=True, width="stretch", height=height, column_config=_columns(table), key=f"{key}-t")
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
    y = alt.Y(f"{_name(chart.y)}:Q", title=chart.y.replace("_", " "))
    if chart.kind == "bar":
        x = alt.X(f"{_name(chart.y)}:Q", title=chart.y.replace("_", " "))
        rows = alt.Y(f"{_name(chart.x)}:N", sort=None, title=None, axis=alt.Axis(labelLimit=180))
        bars = alt.Chart(frame).mark_bar(color=INK, cornerRadiusEnd=2, height={"band": 0.7}).encode(x=x, y=rows)
        drawn = bars.properties(height=alt.Step(26))
    else:
        moments = frame[chart.x]
        short = (moments.max() - moments.min()).total_seconds() < 86_400 if hasattr(moments.iloc[0], "hour") else False
        axis = alt.Axis(format="%H:%M" if short else "%d %b", labelOverlap=True)
        x = alt.X(f"{_name(chart.x)}:T", title=None, scale=alt.Scale(type="utc"), axis=axis)
        lines = alt.Chart(frame).mark_line(color=INK, strokeWidth=1.75)
        if chart.series:
            drawn = lines.encode(x=x, y=y, color=alt.Color(f"{_name(chart.series)}:N", title=None))
        else:
            drawn = lines.encode(x=x, y=y)
        drawn = drawn.properties(height=260)
    styled = drawn.configure_view(stroke=None).configure_axis(gridColor=GRID, domainColor=GRID, tickColor=GRID)
    st.altair_chart(styled, width="stretch")


def _name(column: str) -> str:
    """A column name in Altair's shorthand, where dots, brackets and colons have a meaning."""
    return "".join(f"\\{c}" if c in r".[]:\'" + '"' else c for c in column)


def _show_foot(exchange: Exchange, answer: Answer, key: str, say: Callable[[Exchange, str], None]) -> None:
    if answer.sql or answer.grounding:
        _show_evidence(answer)
    left, middle, right = st.columns([6, 1.1, 1.1], vertical_alignment="center")
    left.caption(_freshness(answer, exchange.seconds))
    if answer.table is not None and answer.table.num_rows:
        middle.download_button(
            "CSV", csv_bytes(answer.table), file_name=f"{answer.query_id}.csv", mime="text/csv", key=f"{key}-csv",
            icon=":material/download:", type="tertiary",
        )  # fmt: skip
    with right:
        thumb = st.feedback("thumbs", key=f"{key}-thumb")
    verdict = {0: "wrong", 1: "right"}.get(thumb) if thumb is not None else None
    if verdict and verdict != exchange.feedback:
        say(exchange, verdict)


def _show_evidence(answer: Answer) -> None:
    """Everything that lets a reader check the answer, folded away."""
    with st.expander("How this answer came about", icon=":material/rule:"):
        sql, words, sources, times = st.tabs(["SQL that ran", "Words and predicates", "What was read", "Time taken"])
        with sql:
            if answer.sql:
                st.code(answer.sql, language="sql", wrap_lines=True)
            else:
                st.caption("Nothing ran.")
        with words:
            st.table(ledger_rows(answer.grounding), border="horizontal")
        with sources:
            st.table(offset_rows(answer.offsets, answer.versions), border="horizontal")
        with times:
            st.table(timing_rows(answer.timings), border="horizontal")
            if answer.confidence is not None:
                st.caption(plain(f"Confidence {answer.confidence:.0%}, from {answer.origin or 'unknown'}."))


def _freshness(answer: Answer, seconds: float) -> str:
    parts = []
    if answer.as_of is not None:
        parts.append(f"as of {instant_text(answer.as_of)}")
        age = (datetime.now(UTC) - answer.as_of).total_seconds()
        if age > 86_400:
            parts.append(f"{seconds_text(age)} ago")
    if answer.views:
        parts.append(f"read {', '.join(answer.views)}")
    parts.append(f"took {seconds_text(seconds)}")
    parts.append(answer.query_id)
    return plain(" · ".join(parts))
