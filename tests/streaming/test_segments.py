"""Columnar copies can be read as any other rows, also twice in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.segments import ColumnarCopy, open_plan
from tests.streaming.conftest import quote

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tests.streaming.conftest import Route


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


def test_many_segments_are_read_as_one_leaf_in_rows_and_one_in_columns(route: Route) -> None:
    for n in range(12):
        route.feed([quote(n * 10, n, 9.99, 10.01)])
        route.maintenance.tick()
    with route.snapshot() as snapshot:
        frame = snapshot.frame("quotes", route.spark.newSession())
        leaves = frame._jdf.queryExecution().optimizedPlan().collectLeaves()
        assert sorted(leaves.apply(i).nodeName() for i in range(leaves.size())) == ["InMemoryRelation", "LogicalRDD"]
        assert frame.count() == 12
