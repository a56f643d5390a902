"""The chat page, run by Streamlit's own test harness against the service with made-up answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from streamlit.testing.v1 import AppTest

from app.access import Access, Person, RateLimit
from app.changes import Changes
from app.identity import Identities
from app.service import build_app
from app.ui.view_model import Chart, chart_for, csv_bytes, plain, scalar
from nlq.client import Client
from tests.app.fakes import EVIL, FakeWorld, by_minute, by_trader

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parents[2] / "app" / "ui" / "main.py"


class Page:
    def __init__(self, data: Path, http: TestClient, world: FakeWorld, token: str) -> None:
        self.world, self.http, self.data = world, http, data
        self.at = AppTest.from_file(str(PAGE), default_timeout=30)
        self.at.session_state["client"] = Client("http://127.0.0.1:8600", token, http=http)

    def texts(self) -> str:
        shown = [*self.at.markdown, *self.at.text, *self.at.caption, *self.at.error, *self.at.warning]
        return "\n".join(element.value for element in shown)

    def ask(self, question: str) -> None:
        self.at.chat_input[0].set_value(question).run()
        assert not self.at.exception


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    access = Access(tmp_path / "access")
    access.set_person(Person(user_id="anna", roles=("officer", "analyst")))
    world = FakeWorld(tmp_path)
    app = build_app(
        world, Identities(access, None), RateLimit(100), Changes(tmp_path / "access", {}, world.record_event)
    )
    with TestClient(app, raise_server_exceptions=False) as http:
        made = Page(tmp_path, http, world, access.new_token("anna"))
        made.at.run()
        assert not made.at.exception
        yield made


def test_the_first_view_shows_examples_freshness_and_alerts(page: Page) -> None:
    labels = [button.label for button in page.at.button]
    assert "Which traders have the highest cancel ratio today?" in labels
    shown = page.texts()
    assert "420 ms" in shown
    assert "118 still to read" in shown
    assert any("Spoofing" in expander.label for expander in page.at.expander)
    assert "41 buy orders were entered and 40 of them cancelled" in shown


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
    assert any(expander.label == "Show unverified draft" for expander in page.at.expander)
    assert not page.at.dataframe  # an abstained draft is never shown as an answer
    page.at.button(key="x0-choice-1").click().run()
    assert page.world.fake.asked[-1][0] == "Orders above 1 million USD"
    assert page.at.button(key="x0-choice-0").disabled


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        ("tomorrow close", "There is no data of the future."),
        ("delete all", "CHANGES_DATA: questions only read."),
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


def test_charts_only_where_they_help() -> None:
    assert chart_for(by_minute()) == Chart(kind="line", x="minute", y="volume")
    assert chart_for(by_trader()) == Chart(kind="bar", x="trader_id", y="cancel_ratio")
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
    assert scalar(pa.table({"x": [None]})) == ("x", "no value")
    assert scalar(by_trader()) is None
