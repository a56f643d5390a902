"""A class of ours is loaded once, also when several threads need it first at the same moment, as they do at a start."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from streaming.java_object import java_object

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

SOURCE = """public class TestedForThreads {
  private final Object value;
  public TestedForThreads(Object value) { this.value = value; }
  public Object value() { return value; }
}
"""


def test_threads_that_need_a_class_first_at_once_share_it(spark: SparkSession, tmp_path: Path) -> None:
    source = tmp_path / "tested.java"
    source.write_text(SOURCE)
    together = threading.Barrier(4)

    def make(n: int) -> int:
        together.wait()
        made = java_object(spark, source, "TestedForThreads", n)
        assert made.value() == n
        return int(spark._jvm.java.lang.System.identityHashCode(made.getClass()))

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(make, range(4)))) == 1
