"""The learnt parser end to end on a tiny encoder: it learns, is reproducible, moves to another catalogue, and checks."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from nlq.contracts import Proposal, Turn
from nlq.learn import Parser
from nlq.learn.agreement import agreement
from nlq.learn.augment import vary
from nlq.learn.data import CaseFileError, case_files, read_examples
from nlq.learn.encoder import EncoderMissingError
from nlq.learn.mutate import mutations
from nlq.learn.parser import WeightsError
from nlq.learn.text import normalise
from nlq.learn.train import Recipe, save, train
from tests.learn.conftest import CASES

if TYPE_CHECKING:
    from pathlib import Path

    from streaming.catalogue import Catalogue

RECIPE = Recipe(head_epochs=60, tuned_epochs=4, batch_size=2, rank=4, tuned_layers=1, columns=48, head_rate=5e-3)


@pytest.fixture(scope="module")
def weights(
    tmp_path_factory: pytest.TempPathFactory, catalogue: Catalogue, tiny_encoder: Path, case_directory: Path
) -> Path:
    torch.set_num_threads(1)
    examples = read_examples(case_files(case_directory), catalogue)
    path = tmp_path_factory.mktemp("weights") / "parser.safetensors"
    network = train(examples, catalogue, tiny_encoder, RECIPE, progress=lambda _: None)
    save(network, path, RECIPE, left_out=[])
    return path


@pytest.fixture(scope="module")
def parser(catalogue: Catalogue, tiny_encoder: Path, weights: Path) -> Parser:
    return Parser.load(catalogue, encoder=tiny_encoder, weights=weights)


def test_it_learns_views_roles_shapes_and_outcome(parser: Parser) -> None:
    count = parser.propose(str(CASES[0]["question"]))
    assert max(count.main_view, key=lambda v: count.main_view[v]) == "orders"
    assert count.shape["count_rows"] > 0.5 > count.shape["group"]
    assert _best(count, "filter") in {("orders", "status"), ("orders", "trade_date")}
    grouped = parser.propose(str(CASES[1]["question"]))
    assert max(grouped.main_view, key=lambda v: grouped.main_view[v]) == "alerts"
    assert _best(grouped, "group") == ("alerts", "detector")
    weather = parser.propose(str(CASES[5]["question"]))
    assert weather.outcome["unanswerable"] > weather.outcome["answer"]


def _best(found: Proposal, role: str) -> tuple[str, str]:
    return max(found.columns, key=lambda c: found.columns[c].get(role, 0.0))


def test_probabilities_are_probabilities(parser: Parser) -> None:
    found = parser.propose("anything at all, xyzzy 12 T8921")
    assert sum(found.outcome.values()) == pytest.approx(1, abs=1e-4)
    assert sum(found.main_view.values()) == pytest.approx(1, abs=1e-4)
    values = [*found.views.values(), *found.shape.values(), *(p for r in found.columns.values() for p in r.values())]
    assert all(0.0 <= p <= 1.0 for p in values)


@pytest.mark.parametrize("question", ["", " ", "?" * 10_000, "🙂", "wie viele Aufträge heute"])
def test_odd_questions_get_a_proposal(parser: Parser, question: str) -> None:
    assert isinstance(parser.propose(question), Proposal)


def test_the_conversation_is_read(parser: Parser) -> None:
    turn = Turn(question="open alerts", sql="SELECT alert_id FROM alerts WHERE status = 'NEW'")
    alone, after = parser.propose("by detector"), parser.propose("by detector", history=[turn])
    assert alone.main_view != after.main_view
    assert isinstance(parser.propose("by desk", history=[Turn(question="x", sql="no SQL at all")]), Proposal)


def test_same_seed_same_weights(catalogue: Catalogue, tiny_encoder: Path, case_directory: Path, tmp_path: Path) -> None:
    examples = read_examples(case_files(case_directory), catalogue)
    short = replace(RECIPE, head_epochs=1, tuned_epochs=1, columns=40, variants=1)
    digests = {
        save(
            train(examples, catalogue, tiny_encoder, short, progress=lambda _: None),
            tmp_path / f"{i}.safetensors",
            short,
        )
        for i in range(2)
    }
    assert len(digests) == 1


def test_another_catalogue_needs_no_training(
    catalogue: Catalogue, tiny_encoder: Path, weights: Path, parser: Parser
) -> None:
    orders = catalogue.views["orders"]
    renamed = replace(catalogue, views={"deals": replace(orders, name="deals"), "alerts": catalogue.views["alerts"]})
    found = Parser.load(renamed, encoder=tiny_encoder, weights=weights).propose(str(CASES[0]["question"]))
    assert set(found.main_view) == {"deals", "alerts"}
    assert {view for view, _ in found.columns} <= {"deals", "alerts"}


def test_damaged_or_missing_files_are_named(
    catalogue: Catalogue, tiny_encoder: Path, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(EncoderMissingError, match=r"config\.json"):
        Parser.load(catalogue, encoder=tmp_path, weights=weights)
    with pytest.raises(WeightsError, match=r"nothing\.safetensors|nothing\.json"):
        Parser.load(catalogue, encoder=tiny_encoder, weights=tmp_path / "nothing.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(weights.read_bytes()[:-1] + b"x")
    damaged.with_suffix(".json").write_text(weights.with_suffix(".json").read_text())
    with pytest.raises(WeightsError, match="SHA-256"):
        Parser.load(catalogue, encoder=tiny_encoder, weights=damaged)


def test_several_voices_say_the_mean_of_their_probabilities(
    catalogue: Catalogue, tiny_encoder: Path, case_directory: Path, weights: Path, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, head_epochs=0, tuned_epochs=0, last_epochs=20, voices=2)
    examples = read_examples(case_files(case_directory), catalogue)
    path = tmp_path / "parser.safetensors"
    network = train(examples, catalogue, tiny_encoder, recipe, start=weights, progress=lambda _: None)
    save(network, path, recipe, left_out=[])
    both = Parser.load(catalogue, encoder=tiny_encoder, weights=path)
    question = str(CASES[0]["question"])
    together = both.propose(question).main_view
    assert max(together, key=lambda v: together[v]) == "orders"
    second, both.network.others = both.network.others[0], ()
    first = both.propose(question).main_view
    alone = Parser(second, both.batcher, catalogue).propose(question).main_view
    assert first != alone
    assert together == pytest.approx({v: (first[v] + alone[v]) / 2 for v in first}, abs=1e-4)
    (tmp_path / "parser-2.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"parser-2\.safetensors"):
        Parser.load(catalogue, encoder=tiny_encoder, weights=path)


def test_locked_authors_are_never_opened(case_directory: Path, catalogue: Catalogue) -> None:
    assert [p.name for p in case_files(case_directory)] == ["tst.jsonl"]
    with pytest.raises(CaseFileError, match="locked"):
        read_examples([case_directory / "law.jsonl"], catalogue)


def test_broken_case_files_are_named_with_the_line(tmp_path: Path, catalogue: Catalogue) -> None:
    (tmp_path / "new.jsonl").write_text(json.dumps({"id": "x"}) + "\n")
    with pytest.raises(CaseFileError, match=r"new\.jsonl:1"):
        read_examples([tmp_path / "new.jsonl"], catalogue)


def test_identifiers_dates_and_long_numbers_become_placeholders() -> None:
    assert (
        normalise("T8921 cancelled 12,500 on 2026-11-17 at 14:05:00") == "T 1 cancelled 1000 on on that date at 10:00"
    )
    assert normalise("top 5  desks") == "top 5 desks"


def test_rewording_is_deterministic_and_keeps_the_rest() -> None:
    groups = [["AAPL", "MSFT"]]
    assert [vary("AAPL orders today", groups, random.Random(i)) for i in range(30)] == [
        vary("AAPL orders today", groups, random.Random(i)) for i in range(30)
    ]
    assert any("MSFT" in vary("AAPL orders today", groups, random.Random(i)) for i in range(30))


def test_agreement_falls_with_every_kind_of_mistake(catalogue: Catalogue) -> None:
    gold = (
        "SELECT desk, sum(qty) AS q FROM executions WHERE status = 'VALID' AND side = 'BUY' GROUP BY desk "
        "ORDER BY q DESC LIMIT 3"
    )
    believed = Proposal(
        outcome={"answer": 1.0},
        main_view={"executions": 0.98},
        views={"executions": 0.99, "orders": 0.02},
        columns={
            ("executions", "desk"): {"group": 0.97},
            ("executions", "qty"): {"sum": 0.96},
            ("executions", "status"): {"filter": 0.97, "filter_value": 0.97},
            ("executions", "side"): {"filter": 0.95, "filter_value": 0.95},
        },
        shape={"group": 0.98, "aggregate": 0.98, "limit": 0.95, "scalar": 0.03, "count_rows": 0.03},
    )
    schema = catalogue.sqlglot_schema
    best = agreement(believed, gold, schema)
    found = mutations(gold, schema, random.Random(3))
    assert {k for k, _ in found} >= {"dropped condition", "other aggregate", "dropped grouping", "dropped limit"}
    for kind, sql in found:
        worse = agreement(believed, sql, schema)
        assert any(worse[name] < best[name] - 1 for name in best), kind
    assert agreement(believed, "not SQL", schema) == {"agree_read": 0.0}


def test_shipped_weights_answer_in_time(catalogue: Catalogue) -> None:
    """The shipped parser within 60 ms of one core; skipped where the base encoder has not been fetched."""
    try:
        shipped = Parser.load(catalogue)
    except EncoderMissingError as missing:
        pytest.skip(str(missing))
    torch.set_num_threads(1)
    found = shipped.propose("how many orders did T103 cancel today")
    assert max(found.main_view, key=lambda v: found.main_view[v]) == "orders"
    best = min(_seconds(shipped) for _ in range(7))
    assert best < 0.06


def _seconds(parser: Parser) -> float:
    started = time.process_time()
    parser.propose("average effective spread of our fills in Apple by desk over the last 30 minutes")
    return time.process_time() - started
