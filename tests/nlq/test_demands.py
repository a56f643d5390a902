"""A word of the question that could not have led to anything in the statement is a doubt, whoever drafted the statement."""

from __future__ import annotations

import pytest

from nlq.demands import demands, unmet

LACKING_AND_MEETING = [
    (
        "Filled quantity per desk since the open",
        "SELECT SUM(qty) FROM executions",
        "SELECT desk, SUM(qty) FROM executions GROUP BY desk",
    ),
    (
        "auction quantity / whole quantity for our fills in Shell",
        "SELECT SUM(qty) AS q FROM executions WHERE session_phase = 'CLOSING_AUCTION'",
        "SELECT SUM(CASE WHEN session_phase = 'CLOSING_AUCTION' THEN qty END) / SUM(qty) AS s FROM executions",
    ),
    (
        "Orders on Xetra yesterday, of which amended",
        "SELECT order_id FROM orders WHERE n_replaces > 0",
        "SELECT COUNT(*) AS n, SUM(CASE WHEN n_replaces > 0 THEN 1 ELSE 0 END) AS m FROM orders",
    ),
    (
        "Orders larger than their trader's average",
        "SELECT order_id FROM orders WHERE order_qty > 500",
        "SELECT o.order_id FROM orders o JOIN b ON b.t = o.t WHERE o.order_qty > b.mean",
    ),
    (
        "Longest life of a Ford order, in seconds",
        "SELECT MAX(lifetime_ms) FROM orders",
        "SELECT MAX(lifetime_ms) / 1000 FROM orders",
    ),
    (
        "Whose order in Ford was cancelled?",
        "SELECT symbol FROM orders WHERE status = 'CANCELLED'",
        "SELECT trader_id FROM orders WHERE status = 'CANCELLED'",
    ),
    (
        "The median size of prints in Ford",
        "SELECT AVG(qty) FROM market_trades",
        "SELECT median(qty) FROM market_trades",
    ),
    (
        "accounts that bought and sold at the same price",
        "SELECT account_id FROM executions WHERE side IN ('BUY', 'SELL')",
        "SELECT a.account_id FROM executions a JOIN executions b ON a.price = b.price WHERE a.side = 'BUY' AND b.side = 'SELL'",
    ),
    (
        "partitions with lag > 500",
        "SELECT topic, partition, lag FROM ingest_status",
        "SELECT topic, partition FROM ingest_status WHERE lag > 500",
    ),
]


@pytest.mark.parametrize(("question", "lacking", "meeting"), LACKING_AND_MEETING)
def test_what_was_said_and_has_no_trace_is_a_doubt(question, lacking, meeting):
    assert unmet(question, lacking)
    assert unmet(question, meeting) == []


def test_a_name_is_no_word():
    question, sql = "fills of Each Way Desk Bets", "SELECT exec_id FROM executions WHERE status = 'VALID'"
    assert unmet(question, sql)
    assert unmet(question, sql, [(9, len(question))]) == []


def test_in_a_follow_up_those_are_the_rows_before():
    question, sql = "how many of those", "SELECT COUNT(*) AS n FROM orders"
    assert unmet(question, sql)
    assert unmet(question, sql, follows=True) == []


def test_a_time_bucket_can_be_read():
    sql = "SELECT window(entry_ts, '5 minutes').start AS b, COUNT(*) AS n FROM orders GROUP BY window(entry_ts, '5 minutes').start"
    assert unmet("how many orders in each 5 minutes", sql) == []


def test_every_line_of_the_file_can_fail():
    bare = "SELECT x FROM t"
    for line in demands():
        assert not line.unless or not line.unless.search(line.doubt)
    said = {d for q, lacking, _ in LACKING_AND_MEETING for d in unmet(q, lacking)}
    assert len(said) >= 8
    assert unmet("how many humans sold both short sales in the auction, the median percentage, and why", bare)
