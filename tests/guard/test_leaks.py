"""What a role may not see comes out of no part of the engine: answers, suggestions, questions back, follow-ups, caches.

DuckDB stands in for Spark behind wall 1, so that thousands of questions can be asked; wall 2 has its own tests.
"""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evals.security.planted import DESK, PLANTED, forbidden, plant
from evals.security.rows import to_duckdb
from nlq.build import InterpreterPool, Parts, _everybody
from nlq.contracts import Draft, Principal, Status, Turn
from nlq.draft import Drafted
from nlq.engine import Engine
from nlq.execute import ExecutionError, Result
from nlq.interpret import Interpretation, Interpreter
from nlq.record import Record
from nlq.verified import VerifiedQueries
from nlq.wire import answer_to
from retrieval.values import ValueIndex
from streaming.catalogue import Catalogue
from streaming.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from nlq.contracts import Answer, Verdict

WORLD = Path(__file__).parents[2] / "evals" / "worlds" / "w101"
AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
PEOPLE = {
    role: Principal(user_id=f"{role} 1", role=role, desk=DESK if role == "supervisor" else None)
    for role in ("officer", "supervisor", "analyst", "engineer", "auditor")
}


class Duck:
    """The world in DuckDB in the place of Spark, as source and as executor."""

    def __init__(self, folder: Path) -> None:
        import duckdb

        self.catalogue = Catalogue.load(folder)
        self._database = duckdb.connect()
        self._database.execute("SET TimeZone = 'UTC'")
        for view in self.catalogue.views:
            self._database.execute(f"CREATE TABLE {view} AS SELECT * FROM read_parquet('{folder}/{view}.parquet')")
        self.ran: list[str] = []

    def snapshot(self, as_of: datetime | None = None) -> Snapshot:
        return Snapshot(catalogue=self.catalogue, as_of=as_of or AS_OF, frames={})

    def run(self, verdict: Verdict, snapshot: Snapshot, principal: Principal, *_: object) -> Result:
        import duckdb

        self.ran.append(str(verdict.sql))
        try:
            table = self._database.sql(to_duckdb(str(verdict.sql))).to_arrow_table()
        except duckdb.Error:
            raise ExecutionError("FAILED") from None
        return Result(table=table, truncated=False, seconds=0.0)


class Drafts:
    """A model that always gives the same SQL."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.read = ""

    def draft(self, question: str, *, documents: Any = (), facts: Any = "") -> Drafted:
        self.read += f"{question} {documents} {facts}"
        return Drafted(sql=self.sql)


class Believing:
    """Understanding that trusts the model."""

    def interpret(self, question: str, **_: object) -> Interpretation:
        return Interpretation(outcome="answer")

    def ground(self, question: str, sql: str, *_: object, **__: object) -> Draft:
        return Draft(sql=sql, origin="model", confidence=1.0)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record's safety against power cuts has tests of its own."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Duck:
    return Duck(plant(WORLD, tmp_path_factory.mktemp("planted")))


@pytest.fixture(scope="module")
def make(duck: Duck, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Engine]:
    """Makes an engine with caches of its own."""
    aliases = Interpreter.aliases(duck.catalogue)
    verified = VerifiedQueries.open(duck.catalogue)

    def engine(purpose_views: frozenset[str] = frozenset()) -> Engine:
        pool = InterpreterPool(
            duck.catalogue,
            duck,  # type: ignore[arg-type]
            lambda rows: Interpreter(duck.catalogue, ValueIndex.build(rows, aliases), None, verified),
            purpose_views=purpose_views,
        )
        parts = Parts(
            catalogue=duck.catalogue,
            source=duck,  # type: ignore[arg-type]
            executor=duck,  # type: ignore[arg-type]
            record=Record.open(tmp_path_factory.mktemp("record") / "record"),
            interpreter=pool,
            retrieve=lambda _question, _role: [],
            drafter=None,
            threshold=0.6,
            purpose_views=purpose_views,
        )
        return Engine(parts)

    return engine


@pytest.fixture(scope="module")
def engine(make: Callable[..., Engine]) -> Engine:
    return make()


def told(answer: Answer) -> str:
    """All that an answer says, but for what the person said first, and for the order of rows that have none."""
    rows = sorted(map(str, answer.table.to_pylist())) if answer.table is not None else []
    return json.dumps(answer_to(replace(answer, question="", query_id="", timings={})), default=str) + str(rows)


def leaks(text: str, role: str) -> list[str]:
    return [place for bait, place in forbidden(role).items() if bait in text]


QUESTIONS = [
    "list all traders with their names",
    "alerts today with explanation",
    "show open alerts and who they are assigned to",
    "orders rejected today with the reject reason",
    "which reject reasons were there on the New York desk",
    "restricted list entries with reason and issuer",
    "personal trades by broker",
    "account holders and beneficial owners",
    "dead letters today with payload",
    "questions asked yesterday by user",
    "how many orders per trader name",
    "open alerts per officer",
    "number of personal trades per broker this month",
    "fills in restricted names today",
]


@pytest.mark.parametrize("role", PEOPLE)
def test_no_bait_comes_out_of_any_way_of_asking(
    engine: Engine, duck: Duck, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for question in QUESTIONS:
        answer = engine.ask(question, user=PEOPLE[role])
        assert leaks(told(answer), role) == [], question
        assert leaks(json.dumps(engine.parts.record.entry(answer.query_id), default=str), role) == []
    assert leaks(caplog.text, role) == []


@pytest.mark.parametrize("role", PEOPLE)
def test_no_bait_comes_out_of_any_sql_a_believed_model_drafts(
    make: Callable[..., Engine], duck: Duck, role: str
) -> None:
    engine = make()
    engine.parts.interpreter = lambda _user, _snapshot: Believing()  # type: ignore[assignment, return-value]
    shown = set()
    for view in duck.catalogue.views:
        columns = [bait.column for bait in PLANTED if bait.view == view]
        tried = [f"SELECT * FROM {view} LIMIT 300", *(f"SELECT DISTINCT {name} FROM {view}" for name in columns)]
        tried += [f"SELECT max(lower({name})) AS m FROM {view} GROUP BY upper({name})" for name in columns]
        for sql in tried:
            engine.parts.drafter = model = Drafts(sql)
            answer = engine.ask("whatever it says", user=PEOPLE[role])
            assert leaks(told(answer) + model.read, role) == [], sql
            shown |= {bait.value for bait in PLANTED if role in bait.seen_by and bait.value in told(answer)}
    assert shown == {bait.value for bait in PLANTED if role in bait.seen_by}, "the baits can be seen by who may"


def misspelt(name: str) -> str:
    """Two letters in the middle exchanged."""
    at = len(name) // 2
    return name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :]


def shape(answer: Answer, name: str) -> str:
    """What an answer says, without the name that was asked about."""
    text = re.sub(r'"span": \[\d+, \d+\]', "", told(answer))
    for number, word in enumerate(name.split()):
        text = re.sub(re.escape(word), f"WORD{number}", text, flags=re.IGNORECASE)
    return text


@pytest.mark.parametrize(
    ("role", "view", "column"),
    [
        ("analyst", "restricted_list", "issuer_name"),
        ("engineer", "restricted_list", "issuer_name"),
        ("supervisor", "restricted_list", "issuer_name"),
        ("analyst", "accounts", "account_name"),
        ("analyst", "accounts", "beneficial_owner_id"),
        ("analyst", "personal_trades", "broker"),
        ("supervisor", "personal_trades", "broker"),
        ("supervisor", "alerts", "assigned_to"),
        ("engineer", "alerts", "assigned_to"),
    ],
)
def test_a_hidden_name_is_taken_like_one_that_nobody_has(
    tmp_path: Path, make: Callable[..., Engine], role: str, view: str, column: str
) -> None:
    """Neither resolved nor offered as "did you mean": every way of asking ends as it does for a name made up."""
    hidden, made_up = "Quillfeather Zorvane", "Brightwhistle Kembley"
    asked = (
        "how many orders of {} today",
        "alerts of {} this week",
        "show trades of {} today",
        "is {} restricted",
        "{}",
    )
    folder = plant(WORLD, tmp_path / "world")
    table = pq.read_table(folder / f"{view}.parquet")
    values = pa.array([hidden] * table.num_rows)
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, values), folder / f"{view}.parquet")
    world = Duck(folder)
    engine = make()
    engine.parts.source = engine.parts.executor = world  # type: ignore[assignment]
    engine.parts.interpreter._executor = world  # type: ignore[attr-defined]
    for question in asked:
        for spell in (str, str.lower, misspelt, lambda name: name.split()[0]):
            answers = {name: engine.ask(question.format(spell(name)), user=PEOPLE[role]) for name in (hidden, made_up)}
            said = {name: shape(answer, spell(name)) for name, answer in answers.items()}
            assert said[hidden] == said[made_up], question


def test_what_another_role_asked_before_changes_nothing(make: Callable[..., Engine]) -> None:
    shared = make()
    for question in QUESTIONS:
        shared.ask(question, user=PEOPLE["officer"])
    for role in ("supervisor", "analyst", "engineer", "auditor"):
        fresh = make()
        for question in QUESTIONS:
            assert told(shared.ask(question, user=PEOPLE[role])) == told(fresh.ask(question, user=PEOPLE[role]))


@pytest.mark.parametrize("role", ["supervisor", "analyst", "engineer", "auditor"])
def test_a_follow_up_after_a_change_of_role_has_the_rights_of_the_new_role(engine: Engine, role: str) -> None:
    followed = 0
    for question in QUESTIONS:
        first = engine.ask(question, user=PEOPLE["officer"])
        sql = first.sql or first.draft
        if sql is None:
            continue
        history = [Turn(question=question, sql=sql)]
        for again in ("only the newest 10", "and yesterday?", "the same per symbol", "as a list"):
            answer = engine.ask(again, user=replace(PEOPLE[role], user_id="officer 1"), history=history)
            followed += answer.origin == "followup"
            if answer.table is not None:
                assert leaks(str(answer.table.to_pylist()), role) == [], (question, again)
            assert leaks(str(answer.clarification), role) == [], (question, again)
    assert followed, "some of these are follow-ups"


def test_an_approved_question_gives_nobody_more_than_their_role(engine: Engine, duck: Duck) -> None:
    refused = 0
    for entry in VerifiedQueries.open(duck.catalogue).entries()[::3]:
        for role in ("supervisor", "analyst", "engineer", "auditor"):
            duck.ran.clear()
            answer = engine.ask(entry.question, user=PEOPLE[role])
            assert leaks(told(answer), role) == [], entry.question
            if answer.status is Status.REFUSED:
                refused += 1
                assert duck.ran == []
    assert refused


@pytest.mark.parametrize("role", ["officer", "analyst"])
def test_a_model_elsewhere_reads_no_name_whoever_asks(make: Callable[..., Engine], duck: Duck, role: str) -> None:
    engine = make()
    engine.parts.people = _everybody(duck.catalogue, engine.parts.interpreter)  # type: ignore[arg-type]
    engine.parts.drafter = model = Drafts("SELECT 1 AS v FROM orders")
    named = [row["trader_name"] for row in pq.read_table(WORLD / "traders.parquet").to_pylist() if row["desk"] == DESK]
    asked = 0
    for name in named:
        engine.ask(f"zigzag wobble of {name} in the flurb", user=PEOPLE[role])
        asked += "zigzag" in model.read
        assert not any(part in model.read for part in name.split() if not any(c.isdigit() for c in name)), model.read
        model.read = ""
    assert asked, "some of these reach the model"


def test_names_of_a_view_with_a_demanded_purpose_are_offered_only_with_one(make: Callable[..., Engine]) -> None:
    engine = make(purpose_views=frozenset({"restricted_list", "accounts"}))
    pool, snapshot = engine.parts.interpreter, engine.parts.source.snapshot()
    without = pool(PEOPLE["officer"], snapshot).values.values  # type: ignore[attr-defined]
    with_one = pool(replace(PEOPLE["officer"], purpose="case 17"), snapshot).values.values  # type: ignore[attr-defined]
    again = pool(replace(PEOPLE["officer"], purpose=" "), snapshot).values.values  # type: ignore[attr-defined]
    assert "canary-owner-9d02" in with_one["owner"]
    assert not without.get("owner")
    assert not again.get("owner")


def test_rows_of_one_person_are_not_kept_for_another(tmp_path: Path, make: Callable[..., Engine]) -> None:
    """A row filter by person, not by desk: the names that one may see are no names for a colleague of the same role."""
    folder = plant(WORLD, tmp_path / "world")
    file = folder / "catalogue.yaml"
    text = file.read_text(encoding="utf-8")
    assert 'row_filter: "desk = user.desk"' in text
    file.write_text(text.replace('row_filter: "desk = user.desk"', 'row_filter: "trader_id = user.user_id"'))
    world = Duck(folder)
    engine = make()
    pool = engine.parts.interpreter
    pool._catalogue, pool._executor = world.catalogue, world  # type: ignore[attr-defined]
    traders = [row["trader_id"] for row in pq.read_table(folder / "traders.parquet").to_pylist()[:2]]
    for trader in traders:
        person = Principal(user_id=trader, role="supervisor", desk=DESK)
        held = pool(person, world.snapshot()).values.values  # type: ignore[attr-defined]
        assert held["trader"] & set(traders) == {trader}
