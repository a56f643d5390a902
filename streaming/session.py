"""The only place that builds a Spark session, so that every reader runs under the same time zone, rules and limits."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streaming.jars import jar_paths
from streaming.java import find_java

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import SparkSession

POOLS = Path(__file__).with_name("pools.xml")
LOG = Path(__file__).with_name("log4j2.properties")
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|_KEY$|APIKEY", re.IGNORECASE)

MEANING = {
    # What a value means must not depend on the machine: one time zone, errors instead of silent nulls.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.parser.quotedRegexColumnNames": "false",
}

NOTHING_TO_MISUSE = {
    # The second wall: whatever slips past the guard finds no file, no variable, no script and no hint to use.
    "spark.sql.variable.substitute": "false",  # ${env:…} inside a plain string literal would be replaced
    "spark.sql.runSQLOnFiles": "false",  # SELECT … FROM parquet.`/any/path`
    "spark.sql.scripting.enabled": "false",
    "spark.sql.operatorPipeSyntaxEnabled": "false",
    "spark.sql.optimizer.disableHints": "true",
    "spark.sql.cteRecursionLevelLimit": "0",
    "spark.sql.cteRecursionRowLimit": "0",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.legacy.allowNonEmptyLocationInCTAS": "false",
    "spark.driver.maxResultSize": "128m",
    "spark.ui.enabled": "false",  # also the UI's history grows until the driver is out of memory
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.ui.retainedExecutions": "20",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}

SMALL_AND_FAST = {
    # One machine, few cores, many small batches: every setting here takes fixed cost out of a batch or a query.
    "spark.scheduler.mode": "FAIR",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.codegen.cache.maxEntries": "1000",
    "spark.sql.codegen.maxFields": "1000",  # wider rows would be generated anew for each task
    "spark.sql.autoBroadcastJoinThreshold": "64m",  # reference views are always broadcast
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",  # 10,000 tasks by default: VACUUM takes 30 s
    "spark.sql.adaptive.streaming.stateless.enabled": "false",
    "spark.sql.streaming.minBatchesToRetain": "20",
    "spark.sql.streaming.stopTimeout": "30s",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.databricks.delta.properties.defaults.checkpointInterval": "100",  # each one rebuilds the table's state
    # Statistics that let files be skipped, on the columns that questions ask by; on all, they are a good part of a write.
    "spark.databricks.delta.properties.defaults.dataSkippingStatsColumns": "`event_ts`,`ingest_ts`,`offset`,`symbol`,`trader_id`",
    "spark.sql.inMemoryColumnarStorage.compressed": "false",  # choosing an encoding for each column is a good part of sealing
    "spark.databricks.delta.autoCompact.enabled": "false",
    "spark.databricks.delta.optimizeWrite.enabled": "false",
    "spark.log.level": "ERROR",  # pyspark would raise it to WARN over the log file's own setting
}

DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}


def session_settings(
    *,
    jars: tuple[Path, ...] = (),
    cores: int = 2,
    driver_memory: str = "4g",
    pool_file: Path = POOLS,
    scratch: Path | None = None,
) -> dict[str, str]:
    """Every setting of a session. Delta is configured when `jars` are given.

    Args:
        jars: files for the class path; they stay in place and are not copied.
        cores: threads that work, and partitions that a shuffle makes.
        driver_memory: heap limit, in Java's notation.
        pool_file: weights of the scheduler's pools.
        scratch: folder for spilled data and the (unused) warehouse; None is the system's temporary folder.
    """
    folder = scratch or Path(tempfile.gettempdir())
    settings = {
        **MEANING,
        **NOTHING_TO_MISUSE,
        **SMALL_AND_FAST,
        "spark.sql.shuffle.partitions": str(cores),
        "spark.default.parallelism": str(cores),
        "spark.scheduler.allocation.file": pool_file.resolve().as_uri(),
        "spark.driver.memory": driver_memory,
        # A driver without memory answers wrongly or not at all: it ends, and its supervisor starts it again.
        "spark.driver.extraJavaOptions": (
            "-Duser.timezone=UTC -XX:+ExitOnOutOfMemoryError -XX:ReservedCodeCacheSize=512m "
            # The loop over a batch's messages is longer than what Java compiles by itself: it would be interpreted.
            "-XX:-DontCompileHugeMethods "
            # The best compiler three times later than usual: on two cores it would take half of one for minutes.
            "-XX:Tier4InvocationThreshold=15000 -XX:Tier4MinInvocationThreshold=2000 -XX:Tier4CompileThreshold=45000 "
            f"-Dlog4j2.configurationFile={LOG.resolve().as_uri()}"
        ),
        "spark.local.dir": str(folder / "nlq-spark"),
        "spark.sql.warehouse.dir": str(folder / "nlq-spark" / "warehouse"),
    }
    if jars:
        settings |= DELTA | {"spark.driver.extraClassPath": os.pathsep.join(str(jar) for jar in jars)}
    return settings


def build_session(
    app_name: str,
    *,
    jars: bool = True,
    master: str | None = None,
    cores: int = 2,
    driver_memory: str = "4g",
    pool_file: Path = POOLS,
    scratch: Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> SparkSession:
    """Start Spark, or return the session that this process already has.

    Most settings hold from the first call of a process on: a Java machine takes its class path and memory only once.

    Args:
        app_name: shown in Spark's log.
        jars: with Delta and the Kafka source; False starts a little faster and reads plain files only.
        master: Spark master; None is `local[cores]`.
        cores: see `session_settings`.
        driver_memory: see `session_settings`.
        pool_file: see `session_settings`.
        scratch: see `session_settings`.
        extra: settings that win over ours.

    Raises:
        JarError: a jar is missing or damaged and cannot be replaced.
        JavaMissing: there is no usable Java.
    """
    from pyspark.sql import SparkSession

    # pyspark prints each failed statement with its Java stack on the error stream: questions and rows would be logged.
    logging.getLogger("SQLQueryContextLogger").disabled = True
    logging.getLogger("DataFrameQueryContextLogger").disabled = True
    java = find_java()
    settings = session_settings(
        jars=jar_paths("spark") if jars else (),
        cores=cores,
        driver_memory=driver_memory,
        pool_file=pool_file,
        scratch=scratch,
    )
    builder = SparkSession.builder.appName(app_name).master(master or f"local[{cores}]")
    for name, value in {**settings, **(extra or {})}.items():
        builder = builder.config(name, value)
    with _environment_without_secrets(JAVA_HOME=str(java.home), SPARK_LOCAL_IP="127.0.0.1"):
        return builder.getOrCreate()


def quiet_session(spark: SparkSession, *, copying: bool = False) -> SparkSession:
    """A session for many small statements: planning again in the middle costs more than it gains on small batches.

    Args:
        spark: any session of the process.
        copying: for statements that hand whole rows on. Code that is generated for a stage takes each of the sixty
            columns out of its row and puts it into another, and Java compiles that code for seconds.
    """
    session = spark.newSession()
    session.conf.set("spark.sql.codegen.wholeStage", str(not copying).lower())
    session.conf.set("spark.sql.adaptive.enabled", "false")
    session.conf.set("spark.sql.constraintPropagation.enabled", "false")  # dear to plan with so many columns
    return session


@contextmanager
def _environment_without_secrets(**added: str) -> Iterator[None]:
    """Hide secrets from the Java machine, which inherits the environment and lets SQL functions read it."""
    touched = {name: os.environ.get(name) for name in [*filter(_SECRET.search, os.environ), *added]}
    try:
        for name in touched:
            os.environ.pop(name, None)
        os.environ.update(added)
        yield
    finally:
        for name, value in touched.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
