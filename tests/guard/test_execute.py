"""Wall 2 on a real Spark session."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evals.security import canary
from evals.security.engine_parts import undisturbed
from evals.security.rows import COPIES, compare_engine
from evals.security.runaway import KINDS, PLANNING, big_world, refused_before_planning, run_one
from evals.security.statements import hand_made
from evals.security.walls import attack_engine
from nlq import sealed_session
from nlq.contracts import Principal, Verdict
from nlq.execute import MESSAGES, ExecutionError, ExecutionLimits, Executor
from nlq.guard import check, functions
from streaming.catalogue import Catalogue
from streaming.directory import DirectorySource
from streaming.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

WORLD = Path(__file__).parents[2] / "evals" / "worlds" / "w101"
OFFICER = Principal()
AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
PATIENT = ExecutionLimits(seconds=300)
"""A loaded machine is no fault of the engine."""


@pytest.fixture(scope="module")
def source(spark: SparkSession) -> DirectorySource:
    return DirectorySource(WORLD, spark)


@pytest.fixture(scope="module")
def executor(source: DirectorySource) -> Iterator[Executor]:
    engine = Executor(source)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def world(source: DirectorySource) -> Snapshot:
    return source.snapshot()


def forged(sql: str) -> Verdict:
    """What a hole in wall 1 would let through."""
    return Verdict(allowed=True, rule="OK", sql=sql)


def plain(row: dict[str, object]) -> list[object]:
    """Values of a row; sums of floats depend on the order in which Spark adds."""
    return [float(f"{value:.12g}") if isinstance(value, float) else value for value in row.values()]


def code_of(executor: Executor, verdict: Verdict, world: Snapshot, person: Principal = OFFICER) -> str:
    with pytest.raises(ExecutionError) as caught:
        executor.run(verdict, world, person, PATIENT)
    assert str(caught.value) == MESSAGES[caught.value.code]
    return caught.value.code


def test_an_allowed_verdict_gives_rows(executor: Executor, world: Snapshot) -> None:
    verdict = check("SELECT count(*) AS n FROM orders", world.catalogue, OFFICER)
    result = executor.run(verdict, world, OFFICER, PATIENT)
    assert result.table.to_pylist()[0]["n"] > 1000
    assert not result.truncated


def test_a_refused_verdict_never_runs(executor: Executor, world: Snapshot) -> None:
    refused = check("DROP VIEW orders", world.catalogue, OFFICER)
    assert code_of(executor, refused, world) == "REFUSED"
    assert code_of(executor, Verdict(allowed=False, rule="OK", sql="SELECT 1"), world) == "REFUSED"


def test_hostile_statements_find_nothing_behind_wall_1(
    executor: Executor, world: Snapshot, spark: SparkSession, tmp_path: Path
) -> None:
    bait = canary.Canary.lay(tmp_path / "bait", spark)
    by_kind: dict[str, int] = {}
    chosen = []
    for hostile in hand_made(str(bait.file), str(bait.folder)):
        by_kind[hostile.kind] = by_kind.get(hostile.kind, 0) + 1
        if hostile.kind != "cost" and by_kind[hostile.kind] % 4 == 1:
            chosen.append((hostile, hostile.sql))
    outcome = attack_engine(chosen, executor, world)
    assert outcome.total > 100
    assert outcome.ran_total_classes == []
    assert outcome.leaks == []
    assert bait.effects(spark) == []


def test_the_role_sees_its_rows_whatever_wall_1_let_through(executor: Executor, world: Snapshot) -> None:
    supervisor = Principal(user_id="s", role="supervisor", desk="EQ-LDN")
    desks = executor.run(forged("SELECT DISTINCT desk FROM orders"), world, supervisor, PATIENT)
    assert desks.table.to_pylist() == [{"desk": "EQ-LDN"}]
    nobody = Principal(user_id="s", role="supervisor")
    assert executor.run(forged("SELECT desk FROM orders"), world, nobody, PATIENT).table.num_rows == 0
    analyst = Principal(user_id="a", role="analyst")
    alerts = executor.run(
        forged("SELECT DISTINCT detector, explanation, trader_name FROM alerts"), world, analyst, PATIENT
    )
    assert {row["detector"] for row in alerts.table.to_pylist()} & {"RESTRICTED_LIST", "INSIDER_DEALING"} == set()
    assert {(row["explanation"], row["trader_name"]) for row in alerts.table.to_pylist()} == {(None, None)}
    assert code_of(executor, forged("SELECT * FROM restricted_list"), world, analyst) == "UNKNOWN_VIEW"
    assert code_of(executor, forged("SELECT * FROM no_such_view"), world, analyst) == "UNKNOWN_VIEW"
    assert code_of(executor, forged("SELECT 1"), world, Principal(role="nobody")) == "UNKNOWN_ROLE"


@pytest.mark.parametrize("desk", ["x' OR '1'='1", "\\' OR 1=1 --", "${env:PATH}", "EQ-LDN\\"])
def test_a_hostile_desk_name_sees_nothing(executor: Executor, world: Snapshot, desk: str) -> None:
    person = Principal(role="supervisor", desk=desk)
    assert executor.run(forged("SELECT desk FROM orders"), world, person, PATIENT).table.num_rows == 0


@pytest.mark.parametrize("role", sorted(COPIES))
def test_rows_through_both_walls_equal_those_of_a_filtered_copy(executor: Executor, world: Snapshot, role: str) -> None:
    found = compare_engine(WORLD, executor, world, role, count=3, seed=3)
    assert (found.refused, found.different) == ([], [])


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT 1 / (order_qty - order_qty) FROM orders", "DIVISION_BY_ZERO"),
        ("SELECT CAST(trader_name AS INT) FROM traders", "INVALID_VALUE"),
        ("SELECT (SELECT trader_name FROM traders) AS v", "MANY_ROWS_IN_VALUE"),
        ("SELECT no_such FROM orders", "UNKNOWN_COLUMN"),
        ("SELECT symbol, count(*) FROM orders", "GROUPING"),
        ("SELEC 1", "SYNTAX"),
        ("SELECT reflect('java.lang.Math', 'random')", "FUNCTION"),
        ("SELECT evidence_order_ids[999] FROM alerts", "ARRAY_INDEX"),
    ],
)
def test_errors_are_fixed_texts_without_values(executor: Executor, world: Snapshot, sql: str, code: str) -> None:
    assert code_of(executor, forged(sql), world) == code


def test_rows_and_bytes_are_capped(executor: Executor, world: Snapshot) -> None:
    limits = ExecutionLimits(seconds=300, max_rows=5)
    result = executor.run(forged("SELECT order_id FROM orders"), world, OFFICER, limits)
    assert (result.table.num_rows, result.truncated) == (5, True)
    exact = executor.run(forged("SELECT order_id FROM orders LIMIT 5"), world, OFFICER, limits)
    assert (exact.table.num_rows, exact.truncated) == (5, False)
    with pytest.raises(ExecutionError) as caught:
        executor.run(forged("SELECT * FROM orders"), world, OFFICER, ExecutionLimits(seconds=300, max_bytes=1000))
    assert caught.value.code == "TOO_LARGE"


@pytest.mark.parametrize("kind", ["cross join", "join on few values, summed", "moving average"])
def test_a_runaway_ends_at_its_limit(executor: Executor, spark: SparkSession, tmp_path: Path, kind: str) -> None:
    snapshot = big_world(tmp_path, AS_OF)
    ended = undisturbed(lambda: vars(run_one(kind, KINDS[kind], executor, snapshot, spark, seconds=2)).copy())
    assert ended["code"] == "DEADLINE"
    assert ended["seconds"] < 2 + 2 + ended["held_up"]
    assert ended["freed"] < 20 + ended["held_up"], "its place must become free: the work has really ended"


def test_statements_that_plan_for_long_are_refused_by_the_guard(tmp_path: Path) -> None:
    assert set(refused_before_planning(big_world(tmp_path, AS_OF)).values()) == {
        "WINDOW_SIZE",
        "TOO_MANY_SCANS",
        "NODE",
    }


def test_statements_that_plan_for_long_are_refused_behind_the_guard_too(executor: Executor, tmp_path: Path) -> None:
    snapshot = big_world(tmp_path, AS_OF)
    codes = {kind: code_of(executor, forged(sql), snapshot) for kind, sql in PLANNING.items()}
    assert codes == {"overlapping windows": "PLAN_SIZE", "doubled WITH": "PLAN_SIZE", "cube": "PLAN"}


def test_planning_ends_at_the_limit(executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_session, "MAX_WRITTEN_OUT", 10**9)
    doubled = ", ".join(f"a{i} AS (SELECT * FROM a{i - 1} UNION ALL SELECT * FROM a{i - 1})" for i in range(1, 12))
    sql = f"WITH a0 AS (SELECT k FROM big), {doubled} SELECT count(*) FROM a11"
    planner = Principal(user_id="planner")
    with pytest.raises(ExecutionError, match="longer than allowed"):
        executor.run(forged(sql), big_world(tmp_path, AS_OF), planner, ExecutionLimits(seconds=1.0))
    answered = time.monotonic()
    while executor.is_busy(planner.user_id):
        assert time.monotonic() - answered < 60, "longer than it takes to plan it to the end"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "CASE WHEN true THEN " * 80 + "1" + " END" * 80 + " AS v",
        "SELECT " + "(SELECT max(order_id) FROM orders WHERE order_id > " * 25 + "'1'" + ")" * 25 + " AS v",
        "SELECT " + "coalesce(1, " * 80 + "1" + ")" * 80 + " AS v",
    ],
)
def test_deep_statements_are_looked_at_once_a_level(executor: Executor, world: Snapshot, sql: str) -> None:
    started = time.monotonic()
    try:
        executor.run(forged(sql), world, OFFICER, ExecutionLimits(seconds=100))
    except ExecutionError as error:
        assert error.code != "DEADLINE"  # noqa: PT017 - either end is right, as long as it comes soon
    assert time.monotonic() - started < 100


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT rpad(symbol, order_qty, 'b') FROM orders", "PLAN_SIZE"),
        ("SELECT order_id FROM orders WHERE symbol = lpad('a', 2000000000, 'b')", "PLAN_SIZE"),
        ("SELECT * EXCEPT (symbol) FROM range(10)", "PLAN"),
        ("SELECT order_id FROM orders WHERE symbol IN (SELECT 'x' FROM (VALUES (1)) v)", "PLAN"),
        ("SELECT order_id FROM orders WHERE EXISTS (SELECT 1 FROM explode(array(1)) v)", "PLAN"),
        ("WITH a AS (SELECT * FROM text.`/etc/hosts`) SELECT * FROM a", "UNKNOWN_VIEW"),
        ("SELECT '\\u0024{env:PATH}' AS v", "PLAN"),
        ("SELECT order_id AS `\\u0024{env:PATH}` FROM orders WHERE symbol = '\\044{env:PATH}'", "PLAN"),
    ],
)
def test_every_part_of_a_parsed_statement_is_looked_at(
    executor: Executor, world: Snapshot, sql: str, code: str
) -> None:
    assert code_of(executor, forged(sql), world) == code


def test_a_query_that_nothing_stops_gives_its_place_to_others(
    source: DirectorySource, world: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Executor(source, concurrent=1, queued=1)
    analysed, hang = engine._seal.analysed, threading.Event()

    def hangs(session: SparkSession, plan: Any, planning: Any) -> Any:
        if "hangs" in plan.toString():
            hang.wait(60)
        return analysed(session, plan, planning)

    monkeypatch.setattr(engine._seal, "analysed", hangs)
    mad, sane = Principal(user_id="mad"), Principal(user_id="sane")
    with pytest.raises(ExecutionError) as caught:
        engine.run(forged("SELECT 'hangs' AS v"), world, mad, ExecutionLimits(seconds=0.5))
    assert caught.value.code == "DEADLINE"
    assert engine.run(forged("SELECT 1 AS v"), world, sane, PATIENT).table.num_rows == 1
    assert code_of(engine, forged("SELECT 1 AS v"), world, mad) == "BUSY_USER"
    hang.set()
    while engine.busy:
        time.sleep(0.01)
    assert engine.run(forged("SELECT 1 AS v"), world, mad, PATIENT).table.num_rows == 1
    engine.close()


def test_one_query_a_person_and_a_bounded_queue(source: DirectorySource, tmp_path: Path) -> None:
    engine = Executor(source, concurrent=1, queued=1)
    snapshot = big_world(tmp_path, AS_OF)
    long, limits = forged(KINDS["cross join"]), ExecutionLimits(seconds=4)
    codes: dict[str, str] = {}

    def ask(user: str) -> None:
        with pytest.raises(ExecutionError) as caught:
            engine.run(long, snapshot, Principal(user_id=user), limits)
        codes[user] = caught.value.code

    threads = [threading.Thread(target=ask, args=(user,)) for user in ("one", "two")]
    for thread in threads:
        thread.start()
    while engine.busy < 2:
        time.sleep(0.01)
    ask("three")
    with pytest.raises(ExecutionError) as caught:
        engine.run(long, snapshot, Principal(user_id="one"), limits)
    assert caught.value.code == "BUSY_USER"
    for thread in threads:
        thread.join()
    assert codes == {"one": "DEADLINE", "two": "DEADLINE", "three": "BUSY"}
    engine.close()


def test_every_listed_function_means_the_same_after_the_rewrite(
    source: DirectorySource, spark: SparkSession, tmp_path: Path
) -> None:
    columns = "\n".join(f"      {name}: '{kind} | x'" for name, kind in functions.SAMPLE_COLUMNS.items())
    (tmp_path / "catalogue.yaml").write_text(
        f"views:\n  sample:\n    kind: reference\n    key: [s]\n    columns:\n{columns}\n"
        "roles:\n  officer: {views: [sample], see_pii: true, see_restricted: true}\n",
        encoding="utf-8",
    )
    raw = spark.newSession()
    rows = raw.sql(
        """SELECT * FROM VALUES
        ('abca', '2026-11-20', 1.5D, 2.5D, 3, 1700000000L, true, DATE '2026-11-20', DATE '2026-10-01',
         TIMESTAMP '2026-11-20 10:11:12.123456', TIMESTAMP '2026-11-19 01:02:03', array('x', 'y', 'x'), array('y')),
        ('A,b', '2025-01-02', 10.25D, -2.5D, 7, 1600000000L, false, DATE '2024-02-29', DATE '2026-10-01',
         TIMESTAMP '2024-02-29 23:59:59', TIMESTAMP '2026-11-19 01:02:03', array('q'), array('y', 'z')),
        ('zz', '2025-01-03', 7.125D, 0.5D, -4, 5L, false, DATE '2024-02-28', DATE '2026-10-01',
         TIMESTAMP '2024-02-28 03:00:00', TIMESTAMP '2026-11-19 01:02:03', array('q', CAST(NULL AS STRING)), array('q'))
        AS t(s, s2, n, n2, i, l, b, d, d2, t, t2, a, a2)"""
    )
    rows.write.parquet(str(tmp_path / "sample.parquet"))
    rows.createOrReplaceTempView("sample")
    catalogue = Catalogue.load(tmp_path)
    snapshot = Snapshot(
        catalogue=catalogue,
        as_of=AS_OF,
        frames={"sample": lambda session: session.read.parquet(str(tmp_path / "sample.parquet"))},
    )
    engine = Executor(source)
    forms = [
        ("SELECT {} FROM sample", functions.AGGREGATES, "{}"),
        ("SELECT s AS k, {} FROM sample ORDER BY k", functions.SCALARS, "{}"),
        ("SELECT s AS k, {} FROM sample ORDER BY k", functions.WINDOWED, "{} OVER (PARTITION BY b ORDER BY s)"),
    ]
    statements = [
        form.format(", ".join(f"{item.format(call)} AS c{n}" for n, call in enumerate(calls[start : start + 30])))
        for form, calls, item in forms
        for start in range(0, len(calls), 30)
    ]
    statements += [f"SELECT s AS k, {call} FROM sample ORDER BY 1, 2" for call in functions.GENERATORS]
    statements += [
        f"SELECT {call} AS k, count(*) AS n FROM sample GROUP BY {call} ORDER BY 1" for call in functions.GROUPED
    ]
    statements += ["SELECT s AS k, y FROM sample LATERAL VIEW explode(a) v AS y ORDER BY 1, 2"]
    for sql in statements:
        verdict = check(sql, catalogue, OFFICER, AS_OF)
        assert verdict.allowed, (verdict.rule, verdict.message, sql)
        got = engine.run(verdict, snapshot, OFFICER, PATIENT).table.to_pylist()
        wanted = raw.sql(sql).toArrow().to_pylist()
        assert [plain(row) for row in got] == [plain(row) for row in wanted], sql
    engine.close()
