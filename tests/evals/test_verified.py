"""Verified queries: four eyes, equal words, equal kinds of values, and no life beyond a change of the catalogue."""

from dataclasses import replace
from pathlib import Path

import pytest

from evals.cases import LOCKED_AUTHORS
from nlq.verified import SHIPPED, VerifiedQueries
from nlq.verified_form import SelfApproval, VerifiedError
from streaming.catalogue import Catalogue

CATALOGUE = Catalogue.load()
QUESTION = "How many orders did T44 cancel today without any fill?"
SQL = (
    "SELECT count(*) AS n FROM orders WHERE trader_id = 'T44' AND status = 'CANCELLED' AND filled_qty = 0 "
    "AND trade_date = {as_of_date}"
)
KNOWN = {"t44": "T44", "t106": "T106"}


def resolve(column: str, words: str) -> str | None:
    """A value index of two traders."""
    return KNOWN.get(words) if column == "trader_id" else None


@pytest.fixture
def store(tmp_path: Path) -> VerifiedQueries:
    """A store with one approved entry."""
    empty = VerifiedQueries.open(CATALOGUE, tmp_path, shipped=None)
    candidate = empty.propose(QUESTION, SQL, "ana")
    empty.approve(candidate.id, "ben")
    return empty


def test_a_candidate_answers_nothing(tmp_path: Path) -> None:
    """Feedback alone changes no answer."""
    store = VerifiedQueries.open(CATALOGUE, tmp_path, shipped=None)
    store.propose(QUESTION, SQL, "ana")
    assert store.match(QUESTION) is None
    assert store.documents() == []


def test_nobody_approves_what_they_wrote(tmp_path: Path) -> None:
    """Four eyes."""
    store = VerifiedQueries.open(CATALOGUE, tmp_path, shipped=None)
    candidate = store.propose(QUESTION, SQL, "ana")
    with pytest.raises(SelfApproval):
        store.approve(candidate.id, "ana")
    assert store.match(QUESTION) is None
    assert store.approve(candidate.id, "ben").approver == "ben"


@pytest.mark.parametrize(
    "question",
    [QUESTION, "how many orders did t44 cancel today without any fill", "Please show me " + QUESTION, QUESTION + " "],
)
def test_the_same_question_matches(store: VerifiedQueries, question: str) -> None:
    """Case, punctuation and courtesies change nothing."""
    match = store.match(question)
    assert match is not None
    assert match.sql == SQL


@pytest.mark.parametrize(
    "question",
    [
        "How many orders did T44 cancel today with any fill?",
        "How many orders did T44 not cancel today without any fill?",
        "How many orders did T44 cancel yesterday without any fill?",
        "How many orders did T44 cancel today without any fill, by desk?",
        "How many orders did T44 cancel today?",
        "How many orders did ABC cancel today without any fill?",
        "How many orders did T999 cancel today without any fill?",
        "How many orders did -T44 cancel today without any fill?",
    ],
)
def test_another_question_does_not(store: VerifiedQueries, question: str) -> None:
    """Polarity, time, grouping, kind of value and unknown names all count."""
    assert store.match(question, resolve) is None


def test_a_value_of_the_same_kind_fills_the_slot(store: VerifiedQueries) -> None:
    """The value goes into the SQL as it stands in the data."""
    match = store.match("How many orders did t106 cancel today without any fill?", resolve)
    assert match is not None
    assert "trader_id = 'T106'" in match.sql
    assert match.values == {"trader_id_1": "T106"}


def test_the_reading_goes_with_the_values(tmp_path: Path) -> None:
    """It must not name one person over another one's rows."""
    store = VerifiedQueries.open(CATALOGUE, tmp_path, shipped=None)
    for reading, shown in (
        ("Orders of T44 cancelled today without a fill.", "Orders of T106 cancelled today without a fill."),
        ("Cancelled orders without a fill.", "Cancelled orders without a fill (for T106)."),
        ("", ""),
    ):
        entry = store.approve(store.propose(QUESTION, SQL, "ana", reading=reading).id, "ben")
        match = store.match("How many orders did T106 cancel today without any fill?", resolve)
        assert match is not None
        assert match.entry.version == entry.version
        assert match.reading == shown


def test_a_value_cannot_be_more_than_a_literal(store: VerifiedQueries) -> None:
    """Quotes in a resolved value stay inside the literal."""
    match = store.match(QUESTION, lambda column, words: "x' OR '1'='1")
    assert match is not None
    assert "trader_id = 'x\\' OR \\'1\\'=\\'1'" in match.sql or "trader_id = 'x'' OR ''1''=''1'" in match.sql


def test_numbers_are_slots_only_where_they_stand_once(tmp_path: Path) -> None:
    """A five that is both limit and threshold is no slot."""
    store = VerifiedQueries.open(CATALOGUE, tmp_path, shipped=None)
    one = store.propose("orders above 500 lots", "SELECT order_id FROM orders WHERE order_qty > 500", "ana")
    two = store.propose("5 orders above 5", "SELECT order_id FROM orders WHERE order_qty > 5 LIMIT 5", "ana")
    assert [slot.value for slot in one.slots] == ["500"]
    assert two.slots == ()


def test_entries_survive_a_restart(store: VerifiedQueries, tmp_path: Path) -> None:
    """Files are the truth."""
    again = VerifiedQueries.open(CATALOGUE, tmp_path, shipped=None)
    assert [e.state for e in again.entries()] == ["APPROVED"]
    assert again.match(QUESTION) is not None
    assert len(store) == 1


@pytest.mark.parametrize(
    "sql", ["DROP TABLE orders", "SELECT 1 FROM salaries", "SELECT salary FROM traders", "SELECT count( FROM orders"]
)
def test_a_broken_candidate_is_turned_down(tmp_path: Path, sql: str) -> None:
    """Only one SELECT over known views and columns is kept."""
    with pytest.raises(VerifiedError):
        VerifiedQueries.open(CATALOGUE, tmp_path, shipped=None).propose("q", sql, "ana")


def test_the_callers_check_has_a_say(tmp_path: Path) -> None:
    """The guard's verdict, or a run on test data, can be required."""
    store = VerifiedQueries.open(CATALOGUE, tmp_path, shipped=None)
    with pytest.raises(VerifiedError, match="too dear"):
        store.propose(QUESTION, SQL, "ana", check=lambda sql: "too dear")


def test_a_changed_view_silences_its_entries_until_checked(store: VerifiedQueries, tmp_path: Path) -> None:
    """Another meaning of a column may make the SQL wrong; another view does not matter."""
    orders = CATALOGUE.views["orders"]
    status = replace(orders.columns["status"], codes=(*orders.columns["status"].codes, "PENDING"))
    changed = replace(orders, columns={**orders.columns, "status": status})
    other = replace(CATALOGUE, views={**CATALOGUE.views, "orders": changed})
    moved = VerifiedQueries.open(other, tmp_path, shipped=None)
    assert moved.match(QUESTION) is None
    assert moved.revalidate() == []
    assert moved.match(QUESTION) is not None


def test_an_entry_that_no_longer_holds_is_retired(store: VerifiedQueries, tmp_path: Path) -> None:
    """The reason stands on file."""
    orders = CATALOGUE.views["orders"]
    columns = {name: column for name, column in orders.columns.items() if name != "filled_qty"}
    other = replace(CATALOGUE, views={**CATALOGUE.views, "orders": replace(orders, columns=columns)})
    moved = VerifiedQueries.open(other, tmp_path, shipped=None)
    retired = moved.revalidate()
    assert [e.state for e in retired] == ["RETIRED"]
    assert "filled_qty" in retired[0].reason.lower()
    assert VerifiedQueries.open(other, tmp_path, shipped=None).match(QUESTION) is None


def test_rejection_keeps_the_reason(tmp_path: Path) -> None:
    """A rejected candidate matches nothing and cannot be approved afterwards."""
    store = VerifiedQueries.open(CATALOGUE, tmp_path, shipped=None)
    candidate = store.propose(QUESTION, SQL, "ana")
    assert store.reject(candidate.id, "ben", "counts expired ones too").reason
    with pytest.raises(VerifiedError):
        store.approve(candidate.id, "ben")


def test_shipped_entries_hold_for_the_shipped_catalogue() -> None:
    """After a change of the catalogue, `python -m evals ship` makes them anew."""
    store = VerifiedQueries.open(CATALOGUE)
    assert len(store) == len(store.entries("APPROVED")) > 1000
    assert all(entry.approver and entry.approver != entry.author for entry in store.entries())


def test_no_locked_author_ships() -> None:
    """The test split never becomes an example."""
    assert {path.stem for path in SHIPPED.glob("*.jsonl")}.isdisjoint(LOCKED_AUTHORS)
    assert {entry.author for entry in VerifiedQueries.open(CATALOGUE).entries()}.isdisjoint(LOCKED_AUTHORS)


def test_authors_can_be_left_out() -> None:
    """An evaluation on one author must not see that author's entries."""
    assert "mab" not in {e.author for e in VerifiedQueries.open(CATALOGUE, leave_out={"mab"}).entries()}
