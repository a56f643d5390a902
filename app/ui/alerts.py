"""The alerts: why each was raised, what is known of it, and the steps of its review."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.ui.conversation import case_reference
from app.ui.pages import safely
from app.ui.render import show_grid
from app.ui.view_model import (
    alert_facts,
    alert_report,
    alert_title,
    code_text,
    orders_sql,
    plain,
    reason_text,
    worst_first,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlq.client import Client

OPEN = ("NEW", "IN_REVIEW", "ESCALATED")
CLOSE_AS = ("FALSE_POSITIVE", "CONFIRMED", "REPORTED")
SEVERITY = {"CRITICAL": "red", "HIGH": "orange", "MEDIUM": "blue", "LOW": "gray"}
SHOWN = 200


def alerts_page(client: Client, person: Mapping[str, Any]) -> None:
    """The list, and each alert with its explanation."""
    st.header("Alerts", anchor=False)
    alerts = safely(lambda: client.alerts(limit=SHOWN))
    if alerts is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="alert-filter"):
        shown = st.segmented_control("Show", ["Open", "Closed", "All"], default="Open", key="alerts-shown")
        order = st.segmented_control(
            "Order", ["Worst first", "Newest first"], default="Worst first", key="alerts-order"
        )
        st.button("Refresh", icon=":material/refresh:", key="alerts-refresh")
    chosen = [a for a in alerts if shown in (None, "All") or (a.get("status") in OPEN) == (shown == "Open")]
    chosen = worst_first(chosen) if order != "Newest first" else list(chosen)
    if not chosen:
        st.info("No open alerts." if shown == "Open" else "No alerts.", icon=":material/check_circle:")
    waiting = _waiting(client)
    for number, alert in enumerate(chosen):
        colour = SEVERITY.get(str(alert.get("severity")), "gray")
        head = f":{colour}-badge[{plain(code_text(alert.get('severity')))}]  {plain(alert_title(alert))}"
        status = plain(code_text(alert.get("status")))
        with st.expander(f"{head}  :gray-badge[{status}]", expanded=number == 0 and shown == "Open"):
            _alert(client, person, alert, waiting.get(str(alert["alert_id"])))


def _waiting(client: Client) -> dict[str, str]:
    """Alerts whose closing waits for a second person, with who proposed it."""
    found = safely(client.changes) or {"changes": []}
    return {c["body"]["alert_id"]: c["proposed_by"] for c in found["changes"] if c["kind"] == "alert"}


def _alert(client: Client, person: Mapping[str, Any], alert: Mapping[str, Any], proposed_by: str | None) -> None:
    st.text(str(alert.get("explanation") or "The explanation is not visible in your role."))
    st.table([{"": name, " ": text} for name, text in alert_facts(alert)], border="horizontal", hide_header=True)
    key = str(alert["alert_id"])
    with st.container(horizontal=True, key=f"{key}-actions"):
        sql = orders_sql(alert)
        if sql and st.button("Show the orders", key=f"{key}-orders", icon=":material/search:"):
            st.session_state[f"{key}-shown"] = safely(lambda: client.sql(sql, purpose=case_reference()))
        st.download_button(
            "Draft report", alert_report(alert, str(person["user_id"]), datetime.now(UTC)), file_name=f"{key}.txt",
            mime="text/plain", key=f"{key}-report", icon=":material/description:", on_click="ignore",
        )  # fmt: skip
        if person["role"] == "officer" and alert.get("status") in OPEN:
            _review(client, alert, key, proposed_by)
    _orders(key)


def _orders(key: str) -> None:
    """The orders, when they were asked for: on the record like any question."""
    answer = st.session_state.get(f"{key}-shown")
    if answer is None:
        return
    if answer.table is None:
        st.text(reason_text(answer.reason or "The orders could not be read."))
        return
    st.caption(plain(f"Orders of the trader in the instrument, a minute around the evidence. {answer.query_id}"))
    show_grid(answer.table, f"{key}-grid", truncated=answer.truncated)


def _review(client: Client, alert: Mapping[str, Any], key: str, proposed_by: str | None) -> None:
    if alert.get("status") == "NEW" and st.button("Take up", key=f"{key}-take", icon=":material/assignment_ind:"):
        _set(client, key, "IN_REVIEW")
    if alert.get("status") != "ESCALATED" and st.button("Escalate", key=f"{key}-up", icon=":material/priority_high:"):
        _set(client, key, "ESCALATED")
    if proposed_by is not None:
        st.caption(plain(f"{proposed_by} proposed to close it; a second person decides under Changes."))
        return
    with st.popover("Close …", icon=":material/task_alt:"):
        st.caption("Closing takes effect when a second person approves it.")
        with st.form(f"{key}-close", border=False):
            status = st.radio("As", CLOSE_AS, format_func=code_text, horizontal=True)
            reason = st.text_area("Why", max_chars=1_000, height=90, key=f"{key}-why")
            sent = st.form_submit_button("Propose to close", type="primary", key=f"{key}-send")
        if sent:
            body = {"alert_id": key, "status": status, "reason": reason}
            if safely(lambda: client.propose("alert", body)) is not None:
                st.success("Proposed. It waits under Changes for a second person.")


def _set(client: Client, alert_id: str, status: str) -> None:
    def call() -> bool:
        client.review_alert(alert_id, status)
        return True

    if safely(call):
        st.rerun()
