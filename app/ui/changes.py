"""Changes that need two people: what waits, what was decided, and the forms to propose one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.changes import same_person
from app.ui.pages import safely
from app.ui.view_model import KINDS, change_facts, change_title, code_text, instant_text, plain
from nlq.client import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlq.client import Client

COUNT_TTL_S = 5.0
STATES = {"APPROVED": "green", "REJECTED": "gray", "FAILED": "red", "EXPIRED": "gray"}


def waiting(client: Client, person: Mapping[str, Any]) -> int:
    """How many changes wait for this person's decision."""
    held: tuple[float, int] | None = st.session_state.get("changes-waiting")
    if held is not None and time.monotonic() - held[0] < COUNT_TTL_S:
        return held[1]
    try:
        found = client.changes()
    except ServiceError:
        return 0  # the page itself will say why
    count = _count(found, person)
    st.session_state["changes-waiting"] = (time.monotonic(), count)
    return count


def _count(found: Mapping[str, Any], person: Mapping[str, Any]) -> int:
    mine = [c for c in found["changes"] if same_person(c["proposed_by"], str(person["user_id"]))]
    return len(found["changes"]) - len(mine) if found["may_decide"] else 0


def changes_page(client: Client, person: Mapping[str, Any]) -> None:
    """Everything, top to bottom."""
    st.header("Changes", anchor=False)
    st.markdown(
        "What has weight takes hold when a second person has read and approved it. Nobody approves their own proposal, "
        "and everything here goes on the record."
    )
    found = safely(client.changes)
    if found is None:
        return
    if (said := st.session_state.pop("change-said", None)) is not None:
        st.success(plain(said), icon=":material/check_circle:")
    st.subheader("Waiting", anchor=False)
    if not found["changes"]:
        st.caption("Nothing waits for a decision.")
    for change in found["changes"]:
        own = same_person(change["proposed_by"], str(person["user_id"]))
        with st.container(border=True, key=f"change-{change['id']}"):
            _waiting(client, change, own=own, may_decide=found["may_decide"])
    _proposals(client, found["may_propose"])
    _decided(found["decided"])


def _waiting(client: Client, change: Mapping[str, Any], *, own: bool, may_decide: bool) -> None:
    st.markdown(f"**{plain(change_title(change))}**")
    _facts(change)
    st.caption(plain(f"{change['id']}, proposed by {change['proposed_by']} on {instant_text(change['at'])}"))
    key = str(change["id"])
    if own:
        st.caption("You proposed this, so somebody else decides.")
        if st.button("Take it back", key=f"{key}-back", icon=":material/undo:"):
            _decide(client, change, approve=False, reason="taken back")
    elif may_decide:
        with st.container(horizontal=True, vertical_alignment="bottom", key=f"{key}-decide"):
            if st.button("Approve", key=f"{key}-yes", type="primary", icon=":material/check:"):
                _decide(client, change, approve=True, reason="")
            with st.popover("Reject …", icon=":material/close:"), st.form(f"{key}-no", border=False):
                reason = st.text_area("Why", max_chars=1_000, height=90)
                if st.form_submit_button("Reject"):
                    _decide(client, change, approve=False, reason=reason)


def _facts(change: Mapping[str, Any]) -> None:
    st.table(change_facts(change), border="horizontal", hide_header=True)
    body = change["body"]
    if change["kind"] == "verified_query":
        st.code(str(body.get("sql") or ""), language="sql", wrap_lines=True)
        for old, sql in (body.get("replaces") or {}).items():
            st.caption(plain(f"So far ({old}):"))
            st.code(str(sql), language="sql", wrap_lines=True)
    elif change["kind"] == "alert" and body.get("explanation"):
        st.text(str(body["explanation"]))


def _decide(client: Client, change: Mapping[str, Any], *, approve: bool, reason: str) -> None:
    done = safely(lambda: client.decide(change, approve=approve, reason=reason))
    if done is not None:
        st.session_state["change-said"] = f"{change['id']} is {str(done['state']).lower()}."
        st.session_state.pop("changes-waiting", None)
        st.rerun()


def _proposals(client: Client, kinds: list[str]) -> None:
    if "threshold" not in kinds and "entitlement" not in kinds:
        return
    st.subheader("Propose", anchor=False)
    st.caption("Alerts are closed from their page; questions are proposed from an answer or a draft.")
    if "threshold" in kinds:
        with st.expander(KINDS["threshold"], icon=":material/tune:"):
            _threshold(client)
    if "entitlement" in kinds:
        with st.expander(KINDS["entitlement"], icon=":material/manage_accounts:"):
            _entitlement(client)


def _threshold(client: Client) -> None:
    rows = safely(client.thresholds)
    if not rows:
        st.caption("There are no thresholds to change.")
        return
    detector = st.selectbox("Detector", sorted({r["detector"] for r in rows}), format_func=code_text, key="th-detector")
    own = {r["parameter"]: r for r in rows if r["detector"] == detector}
    parameter = st.selectbox("Parameter", sorted(own), key="th-parameter")
    row = own[parameter]
    st.caption(plain(f"Now {row['value']:g} {row['unit'] or ''}, version {row['version']}: {row['rationale'] or ''}"))
    with st.form("th-form", border=False):
        value = st.number_input("New value", value=float(row["value"]), format="%g", key=f"th-value-{parameter}")
        rationale = st.text_area("Why", max_chars=1_000, height=90)
        sent = st.form_submit_button("Propose", type="primary")
    if sent:
        _propose(client, "threshold", {
            "detector": detector, "parameter": parameter, "value": value, "rationale": rationale,
        })  # fmt: skip


def _entitlement(client: Client) -> None:
    roles = ["officer", "supervisor", "analyst", "engineer", "auditor"]
    with st.form("en-form", border=False):
        user_id = st.text_input("Person", max_chars=128, help="As they sign in: e-mail address or user name.")
        chosen = st.multiselect("Roles", roles, help="None takes all rights away.")
        desk = st.text_input("Desk", max_chars=128, help="Needed for a supervisor.")
        sent = st.form_submit_button("Propose", type="primary")
    if sent:
        _propose(client, "entitlement", {"user_id": user_id, "roles": chosen, "desk": desk.strip() or None})


def _propose(client: Client, kind: str, body: Mapping[str, Any]) -> None:
    change = safely(lambda: client.propose(kind, body))
    if change is not None:
        st.session_state["change-said"] = f"{change['id']} is proposed and waits for a second person."
        st.rerun()


def _decided(changes: list[dict[str, Any]]) -> None:
    if not changes:
        return
    st.subheader("Decided", anchor=False)
    for change in changes:
        colour = STATES.get(change["state"], "gray")
        with st.expander(f":{colour}-badge[{plain(code_text(change['state']))}]  {plain(change_title(change))}"):
            _facts(change)
            by = (
                f", decided by {change['decided_by']} on {instant_text(change['decided_at'])}"
                if change["decided_by"]
                else ""
            )
            st.caption(
                plain(f"{change['id']}, proposed by {change['proposed_by']} on {instant_text(change['at'])}{by}")
            )
            if change["reason"]:
                st.text(change["reason"])
