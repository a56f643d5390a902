"""The sidebar: how fresh the data is, the newest alerts, the time to ask about, who is signed in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.ui.conversation import EARLIER, NOW, conversation, is_idle
from app.ui.view_model import alert_short, code_text, count_text, instant_text, plain, seconds_text, worst_first
from nlq.client import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlq.client import Client

SHOWN_ALERTS = 5
FIRST_LOOK_S = 2.0
"""How long the page may wait for the first list of alerts before it is shown without."""
OPEN = ("NEW", "IN_REVIEW", "ESCALATED")
SEVERITY = {"CRITICAL": "red", "HIGH": "orange", "MEDIUM": "blue", "LOW": "gray"}


def show_sidebar(client: Client, person: Mapping[str, Any]) -> None:
    """Everything on the left."""
    with st.sidebar:
        st.subheader("Trade surveillance", anchor=False)
        _live(client)
        _when()
        if "alerts" in person["views"]:
            st.session_state.whole_page = True
            _alerts(client)
            st.session_state.whole_page = False
        st.divider()
        _person(person)


@st.fragment(run_every="3s")
def _live(client: Client) -> None:
    if is_idle():
        st.rerun()  # the whole page, which signs out
    try:
        status = client.status()
    except ServiceError as error:
        st.badge("Not reachable", icon=":material/cloud_off:", color="red")
        st.markdown(plain(str(error)))
        return
    stream = status.get("stream") or {}
    if status["state"] != "ready":
        st.badge("Starting" if status["state"] == "starting" else code_text(status["state"]),
                 icon=":material/hourglass_top:", color="red" if status["state"] == "failed" else "orange")  # fmt: skip
        st.markdown(plain(str(status.get("detail") or "")))
        return
    st.session_state.newest = stream.get("as_of")
    _state(str(stream.get("state") or ""), str(stream.get("detail") or ""), str(status["world"]))
    if (age := stream.get("age_s")) is not None:
        st.markdown(f"Newest event **{seconds_text(max(age, 0.0))}** ago")
    for fault, why in (stream.get("faults") or {}).items():
        st.markdown(f":red-badge[{plain(code_text(fault))}] {plain(str(why))}")
    if status.get("model") in ("unreachable", "none", "loading"):
        _model(str(status["model"]), str(status.get("model_detail") or ""))
    _details(stream)


def _model(state: str, detail: str) -> None:
    words = {
        "loading": "The language model is being loaded; most questions do not need it.",
        "none": "No language model: unusual questions are asked back.",
        "unreachable": "The language model does not answer: unusual questions are asked back.",
    }[state]
    st.markdown(f":orange-badge[:material/smart_toy: Model] {words}", help=plain(detail) or None)


def _details(stream: Mapping[str, Any]) -> None:
    """Numbers for who looks after the feed, folded away."""
    details = [
        ("still to read", stream.get("lag")), ("events a second", stream.get("rows_per_s")),
        ("rows in memory", stream.get("live_rows")), ("unreadable messages", stream.get("dead_letters")),
    ]  # fmt: skip
    if lines := [f"{count_text(value)} {name}" for name, value in details if value is not None]:
        with st.expander("About the feed", type="compact", key="feed-details"):
            st.markdown("  \n".join(lines))
            if as_of := stream.get("as_of"):
                st.markdown(f"as of {instant_text(as_of)}")


def _state(state: str, detail: str, world: str) -> None:
    """One badge for the state of the stream, and words where it is not well."""
    match state:
        case "RUNNING":
            st.badge("Live", icon=":material/sensors:", color="green")
        case "":
            st.badge(f"Recorded data: {plain(world)}", icon=":material/folder:", color="blue")
        case "BROKER_DOWN":
            st.badge("Feed is down", icon=":material/cloud_off:", color="red")
            st.markdown(
                "The Kafka broker does not answer. Answers come from what was read before; reading goes on by itself "
                "once it is back.", help=plain(detail) or None,
            )  # fmt: skip
        case "CATCHING_UP":
            st.badge("Catching up", icon=":material/hourglass_top:", color="orange")
            st.markdown(plain(detail))
        case _:
            st.badge(code_text(state), icon=":material/hourglass_top:", color="orange")
            st.markdown(plain(detail))


def _when() -> None:
    """Ask of the newest data, or of an earlier moment."""
    st.segmented_control("Answer as of", [NOW, EARLIER], default=NOW, key="when", required=True)
    if st.session_state.get("when") == EARLIER:
        newest = st.session_state.get("newest")
        moment = datetime.fromisoformat(newest) if newest else datetime.now(UTC)
        st.datetime_input(
            "Time (UTC)", value=moment.astimezone(UTC).replace(tzinfo=None, microsecond=0, second=0)
            - timedelta(minutes=5), key="as_of", step=timedelta(minutes=1), format="YYYY-MM-DD",
        )  # fmt: skip


@st.fragment(run_every="5s")
def _alerts(client: Client) -> None:
    try:
        alerts = _newest_alerts(client)
    except ServiceError as error:
        st.markdown("**Open alerts**")
        st.caption(plain(str(error)))
        return
    if alerts is None:
        st.markdown("**Open alerts**")
        st.caption("Loading …")
        return
    waiting = [alert for alert in alerts if alert.get("status") in OPEN]
    st.markdown(f"**Open alerts** :gray-badge[{len(waiting)}]")
    for alert in worst_first(waiting)[:SHOWN_ALERTS]:
        colour = SEVERITY.get(str(alert.get("severity")), "gray")
        st.markdown(f":{colour}-badge[{plain(code_text(alert.get('severity')))}] {plain(alert_short(alert))}")
    if not waiting:
        st.caption("None.")
    elif len(waiting) > SHOWN_ALERTS:
        st.caption(f"and {len(waiting) - SHOWN_ALERTS} more under Alerts")


def _newest_alerts(client: Client) -> list[dict[str, Any]] | None:
    """Alerts for the list. A run of the whole page never waits for a busy engine; the list's own reruns do."""
    if not st.session_state.get("whole_page"):
        st.session_state.alerts = client.alerts()
    elif "alerts" not in st.session_state:
        try:
            st.session_state.alerts = client.alerts(timeout=FIRST_LOOK_S)
        except ServiceError as error:
            if error.status:
                raise
            return None
    alerts: list[dict[str, Any]] = st.session_state.alerts
    return alerts


def _person(person: Mapping[str, Any]) -> None:
    desk = f", desk {person['desk']}" if person.get("desk") else ""
    st.markdown(f":material/person: {plain(str(person['user_id']))}{plain(desk)}")
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
        st.markdown(":orange-badge[Development sign-in] Nobody checks who you are here.")
