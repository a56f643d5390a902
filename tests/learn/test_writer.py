"""The learnt writer: it learns to write statements, fills them from the question, and stands beside the rules' draft."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from nlq.contracts import Proposal
from nlq.learn.choice import candidates, draft_of
from nlq.learn.data import Example, case_files, read_examples
from nlq.learn.drafts import written_drafts
from nlq.learn.forms import form_of
from nlq.learn.parser import Parser, WeightsError
from nlq.learn.slots import ReadingSlots, reader_of
from nlq.learn.train import Recipe, save, train
from tests.learn.conftest import CASES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streaming.catalogue import Catalogue

AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
RECIPE = Recipe(head_epochs=1, writer_epochs=45, writer_rate=3e-3, tuned_epochs=0, rank=0, tuned_layers=0, batch_size=8)


@pytest.fixture(scope="module")
def read(catalogue: Catalogue) -> Callable[[str], ReadingSlots]:
    names = pa.table({"symbol": ["AAPL", "MSFT"], "issuer_name": ["Apple Inc", "Microsoft Corp"], "venue": ["XNAS", "XNAS"],
                      "asset_class": ["EQUITY", "EQUITY"]})  # fmt: skip
    return reader_of(catalogue, {"instruments": names}, AS_OF)


@pytest.fixture(scope="module")
def parser(
    catalogue: Catalogue,
    tiny_encoder: Path,
    case_directory: Path,
    read: Callable[[str], ReadingSlots],
    tmp_path_factory: pytest.TempPathFactory,
) -> Parser:
    types = {c.name: c.type.upper() for v in catalogue.views.values() for c in v.columns.values()}

    def form(example: Example, wording: str) -> list[str]:
        return form_of(example.gold, read(wording), types) if example.gold else []

    network = train(
        read_examples(case_files(case_directory), catalogue), catalogue, tiny_encoder, RECIPE, forms=form, progress=lambda _: None
    )  # fmt: skip
    path = tmp_path_factory.mktemp("weights") / "parser.safetensors"
    save(network, path, RECIPE)
    return Parser.load(catalogue, encoder=tiny_encoder, weights=path)


def test_it_writes_what_it_was_taught(parser: Parser, read: Callable[[str], ReadingSlots]) -> None:
    question = str(CASES[0]["question"])
    drafts = written_drafts(parser.propose(question), read(question))
    assert drafts
    assert (
        drafts[0].sql
        == "SELECT COUNT(*) FROM orders WHERE trade_date = CAST('2026-11-20' AS DATE) AND status = 'CANCELLED'"
    )
    assert drafts[0].features["total"] <= 0.0


def test_the_same_question_gets_the_same_forms(parser: Parser) -> None:
    question = str(CASES[1]["question"])
    assert parser.propose(question).forms == parser.propose(question).forms


@pytest.mark.parametrize("question", ["", "?" * 500, "völlig anderes 🙂"])
def test_odd_questions_do_not_break_it(parser: Parser, read: Callable[[str], ReadingSlots], question: str) -> None:
    written_drafts(parser.propose(question), read(question))


def test_a_form_that_names_what_does_not_exist_is_dropped(read: Callable[[str], ReadingSlots]) -> None:
    forms = (
        (("FROM", "nowhere", "SHOW", "COUNT ( * )"), (-0.1,)),
        (("FROM", "orders", "SHOW", "no_such_column"), (-0.2,)),
        (("FROM", "orders", "SHOW", "order_id"), (-0.3,)),
    )
    proposal = Proposal(outcome={}, main_view={}, views={}, columns={}, shape={}, forms=forms)
    assert [d.sql for d in written_drafts(proposal, read("orders"))] == ["SELECT order_id FROM orders"]


def test_both_drafts_stand_side_by_side_with_their_agreement(read: Callable[[str], ReadingSlots]) -> None:
    form = ("FROM", "executions", "WHERE", "symbol", "=", "V1_", "GROUP BY", "desk", "SHOW", "desk", ",", "COUNT ( * )")
    proposal = Proposal(
        outcome={"answer": 1.0}, main_view={"executions": 1.0}, views={}, columns={}, shape={}, forms=((form, (-0.01,) * 13),)
    )  # fmt: skip
    slots = read("fills in Apple by desk")
    same = "SELECT desk, count(*) AS n FROM executions WHERE symbol = 'AAPL' GROUP BY desk"
    agreed = candidates([("plan", same, {"left": 0.0})], proposal, slots)
    apart = candidates([("plan", same.replace("'AAPL'", "'MSFT'"), {"left": 0.0})], proposal, slots)
    assert [c.kind for c in agreed] == ["plan", "learnt"]
    assert agreed[0].features["w_same"] == 1.0
    assert apart[0].features["w_same"] == 0.0
    draft = draft_of(agreed[1], slots, 0.7)
    assert draft.sql == "SELECT desk, COUNT(*) FROM executions WHERE symbol = 'AAPL' GROUP BY desk"
    assert any(e.phrase == "Apple" and "AAPL" in e.predicate for e in draft.ledger)
    assert "executions" in draft.reading


def test_a_damaged_writer_is_refused(catalogue: Catalogue, tiny_encoder: Path, parser: Parser, tmp_path: Path) -> None:
    path = tmp_path / "parser.safetensors"
    save(parser.network, path, replace(RECIPE))
    writer = path.with_name("parser-writer.safetensors")
    writer.write_bytes(writer.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="parser-writer"):
        Parser.load(catalogue, encoder=tiny_encoder, weights=path)
