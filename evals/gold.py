"""Gold answers: the gold SQL of a case run on a world, on DuckDB where its meaning carries over, else on Spark.

The results are cached on disk under a hash of the SQL and of the world's files, so that a second run costs nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

from evals.cases import bind_clock
from streaming.catalogue import Catalogue
from streaming.directory import DirectorySource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pyspark.sql import SparkSession

DIALECT = "databricks"
_ORDER_KEY = "__order_key_"
_LIMIT_S = 20.0
"""Longest run of one statement on DuckDB; golds take milliseconds."""
_VERSION = "5"
"""Part of every cache key: raise it when the transpiling or the cached form changes."""


class GoldError(RuntimeError):
    """A gold statement could not be run on DuckDB nor on Spark; the message holds no text of the case."""


@dataclass(frozen=True, kw_only=True)
class Gold:
    """The rows of one accepted reading."""

    table: pa.Table
    tie_groups: tuple[int, ...] | None
    """For each row the number of its tie group under the gold's ORDER BY; None when the gold states no order."""
    ran_on: str
    """`duckdb` or `spark`."""


class World:
    """A catalogue directory loaded into DuckDB, with Spark behind it for what DuckDB cannot say."""

    def __init__(self, directory: str | Path, cache: Path) -> None:
        self.directory = Path(directory)
        self.name = self.directory.name
        self.catalogue = Catalogue.load(self.directory)
        self.fingerprint = _fingerprint(self.directory)
        self._cache = cache / "gold"
        self._duck = _load(self.directory, self.catalogue)
        self._spark: SparkSession | None = None

    def gold(self, sql: str, as_of: datetime, *, ordered: bool = False) -> Gold:
        """Run gold SQL with the clock put in.

        Args:
            sql: the gold, in Spark SQL with `{as_of}` and `{as_of_date}`.
            as_of: the clock.
            ordered: also say which rows tie under the gold's ORDER BY.

        Raises:
            GoldError: the statement runs nowhere.
        """
        bound = bind_clock(sql, as_of)
        key = hashlib.sha256("\0".join((_VERSION, self.fingerprint, bound, str(ordered))).encode()).hexdigest()
        stored = self._cache / f"{key}.arrow"
        table = _read_cached(stored)
        if table is None:
            table = self._run(bound, ordered=ordered)
            _write_cached(stored, table)
        return _split(table, ordered=ordered)

    def run_duckdb(self, sql: str) -> pa.Table:
        """Run Spark SQL on DuckDB.

        Raises:
            duckdb.Error, sqlglot.errors.SqlglotError: DuckDB cannot run it.
        """
        return self.run_native(to_duckdb(sql))

    def run_native(self, sql: str) -> pa.Table:
        """Run SQL of DuckDB's own dialect.

        Raises:
            duckdb.Error: DuckDB cannot run it, or not within the limit.
        """
        cursor = self._duck.cursor()
        # A draft or a mutant may join everything with everything; DuckDB has no time limit of its own.
        watch = threading.Timer(_LIMIT_S, cursor.interrupt)
        watch.start()
        try:
            table: pa.Table = cursor.sql(sql).to_arrow_table()
        finally:
            watch.cancel()
        return table

    def run_spark(self, sql: str) -> pa.Table:
        """Run Spark SQL on Spark, over the same files."""
        if self._spark is None:
            from streaming.session import build_session

            # A session of its own over the process's Spark: the engine under test may be using the same one.
            self._spark = build_session("evals-gold", jars=False, driver_memory="2g").newSession()
            source = DirectorySource(self.directory, self._spark)
            with source.snapshot() as snapshot:
                for view in self.catalogue.views:
                    snapshot.frame(view, self._spark).createOrReplaceTempView(view)
        return self._spark.sql(sql).toArrow()

    def close(self) -> None:
        """Let the database go; Spark stays for others of this process."""
        self._duck.close()

    def _run(self, sql: str, *, ordered: bool) -> pa.Table:
        text = with_order_keys(sql) if ordered else sql
        try:
            return _tagged(self.run_duckdb(text), "duckdb")
        except (duckdb.Error, sqlglot.errors.SqlglotError):
            pass
        try:
            return _tagged(self.run_spark(text), "spark")
        except Exception as error:  # noqa: BLE001 - the JVM's errors have no narrower common class
            raise GoldError(f"{self.name}: gold runs on neither DuckDB nor Spark ({type(error).__name__})") from None


def parse(sql: str) -> exp.Expr:
    """Parse Spark SQL; `window(…)` after GROUP BY, which sqlglot takes for a WINDOW clause, parses as a function.

    Raises:
        sqlglot.errors.ParseError: the text is not one statement of this dialect.
    """
    return sqlglot.parse_one(re.sub(r"(?i)\bwindow\s*\(", "tumbling_window(", sql), read=DIALECT)


def to_duckdb(sql: str) -> str:
    """Spark SQL as DuckDB SQL of the same meaning.

    Raises:
        sqlglot.errors.SqlglotError: the statement does not parse or has a part without an equal in DuckDB.
    """
    tree = parse(sql).transform(_tumbling_window).transform(_spark_only)
    return tree.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE)


def _tumbling_window(node: exp.Expr) -> exp.Expr:
    """`window(ts, '5 minutes').start` → `time_bucket(INTERVAL '5 minutes', ts, epoch)`; `.end` adds the width."""
    if not isinstance(node, exp.Dot):
        return node
    call, part = node.this, node.expression
    if not (isinstance(call, exp.Anonymous) and call.name.lower() == "tumbling_window"):
        return node
    if len(call.expressions) != 2:
        raise sqlglot.errors.UnsupportedError("a sliding or shifted window() has no equal in DuckDB")
    column, width = call.expressions
    bucket = f"time_bucket(INTERVAL '{width.name}', {column.sql(dialect='duckdb')}, TIMESTAMP '1970-01-01 00:00:00')"
    text = bucket if part.name.lower() == "start" else f"{bucket} + INTERVAL '{width.name}'"
    return sqlglot.parse_one(text, read="duckdb")


def _spark_only(node: exp.Expr) -> exp.Expr:
    """Functions that sqlglot passes through under Spark's name."""
    if isinstance(node, (exp.Quantile, exp.PercentileCont)):
        # Spark's percentile() interpolates; the quantile() that sqlglot writes would take the nearest row.
        fraction = node.args.get("quantile") or node.expression
        number = exp.Cast(this=node.this.copy(), to=exp.DataType.build("DOUBLE"))
        return exp.Anonymous(this="quantile_cont", expressions=[number, fraction.copy()])
    if isinstance(node, exp.ApproxQuantile):
        # With Spark's default accuracy it is exact on anything smaller than 10,000 distinct values.
        return exp.Anonymous(this="quantile_disc", expressions=[node.this.copy(), node.args["quantile"].copy()])
    if isinstance(node, exp.Anonymous):
        match node.name.lower():
            case "unix_micros":
                return exp.Anonymous(this="epoch_us", expressions=node.expressions)
            case "unix_millis":
                return exp.Anonymous(this="epoch_ms", expressions=node.expressions)
            case "tumbling_window":
                raise sqlglot.errors.UnsupportedError("a whole window() struct has no equal in DuckDB")
    return node


def with_order_keys(sql: str) -> str:
    """The statement with its ORDER BY expressions as further columns, so that ties can be told; unchanged without."""
    tree = parse(sql)
    order = tree.args.get("order")
    if not isinstance(tree, exp.Select) or order is None or tree.args.get("distinct"):
        return sql
    for n, key in enumerate(order.expressions):
        wanted = key.this.copy()
        if isinstance(wanted, exp.Literal) and wanted.is_int:
            wanted = tree.expressions[int(wanted.name) - 1].unalias().copy()
        tree = tree.select(exp.alias_(_inlined(wanted, tree), f"{_ORDER_KEY}{n}"))
    return re.sub(r"(?i)\btumbling_window\(", "window(", tree.sql(dialect=DIALECT))


def _inlined(key: exp.Expr, tree: exp.Select) -> exp.Expr:
    """The key with the select list's aliases replaced by what they stand for."""
    meaning = {e.alias: e.this for e in tree.expressions if isinstance(e, exp.Alias)}

    def inline(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and not node.table and node.name in meaning:
            return meaning[node.name].copy()
        return node

    return key.transform(inline)


def _split(table: pa.Table, *, ordered: bool) -> Gold:
    keys = [name for name in table.column_names if name.startswith(_ORDER_KEY)]
    shown = table.select([i for i, name in enumerate(table.column_names) if name not in keys])
    ran_on = (table.schema.metadata or {}).get(b"ran_on", b"").decode()
    if not (ordered and keys):
        return Gold(table=shown, tie_groups=None, ran_on=ran_on)
    rows = list(zip(*(table.column(name).to_pylist() for name in keys), strict=True))
    groups: list[int] = []
    for n, row in enumerate(rows):
        groups.append(0 if n == 0 else groups[-1] + (row != rows[n - 1]))
    return Gold(table=shown, tie_groups=tuple(groups), ran_on=ran_on)


def _load(directory: Path, catalogue: Catalogue) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
    for view in catalogue.views.values():
        columns = ", ".join(f'CAST("{c.name}" AS {_duck_type(c.type)}) AS "{c.name}"' for c in view.columns.values())
        stem = directory / view.name
        if stem.with_suffix(".parquet").exists():
            source = f"SELECT {columns} FROM read_parquet('{stem.with_suffix('.parquet')}')"
        elif stem.with_suffix(".csv").exists():
            source = f"SELECT {columns} FROM read_csv('{stem.with_suffix('.csv')}', header = true)"
        else:
            empty = ", ".join(f'CAST(NULL AS {_duck_type(c.type)}) AS "{c.name}"' for c in view.columns.values())
            source = f"SELECT {empty} WHERE false"
        connection.execute(f'CREATE TABLE "{view.name}" AS {source}')
    return connection


def _duck_type(spark_type: str) -> str:
    return exp.DataType.build(spark_type, dialect="spark").sql(dialect="duckdb").replace("TIMESTAMPTZ", "TIMESTAMP")


def _fingerprint(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        if path.suffix in {".parquet", ".csv", ".yaml", ".json"}:
            digest.update(path.name.encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _tagged(table: pa.Table, ran_on: str) -> pa.Table:
    return table.replace_schema_metadata({"ran_on": ran_on})


def _read_cached(path: Path) -> pa.Table | None:
    try:
        with pa.OSFile(str(path), "rb") as file:
            return pa.ipc.open_file(file).read_all()
    except (OSError, pa.ArrowInvalid):
        return None


def _write_cached(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    os.close(handle)
    with (
        pa.OSFile(temporary, "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table)
    Path(temporary).replace(path)


def all_readings(world: World, gold: Sequence[str], as_of: datetime, *, ordered: bool) -> list[Gold]:
    """Every accepted reading's rows."""
    return [world.gold(sql, as_of, ordered=ordered) for sql in gold]
