"""Gold SQL means the same on DuckDB as on Spark, where it was written for."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from evals.cases import WORLDS, bind_clock, load_cases, open_authors
from evals.gold import World, to_duckdb, with_order_keys
from evals.scorer import compare

AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)

DIFFICULT = {
    "tumbling window": "SELECT window(trade_ts, '15 minutes').start AS b, count(*) AS n FROM market_trades "
    "WHERE symbol = 'AAPL' GROUP BY window(trade_ts, '15 minutes').start",
    "end of a window": "SELECT window(trade_ts, '1 hour').end AS b, sum(qty) AS q FROM market_trades "
    "WHERE trade_date = {as_of_date} GROUP BY window(trade_ts, '1 hour').end",
    "latest by time": "SELECT symbol, max_by(price, trade_ts) AS last_price FROM market_trades GROUP BY symbol",
    "first by time": "SELECT venue, min_by(bid_price, quote_seq) AS b FROM quotes GROUP BY venue",
    "Monday of the week": "SELECT count(*) FROM orders WHERE trade_date >= CAST(date_trunc('WEEK', {as_of}) AS DATE)",
    "day of an instant": "SELECT date_trunc('DAY', entry_ts) AS d, count(*) AS n FROM orders GROUP BY 1",
    "interval": "SELECT count(*) FROM executions WHERE exec_ts > {as_of} - INTERVAL 90 MINUTES",
    "percentile": "SELECT desk, percentile(lifetime_ms, 0.9) AS p FROM orders GROUP BY desk",
    "percentile of whole numbers": "SELECT percentile(unix_micros(ingest_ts) - unix_micros(exec_ts), 0.99) FROM executions",
    "median": "SELECT median(qty) FROM executions",
    "whole numbers divided": "SELECT sum(CASE WHEN status = 'CANCELLED' THEN 1 ELSE 0 END) / count(*) FROM orders",
    "epoch": "SELECT max(unix_micros(exec_ts)) FROM executions",
    "hour of the day": "SELECT hour(trade_ts) AS h, count(*) AS n FROM market_trades GROUP BY hour(trade_ts)",
    "NULLs come first": "SELECT order_id FROM orders ORDER BY end_ts, order_id LIMIT 5",
    "NULLs come last": "SELECT order_id FROM orders ORDER BY end_ts DESC, order_id DESC LIMIT 5",
    "array": "SELECT count(*) FROM alerts WHERE size(evidence_order_ids) > 2",
    "exploded": "SELECT count(*) FROM (SELECT explode(views_read) AS v FROM query_audit) t WHERE v = 'orders'",
    "deviation": "SELECT stddev(price) FROM market_trades WHERE symbol = 'ABC'",
    "window function": "SELECT symbol, max(gap) AS g FROM (SELECT symbol, unix_micros(trade_ts) - "
    "unix_micros(lag(trade_ts) OVER (PARTITION BY symbol ORDER BY trade_ts)) AS gap FROM market_trades) t GROUP BY symbol",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One sample world."""
    return World(WORLDS / "w101", tmp_path_factory.mktemp("golds"))


@pytest.fixture(scope="module")
def on_spark(spark, world: World):
    """The world's views in Spark; a function that runs SQL there."""
    from streaming.directory import DirectorySource

    session = spark.newSession()
    with DirectorySource(world.directory, session).snapshot() as snapshot:
        for view in world.catalogue.views:
            snapshot.frame(view, session).createOrReplaceTempView(view)

    def run(sql: str) -> pa.Table:
        return session.sql(sql).toArrow()

    return run


@pytest.mark.parametrize("sql", DIFFICULT.values(), ids=DIFFICULT.keys())
def test_difficult_constructs_mean_the_same(sql: str, world: World, on_spark) -> None:
    """The constructs in which the two dialects differ."""
    bound = bind_clock(sql, AS_OF)
    result = compare(on_spark(bound), world.run_duckdb(bound))
    assert result.strict, result


def test_golds_mean_the_same(world: World, on_spark) -> None:
    """Golds at even distances through the open authors; one that differs is named."""
    golds = [(case.id, sql) for case in load_cases(open_authors()) for sql in case.gold]
    sample = golds[:: len(golds) // 20]
    differ = []
    for name, sql in sample:
        bound = bind_clock(sql, AS_OF)
        result = compare(on_spark(bound), world.run_duckdb(bound))
        if not result.strict:
            differ.append((name, result.failure))
    assert differ == []


def test_sliding_window_is_left_to_spark() -> None:
    """DuckDB has no equal for it, so that it must not be approximated."""
    import sqlglot

    with pytest.raises(sqlglot.errors.UnsupportedError):
        to_duckdb("SELECT window(trade_ts, '10 minutes', '5 minutes').start FROM market_trades")


def test_gold_is_cached_by_content(world: World, tmp_path: Path) -> None:
    """The second run reads the file; another SQL or clock is another file."""
    fresh = World(world.directory, tmp_path)
    sql = "SELECT count(*) AS n FROM orders WHERE entry_ts <= {as_of}"
    first = fresh.gold(sql, AS_OF)
    assert len(list((tmp_path / "gold").glob("*.arrow"))) == 1
    assert fresh.gold(sql, AS_OF).table == first.table
    fresh.gold(sql, AS_OF.replace(hour=12))
    assert len(list((tmp_path / "gold").glob("*.arrow"))) == 2


def test_ties_are_told_by_the_sort_key(world: World) -> None:
    """Rows of equal key are one group, also when the key is not shown or is an alias."""
    gold = world.gold("SELECT order_id FROM orders ORDER BY order_type LIMIT 50", AS_OF, ordered=True)
    assert gold.table.column_names == ["order_id"]
    assert gold.tie_groups is not None
    assert set(gold.tie_groups) == {0}
    counted = world.gold("SELECT desk, count(*) AS n FROM orders GROUP BY desk ORDER BY n DESC", AS_OF, ordered=True)
    assert counted.tie_groups == tuple(range(counted.table.num_rows))


def test_without_order_nothing_is_added() -> None:
    """The statement stays as it is."""
    assert with_order_keys("SELECT 1") == "SELECT 1"
