"""An old answer is run again on what it was given from, and the record is itself a view."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.worlds import audit_frame
from nlq.audit import replay
from nlq.build import Parts
from nlq.contracts import Principal, Status
from nlq.engine import Engine
from nlq.execute import Executor
from nlq.record import Record, UnknownQuery
from nlq.record.retention import erase_question
from streaming.directory import DirectorySource

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WORLD = Path(__file__).resolve().parents[2] / "evals" / "worlds" / "w101"
SQL = "SELECT desk, COUNT(*) AS n, SUM(qty * price) AS notional FROM executions GROUP BY desk"
OFFICER = Principal(user_id="anna", role="officer")


@pytest.fixture
def parts(spark: SparkSession, tmp_path: Path) -> Parts:
    world = tmp_path / "world"
    world.mkdir()
    for name in ("catalogue.yaml", "world.json", "executions.parquet"):
        shutil.copyfile(WORLD / name, world / name)
    source = DirectorySource(world, spark)
    return Parts(
        catalogue=source.catalogue, source=source, executor=Executor(source), record=Record.open(tmp_path / "record"),
        interpreter=None, retrieve=None, drafter=None, threshold=0.5,  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_same_data_gives_the_same_hash_for_every_role(parts: Parts) -> None:
    supervisor = Principal(user_id="sven", role="supervisor", desk="EQ-FRA")
    for user in (OFFICER, supervisor):
        answer = Engine(parts).run_sql(SQL, user)
        assert answer.status is Status.ANSWERED, answer.reason
        done = replay(parts, answer.query_id)
        assert done.same, done
        assert done.recorded_rows == done.replayed_rows
    assert done.replayed_rows == 1  # with the rights of who asked: one desk


def test_changed_data_changed_rules_and_erasure_are_told_apart(parts: Parts, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    query_id = Engine(parts).run_sql(SQL, OFFICER).query_id
    path = tmp_path / "world" / "executions.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(0, table.num_rows - 1), path)
    other = Parts(**{**vars(parts), "source": DirectorySource(tmp_path / "world", parts.source.spark)})
    other.executor = Executor(other.source)
    changed = replay(other, query_id)
    assert not changed.same
    assert changed.recorded_hash != changed.replayed_hash

    refused = Engine(parts).run_sql("DROP TABLE executions", OFFICER)
    assert refused.status is Status.REFUSED
    assert "Nothing ran" in replay(parts, refused.query_id).reason
    parts.record.settings = type(parts.record.settings)(keep=parts.record.settings.keep * 0)
    erase_question(parts.record, query_id, by="dpo", reason="asked for")
    assert "erased" in replay(parts, query_id).reason
    with pytest.raises(UnknownQuery):
        replay(parts, "Q-nowhere")


def test_the_record_is_the_view_query_audit(parts: Parts, spark: SparkSession) -> None:
    assert audit_frame(spark, parts.catalogue, parts.record).count() == 0
    answer = Engine(parts).run_sql(SQL, OFFICER)
    frame = audit_frame(spark, parts.catalogue, parts.record)
    assert frame.columns == list(parts.catalogue.views["query_audit"].columns)
    row = frame.collect()[0]
    assert (row.query_id, row.user_id, row.status, row.n_rows) == (
        answer.query_id,
        "anna",
        "ANSWERED",
        len(answer.to_pandas()),
    )
    assert "executions" in row.views_read


def test_nothing_runs_without_a_record_and_sensitive_views_want_a_purpose(parts: Parts) -> None:
    parts.purpose_views = frozenset({"executions"})
    refused = Engine(parts).run_sql(SQL, OFFICER)
    assert refused.status is Status.REFUSED
    assert "PURPOSE_NEEDED" in str(refused.reason)
    with_case = Principal(user_id="anna", role="officer", purpose="CASE-7")
    assert Engine(parts).run_sql(SQL, with_case).status is Status.ANSWERED
    ran: list[str] = []
    parts.executor.run = lambda *_, **__: ran.append("ran")  # type: ignore[method-assign, assignment, return-value]
    parts.record.close()
    with pytest.raises(Exception, match="closed"):
        Engine(parts).run_sql(SQL, with_case)
    assert ran == []
