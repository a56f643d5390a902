"""Nobody's name reaches a model on another machine, whoever asks and however the name is written."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evals.security.golds import CASES
from nlq.interpret import Interpreter
from nlq.outside import People, is_elsewhere
from retrieval.documents import Document
from retrieval.values import ValueIndex
from streaming.catalogue import Catalogue

WORLD = Path(__file__).parents[2] / "evals" / "worlds" / "w101"
FORMS = (
    "How many orders did {} send today?",
    "fills of {} yesterday above 1000 shares",
    "{}'s cancel ratio",
    "who traded with {}, in NVDA",
    "is it true that {}/the desk cancelled?",
)


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict[str, str]]]:
    return {name: pq.read_table(WORLD / f"{name}.parquet").to_pylist() for name in ("traders", "accounts")}


@pytest.fixture(scope="module")
def people() -> People:
    catalogue = Catalogue.load(WORLD)
    tables = {
        name: pq.read_table(WORLD / f"{name}.parquet")
        for name, view in catalogue.views.items()
        if view.kind == "reference"
    }
    interpreter = Interpreter(catalogue, ValueIndex.build(tables, Interpreter.aliases(catalogue)))
    return People(interpreter.extractor, interpreter.values)


def test_no_planted_name_is_left(people, rows):
    persons = [row["trader_name"] for row in rows["traders"] if not row["is_algo"]]
    whole = [*persons, *(row["account_name"] for row in rows["accounts"])]
    whole += [row["beneficial_owner_id"] for row in rows["accounts"] if row["beneficial_owner_id"]]
    written = {form for name in whole for form in (name, name.lower(), name.upper(), "  ".join(name.split()))}
    written |= {part for name in persons for part in name.split()}
    asked = [(name, people.without(form.format(name))) for form in FORMS for name in sorted(written)]
    assert len(asked) >= 1_000
    left = [(name, text) for name, text in asked if " ".join(name.lower().split()) in " ".join(text.lower().split())]
    assert left == []


def test_a_name_becomes_the_id_that_answers_the_question(people, rows):
    trader = next(row for row in rows["traders"] if row["trader_name"] == "Margaret Hale")
    assert people.without("orders of Margaret Hale today") == f"orders of {trader['trader_id']} today"
    assert people.without("orders of hale today") == f"orders of {trader['trader_id']} today"
    assert people.without("write to petra@bank.example") == "write to [email]"


def test_ordinary_questions_stay_as_they_are(people):
    changed = total = 0
    for line in (CASES / "dev_cases.jsonl").read_text().splitlines():
        question = json.loads(line)["question"]
        total += 1
        changed += people.without(question) != question
    assert changed <= total // 10, "most questions name nobody"


def test_examples_and_facts_lose_their_names_too(people):
    document = Document(
        id="x",
        kind="example",
        text="orders of Margaret Hale",
        views=("orders",),
        sql="SELECT 1 WHERE t = 'Margaret Hale'",
    )
    (without,) = people.without_in([document])
    facts = people.without_facts({"Margaret Hale": "trader_name = 'Margaret Hale'"})
    assert "Hale" not in without.text + str(without.sql) + str(facts) + people.without_facts("of Hale")


@pytest.mark.parametrize(
    ("url", "elsewhere"),
    [
        ("http://127.0.0.1:8080/v1", False),
        ("http://localhost:8080", False),
        ("http://[::1]:8080", False),
        ("https://llm.bank.example/v1", True),
        ("http://10.0.0.7:8080", True),
        ("http://127.0.0.1.evil.example", True),
        ("nonsense", True),
    ],
)
def test_what_counts_as_elsewhere(url, elsewhere):
    assert is_elsewhere(url) is elsewhere
