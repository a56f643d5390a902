"""Four eyes: what has weight is proposed by one person, approved by another, and on the record before it holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from app.access import Access, Person, RateLimit
from app.apply import entitlement, next_version, threshold
from app.apply_alert import closing
from app.apply_verified import revalidate, verified_query
from app.changes import ChangeRefused, Changes
from app.identity import Identities
from app.service import build_app
from nlq.client import Client, ServiceError
from nlq.contracts import Principal
from nlq.verified_clock import timeless
from nlq.verified_form import VerifiedError
from streaming.connection import KafkaConnection
from streaming.detectors import thresholds_at
from tests.app.fakes import AS_OF, THRESHOLD_ROWS, FakeWorld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEOPLE = {
    "anna": ("officer",), "bo": ("officer",), "sven": ("supervisor", "analyst"), "audrey": ("auditor",),
    "eng": ("engineer",), "ANNA ": ("officer",),
}  # fmt: skip
LOWER = {"detector": "SPOOFING", "parameter": "min_cancel_ratio", "value": 0.9, "rationale": "fewer false alarms"}
CLOSE = {"alert_id": "AL-0", "status": "FALSE_POSITIVE", "reason": "two-sided quoting obligation"}
QUESTION = "how many orders did T-0017 leave working overnight"
SQL = "SELECT count(*) AS n FROM orders WHERE trader_id = 'T-0017' AND trade_date < DATE '2026-11-09'"


class Office:
    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data, self.world = data, FakeWorld(data)
        self.access = Access(data / "access")
        for name, roles in PEOPLE.items():
            self.access.set_person(Person(user_id=name, roles=roles, desk="Rates" if "supervisor" in roles else None))
        self.sent: list[dict[str, Any]] = []
        monkeypatch.setattr("app.apply._send", lambda connection, rows: self.sent.extend(rows))
        kinds = {
            "alert": closing(self.world),
            "entitlement": entitlement(self.access, self.world),
            "threshold": threshold(self.world, KafkaConnection(bootstrap_servers="127.0.0.1:9")),
            "verified_query": verified_query(self.world),
        }
        self.changes = Changes(data / "access", kinds, self.world.record_event)
        self.app = build_app(self.world, Identities(self.access, None), RateLimit(1000), self.changes)
        self.http = TestClient(self.app, raise_server_exceptions=False)

    def as_(self, who: str, role: str | None = None) -> Client:
        self.http.headers.clear()
        return Client("http://127.0.0.1:8600", self.access.new_token(who), http=self.http, role=role)

    def record(self) -> str:
        return (self.data / "record" / "record.jsonl").read_text()

    @property
    def store(self) -> Any:
        return self.world.fake.parts.verified


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    made = Office(tmp_path, monkeypatch)
    with made.http:
        yield made


def refused(call: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(ServiceError) as error:
        call(*arguments, **options)
    assert error.value.status in (403, 409)
    return str(error.value)


def test_a_change_takes_hold_only_when_somebody_else_approves_it(office: Office) -> None:
    change = office.as_("anna").propose("alert", CLOSE)
    assert office.world.source.status["AL-0"] == "NEW"
    assert "Somebody else" in refused(office.as_("anna").decide, change, approve=True)
    assert "Somebody else" in refused(office.as_("ANNA ").decide, change, approve=True)  # the same person
    assert "not the change that you read" in refused(
        office.as_("bo").decide, {**change, "hash": "0" * 64}, approve=True
    )
    assert office.world.source.status["AL-0"] == "NEW"
    done = office.as_("bo").decide(change, approve=True)
    assert (done["state"], done["decided_by"]) == ("APPROVED", "bo")
    assert office.world.source.status["AL-0"] == "FALSE_POSITIVE"
    assert "already" in refused(office.as_("bo").decide, change, approve=True)
    assert office.record().count(change["hash"]) == 2
    assert [c["id"] for c in office.as_("bo").changes()["decided"]] == [change["id"]]


def test_a_rejected_change_does_nothing_and_keeps_the_reason(office: Office) -> None:
    change = office.as_("anna").propose("alert", CLOSE)
    office.as_("bo").decide(change, approve=False, reason="look at the second account, too")
    assert office.world.source.status["AL-0"] == "NEW"
    [decided] = office.as_("anna").changes()["decided"]
    assert (decided["state"], decided["reason"]) == ("REJECTED", "look at the second account, too")


def test_one_may_take_back_what_one_proposed(office: Office) -> None:
    change = office.as_("sven", "analyst").propose(
        "verified_query", {"question": "orders", "sql": "SELECT order_id FROM orders"}
    )
    assert office.as_("sven", "analyst").decide(change, approve=False)["state"] == "REJECTED"


def test_a_change_that_was_altered_after_the_fact_or_is_old_is_not_approved(office: Office) -> None:
    bo = Principal(user_id="bo", role="officer")
    change = office.changes.propose("alert", CLOSE, Principal(user_id="anna", role="officer"))
    late = datetime.now(UTC) + timedelta(hours=25)
    with pytest.raises(ChangeRefused, match="24 hours"):
        office.changes.decide(change.id, change.hash, approve=True, asker=bo, now=late)
    office.changes._db.execute("UPDATE changes SET body = replace(body, 'FALSE_POSITIVE', 'CONFIRMED')")
    with pytest.raises(ChangeRefused, match="not the change that you read"):
        office.changes.decide(change.id, change.hash, approve=True, asker=bo)
    long_ago = (datetime.now(UTC) - timedelta(hours=30)).isoformat()
    office.changes._db.execute("UPDATE changes SET at = ?", (long_ago,))
    assert office.changes.open() == []
    assert [c.state for c in office.changes.decided()] == ["EXPIRED"]
    assert office.world.source.status["AL-0"] == "NEW"


@pytest.mark.parametrize(
    ("who", "role", "kind"),
    [("sven", "supervisor", "alert"), ("audrey", None, "threshold"), ("sven", "analyst", "entitlement"), ("eng", None, "alert"),
     ("anna", None, "root")],
)  # fmt: skip
def test_only_some_propose_what(office: Office, who: str, role: str | None, kind: str) -> None:
    assert "cannot propose" in refused(office.as_(who, role).propose, kind, {**LOWER, **CLOSE})


def test_only_officers_decide_and_see_the_changes_of_others(office: Office) -> None:
    change = office.as_("anna").propose("alert", CLOSE)
    for who in ("sven", "audrey", "eng"):
        assert "cannot decide" in refused(office.as_(who).decide, change, approve=True)
        assert "cannot decide" in refused(office.as_(who).decide, change, approve=False)
        seen = office.as_(who).changes()
        assert (seen["changes"], seen["may_decide"]) == ([], False)
    assert [c["id"] for c in office.as_("bo").changes()["changes"]] == [change["id"]]


def test_without_a_record_nothing_changes(office: Office) -> None:
    change = office.as_("anna").propose("alert", CLOSE)
    office.world.fake.record.close()
    with pytest.raises(ServiceError) as error:
        office.as_("bo").decide(change, approve=True)
    assert error.value.status == 503
    assert office.world.source.status["AL-0"] == "NEW"


def test_nobody_proposes_the_same_twice_or_without_end(office: Office) -> None:
    anna = office.as_("anna")
    anna.propose("alert", CLOSE)
    assert "already" in refused(anna.propose, "alert", CLOSE)
    for number in range(49):
        anna.propose("alert", {**CLOSE, "reason": f"reason {number}"})
    assert "50 proposals" in refused(anna.propose, "alert", {**CLOSE, "reason": "one more"})


# -- alerts


def test_closing_an_alert_needs_a_closed_status_a_reason_and_an_alert(office: Office) -> None:
    anna = office.as_("anna")
    for wrong, named in (
        ({"status": "IN_REVIEW"}, "FALSE_POSITIVE"),
        ({"reason": "  "}, "why"),
        ({"alert_id": "AL-9"}, "no alert"),
        ({"alert_id": "AL-0' OR '1'='1"}, "no alert"),
    ):
        assert named in refused(anna.propose, "alert", {**CLOSE, **wrong})


def test_an_alert_that_moved_on_meanwhile_is_not_closed(office: Office) -> None:
    change = office.as_("anna").propose("alert", CLOSE)
    office.as_("bo").review_alert("AL-0", "ESCALATED")
    assert office.world.source.in_charge["AL-0"] == "bo"
    assert "ESCALATED by now" in refused(office.as_("bo").decide, change, approve=True)
    assert office.world.source.status["AL-0"] == "ESCALATED"
    assert [c["state"] for c in office.as_("bo").changes()["decided"]] == ["FAILED"]
    assert "CHANGE_FAILED" in office.record()


def test_taking_up_is_one_persons_work_and_closing_is_not(office: Office) -> None:
    office.as_("anna").review_alert("AL-1", "IN_REVIEW")
    assert office.world.source.status["AL-1"] == "IN_REVIEW"
    assert "ALERT_STATUS" in office.record()
    for who, status in (("anna", "FALSE_POSITIVE"), ("anna", "NEW"), ("audrey", "IN_REVIEW"), ("sven", "IN_REVIEW")):
        assert "alone" in refused(office.as_(who).review_alert, "AL-1", status)


# -- thresholds


def test_a_new_threshold_version_holds_every_parameter_of_its_detector(office: Office) -> None:
    change = office.as_("anna").propose("threshold", LOWER)
    assert (change["body"]["was"], change["body"]["version"]) == (0.8, 2)
    office.as_("bo").decide(change, approve=True)
    rows = [
        {**r, "effective_from_ts": _instant(r["effective_from_us"]), "effective_to_ts": _instant(r["effective_to_us"])}
        for r in office.sent
    ]
    now = thresholds_at([*THRESHOLD_ROWS, *rows], "SPOOFING", datetime.now(UTC) + timedelta(seconds=1))
    assert now is not None
    assert (now.version, now.values) == (3, {"min_cancel_ratio": 0.9, "min_orders": 5.0})
    before = thresholds_at([*THRESHOLD_ROWS, *rows], "SPOOFING", AS_OF)
    assert before is not None
    assert before.values["min_cancel_ratio"] == 0.8
    by = {row["parameter"]: row["approved_by"] for row in office.sent if row["version"] == 3}
    assert by == {"min_cancel_ratio": "bo", "min_orders": "mo"}


def _instant(us: int | None) -> datetime | None:
    return datetime.fromtimestamp(us / 1e6, UTC) if us else None


def test_a_threshold_that_changed_meanwhile_is_read_again(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    change = office.as_("anna").propose("threshold", LOWER)
    newer = [{**row, "version": 3} for row in THRESHOLD_ROWS if row["version"] == 2]
    monkeypatch.setattr(office.world, "rows", lambda sql, user: newer)
    assert "meanwhile" in refused(office.as_("bo").decide, change, approve=True)
    assert office.sent == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"value": "much"}, "number"), ({"value": float("nan")}, "number"), ({"rationale": ""}, "rationale"),
     ({"parameter": "x"}, "min_cancel_ratio, min_orders"), ({"value": 0.8}, "already")],
)  # fmt: skip
def test_a_threshold_is_checked_when_it_is_proposed(office: Office, wrong: dict[str, Any], named: str) -> None:
    body = {**LOWER, **wrong}
    if body["value"] != body["value"]:
        with pytest.raises(ChangeRefused, match="finite"):  # JSON has no NaN: as somebody in process would
            office.changes.propose("threshold", body, Principal(user_id="anna", role="officer"))
        return
    assert named in refused(office.as_("anna").propose, "threshold", body)


def test_the_messages_of_a_new_version_end_the_old_one() -> None:
    rows = next_version([r for r in THRESHOLD_ROWS if r["version"] == 2], LOWER, "bo", AS_OF)
    assert sorted((r["version"], r["effective_to_us"] is None) for r in rows) == [
        (2, False),
        (2, False),
        (3, True),
        (3, True),
    ]


# -- entitlements


def test_a_new_entitlement_holds_at_the_next_request(office: Office) -> None:
    change = office.as_("eng").propose("entitlement", {"user_id": "sven", "roles": ["analyst"]})
    assert change["body"]["was"] == {"roles": ["supervisor", "analyst"], "desk": "Rates"}
    assert office.as_("sven").who()["role"] == "supervisor"
    office.as_("bo").decide(change, approve=True)
    assert office.as_("sven").who()["roles"] == ["analyst"]


def test_nobody_approves_a_change_of_their_own_rights(office: Office) -> None:
    change = office.as_("anna").propose("entitlement", {"user_id": "Bo", "roles": ["officer", "auditor"]})
    assert "your own rights" in refused(office.as_("bo").decide, change, approve=True)


@pytest.mark.parametrize(
    "body",
    [{"user_id": "", "roles": ["officer"]}, {"user_id": "x", "roles": ["root"]}, {"user_id": "x", "roles": "officer"},
     {"user_id": "x", "roles": ["supervisor"]}, {"user_id": "a\u202eb", "roles": ["officer"]}, {"user_id": "x" * 200, "roles": []}],
)  # fmt: skip
def test_an_entitlement_is_checked_when_it_is_proposed(office: Office, body: dict[str, Any]) -> None:
    refused(office.as_("anna").propose, "entitlement", body)


# -- verified queries


def propose_query(office: Office, who: str = "sven", role: str | None = "analyst", **more: Any) -> dict[str, Any]:
    body = {"question": QUESTION, "sql": SQL, "as_of": AS_OF.isoformat(), **more}
    return office.as_(who, role).propose("verified_query", body)


def approve(office: Office, change: dict[str, Any], **options: Any) -> None:
    office.as_("bo").decide(change, **{"approve": True, **options})


def test_an_approved_query_answers_at_once_and_a_proposed_one_does_not(office: Office) -> None:
    change = propose_query(office)
    assert change["body"]["form"] == "how many orders did {trader_id_1} leave working overnight"
    assert office.store.match(QUESTION) is None
    office.as_("bo").decide(change, approve=True)
    match = office.store.match("How many orders did T-0017 leave working overnight?")
    assert match is not None
    assert match.sql == SQL.replace("DATE '2026-11-09'", "{as_of_date}")  # today of the question, not of the draft
    assert (match.entry.author, match.entry.approver) == ("sven", "bo")
    assert "T-0017" in (office.data / "verified" / "local.jsonl").read_text()


def test_a_rejected_query_is_on_file_with_its_reason(office: Office) -> None:
    approve(office, propose_query(office), approve=False, reason="counts rejected ones")
    assert [(e.state, e.reason) for e in office.store.entries()] == [("REJECTED", "counts rejected ones")]


def test_a_better_query_replaces_the_one_before(office: Office) -> None:
    approve(office, propose_query(office))
    assert "already" in refused(propose_query, office)
    better = propose_query(office, sql=SQL + " AND status = 'WORKING'")
    assert list(better["body"]["replaces"].values()) == [
        SQL.replace("DATE '2026-11-09'", "{as_of_date}").replace("'T-0017'", "{trader_id_1}")
    ]
    office.as_("bo").decide(better, approve=True)
    match = office.store.match(QUESTION)
    assert match is not None
    assert "WORKING" in match.sql


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("DROP TABLE orders", "SELECT"),
        ("SELECT * FROM salaries", "salaries"),
        ("SELECT symbol FROM restricted_list", "VIEW"),  # an analyst may not, and learns nothing by proposing
        ("SELECT order_id FROM orders WHERE trade_date = DATE '2026-11-03'", "fixed time"),
        ("SELECT order_id FROM orders WHERE new_ts > TIMESTAMP '2026-11-09 15:25:00'", "fixed time"),
    ],
)
def test_a_query_that_may_not_run_or_is_bound_to_one_day_is_turned_down(office: Office, sql: str, named: str) -> None:
    assert named in refused(propose_query, office, sql=sql)
    assert office.store.entries() == []


def test_every_run_of_a_proposed_query_is_on_the_record(office: Office) -> None:
    before = len(office.world.fake.record)
    propose_query(office)
    assert len(office.world.fake.record) > before + 1  # the question and the proposal


@pytest.mark.parametrize(
    "asked", ["orders of 2026-11-03", "orders of 3 November", "orders of Nov 3rd", "orders of 3.11.", "orders of 11/3"]
)
def test_a_day_that_the_question_names_may_stay(asked: str) -> None:
    sql = "SELECT order_id FROM orders WHERE trade_date = DATE '2026-11-03'"
    assert timeless(sql, asked, AS_OF) == sql
    with pytest.raises(VerifiedError):
        timeless(sql, "orders of today", AS_OF)


def test_clock_reads_become_slots() -> None:
    assert (
        timeless("SELECT current_date(), CURRENT_TIMESTAMP, now()", "q", None)
        == "SELECT {as_of_date}, {as_of}, {as_of}"
    )


def test_queries_are_run_again_when_their_views_changed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    approve(office, propose_query(office))
    assert len(office.store.entries("APPROVED")) == 1
    monkeypatch.setattr("nlq.verified.views_digest", lambda catalogue, views: "another")
    office.store._index()
    assert office.store.match(QUESTION) is None
    asked = len(office.world.fake.asked)
    revalidate(office.world)
    assert len(office.world.fake.asked) == asked + 1
    assert office.store.match(QUESTION) is not None
    assert "VERIFIED_RERUN" in office.record()
