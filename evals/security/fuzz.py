"""Fuzzing of wall 1 for a given time: no crash, no hang, nothing allowed that reads what it may not."""

from __future__ import annotations

import random
import string
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from evals.security.questions import QueryMaker
from evals.security.statements import grammar, hand_made, mutants
from nlq.contracts import Principal
from nlq.guard import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming.catalogue import Catalogue

_AS_OF = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
_ODD = "\u0000\u0007\u00a0\u00ad\u0301\u200b\u202e\u2028\ufeff\uff41\U0001f600\ud800\U000e0041"
_SLOW = 2.0
"""Seconds of processor time of one verdict that count as a hang."""


@dataclass
class Fuzzed:
    """What came of fuzzing."""

    statements: int = 0
    allowed: int = 0
    crashes: list[str] = field(default_factory=list)
    """`check` raised, or a rule of ours failed inside (INTERNAL)."""
    slow: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Allowed text that is no plain query over the views of the role, seen by an own reading of it."""
    longest: float = 0.0
    """Seconds of processor time of the slowest verdict."""


def fuzz(catalogue: Catalogue, seconds: float, seed: int) -> Fuzzed:
    """Ask for verdicts on strange text until the time is over."""
    found = Fuzzed()
    end = time.monotonic() + seconds
    roles = [*catalogue.roles, "nobody"]
    rng = random.Random(seed)
    for sql in _strange(catalogue, rng):
        if time.monotonic() > end:
            return found
        role = rng.choice(roles)
        person = Principal(role=role, desk=rng.choice((None, "EQ-LDN", "x' OR '1'='1", "${env:X}", "\\")))
        started = time.thread_time()
        try:
            verdict = check(sql, catalogue, person, _AS_OF)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is a finding
            found.crashes.append(f"{type(error).__name__}: {sql[:200]!r}")
            continue
        took = time.thread_time() - started
        found.statements += 1
        found.longest = max(found.longest, took)
        if took > _SLOW:
            found.slow.append(sql[:200])
        if verdict.rule == "INTERNAL":
            found.crashes.append(f"INTERNAL: {sql[:200]!r}")
        if verdict.allowed:
            found.allowed += 1
            if not is_plain(verdict.sql or "", catalogue, role):
                found.wrong.append(f"{sql[:200]!r} -> {verdict.sql!r}")
    return found


def is_plain(sql: str, catalogue: Catalogue, role: str) -> bool:
    """Whether text is one query over views of the role only; shares nothing with the guard but the parser."""
    trees = sqlglot.parse(sql, dialect="databricks")
    if len(trees) != 1 or not isinstance(trees[0], (exp.Select, exp.SetOperation)) or "${" in sql:
        return False
    tree = trees[0]
    with_names = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    mine = {view.lower() for view in catalogue.roles[role].views} | with_names
    tables = list(tree.find_all(exp.Table))
    if any(not t.name or t.args.get("db") or t.name.lower() not in mine for t in tables):
        return False
    return tree.find(exp.Command, exp.Into, exp.QueryTransform, exp.Parameter, exp.Placeholder, exp.Hint) is None


def _strange(catalogue: Catalogue, rng: random.Random) -> Iterator[str]:
    hostile = hand_made("/tmp/x", "/tmp")  # noqa: S108 - never opened
    makers = [QueryMaker(catalogue, role, rng.randrange(10**9)) for role in catalogue.roles]
    alphabet = string.printable + _ODD
    while True:
        yield from (m.sql for m in mutants(20, rng.randrange(10**9), hostile))
        yield from (m.sql for m in grammar(10, rng.randrange(10**9), "/tmp/x", "/tmp"))  # noqa: S108
        for maker in makers:
            for sql in maker.queries(4):
                yield sql
                yield _scratched(sql, rng, alphabet)
        yield "".join(rng.choice(alphabet) for _ in range(rng.randrange(300)))
        yield _nested(rng)
        yield _huge(rng)


def _scratched(sql: str, rng: random.Random, alphabet: str) -> str:
    text = list(sql)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(text))
        text[at : at + rng.randint(0, 3)] = [rng.choice(alphabet) for _ in range(rng.randint(0, 3))]
    return "".join(text) or ";"


def _nested(rng: random.Random) -> str:
    depth = rng.choice((5, 30, 61, 100, 400, 900))
    opening, closing = rng.choice(
        (("(", ")"), ("abs(", ")"), ("NOT ", ""), ("- ", ""), ("CASE WHEN true THEN ", " END"), ("array(", ")"),
         ("(SELECT ", ")"), ("[", "]"), ("CAST(", " AS INT)"), ("EXISTS (SELECT ", ")"), ("a.", ""), ("1 + ", ""),
         ("true AND ", ""), ("'a' || ", ""), ("INTERVAL ", ""), ("CASE ", ""), ("/* ", " */"), ("{", "}"))
    )  # fmt: skip
    return f"SELECT {opening * depth}1{closing * depth} FROM orders"


def _huge(rng: random.Random) -> str:
    size = rng.choice((100, 2_000, 7_900, 50_000))
    return rng.choice(
        (
            f"SELECT '{'x' * size}'",
            f"SELECT {'9' * size}",
            f"SELECT 1e{'9' * min(size, 5000)}",
            f"SELECT {', '.join(['order_id'] * (size // 10))} FROM orders",
            f"SELECT order_id FROM orders WHERE symbol IN ({', '.join(['1'] * (size // 3))})",
            f"SELECT {'a' * size} FROM orders",
            "SELECT 1 " + "UNION ALL SELECT 1 " * (size // 20),
            f"SELECT 1 --{'-' * size}",
            f"SELECT {'+' * size}1",
            "WITH " + ", ".join(f"c{i} AS (SELECT 1 AS x)" for i in range(size // 30)) + " SELECT * FROM c0",
        )
    )
