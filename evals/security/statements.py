"""The hostile statements: hand-made ones from a file, generated ones from a seeded grammar and from mutation."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).with_name("hostile.jsonl")

TOTAL = frozenset(
    {"reflection", "substitution", "script", "execute_immediate", "ddl", "dml", "command", "file", "transform"}
)
"""Classes that each wall must stop alone, without exception: code, environment, DDL, files."""


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One statement that must not run."""

    id: str
    kind: str
    sql: str
    role: str = "officer"
    desk: str | None = None


def hand_made(file: str, folder: str) -> list[Hostile]:
    """The statements of `hostile.jsonl`, with the paths of the canary file and folder put in."""
    found = []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        sql = row["sql"].replace("{file}", file).replace("{dir}", folder)
        found.append(
            Hostile(
                id=row["id"],
                kind=row["class"],
                sql=sql,
                role=row.get("role", "officer"),
                desk=row.get("user_desk"),
            )
        )
    return found


_EXPRESSIONS = (
    "reflect('java.lang.System', 'getenv', 'NLQ_CANARY')",
    "java_method('java.lang.Math', 'random')",
    "try_reflect('java.lang.Math', 'random')",
    "'${env:NLQ_CANARY}'",
    "'\\u0024{env:NLQ_CANARY}'",
    "IDENTIFIER('upper')('a')",
    "input_file_name()",
    "current_user()",
    "session_user",
    "current_database()",
    "version()",
    "raise_error('x')",
    "assert_true(false)",
    "secret('a', 'b')",
    "uuid()",
    "rand()",
    "monotonically_increasing_id()",
    "spark_partition_id()",
    "system.builtin.reflect('java.lang.Math', 'random')",
    "`reflect`('java.lang.Math', 'random')",
    "from_json('[1]', 'ARRAY<INT>')",
    "xpath_string('<a/>', 'a')",
    "aes_decrypt(unbase64('x'), '0000111122223333')",
    "sequence(1, 1000000000)",
    "repeat('a', 2000000000)",
    "space(2000000000)",
    "aggregate(array(1), 0, (a, x) -> a + x)",
    "transform(array(1), x -> x)",
    "session.canary_x",
    "_metadata.file_path",
    "canary_column",
    ":p",
    "?",
    "X'41'",
    "to_json(struct(1))",
    "named_struct('a', 1)",
    "hash(symbol)",
    "typeof(symbol)",
    "(SELECT max(value) FROM text.`{file}`)",
    "(SELECT max(secret) FROM canary_base)",
    "(WITH a AS (SELECT 1 AS x) SELECT x FROM a)",
)
_SOURCES = (
    "text.`{file}`",
    "csv.`{file}`",
    "delta.`{dir}`",
    "parquet.`{dir}`",
    "IDENTIFIER('ord' || 'ers')",
    "range(10)",
    "stack(2, 1, 2)",
    "explode(array(1))",
    "read_files('{file}')",
    "default.orders",
    "spark_catalog.default.orders",
    "global_temp.canary_g",
    "system.session.orders",
    "canary_base",
    "orders VERSION AS OF 0",
    "orders TIMESTAMP AS OF '2020-01-01'",
    "orders@v0",
    "orders TABLESAMPLE (10 PERCENT)",
    "(TABLE orders)",
    "STREAM orders",
    "orders PIVOT (count(*) FOR side IN ('BUY'))",
    "VALUES (1)",
    "LATERAL (SELECT 1)",
    "sql_keywords()",
)
_CARRIERS_OF_EXPRESSIONS = (
    "SELECT {x}",
    "SELECT {x} AS v FROM orders",
    "SELECT order_id, {x} FROM orders WHERE symbol = 'ABC'",
    "SELECT order_id FROM orders WHERE symbol = {x}",
    "SELECT order_id FROM orders WHERE symbol IN ('A', {x})",
    "SELECT order_id FROM orders WHERE order_qty BETWEEN 1 AND {x}",
    "SELECT order_id FROM orders ORDER BY {x}",
    "SELECT count(*) FROM orders GROUP BY symbol, {x}",
    "SELECT symbol, count(*) FROM orders GROUP BY symbol HAVING max(symbol) = {x}",
    "SELECT sum(order_qty) OVER (PARTITION BY {x}) FROM orders",
    "SELECT CASE WHEN symbol = 'A' THEN {x} ELSE 'b' END FROM orders",
    "SELECT coalesce(symbol, {x}) FROM orders",
    "SELECT count_if(symbol = {x}) FROM orders",
    "SELECT o.order_id FROM orders o JOIN executions e ON o.order_id = e.order_id AND e.symbol = {x}",
    "WITH c AS (SELECT {x} AS v FROM orders) SELECT v FROM c",
    "SELECT symbol FROM orders UNION ALL SELECT {x}",
    "SELECT order_id FROM orders o WHERE EXISTS (SELECT 1 FROM executions e WHERE e.order_id = {x})",
    "SELECT upper(concat(symbol, {x})) FROM orders",
    "SELECT (SELECT {x}) AS v",
    "SELECT order_id FROM orders WHERE NOT (symbol <> {x} OR side = 'BUY')",
    "SELECT count(*) FILTER (WHERE symbol = {x}) FROM orders",
    "SELECT y FROM orders LATERAL VIEW explode(array({x})) t AS y",
)
_CARRIERS_OF_SOURCES = (
    "SELECT * FROM {x}",
    "SELECT count(*) FROM {x}",
    "SELECT * FROM {x} AS t",
    "SELECT o.order_id FROM orders o JOIN {x} t ON o.symbol = t.value",
    "SELECT o.order_id FROM orders o, {x}",
    "SELECT order_id FROM orders WHERE symbol IN (SELECT value FROM {x})",
    "SELECT (SELECT count(*) FROM {x}) AS n FROM orders",
    "WITH c AS (SELECT * FROM {x}) SELECT * FROM c",
    "SELECT order_id FROM orders UNION ALL SELECT value FROM {x}",
    "SELECT * FROM (SELECT * FROM {x}) s",
    "SELECT order_id FROM orders o WHERE EXISTS (SELECT 1 FROM {x})",
    "SELECT symbol FROM orders EXCEPT SELECT value FROM {x}",
)
_STATEMENTS = (
    "CREATE TABLE canary_t AS {q}",
    "CREATE OR REPLACE TEMP VIEW canary_v AS {q}",
    "INSERT OVERWRITE DIRECTORY '{dir}/out' USING csv {q}",
    "INSERT INTO orders {q}",
    "CACHE TABLE canary_c AS {q}",
    "EXPLAIN {q}",
    "EXPLAIN EXTENDED {q}",
    "DESCRIBE QUERY {q}",
    "EXECUTE IMMEDIATE '{e}'",
    "BEGIN {q}; END",
    "BEGIN DECLARE x INT; {q}; END",
    "{q}; DROP VIEW orders",
    "SET spark.sql.runSQLOnFiles=true; {q}",
    "DECLARE VARIABLE canary_x STRING DEFAULT (SELECT max(symbol) FROM orders)",
    "{q} FOR UPDATE",
    "{q} |> LIMIT 3",
    "SELECT TRANSFORM (order_id) USING 'touch {dir}/pwned' AS (x) FROM ({q}) s",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) {q}",
    "ALTER VIEW orders AS {q}",
    "PREPARE p AS {q}",
    "COPY INTO orders FROM ({q})",
    "MERGE INTO orders USING ({q}) s ON true WHEN MATCHED THEN DELETE",
)
_BENIGN = (
    "SELECT order_id FROM orders",
    "SELECT count(*) AS n FROM orders WHERE symbol = 'ABC'",
    "SELECT symbol, sum(qty) AS qty FROM executions GROUP BY symbol",
    "SELECT o.order_id FROM orders o JOIN executions e ON o.order_id = e.order_id",
    "SELECT trader_id, max(order_qty) FROM orders GROUP BY trader_id ORDER BY 2 DESC LIMIT 5",
)
_SPACES = (" ", "  ", "\t", "\n", " /* x */ ", "/**/ ", " -- x\n", "\r\n")
_JUNK = "()[]{}'\"`;,.*/\\-+|&^%$#@!?:=<>~ \n\tabcSELECTFROM019\u00e9\u200b\u2028\u0435\uff41"


def grammar(count: int, seed: int, file: str, folder: str) -> Iterator[Hostile]:
    """Hostile parts at every place of a statement, respelled. Each statement must be refused."""
    rng = random.Random(seed)
    for number in range(count):
        match rng.randrange(10):
            case 0 | 1:
                benign = rng.choice(_BENIGN)
                sql = rng.choice(_STATEMENTS).replace("{q}", benign).replace("{e}", benign.replace("'", "''"))
                kind = "statement"
            case 2 | 3 | 4:
                sql, kind = rng.choice(_CARRIERS_OF_SOURCES).replace("{x}", rng.choice(_SOURCES)), "source"
            case _:
                sql, kind = rng.choice(_CARRIERS_OF_EXPRESSIONS).replace("{x}", rng.choice(_EXPRESSIONS)), "expression"
        if rng.random() < 0.2:
            sql = f"SELECT * FROM ({sql}) z" if rng.random() < 0.5 else f"({sql})"
        sql = sql.replace("{file}", file).replace("{dir}", folder)
        yield Hostile(id=f"grammar-{number}", kind=f"grammar {kind}", sql=_respell(sql, rng))


def mutants(count: int, seed: int, originals: list[Hostile]) -> Iterator[Hostile]:
    """Hand-made statements with characters removed, doubled, swapped or put in. Some lose their sting by it."""
    rng = random.Random(seed)
    for number in range(count):
        original = rng.choice(originals)
        text = list(original.sql[:2_000])
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(text) + 1)
            match rng.randrange(4):
                case 0 if text:
                    del text[min(at, len(text) - 1) : at + rng.randint(1, 4)]
                case 1:
                    text[at:at] = rng.choice(_JUNK)
                case 2:
                    text[at:at] = text[max(0, at - rng.randint(1, 12)) : at]
                case _:
                    other = rng.choice(originals).sql[:200]
                    cut = rng.randrange(len(other) + 1)
                    text[at:at] = other[cut : cut + rng.randint(1, 30)]
        yield Hostile(id=f"mutant-{number}", kind="mutant", sql="".join(text), role=original.role, desk=original.desk)


def _respell(sql: str, rng: random.Random) -> str:
    """Another spelling of the same statement: case and spaces outside quotes."""
    out, quote = [], ""
    for character in sql:
        if quote:
            quote = "" if character == quote else quote
            out.append(character)
        elif character in "'\"`":
            quote = character
            out.append(character)
        elif character == " " and rng.random() < 0.3:
            out.append(rng.choice(_SPACES))
        else:
            out.append(character.swapcase() if rng.random() < 0.1 else character)
    return "".join(out)
