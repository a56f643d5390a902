"""Small Java classes of ours inside Spark's Java machine, for what would cost a round trip a node from Python."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


_ONE_AT_A_TIME = threading.Lock()
"""Two threads that compile the same class at once would get two classes of one name, and py4j the one's methods for the
other's objects: that thread would then fail for as long as it lives."""


def java_object(session: SparkSession, source: Path, name: str, *arguments: Any) -> Any:
    """An instance of class `name`, compiled from `source` by the compiler that Spark brings for its generated code.

    Args:
        session: of the Java machine that is to hold it.
        source: a Java file with this one public class and one public constructor, whose parameters are Objects.
        name: of the class; unlike all others, as py4j remembers methods by the class's name alone.
        arguments: of the constructor.
    """
    gateway: Any = session.sparkContext._gateway  # noqa: SLF001 - no public way to the Java machine
    with _ONE_AT_A_TIME:
        loaded = _loaded(gateway, source, name)
    maker = loaded.getConstructors()[0]
    values = gateway.new_array(gateway.jvm.java.lang.Object, len(arguments))
    for i, argument in enumerate(arguments):
        values[i] = argument
    return maker.newInstance(values)


@lru_cache(maxsize=16)
def _loaded(gateway: Any, source: Path, name: str) -> Any:
    """One class a machine."""
    compiler = gateway.jvm.org.codehaus.janino.SimpleCompiler()
    compiler.setParentClassLoader(gateway.jvm.java.lang.Thread.currentThread().getContextClassLoader())
    compiler.cook(source.read_text(encoding="utf-8"))
    return compiler.getClassLoader().loadClass(name)
