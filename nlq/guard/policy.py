"""What a role sees of each view, as syntax trees: which views, which rows, which columns in clear."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlglot import exp

from nlq.guard.limits import GuardLimits
from nlq.guard.nodes import check_nodes
from nlq.guard.rules import Refused
from nlq.guard.text import DIALECT, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nlq.contracts import Principal
    from streaming.catalogue import Catalogue, Role, View

# Everything that a row filter may ask of the person; anything else is a fault of the catalogue.
_PERSON = ("desk", "user_id", "role")


@dataclass(frozen=True, kw_only=True)
class ViewPolicy:
    """One view as one role sees it."""

    view: View
    masked: frozenset[str]
    """Columns whose values the role may not see; they read as NULL."""
    conditions: tuple[exp.Expr, ...]
    """All must hold for a row to be seen; a NULL condition hides the row."""

    @property
    def open(self) -> bool:
        """The role sees the view as it is."""
        return not self.masked and not self.conditions

    def select(self, columns: Iterable[str]) -> exp.Select:
        """`SELECT <columns, masked ones NULL> FROM <view> WHERE <conditions>`, columns in the catalogue's order."""
        wanted = {column.lower() for column in columns}
        items: list[exp.Expr] = []
        for name, column in self.view.columns.items():
            if name.lower() not in wanted:
                continue
            if name in self.masked:
                null = exp.cast(exp.Null(), exp.DataType.build(column.type, dialect=DIALECT))
                items.append(exp.alias_(null, name))
            else:
                items.append(exp.column(name))
        select = exp.Select(expressions=items, from_=exp.From(this=exp.Table(this=exp.to_identifier(self.view.name))))
        if self.conditions:
            condition = exp.and_(*(c.copy() for c in self.conditions), copy=False)
            select.set("where", exp.Where(this=condition))
        return select


@dataclass(frozen=True, kw_only=True)
class Policy:
    """All that one person may see."""

    views: dict[str, ViewPolicy] = field(default_factory=dict)
    """Lower-case view name → what is seen of it. A view that is not here does not exist for the role."""

    def wrap(self, table: exp.Table, columns: Iterable[str]) -> None:
        """Put the filtered and masked SELECT in the place of a view reference, under the same alias."""
        policy = self.views[table.name.lower()]
        if policy.open:
            return
        alias = table.alias or table.name
        select = policy.select(columns)
        table.replace(exp.Subquery(this=select, alias=exp.TableAlias(this=exp.to_identifier(alias))))

    def is_kept(self, table: exp.Table) -> bool:
        """Whether a view reference stands inside exactly the SELECT of the policy (or needs none)."""
        policy = self.views[table.name.lower()]
        if policy.open:
            return True
        source = table.parent
        select = source.parent if isinstance(source, exp.From) else None
        if not isinstance(select, exp.Select) or table.alias:
            return False
        return select == policy.select(item.alias_or_name for item in select.expressions)


def policy_of(catalogue: Catalogue, principal: Principal) -> Policy:
    """The policy of a person, read from the catalogue.

    Raises:
        Refused: UNKNOWN_ROLE or FILTER.
    """
    role = catalogue.roles.get(principal.role)
    if role is None:
        raise Refused("UNKNOWN_ROLE")
    person = tuple(getattr(principal, name) for name in _PERSON)
    return Policy(
        views={
            name.lower(): _view_policy(catalogue, role, catalogue.views[name], person)
            for name in role.views
            if name in catalogue.views and _may_open(catalogue.views[name], role)
        }
    )


def _may_open(view: View, role: Role) -> bool:
    return view.sensitivity is None or _sees(role, view.sensitivity)


def _sees(role: Role, sensitivity: str) -> bool:
    return {"pii": role.see_pii, "restricted": role.see_restricted}.get(sensitivity, False)


def _view_policy(catalogue: Catalogue, role: Role, view: View, person: tuple[str | None, ...]) -> ViewPolicy:
    conditions = [_row_filter(role.row_filter, view, person)] if role.row_filter else []
    conditions += [
        exp.not_(exp.paren(_condition(text).copy(), copy=False), copy=False)
        for sensitivity, text in view.restricted_rows.items()
        if not _sees(role, sensitivity)
    ]
    return ViewPolicy(
        view=view,
        masked=frozenset(catalogue.masked_columns(view.name, role.name)),
        conditions=tuple(c for c in conditions if c is not None),
    )


def _row_filter(text: str, view: View, person: tuple[str | None, ...]) -> exp.Expr | None:
    """The role's filter with the person's values in it; None for a view without the filter's columns."""
    condition = exp.paren(_condition(text).copy(), copy=False)
    columns = list(condition.find_all(exp.Column))
    own = [c.name.lower() for c in columns if c.table.lower() != "user"]
    known = [name for name in own if name in {column.lower() for column in view.columns}]
    if own and not known:
        return None
    if len(known) != len(own):
        raise Refused("FILTER")  # the filter means something here, but not all of its columns are there
    values = dict(zip(_PERSON, person, strict=True))
    for column in columns:
        if column.table.lower() != "user":
            continue
        if column.name not in values:
            raise Refused("FILTER")
        value = values[column.name]
        if value is None:
            return exp.false()  # nobody's desk is nothing, not everything
        if "${" in value or not value.isprintable():
            raise Refused("FILTER")
        column.replace(exp.Literal.string(value))
    return condition


@lru_cache(maxsize=256)
def _condition(text: str) -> exp.Expr:
    limits = GuardLimits()
    select = parse(f"SELECT 1 WHERE {text}", limits)
    check_nodes(select, limits)
    where = select.args.get("where")
    if where is None or {name for name, value in select.args.items() if value} != {"expressions", "where"}:
        raise Refused("FILTER")
    condition: exp.Expr = where.this
    return condition
