"""The chat page, run by Streamlit's own test harness against the service with made-up answers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import sqlglot
from fastapi.testclient import TestClient
from streamlit.testing.v1 import AppTest

from app.access import Access, Person, RateLimit
from app.apply import threshold
from app.apply_alert import closing
from app.apply_verified import verified_query
from app.changes import Changes
from app.identity import Identities
from app.service import build_app
from app.ui.view_model import (
    Chart,
    alert_report,
    assumptions,
    chart_for,
    csv_bytes,
    one_row,
    orders_sql,
    plain,
    scalar,
    worst_first,
)
from nlq.client import Client
from nlq.contracts import LedgerEntry
from streaming.connection import KafkaConnection
from tests.app.fakes import ALERT_ROWS, EVIL, FakeWorld, by_minute, by_trader

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parents[2] / "app" / "ui" / "main.py"


def read(markdown: str) -> str:
    """Escaped text as people see it."""
    return re.sub(r"\\([^\w\s])", r"\1", markdown)


class Page:
    def __init__(self, data: Path, http: TestClient, world: FakeWorld, access: Access) -> None:
        self.world, self.http, self.data, self.access = world, http, data, access
        token = access.new_token("anna")
        self.at = AppTest.from_file(str(PAGE), default_timeout=30)
        self.at.session_state["client"] = Client("http://127.0.0.1:8600", token, http=http)

    def texts(self) -> str:
        shown = [*self.at.markdown, *self.at.text, *self.at.caption, *self.at.error, *self.at.warning]
        return "\n".join(read(element.value) for element in shown)

    def ask(self, question: str) -> None:
        self.at.chat_input[0].set_value(question).run()
        assert not self.at.exception


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    access = Access(tmp_path / "access")
    access.set_person(Person(user_id="anna", roles=("officer", "analyst")))
    world = FakeWorld(tmp_path)
    access.set_person(Person(user_id="bo", roles=("officer",)))
    kinds = {
        "alert": closing(world),
        "threshold": threshold(world, KafkaConnection(bootstrap_servers="127.0.0.1:9")),
        "verified_query": verified_query(world),
    }
    changes = Changes(tmp_path / "access", kinds, world.record_event)
    app = build_app(world, Identities(access, None), RateLimit(100), changes)
    with TestClient(app, raise_server_exceptions=False) as http:
        made = Page(tmp_path, http, world, access)
        made.at.run()
        assert not made.at.exception
        yield made


def test_the_first_view_shows_examples_freshness_and_alerts(page: Page) -> None:
    labels = [button.label for button in page.at.button]
    assert "Which traders have the highest cancel ratio today?" in labels
    shown = page.texts()
    assert "420 ms" in shown
    assert "118 still to read" in shown
    assert "Spoofing · ACME" in shown


def test_a_question_is_answered_with_reading_table_sql_and_ledger(page: Page) -> None:
    page.ask("which traders cancel most")
    shown = page.texts()
    assert "Traders by the share of their orders" in shown
    assert len(page.at.dataframe) == 1
    assert page.at.dataframe[0].value["trader_id"].tolist()[0] == "T-0017"
    assert "SELECT trader_id" in page.at.code[0].value
    assert "14 days" in shown or "as of" in shown
    assert any("cancel ratio" in str(table.value.to_dict()) for table in page.at.table)


def test_an_example_is_asked_with_one_click(page: Page) -> None:
    page.at.button(key="example-0").click().run()
    assert page.world.fake.asked[-1][0] == "Which traders have the highest cancel ratio today?"


def test_a_follow_up_carries_the_conversation(page: Page) -> None:
    page.ask("which traders cancel most")
    page.ask("which of them yesterday")
    _, _, history = page.world.fake.asked[-1]
    assert [turn.question for turn in history] == ["which traders cancel most"]


def test_a_case_reference_goes_along(page: Page) -> None:
    page.at.text_input(key="case").set_value("CASE-7").run()
    page.ask("which traders cancel most")
    assert page.world.fake.asked[-1][1].purpose == "CASE-7"


def test_a_choice_continues_the_conversation(page: Page) -> None:
    page.ask("large orders")
    assert "How large is large?" in page.texts()
    assert any(expander.label == "Unverified draft" for expander in page.at.expander)
    assert not page.at.dataframe  # an abstained draft is never shown as an answer
    page.at.button(key="x0-choice-1").click().run()
    assert page.world.fake.asked[-1][0] == "Orders above 1 million USD"
    assert page.at.button(key="x0-choice-0").disabled


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        ("tomorrow close", "There is no data of the future."),
        ("delete all", "questions only read. (rule CHANGES_DATA)"),
        ("boom", "fault"),
    ],
)
def test_other_outcomes_say_why(page: Page, question: str, shown: str) -> None:
    page.ask(question)
    assert shown in page.texts()
    assert not page.at.dataframe
    assert "hunter2" not in page.texts()


def test_text_of_data_is_never_markdown(page: Page) -> None:
    page.ask("evil")
    for element in page.at.markdown:
        assert EVIL not in element.value
        assert "](https://evil" not in element.value
    assert any(EVIL in element.value for element in page.at.text)


def test_one_value_is_shown_large(page: Page) -> None:
    page.ask("how many orders")
    assert page.at.metric[0].value == "184 223"


def test_an_earlier_time_can_be_asked_about(page: Page) -> None:
    page.at.session_state["when"] = "Earlier"
    page.at.session_state["as_of"] = datetime(2026, 11, 3, 14, 30)  # noqa: DTZ001 - as the widget gives it
    page.at.run()
    assert "as of 2026-11-03 14:30:00 UTC" in page.texts()
    page.ask("which traders cancel most")
    assert "Data as of 2026-11-03 14:30:00 UTC · the earlier time that you chose" in page.texts()
    page.at.button(key="back-to-now").click().run()
    page.ask("which traders cancel most")
    assert "2026-11-09 15:30:00 UTC" in page.texts()


def test_a_draft_is_corrected_run_as_ones_own_and_proposed(page: Page) -> None:
    page.ask("large orders")
    page.at.text_area(key="x0-sql").set_value("SELECT order_id FROM orders WHERE order_qty > 10000").run()
    page.at.button(key="x0-run").click().run()
    assert page.world.fake.asked[-1][0] == "sql: SELECT order_id FROM orders WHERE order_qty > 10000"
    assert any("Your own SQL" in badge for badge in page.texts().splitlines())
    [propose] = [b for b in page.at.button if b.label == "Propose" and "x0" in (b.form_id or "")]
    propose.click().run()
    assert "Proposed as C" in "\n".join(e.value for e in page.at.success)
    assert page.world.fake.parts.verified.entries() == []  # nothing holds before a second person has read it


def test_a_click_elsewhere_does_not_lose_the_question(page: Page) -> None:
    from app.ui.conversation import Exchange
    from app.ui.running import Running

    running = Running(exchange=Exchange(question="which traders cancel most"))
    running.start(lambda progress: page.world.fake.ask("which traders cancel most", progress=progress))
    page.at.session_state["running"] = running  # as an interrupted run leaves it
    page.at.run()
    assert "Traders by the share of their orders" in page.texts()
    assert len(page.world.fake.asked) == 1


def test_feedback_goes_on_the_record(page: Page) -> None:
    page.ask("which traders cancel most")
    page.at.feedback(key="x0-thumb").set_value(0).run() if hasattr(page.at, "feedback") else pytest.skip(
        "this Streamlit's harness cannot press thumbs"
    )
    assert (page.data / "feedback.jsonl").exists()


def test_another_role_of_the_person_can_be_taken(page: Page) -> None:
    assert page.at.selectbox(key="role-choice").options == ["officer", "analyst"]


def test_a_service_that_is_down_is_named(page: Page) -> None:
    class Gone:
        def __getattr__(self, name: str) -> Any:
            from nlq.client import ServiceError

            def fail(*_: Any, **__: Any) -> Any:
                raise ServiceError("no service answers at http://127.0.0.1:8600. Start it with `nlq up`.")

            return fail

    page.at.session_state["client"] = Gone()
    page.at.run()
    assert "nlq up" in page.texts()
    assert not page.at.exception


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"state": "failed", "detail": "SettingError: NLQ_X"}, "SettingError"),
        ({"state": "ready", "world": "live", "stream": {"state": "BROKER_DOWN", "detail": "x"}}, "broker does not answer"),
        ({"state": "ready", "world": "live", "stream": {"state": "RUNNING"}, "model": "unreachable",
          "model_detail": "qwen.gguf is damaged. Fetch it anew with 'make models'."}, "asked back"),
        ({"state": "starting", "detail": "waiting for Kafka"}, "waiting for Kafka"),
    ],
)  # fmt: skip
def test_what_is_not_well_is_said(
    page: Page, monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], shown: str
) -> None:
    monkeypatch.setattr(page.world, "status", lambda: status)
    page.at.run()
    assert not page.at.exception
    assert shown in page.texts()


def other_page(page: Page, name: str, who: str = "anna") -> AppTest:
    def script() -> None:
        import streamlit as st

        from app.ui.alerts import alerts_page
        from app.ui.changes import changes_page

        client = st.session_state["client"]
        {"alerts": alerts_page, "changes": changes_page}[st.session_state["page"]](client, client.who())

    at = AppTest.from_function(script, default_timeout=30)
    at.session_state["client"] = Client("http://127.0.0.1:8600", page.access.new_token(who), http=page.http)
    at.session_state["page"] = name
    at.run()
    assert not at.exception
    return at


def shown_on(at: AppTest) -> str:
    shown = [*at.markdown, *at.text, *at.caption, *at.error, *at.warning, *at.success, *at.info]
    labels = [expander.label for expander in at.expander]
    return "\n".join(read(text) for text in [*(element.value for element in shown), *labels])


def test_an_alert_is_explained_taken_up_and_closed_by_two_people(page: Page) -> None:
    alerts = other_page(page, "alerts")
    assert "41 buy orders were entered and 40 of them cancelled" in shown_on(alerts)
    alerts.button(key="AL-0-orders").click().run()
    assert "trader_id = 'T-0017' AND symbol = 'ACME'" in page.world.fake.asked[-1][0]
    assert len(alerts.dataframe) == 1
    alerts.button(key="AL-0-take").click().run()
    assert page.world.source.status["AL-0"] == "IN_REVIEW"
    alerts.text_area(key="AL-0-why").set_value("two-sided quoting")
    alerts.button(key="AL-0-send").click().run()
    assert "waits under Changes" in shown_on(alerts)
    own = other_page(page, "changes")
    assert "somebody else decides" in shown_on(own)
    assert not [b for b in own.button if b.label == "Approve"]
    second = other_page(page, "changes", "bo")
    assert "two-sided quoting" in str([t.value.to_dict() for t in second.table])
    next(b for b in second.button if b.label == "Approve").click().run()
    assert page.world.source.status["AL-0"] == "FALSE_POSITIVE"
    assert "is approved" in shown_on(second)


def test_a_threshold_is_proposed_and_rejected_with_a_reason(page: Page) -> None:
    changes = other_page(page, "changes")
    changes.number_input[0].set_value(0.9)
    changes.text_area[0].set_value("fewer false alarms")
    next(b for b in changes.button if b.label == "Propose").click().run()
    assert "waits for a second person" in shown_on(changes)
    second = other_page(page, "changes", "bo")
    second.text_area[0].set_value("not before the review")
    next(b for b in second.button if b.label == "Reject").click().run()
    assert "not before the review" in shown_on(second)


def test_an_analyst_sees_changes_of_their_own_and_no_names(page: Page) -> None:
    page.access.set_person(Person(user_id="quinn", roles=("analyst",)))
    assert "Nothing waits" in shown_on(other_page(page, "changes", "quinn"))
    alerts = other_page(page, "alerts", "quinn")
    assert not [b for b in alerts.button if b.label in ("Take up", "Propose to close")]


def test_the_draft_report_judges_nothing() -> None:
    text = alert_report(ALERT_ROWS[0], "anna", datetime(2026, 11, 9, 16, 0, tzinfo=UTC))
    for fact in (
        "AL-0",
        "Spoofing",
        "ACME",
        "T-0017",
        "41 buy orders",
        "97% of 41 cancelled",
        "DRAFT",
        "Nobody has reviewed",
    ):
        assert fact in text
    assert "guilty" not in text


def test_the_orders_of_an_alert_are_those_around_its_evidence_and_no_text_becomes_sql() -> None:
    sql = orders_sql(ALERT_ROWS[0] | {"symbol": "x' OR '1'='1"})
    assert sql is not None
    assert "TIMESTAMP '2026-11-09 15:28:30'" in sql
    assert "TIMESTAMP '2026-11-09 15:31:00'" in sql
    where = sqlglot.parse_one(sql, dialect="databricks").args["where"]
    assert len(list(where.find_all(sqlglot.exp.Or))) == 0
    assert orders_sql({"trader_id": "T-1"}) is None


def test_a_single_short_row_reads_side_by_side() -> None:
    assert one_row(pa.table({"fills": [12], "notional": [3.5]})) == [("fills", "12"), ("notional", "3.5")]
    assert one_row(pa.table({"text": ["x" * 40], "n": [1]})) is None
    assert one_row(by_trader()) is None


def test_the_worst_alert_comes_first() -> None:
    assert [a["severity"] for a in worst_first(ALERT_ROWS)] == ["CRITICAL", "HIGH", "MEDIUM"]
    assert worst_first([{"severity": None}, {"severity": "LOW"}])[0]["severity"] == "LOW"


def test_assumptions_are_named_once() -> None:
    entry = LedgerEntry(phrase="", span=None, predicate="status = 'VALID'", reason="default: valid fills")
    assert assumptions([entry, entry, LedgerEntry(phrase="x", span=(0, 1), predicate="y", reason="time")]) == [
        "valid fills"
    ]


def test_charts_only_where_they_help() -> None:
    assert chart_for(by_minute()) == Chart(kind="line", x="minute", y="volume")
    assert chart_for(by_trader()) == Chart(kind="bar", x="trader_id", y="cancel_ratio")
    mixed = chart_for(pa.table({"symbol": ["A", "B", "C"], "n": [2, 9, 4]}))
    assert mixed == Chart(kind="bar", x="symbol", y="n", ranked=False)
    assert chart_for(by_trader().slice(0, 1)) is None
    assert chart_for(pa.table({"a": ["x", "x"], "n": [1, 2]})) is None  # bars would pile up
    assert chart_for(pa.table({"order_id": [1, 2], "alert_id": [3, 4]})) is None


def test_csv_cells_are_no_formulas() -> None:
    bad = ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", " =1", "plain", None]
    lines = csv_bytes(pa.table({"=name": bad, "n": [-1.5] * 8})).decode("utf-8-sig").splitlines()
    assert lines[0] == "'=name,n"
    for line, text in zip(lines[1:7], bad, strict=False):
        assert line.lstrip('"').startswith("'"), text
        assert line.endswith("-1.5")
    assert lines[7] == "plain,-1.5"
    assert lines[8] == ",-1.5"


def test_plain_text_stays_readable_and_makes_no_link() -> None:
    assert plain("a_b *c*") == r"a\_b \*c\*"
    for address in ("https://evil.example", "www.evil.example", "a@evil.example"):
        assert "\u2060" in plain(address)


def test_one_value_reads_as_people_write_it() -> None:
    assert scalar(pa.table({"n_orders": [1234567]})) == ("n orders", "1 234 567")
    assert scalar(pa.table({"avg_price": [0.123456]})) == ("avg price", "0.1235")
    assert scalar(pa.table({"notional": [14_661_234.56]})) == ("notional", "14 661 235")
    assert scalar(pa.table({"price": [1_234.5]})) == ("price", "1 234.50")
    assert scalar(pa.table({"ratio": [float("nan")]})) == ("ratio", "no value")
    assert scalar(pa.table({"x": [None]})) == ("x", "no value")
    assert scalar(by_trader()) is None
