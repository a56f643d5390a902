"""A statement that is planned once and then run over new rows, batch after batch.

Parsing, analysing and optimising the statement of a micro-batch takes several times as long as running it on a
thousand rows. It is the same statement every time: only the rows at its leaves differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streaming.java_object import java_object
from streaming.segments import open_plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Input:
    """What is known of the rows that a statement will read."""

    ddl: str
    """Columns and types, in the order of the rows; every column may be NULL."""
    small: bool = False
    """Small enough to be broadcast in a join."""


class Prepared:
    """A planned statement. `rows` runs it over new inputs; `over` gives another one for inputs that seldom change."""

    def __init__(self, session: SparkSession, sql: str, inputs: Mapping[str, Input]) -> None:
        """Plan `sql`, a SELECT over the names of `inputs`.

        Args:
            session: where it is to run; without adaptive execution, which would plan again while it runs.
            sql: the statement.
            inputs: name → rows to come.
        """
        self.session = session
        self._inputs: dict[str, Any] = {}
        for name, expected in inputs.items():
            frame = _stand_in(session, expected)
            self._inputs[name] = frame._jdf.queryExecution().analyzed().rdd()
            frame.createOrReplaceTempView(name)
        self._java = java_object(session, _SOURCE, "Prepared", session.sql(sql)._jdf.queryExecution().executedPlan())
        for name in inputs:
            session.catalog.dropTempView(name)

    def over(self, rows: Mapping[str, Any]) -> Prepared:
        """The same statement with other rows, each an RDD of internal rows, for inputs that seldom change."""
        other = object.__new__(Prepared)
        other.session, other._inputs = self.session, {**self._inputs, **rows}
        other._java = self._java.over(*self._pairs(rows))
        return other

    def rows(self, rows: Mapping[str, Any], *, single: bool = False) -> Any:
        """RDD of the statement's rows over these inputs, not computed yet.

        Args:
            rows: name → RDD of internal rows.
            single: each input has one partition, so that nothing need be exchanged.
        """
        return self._java.rows(*self._pairs(rows), single)

    def frame(self, rows: Mapping[str, Any], *, single: bool = False) -> DataFrame:
        """The statement's rows as a frame, not computed yet, without the plan that makes them; see `rows`."""
        return open_plan(self.session, self._java.leaf(self.session._jsparkSession, self.rows(rows, single=single)))

    def _pairs(self, rows: Mapping[str, Any]) -> tuple[Any, Any]:
        before, after = self.session._jvm.java.util.ArrayList(), self.session._jvm.java.util.ArrayList()
        for name, rdd in rows.items():
            before.add(self._inputs[name])
            after.add(rdd)
        return before, after


_SOURCE = Path(__file__).with_name("prepared.java")


def _stand_in(session: SparkSession, expected: Input) -> DataFrame:
    """A frame without rows, over an RDD of its own."""
    jvm: Any = session._jvm
    columns = jvm.org.apache.spark.sql.types.StructType.fromDDL(expected.ddl)
    nothing = session._jsparkSession.createDataFrame(jvm.java.util.ArrayList(), columns)
    plan = nothing.localCheckpoint().queryExecution().analyzed()
    none = _object(jvm.scala, "None")
    # Of the empty relation, Spark knows that it is small; of any RDD it assumes that it is huge.
    size = jvm.scala.Some(nothing.queryExecution().analyzed().stats()) if expected.small else none
    leaf = plan.copy(
        plan.output(),
        plan.rdd(),
        plan.outputPartitioning(),
        plan.outputOrdering(),
        False,
        none,
        session._jsparkSession,
        size,
        none,
    )
    return open_plan(session, leaf)


def _object(package: Any, name: str) -> Any:
    """A Scala object of that name."""
    return getattr(getattr(package, f"{name}$"), "MODULE$")
