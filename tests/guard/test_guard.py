"""What the guard makes of honest statements."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from evals.security.golds import golds, verdicts
from nlq.contracts import Principal
from nlq.guard import GuardLimits, check, check_file
from streaming.catalogue import Catalogue

CATALOGUE = Catalogue.load()
OFFICER = Principal()
SUPERVISOR = Principal(role="supervisor", desk="EQ-LDN")
ANALYST = Principal(role="analyst")
AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)


def allowed(sql: str, person: Principal = OFFICER, as_of: datetime | None = AS_OF) -> str:
    verdict = check(sql, CATALOGUE, person, as_of)
    assert verdict.allowed, (verdict.rule, verdict.message)
    assert verdict.sql is not None
    return verdict.sql


def test_gold_statements_are_allowed_and_quickly() -> None:
    found = verdicts(CATALOGUE, every=3)
    share = len(found.denied) / found.statements
    assert share <= 0.02, f"{share:.2%} of {found.statements} honest statements denied: {found.denied[:10]}"
    assert found.percentile(0.99) < 60, "three times the target, for a loaded machine; the figure is in docs"


def test_the_verdict_on_the_text_that_runs_is_that_text() -> None:
    for number, gold in enumerate(golds()):
        if number % 40 == 0:
            text = allowed(gold.sql, Principal(role="officer")) if "query_audit" not in gold.sql else None
            if text is not None:
                assert allowed(text) == text


def test_rows_of_the_desk_and_nothing_restricted_for_a_supervisor() -> None:
    assert allowed("SELECT order_id FROM orders", SUPERVISOR) == (
        "SELECT order_id FROM (SELECT order_id FROM orders WHERE (desk = 'EQ-LDN')) AS orders LIMIT 10001"
    )
    assert "CAST(NULL AS BOOLEAN) AS is_restricted" in allowed(
        "SELECT exec_id, is_restricted FROM executions", SUPERVISOR
    )
    assert "desk" not in allowed("SELECT trade_id FROM market_trades", SUPERVISOR)


def test_a_supervisor_without_a_desk_sees_nothing() -> None:
    assert "WHERE FALSE" in allowed("SELECT order_id FROM orders", Principal(role="supervisor"))


def test_masked_columns_may_be_listed_and_nothing_else() -> None:
    assert "CAST(NULL AS STRING) AS trader_name" in allowed("SELECT trader_id, trader_name FROM traders", ANALYST)
    refused = check("SELECT trader_id FROM traders WHERE trader_name = 'x'", CATALOGUE, ANALYST)
    assert refused.rule == "MASKED_COLUMN"


def test_restricted_alerts_are_hidden_from_an_analyst_in_every_form() -> None:
    condition = "NOT (detector IN ('RESTRICTED_LIST', 'INSIDER_DEALING'))"
    for sql in (
        "SELECT alert_id FROM alerts",
        "SELECT count(*) FROM alerts a",
        "WITH c AS (SELECT * FROM alerts) SELECT count(*) FROM c",
        "SELECT symbol FROM orders WHERE symbol IN (SELECT symbol FROM alerts)",
        "SELECT (SELECT max(score) FROM alerts) AS v",
        "SELECT symbol FROM orders UNION SELECT symbol FROM alerts",
    ):
        assert condition in allowed(sql, ANALYST)
    twice = allowed("SELECT a.alert_id FROM alerts a JOIN alerts b ON a.alert_id = b.alert_id", ANALYST)
    assert twice.count(condition) == 2


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT current_timestamp() AS t", "SELECT CAST('2026-11-20 18:30:00' AS TIMESTAMP) AS t LIMIT 10001"),
        ("SELECT current_date AS d", "SELECT CAST('2026-11-20' AS DATE) AS d LIMIT 10001"),
        ("SELECT TIMESTAMP 'now' AS t", "SELECT CAST('2026-11-20 18:30:00' AS TIMESTAMP) AS t LIMIT 10001"),
        ("SELECT DATE 'yesterday' AS t", "SELECT CAST('2026-11-19' AS DATE) AS t LIMIT 10001"),
    ],
)
def test_now_is_the_time_of_the_answer(sql: str, expected: str) -> None:
    assert allowed(sql) == expected


def test_a_clock_in_another_zone_is_turned_to_utc() -> None:
    local = AS_OF.astimezone(timezone(timedelta(hours=14)))
    assert "'2026-11-20'" in allowed("SELECT current_date()", as_of=local)


def test_a_clock_without_a_time_of_the_answer_is_refused() -> None:
    assert check("SELECT now()", CATALOGUE, OFFICER).rule == "CLOCK"


@pytest.mark.parametrize(
    ("sql", "end"),
    [
        ("SELECT order_id FROM orders", " LIMIT 10001"),
        ("SELECT order_id FROM orders LIMIT 7", " LIMIT 7"),
        ("SELECT order_id FROM orders LIMIT 900000", " LIMIT 10001"),
        ("SELECT order_id FROM orders UNION ALL SELECT order_id FROM executions", " LIMIT 10001"),
        ("(SELECT order_id FROM orders LIMIT 3)", " LIMIT 3"),
    ],
)
def test_every_statement_has_a_limit(sql: str, end: str) -> None:
    assert allowed(sql).endswith(end)


def test_a_doubled_quote_keeps_its_value() -> None:
    assert allowed("SELECT order_id FROM orders WHERE issuer_name = 'O''Hara'").count("O\\'Hara") == 1


def test_time_buckets_may_be_the_first_grouping_key() -> None:
    sql = "SELECT window(entry_ts, '5 minutes').start AS b, count(*) FROM orders GROUP BY window(entry_ts, '5 minutes').start"
    assert "GROUP BY WINDOW(entry_ts, '5 minutes').start" in allowed(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a.n, b.n FROM (SELECT count(*) AS n FROM orders) a CROSS JOIN (SELECT count(*) AS n FROM executions) b",
        "SELECT o.order_id FROM orders o JOIN thresholds t ON t.detector = 'LAYERING' AND t.parameter = 'p' "
        "WHERE o.lifetime_ms < t.value",
        "SELECT i.symbol, v.venue FROM instruments i CROSS JOIN trading_calendar v",
        "SELECT a.order_id FROM orders a JOIN orders b ON a.trader_id = b.trader_id AND a.entry_ts < b.entry_ts",
        "SELECT a.alert_id, o.order_id FROM alerts a JOIN orders o ON array_contains(a.evidence_order_ids, o.order_id)",
        "SELECT order_id FROM orders o WHERE EXISTS (SELECT 1 FROM executions e WHERE e.order_id = o.order_id)",
    ],
)
def test_honest_joins_are_allowed_and_kept_as_they_are(sql: str) -> None:
    text = allowed(sql)
    as_given = "".join(sql.lower().replace(" as ", " ").split())
    assert "".join(text.lower().replace(" as ", " ").split()) == f"{as_given}limit10001"


def test_bounds_are_settings() -> None:
    sql = "SELECT order_id FROM orders WHERE symbol IN ('A', 'B', 'C')"
    assert check(sql, CATALOGUE, OFFICER, limits=GuardLimits(max_in_list=2)).rule == "LIST_TOO_LONG"


def test_views_and_columns_are_reported() -> None:
    verdict = check("SELECT o.symbol FROM orders o JOIN traders t ON o.trader_id = t.trader_id", CATALOGUE, OFFICER)
    assert verdict.views == ("orders", "traders")
    assert {"orders.symbol", "orders.trader_id", "traders.trader_id"} <= set(verdict.columns)


def test_a_file_of_statements_survives_any_line(tmp_path: Path) -> None:
    file = tmp_path / "statements.jsonl"
    lines = [
        json.dumps({"statement": "SELECT order_id FROM orders", "id": "a"}).encode(),
        json.dumps({"sql": "DROP VIEW orders"}).encode(),
        json.dumps({"sql": "SELECT trader_id FROM traders WHERE trader_name = 'x'", "role": "analyst"}).encode(),
        json.dumps({"sql": "SELECT order_id FROM orders", "role": "supervisor", "user_desk": "EQ-NYC"}).encode(),
        json.dumps({"sql": "SELECT current_date()"}).encode(),
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b"[" * 5_000,
        b"null",
        b'{"sql": 7}',
        b'{"sql": null, "role": {}}',
        json.dumps({"sql": "SELECT 1", "role": ["officer"], "id": {"a": 1}}).encode(),
        json.dumps({"sql": "\ud800"}).encode(),
        b'{"sql": "' + b"x" * 1_100_000 + b'"}',
    ]
    file.write_bytes(b"\n".join(lines))
    rows = list(check_file(file, CATALOGUE, OFFICER))
    assert len(rows) == len(lines) - 1
    assert [row["rule"] for row in rows[:5]] == ["OK", "ROOT_NOT_SELECT", "MASKED_COLUMN", "OK", "OK"]
    assert "EQ-NYC" in rows[3]["sql"]
    assert not any(row["allowed"] for row in rows[5:])
    assert all(json.dumps(row) and set(row) == {"id", "statement", "allowed", "rule", "message", "sql"} for row in rows)


def test_rows_of_a_file_can_be_written_out(tmp_path: Path) -> None:
    file = tmp_path / "statements.jsonl"
    file.write_bytes(b'{"sql": "SELECT \'\\ud800\'", "id": "\\udc00"}\n')
    row = next(check_file(file, CATALOGUE, OFFICER))
    assert row["rule"] == "CHARACTER"
    json.dumps(row, ensure_ascii=False).encode("utf-8")
