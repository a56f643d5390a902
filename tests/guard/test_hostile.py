"""Wall 1 against hostile text: hand-made, generated, bent and random."""

from __future__ import annotations

import pytest

from evals.security.fuzz import fuzz
from evals.security.statements import grammar, hand_made, mutants
from evals.security.walls import attack_guard
from nlq.contracts import Principal
from nlq.guard import GuardLimits, check
from streaming.catalogue import Catalogue

CATALOGUE = Catalogue.load()
HAND_MADE = hand_made("/bait/canary.txt", "/bait")


def test_every_hand_made_statement_is_refused_with_a_rule() -> None:
    outcome = attack_guard(HAND_MADE, CATALOGUE)
    assert outcome.total >= 300
    assert [(hostile.id, sql) for hostile, sql in outcome.ran] == []
    assert outcome.rules["INTERNAL"] == 0


def test_every_generated_statement_is_refused() -> None:
    outcome = attack_guard(grammar(1_000, 11, "/bait/canary.txt", "/bait"), CATALOGUE)
    assert [(hostile.sql, sql) for hostile, sql in outcome.ran] == []
    assert outcome.rules["INTERNAL"] == 0


def test_bent_statements_that_pass_have_lost_their_sting() -> None:
    outcome = attack_guard(mutants(500, 12, HAND_MADE), CATALOGUE)
    assert outcome.rules["INTERNAL"] == 0
    for _, sql in outcome.ran:
        assert "${" not in sql
        assert "`/bait" not in sql


def test_fuzzing_finds_no_crash_no_hang_and_nothing_wrongly_allowed() -> None:
    found = fuzz(CATALOGUE, seconds=6, seed=13)
    assert found.statements > 50
    assert (found.crashes, found.slow, found.wrong) == ([], [], [])


def test_a_string_that_spells_a_substitution_in_two_parts_stays_text() -> None:
    verdict = check("SELECT '$' '{env:PATH}'", CATALOGUE, Principal())
    assert verdict.allowed
    assert verdict.sql is not None
    assert "${" not in verdict.sql


def test_hidden_and_missing_views_give_the_same_refusal() -> None:
    supervisor = Principal(role="supervisor", desk="EQ-LDN")
    hidden = check("SELECT * FROM restricted_list", CATALOGUE, supervisor)
    missing = check("SELECT * FROM imaginary_list", CATALOGUE, supervisor)
    assert hidden.rule == missing.rule == "UNKNOWN_VIEW"
    assert hidden.message.replace("restricted", "imaginary") == missing.message


def test_a_view_with_a_demanded_purpose_is_read_with_one_only() -> None:
    limits = GuardLimits(purpose_for=frozenset({"restricted_list"}))
    sql = "SELECT symbol FROM restricted_list"
    assert check(sql, CATALOGUE, Principal(), limits=limits).rule == "PURPOSE"
    assert check(sql, CATALOGUE, Principal(purpose="case 2026-17"), limits=limits).allowed
    assert check("SELECT symbol FROM orders", CATALOGUE, Principal(), limits=limits).allowed


@pytest.mark.parametrize("desk", ["x' OR '1'='1", "\\", "\\' OR 1=1 --", "'; DROP VIEW orders"])
def test_a_hostile_desk_name_stays_a_value(desk: str) -> None:
    verdict = check("SELECT order_id FROM orders", CATALOGUE, Principal(role="supervisor", desk=desk))
    assert verdict.allowed
    assert verdict.sql is not None
    assert "OR 1" not in verdict.sql.replace(verdict.sql[verdict.sql.index("'") : verdict.sql.rindex("'") + 1], "")


def test_messages_never_repeat_a_value_of_the_statement() -> None:
    for hostile in HAND_MADE:
        verdict = check(hostile.sql, CATALOGUE, Principal(role=hostile.role, desk=hostile.desk))
        assert "canary.txt" not in verdict.message
        assert len(verdict.message) < 160
