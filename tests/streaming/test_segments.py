"""Columnar copies can be read as any other rows, also twice in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.segments import ColumnarCopy, open_plan

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_copy_of_sorted_rows_can_be_joined_with_itself(spark: SparkSession) -> None:
    numbers = spark.range(10).selectExpr("id % 2 AS kind", "id AS v")
    copy = ColumnarCopy(numbers.selectExpr("kind", "v").union(numbers.where("v > 5")).sortWithinPartitions("kind"))
    session = spark.newSession()
    open_plan(session, copy.plan).createOrReplaceTempView("copied")
    joined = "SELECT count(*) FROM copied a JOIN copied b ON a.v = b.v + 1 WHERE a.kind = 1 AND b.kind = 0"
    assert (
        session.sql(joined).first()[0] == 3 + 4 + 4
    )  # 1, 3, 5 once each; 7 and 9 are twice there, beside 6 and 8 twice
    copy.free()
