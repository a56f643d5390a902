"""The sidebar: how fresh the data is, what the detectors raised, who is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app.ui.conversation import conversation
from app.ui.view_model import alert_title, count_text, explain_alert_question, instant_text, plain, seconds_text
from nlq.client import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nlq.client import Client

SHOWN_ALERTS = 20
LIST_PX = 340
FIRST_LOOK_S = 2.0
"""How long the page may wait for the first list of alerts before it is shown without."""
SEVERITY = {"CRITICAL": "red", "HIGH": "orange", "MEDIUM": "blue", "LOW": "gray"}


def show_sidebar(client: Client, person: Mapping[str, Any], ask: Callable[[str], None]) -> None:
    """Everything on the left."""
    with st.sidebar:
        st.subheader("Trade surveillance", anchor=False)
        _live(client)
        if "alerts" in person["views"]:
            st.session_state.whole_page = True
            _alerts(client, ask)
            st.session_state.whole_page = False
        st.divider()
        _person(person)


@st.fragment(run_every="3s")
def _live(client: Client) -> None:
    try:
        status = client.status()
    except ServiceError as error:
        st.badge("Not reachable", icon=":material/cloud_off:", color="red")
        st.caption(plain(str(error)))
        return
    stream = status.get("stream") or {}
    if status["state"] != "ready":
        st.badge(status["state"].capitalize(), icon=":material/hourglass_top:", color="orange")
        st.caption(plain(str(status.get("detail") or "")))
        return
    _state(str(stream.get("state") or ""), str(stream.get("detail") or ""), str(status["world"]))
    details = []
    if (age := stream.get("age_s")) is not None:
        st.markdown(f"Newest event **{seconds_text(max(age, 0.0))}** ago")
    if (lag := stream.get("lag")) is not None:
        details.append(f"{count_text(lag)} still to read")
    if (rate := stream.get("rows_per_s")) is not None:
        details.append(f"{count_text(rate)} events/s")
    if (rows := stream.get("live_rows")) is not None:
        details.append(f"{count_text(rows)} live rows")
    if (bad := stream.get("dead_letters")) is not None:
        details.append(f"{count_text(bad)} dead letters")
    if details:
        st.caption(" · ".join(details))
    if as_of := stream.get("as_of"):
        st.caption(f"as of {instant_text(as_of)}")
    if status.get("model") == "none":
        st.caption("No language model: unusual questions are asked back.")


def _state(state: str, detail: str, world: str) -> None:
    """One badge for the state of the stream, and words where it is not well."""
    match state:
        case "RUNNING":
            st.badge("Live", icon=":material/sensors:", color="green")
        case "":
            st.badge(f"Directory {world}", icon=":material/folder:", color="blue")
        case "BROKER_DOWN":
            st.badge("Broker down", icon=":material/cloud_off:", color="red")
            st.caption("Answers come from what was read before. Reading goes on by itself once the broker is back.")
        case "CATCHING_UP":
            st.badge("Catching up", icon=":material/hourglass_top:", color="orange")
        case _:
            st.badge(state.replace("_", " ").capitalize(), icon=":material/hourglass_top:", color="orange")
            st.caption(plain(detail))


@st.fragment(run_every="5s")
def _alerts(client: Client, ask: Callable[[str], None]) -> None:
    st.markdown("**Alerts**")
    try:
        alerts = _newest_alerts(client)
    except ServiceError as error:
        st.caption(plain(str(error)))
        return
    if alerts is None:
        st.caption("Loading …")
        return
    if not alerts:
        st.caption("None so far.")
    with st.container(height=LIST_PX if len(alerts) > 6 else "content", border=False):
        for alert in alerts:
            colour = SEVERITY.get(str(alert.get("severity")), "gray")
            with st.expander(f":{colour}[●] {plain(alert_title(alert))}"):
                _alert(alert, colour, ask)


def _newest_alerts(client: Client) -> list[dict[str, Any]] | None:
    """Alerts for the list. A run of the whole page never waits for a busy engine; the list's own reruns do."""
    if not st.session_state.get("whole_page"):
        st.session_state.alerts = client.alerts(limit=SHOWN_ALERTS)
    elif "alerts" not in st.session_state:
        try:
            st.session_state.alerts = client.alerts(limit=SHOWN_ALERTS, timeout=FIRST_LOOK_S)
        except ServiceError as error:
            if error.status:
                raise
            return None
    alerts: list[dict[str, Any]] = st.session_state.alerts
    return alerts


def _alert(alert: Mapping[str, Any], colour: str, ask: Callable[[str], None]) -> None:
    state = str(alert.get("status") or "").replace("_", " ").capitalize()
    st.markdown(f":{colour}-badge[{plain(str(alert.get('severity') or '').capitalize())}] :gray-badge[{plain(state)}]")
    st.text(str(alert.get("explanation") or "The explanation is not visible in your role."))
    facts = [f"{who}" for who in (alert.get("trader_id"), alert.get("trader_name"), alert.get("desk")) if who]
    facts = [", ".join(facts)] if facts else []
    if alert.get("deviation_score") is not None:
        facts.append(f"{float(alert['deviation_score']):.1f} standard deviations above the trader's norm")
    if alert.get("cancel_ratio") is not None:
        facts.append(f"{float(alert['cancel_ratio']):.0%} of {alert.get('n_orders')} orders cancelled")
    if facts:
        st.caption(plain("; ".join(facts)))
    # A button inside a fragment reruns the fragment alone; the question needs the whole page.
    if st.button("Show the orders", key=f"alert-{alert['alert_id']}", type="tertiary", icon=":material/search:"):
        ask(explain_alert_question(alert))
        st.rerun()


def _person(person: Mapping[str, Any]) -> None:
    st.caption(plain(f"{person['user_id']}" + (f", desk {person['desk']}" if person.get("desk") else "")))
    roles = list(person["roles"])
    if len(roles) > 1:
        chosen = st.selectbox("Role", roles, index=roles.index(person["role"]), key="role-choice")
        if chosen != person["role"]:
            st.session_state.role = chosen
            st.session_state.pop("alerts", None)  # another role may see others
            st.rerun()
    else:
        st.caption(f"Role: {person['role']}")
    st.text_input("Case reference", key="case", max_chars=200, placeholder="optional, goes on the record")
    left, right = st.columns(2)
    if left.button("New chat", icon=":material/add:", width="stretch"):
        conversation().exchanges.clear()
        st.rerun()
    if right.button("Sign out", icon=":material/logout:", width="stretch"):
        st.session_state.clear()
        st.logout()
    if person.get("development"):
        st.caption(":orange[Development sign-in: nobody checks who you are.]")
