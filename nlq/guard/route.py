"""The route of one statement through wall 1, readable top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from nlq.contracts import Principal, Verdict
from nlq.guard.clock import pin_clock
from nlq.guard.cost import check_cost, check_literals
from nlq.guard.limits import GuardLimits
from nlq.guard.names import resolve
from nlq.guard.nodes import check_nodes
from nlq.guard.policy import Policy, policy_of
from nlq.guard.rules import MESSAGES, Refused
from nlq.guard.text import check_characters, generate, parse

if TYPE_CHECKING:
    from datetime import datetime

    from nlq.guard.facts import Facts
    from streaming.catalogue import Catalogue

_MAX_ROUNDS = 3
"""Rounds of writing out and reading again until nothing changes; honest statements need one or two."""


def check(
    sql: str,
    catalogue: Catalogue,
    principal: Principal,
    as_of: datetime | None = None,
    limits: GuardLimits = GuardLimits(),  # noqa: B008 - frozen
) -> Verdict:
    """Decide whether `sql` may run for `principal` and write the text that runs in its place.

    Runs nothing and never raises: whatever goes wrong is a refusal. `as_of` (aware) takes the place of every clock.
    """
    try:
        return _allow(sql, catalogue, principal, as_of, limits)
    except Refused as refusal:
        return Verdict(allowed=False, rule=refusal.rule, message=refusal.message)
    except RecursionError:
        return Verdict(allowed=False, rule="NESTING", message=MESSAGES["NESTING"])
    except Exception:  # noqa: BLE001 - fail closed: a fault of the guard must not let a statement through
        return Verdict(allowed=False, rule="INTERNAL", message=MESSAGES["INTERNAL"])


def _allow(
    sql: str, catalogue: Catalogue, principal: Principal, as_of: datetime | None, limits: GuardLimits
) -> Verdict:
    if not isinstance(sql, str):
        raise Refused("PARSE")
    policy = policy_of(catalogue, principal)
    tree = _read(check_characters(sql, limits.max_chars), limits)
    check_literals(tree, limits)
    pin_clock(tree, as_of)
    facts = resolve(tree, policy)
    for view in sorted(facts.views & limits.purpose_for):
        if not (principal.purpose or "").strip():
            raise Refused("PURPOSE", view)
    check_cost(tree, facts, limits)
    _rewrite(tree, facts, policy, limits)
    text = _settle(tree, policy, limits)
    return Verdict(
        allowed=True, rule="OK", sql=text, views=tuple(sorted(facts.views)), columns=tuple(sorted(facts.columns))
    )


def _read(sql: str, limits: GuardLimits) -> exp.Expr:
    """One statement whose root is a query and whose every node is on the allow-list."""
    tree = parse(sql, limits)
    while isinstance(tree, exp.Subquery) and not any(v for k, v in tree.args.items() if k != "this"):
        tree = tree.this
    if not isinstance(tree, (exp.Select, exp.SetOperation)):
        raise Refused("ROOT_NOT_SELECT")
    check_nodes(tree, limits)
    return tree


def _rewrite(tree: exp.Expr, facts: Facts, policy: Policy, limits: GuardLimits) -> None:
    """Write row filters, masks and the row limit into the tree."""
    for table in facts.reads:
        policy.wrap(table, facts.columns_of(table.name, policy))
    limit = tree.args.get("limit")
    if limit is None or int(limit.expression.this) > limits.max_rows:
        tree.set("limit", exp.Limit(expression=exp.Literal.number(limits.max_rows + 1)))


def _settle(tree: exp.Expr, policy: Policy, limits: GuardLimits) -> str:
    """Write out, read again and check again until text and tree no longer change; returns the text.

    Raises:
        Refused: UNSTABLE when they do not settle, POLICY_LOST when a view lost its filter, or any other rule.
    """
    wide = GuardLimits(
        max_nodes=limits.max_nodes * 4, max_depth=limits.max_depth + 10, max_nesting=limits.max_nesting + 10
    )
    text = generate(tree)
    for _ in range(_MAX_ROUNDS):
        again = _read(text, wide)
        for table in resolve(again, policy, masked=False).reads:
            if not policy.is_kept(table):
                raise Refused("POLICY_LOST")
        written = generate(again)
        if written == text:
            return text
        text = written
    raise Refused("UNSTABLE")
