"""Forms of SQL: open slots, one spelling, and back; statements compared part by part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import sqlglot

from nlq.learn.compare import compare, parts_of
from nlq.learn.forms import FormError, fill_form, form_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streaming.catalogue import Catalogue


@dataclass
class Offered:
    """Slots of an imagined question."""

    named: Mapping[str, Sequence[tuple[str, ...]]]
    numbers: Sequence[float] = ()
    timed: bool = False

    def values(self, column: str) -> Sequence[tuple[str, ...]]:
        return self.named.get(column.rpartition(".")[2], ())

    def times(self, column: str, others: Sequence[str]) -> Sequence[str] | None:
        return [f"{column} >= DATE '2026-01-01'", f"{column} < DATE '2026-02-01'"] if column.endswith("date") else None


NOBODY = Offered({})


@pytest.fixture(scope="module")
def types(catalogue: Catalogue) -> dict[str, str]:
    return {c.name: c.type.upper() for v in catalogue.views.values() for c in v.columns.values()}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) AS n FROM orders WHERE status = 'CANCELLED' AND trade_date = {as_of_date}",
        "SELECT desk, sum(qty) AS q FROM executions GROUP BY desk HAVING sum(qty) > 100 ORDER BY q DESC LIMIT 5",
        "SELECT DISTINCT venue FROM trading_calendar WHERE open_ts <= {as_of} AND close_ts > {as_of}",
        "SELECT window(trade_ts, '5 minutes').start AS bucket, count(*) AS n FROM market_trades GROUP BY window(trade_ts, '5 minutes').start",
        "SELECT trader_id FROM (SELECT trader_id, row_number() OVER (ORDER BY sum(qty) DESC) AS rn FROM executions GROUP BY trader_id) t WHERE rn = 2",
        "SELECT count(*) > 0 AS answer FROM executions WHERE NOT EXISTS (SELECT 1 FROM alerts a WHERE a.trader_id = executions.trader_id)",
        "WITH d AS (SELECT desk, count(*) AS n FROM orders GROUP BY desk) SELECT desk FROM d WHERE n > 3 ORDER BY desk",
    ],
)
def test_a_form_gives_the_statement_back(sql: str, types: dict[str, str]) -> None:
    form = form_of(sql, NOBODY, types)
    back = fill_form(form, NOBODY)
    assert form_of(back, NOBODY, types) == form
    assert "{" not in " ".join(form)
    assert {t.name for t in _tables(sql)} - {"d"} <= {t.name for t in _tables(back)}


def _tables(sql: str) -> list[sqlglot.exp.Table]:
    plain = sql.replace("{as_of_date}", "D").replace("{as_of}", "T").replace(".start", "").replace("window(", "w(")
    return list(sqlglot.parse_one(plain, dialect="databricks").find_all(sqlglot.exp.Table))


def test_what_the_question_states_is_left_open_and_filled_from_another_question(types: dict[str, str]) -> None:
    sql = "SELECT count(*) AS n FROM executions WHERE symbol = 'AAPL' AND qty > 500 AND trade_date = {as_of_date}"
    form = form_of(sql, Offered({"symbol": [("AAPL",)]}, (500.0,), timed=True), types)
    text = " ".join(form)
    assert "AAPL" not in text
    assert "500" not in text
    assert "TIMEAT" in text
    other = fill_form(form, Offered({"symbol": [("MSFT",)]}, (25.0,), timed=True))
    assert "symbol = 'MSFT'" in other
    assert "qty > 25" in other
    assert "trade_date >= CAST('2026-01-01' AS DATE)" in other


def test_several_lines_of_a_company_become_a_list(types: dict[str, str]) -> None:
    form = form_of("SELECT count(*) FROM orders WHERE symbol = 'AAPL'", Offered({"symbol": [("AAPL",)]}), types)
    assert "symbol IN ('GOOG', 'GOOGL')" in fill_form(form, Offered({"symbol": [("GOOG", "GOOGL")]}))


def test_percent_and_seconds_are_turned_into_the_columns_unit(types: dict[str, str]) -> None:
    form = form_of("SELECT order_id FROM orders WHERE lifetime_ms < 2000", Offered({}, (2.0,)), types)
    assert "lifetime_ms < 5000" in fill_form(form, Offered({}, (5.0,)))


def test_an_open_slot_is_an_error(types: dict[str, str]) -> None:
    form = form_of("SELECT count(*) FROM orders WHERE symbol = 'AAPL'", Offered({"symbol": [("AAPL",)]}), types)
    with pytest.raises(FormError, match="nothing named"):
        fill_form(form, NOBODY)
    with pytest.raises(FormError):
        fill_form(["FROM", "orders", "SHOW", "(", "("], NOBODY)
    with pytest.raises(FormError, match="no stated time"):
        fill_form(["FROM", "orders", "WHERE", "TIMEAT", "(", "entry_ts", ")", "SHOW", "order_id"], NOBODY)


def test_the_same_statement_in_other_words_is_the_same() -> None:
    one = parts_of(
        "SELECT desk, avg(CASE WHEN status = 'BUSTED' THEN 1.0D ELSE 0.0D END) AS share, venue FROM executions WHERE venue IN ('B', 'A') AND qty > 5 GROUP BY desk"
    )
    two = parts_of(
        "SELECT e.desk, count_if(e.status = 'BUSTED') / count(*) AS x FROM executions e WHERE e.qty > 5 AND e.venue IN ('A', 'B') GROUP BY e.desk"
    )
    assert one is not None
    assert two is not None
    assert compare(one, two)["same"] == 1.0


@pytest.mark.parametrize(
    "other",
    [
        "SELECT desk, count(*) AS n FROM orders GROUP BY desk",
        "SELECT desk, count(*) AS n FROM orders WHERE status = 'NEW' AND side = 'BUY' GROUP BY desk",
        "SELECT venue, count(*) AS n FROM orders WHERE status = 'NEW' GROUP BY venue",
        "SELECT desk, sum(order_qty) AS n FROM orders WHERE status = 'NEW' GROUP BY desk",
        "SELECT desk, count(*) AS n FROM orders WHERE status = 'NEW' GROUP BY desk HAVING count(*) > 2",
        "SELECT desk, count(*) AS n FROM orders WHERE status = 'NEW' GROUP BY desk ORDER BY n DESC LIMIT 1",
        "SELECT desk, count(*) AS n FROM executions WHERE status = 'NEW' GROUP BY desk",
    ],
)
def test_a_statement_with_another_meaning_is_not_the_same(other: str) -> None:
    one = parts_of("SELECT desk, count(*) AS n FROM orders WHERE status = 'NEW' GROUP BY desk")
    two = parts_of(other)
    assert one is not None
    assert two is not None
    assert compare(one, two)["same"] == 0.0
    assert compare(two, one)["same"] == 0.0
