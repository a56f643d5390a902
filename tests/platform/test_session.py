"""The Spark session: one meaning of values everywhere, and nothing in it that a hostile statement could use."""

from __future__ import annotations

import subprocess
import sys

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException


def run(spark, sql):
    return spark.sql(sql).collect()


def test_time_zone_and_arithmetic_do_not_depend_on_the_machine(spark):
    (row,) = run(spark, "SELECT current_timezone() AS zone, CAST(TIMESTAMP '2026-11-20 18:30:00' AS STRING) AS text")
    assert (row.zone, row.text) == ("UTC", "2026-11-20 18:30:00")
    for statement in ("SELECT 1 / 0", "SELECT CAST('x' AS INT)", "SELECT 2147483647 + 1"):
        with pytest.raises(PySparkException):
            run(spark, statement)


def test_delta_works(spark, tmp_path):
    path = str(tmp_path / "table")
    spark.range(5).write.format("delta").save(path)
    spark.range(5, 8).write.format("delta").mode("append").save(path)
    assert spark.read.format("delta").load(path).count() == 8
    assert spark.read.format("delta").option("versionAsOf", 0).load(path).count() == 5


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM text.`/etc/passwd`",
        "SELECT * FROM parquet.`/tmp`",
        "BEGIN SELECT 1; END",
        "SELECT 1 AS a |> WHERE a = 1",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
    ],
)
def test_statement_finds_nothing_to_misuse(spark, statement):
    with pytest.raises((PySparkException, Py4JJavaError)):
        run(spark, statement)


def test_variables_in_literals_stay_text(spark):
    (row,) = run(spark, "SELECT '${env:PATH}' AS env, '${spark.app.name}' AS conf, '${system:user.home}' AS sys")
    assert tuple(row) == ("${env:PATH}", "${spark.app.name}", "${system:user.home}")


def test_hints_are_ignored(spark):
    plan = spark.sql("SELECT /*+ REPARTITION(4000) */ id FROM range(2)")
    assert plan.rdd.getNumPartitions() <= 2


def test_pools_have_weights(spark):
    scheduler = spark.sparkContext._jsc.sc().taskScheduler().rootPool()
    weights = {pool.name(): pool.weight() for pool in iterate(scheduler.schedulableQueue().iterator())}
    assert weights == {"hot": 3, "query": 2, "history": 1, "maintenance": 1, "default": 1}


def iterate(java_iterator):
    while java_iterator.hasNext():
        yield java_iterator.next()


def test_secrets_of_the_environment_and_statements_do_not_reach_java_or_the_log(tmp_path):
    """In a process of its own, because the Java machine takes its environment only once."""
    program = """
import os, sys
os.environ |= {"NLQ_LLM_TOKEN": "tok-1", "DB_PASSWORD": "tok-2", "AWS_SECRET_ACCESS_KEY": "tok-3", "NLQ_PORT": "8600"}
from streaming.session import build_session
spark = build_session("probe", jars=False, driver_memory="512m")
inside = spark.sparkContext._jvm.java.lang.System.getenv()
print([inside.get(n) for n in ("NLQ_LLM_TOKEN", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "NLQ_PORT")])
print(os.environ["NLQ_LLM_TOKEN"])
try:
    spark.sql("SELECT 'very-private-value' + absent_column").collect()
except Exception:
    print("failed as it should")
spark.stop()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[None, None, None, '8600']", "tok-1", "failed as it should"], done.stderr
    assert "very-private-value" not in done.stderr
