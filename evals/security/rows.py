"""Rows of random queries through the guard against rows of the same queries on a copy filtered beforehand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import sqlglot

from evals.security.questions import QueryMaker
from nlq.contracts import Principal
from nlq.execute import ExecutionLimits
from nlq.guard import check
from nlq.guard.text import DIALECT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nlq.execute import Executor
    from streaming.catalogue import Catalogue
    from streaming.snapshot import Snapshot

DESK = "EQ-LDN"
_PEOPLE = ("trader_name", "explanation", "account_name", "beneficial_owner_id", "employee_trader_id", "payload")
_INSIDE = ("is_restricted", "is_wall_crossed")
_ALERTS = {"alerts": "detector NOT IN ('RESTRICTED_LIST', 'INSIDER_DEALING')"}
_OF_DESK = ("order_events", "orders", "executions", "order_flow_30s", "traders")

COPIES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "officer": ((), {}),
    "supervisor": (_INSIDE, {**dict.fromkeys(_OF_DESK, f"desk = '{DESK}'"), **_ALERTS}),
    "analyst": ((*_PEOPLE, *_INSIDE), _ALERTS),
    "engineer": ((*_PEOPLE, *_INSIDE), _ALERTS),
    "auditor": ((*_PEOPLE, *_INSIDE), _ALERTS),
}
"""Role → columns blanked and rows kept in its copy. Written by hand: derived from the same code it would prove nothing."""


@dataclass
class Comparison:
    """What came of comparing queries with the copy."""

    queries: int = 0
    equal: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    """(rule, SQL) of honest queries that the guard refused."""
    different: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def database(world: Path, catalogue: Catalogue, role: str | None = None) -> duckdb.DuckDBPyConnection:
    """The world in DuckDB; with `role` physically without what the role may not see."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    blanked, kept = COPIES[role] if role else ((), {})
    for view in catalogue.views:
        items = ", ".join(
            f"CAST({'NULL' if name in blanked else _quoted(name)} AS {_duck_type(column.type)}) AS {_quoted(name)}"
            for name, column in catalogue.views[view].columns.items()
        )
        where = f"WHERE {kept[view]}" if view in kept else ""
        file = world / f"{view}.parquet"
        connection.execute(f"CREATE TABLE {view} AS SELECT {items} FROM read_parquet('{file}') {where}")
    return connection


def compare(world: Path, catalogue: Catalogue, role: str, count: int, seed: int) -> Comparison:
    """`count` random queries of a role, rewritten and run on everything, against the originals on the copy."""
    found = Comparison()
    whole, copy = database(world, catalogue), database(world, catalogue, role)
    person = Principal(role=role, desk=DESK if role == "supervisor" else None)
    for sql in QueryMaker(catalogue, role, seed).queries(count):
        found.queries += 1
        verdict = check(sql, catalogue, person)
        if verdict.sql is None:
            found.refused.append((verdict.rule, sql))
            continue
        try:
            got, wanted = _rows(whole, verdict.sql), _rows(copy, sql)
        except duckdb.Error as error:
            found.failed.append((str(error)[:200], sql))
            continue
        if got == wanted:
            found.equal += 1
        else:
            found.different.append(sql)
    return found


def compare_engine(world: Path, executor: Executor, snapshot: Snapshot, role: str, count: int, seed: int) -> Comparison:
    """The same through both walls on Spark."""
    found = Comparison()
    catalogue = snapshot.catalogue
    copy = database(world, catalogue, role)
    person = Principal(role=role, desk=DESK if role == "supervisor" else None)
    for sql in QueryMaker(catalogue, role, seed).queries(count):
        found.queries += 1
        verdict = check(sql, catalogue, person)
        if not verdict.allowed:
            found.refused.append((verdict.rule, sql))
            continue
        wanted = _rows(copy, sql)
        result = executor.run(verdict, snapshot, person, ExecutionLimits(seconds=300))
        got = Counter(_plain(row.values()) for row in result.table.to_pylist())
        if result.truncated or got == wanted:
            found.equal += 1
        else:
            found.different.append(sql)
    return found


def to_duckdb(sql: str) -> str:
    """Spark SQL in DuckDB's words."""
    tree = sqlglot.parse_one(sql, dialect=DIALECT)
    limit = tree.args.get("limit")
    if limit is not None and int(limit.expression.this) > 10_000:
        tree.set("limit", None)  # the forced limit: the original has none
    return tree.sql("duckdb")


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> Counter[Any]:
    return Counter(_plain(row) for row in connection.execute(to_duckdb(sql)).fetchall())


def _plain(row: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(_value(value) for value in row)


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, list):
        return tuple(value)
    return value.replace(tzinfo=None) if hasattr(value, "tzinfo") else value


def _quoted(name: str) -> str:
    return f'"{name}"'


def _duck_type(spark: str) -> str:
    if spark.startswith("ARRAY<"):
        return f"{_duck_type(spark[6:-1])}[]"
    return {"STRING": "VARCHAR", "INT": "INTEGER"}.get(spark, spark)
