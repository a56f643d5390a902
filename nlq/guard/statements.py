"""Verdicts on a file of statements, for `nlq check --file`. Runs nothing and survives any line."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlq.contracts import Principal, Verdict
from nlq.guard.limits import GuardLimits
from nlq.guard.route import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming.catalogue import Catalogue

_MAX_LINE = 1_000_000
"""Bytes of one line; a longer one is answered without being read as JSON."""


def check_file(
    path: str | Path,
    catalogue: Catalogue,
    principal: Principal,
    as_of: datetime | None = None,
    limits: GuardLimits = GuardLimits(),  # noqa: B008 - frozen
) -> Iterator[dict[str, Any]]:
    """Yield `{id, statement, allowed, rule, message, sql}` for every non-empty line of a JSON-lines file.

    A line is `{"statement" or "sql": …, "id"?, "role"?, "user_desk"?}`; role and desk default to `principal`. A line
    that is not such an object gets the rule LINE. Without `as_of` the clock of this machine stands for "now", since
    nothing runs.
    """
    now = as_of or datetime.now(UTC).replace(microsecond=0)
    with Path(path).open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _check_line(line, number, catalogue, principal, now, limits)


def _check_line(
    line: bytes, number: int, catalogue: Catalogue, principal: Principal, now: datetime, limits: GuardLimits
) -> dict[str, Any]:
    given: Any = None
    if len(line) <= _MAX_LINE:
        try:
            given = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            given = None
    statement = None
    if isinstance(given, dict):
        statement = given.get("statement", given.get("sql"))
    if not isinstance(given, dict) or not isinstance(statement, str):
        bad = Verdict(allowed=False, rule="LINE", message="The line is not a JSON object with a statement.")
        return _row(number, None, bad)
    verdict = check(statement, catalogue, _who(given, principal), now, limits)
    identity = given.get("id", number)
    return _row(identity if isinstance(identity, (str, int)) else number, statement, verdict)


def _who(given: dict[str, Any], principal: Principal) -> Principal:
    role, desk = given.get("role"), given.get("user_desk", given.get("desk"))
    if role is not None:
        principal = replace(principal, role=role if isinstance(role, str) else "")
    if desk is not None:
        principal = replace(principal, desk=desk if isinstance(desk, str) else "")
    return principal


def _row(identity: str | int, statement: str | None, verdict: Verdict) -> dict[str, Any]:
    return {
        "id": _printable(identity) if isinstance(identity, str) else identity,
        "statement": None if statement is None else _printable(statement),
        "allowed": verdict.allowed,
        "rule": verdict.rule,
        "message": verdict.message,
        "sql": verdict.sql,
    }


def _printable(text: str) -> str:
    """Half of a surrogate pair is valid JSON but cannot be written to a terminal or a file."""
    return text.encode("utf-8", "replace").decode("utf-8")
