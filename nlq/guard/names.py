"""Every name resolved against what the role may see, scope by scope, as Spark resolves it.

A column that resolves to nothing is refused, and so is a masked column anywhere but as a plain SELECT item: its value
is NULL, so a predicate or an aggregate over it would give a wrong answer with confidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from nlq.guard.facts import FEW, LISTED, MANY, ONE, Facts, Output, Scope, rows_of
from nlq.guard.rules import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nlq.guard.policy import Policy


def resolve(tree: exp.Expr, policy: Policy, *, masked: bool = True) -> Facts:
    """Resolve every name of a checked tree. With `masked=False` the masks are already written into the tree.

    Raises:
        Refused: UNKNOWN_VIEW, UNKNOWN_COLUMN, UNKNOWN_SOURCE, AMBIGUOUS_COLUMN, DUPLICATE_ALIAS, CTE_NAME,
            MASKED_COLUMN or NODE (a star out of place).
    """
    resolver = _Resolver(policy, masked=masked)
    output = resolver.query(tree, None, root=True)
    facts = resolver.facts
    facts.scans, facts.nesting = output.scans, output.nesting
    return facts


class _Resolver:
    def __init__(self, policy: Policy, *, masked: bool) -> None:
        self.policy = policy
        self.masked = masked
        self.facts = Facts()
        self.ctes: dict[str, Output] = {}

    # -- queries ------------------------------------------------------------------------------------------------

    def query(self, node: exp.Expr, outer: Scope | None, *, root: bool = False) -> Output:
        """Resolve a SELECT, a set operation or a parenthesised one of these."""
        if (with_ := node.args.get("with_")) is not None:
            self._with(with_, root=root)
        if isinstance(node, exp.Subquery):
            return self.query(node.this, outer)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, outer)
        if isinstance(node, exp.Select):
            return self._select(node, outer)
        raise Refused("NODE", type(node).__name__)

    def _with(self, node: exp.Expr, *, root: bool) -> None:
        for cte in node.expressions:
            name = cte.alias.lower()
            # The generator hoists nested WITH queries, which would change what their names mean.
            if not root or not name or name in self.ctes or name in self.policy.views:
                raise Refused("CTE_NAME", cte.alias)
            output = self.query(cte.this, None)
            self.ctes[name] = _renamed(output, cte.args.get("alias"))

    def _set_operation(self, node: exp.SetOperation, outer: Scope | None) -> Output:
        left, right = self.query(node.this, outer), self.query(node.expression, outer)
        if len(left.columns) != len(right.columns):
            # Equal names inside one side fold together here; the engine compares the true widths.
            flags = [any(left.columns.values()) or any(right.columns.values())] * len(left.columns)
        else:
            flags = [a or b for a, b in zip(left.columns.values(), right.columns.values(), strict=True)]
        columns = dict(zip(left.columns, flags, strict=True))
        if any(flags) and (node.args.get("distinct") or not isinstance(node, exp.Union)):
            raise Refused("MASKED_COLUMN", next(name for name, flag in columns.items() if flag))
        order = node.args.get("order")
        for column in order.find_all(exp.Column) if order else ():
            if column.table or column.name.lower() not in columns:
                raise Refused("UNKNOWN_COLUMN", column.name)
            if columns[column.name.lower()]:
                raise Refused("MASKED_COLUMN", column.name)
        for ordered in order.expressions if order else ():
            if any(isinstance(part, (exp.Query, exp.Star)) for part in ordered.walk()):
                raise Refused("NODE", "Order")
            if _position(ordered.this, list(columns.values())):
                raise Refused("MASKED_COLUMN", list(columns)[int(ordered.this.this) - 1])
        return Output(
            columns=columns,
            rows=max(left.rows, right.rows, FEW),
            scans=left.scans + right.scans,
            nesting=1 + max(left.nesting, right.nesting),
        )

    def _select(self, node: exp.Select, outer: Scope | None) -> Output:
        scope = Scope(select=node, outer=outer)
        self.facts.scopes.append(scope)
        inner: list[Output] = []
        if not node.expressions:
            raise Refused("NODE", "Select")
        if (from_ := node.args.get("from_")) is not None:
            self._source(from_.this, scope)
        for join in node.args.get("joins") or ():
            before = list(scope.sources.values())
            self._source(join.this, scope)
            for name in join.args.get("using") or ():
                scope.merged.add(name.name.lower())
                self.facts.names.add(name.name.lower())
                if any(name.name.lower() in s.columns for s in before):
                    self._using(name.name, scope)
            inner += self._expressions([join.args.get("on")], scope)
        for lateral in node.args.get("laterals") or ():
            self._lateral(lateral, scope)
        columns = self._items(node, scope, inner)
        inner += self._clauses(node, scope)
        nested = [*scope.sources.values(), *inner]
        if node.args.get("distinct") and any(columns.values()):
            raise Refused("MASKED_COLUMN", next(name for name, flag in columns.items() if flag))
        return Output(
            columns=columns,
            rows=rows_of(node, scope),
            scans=max(1, sum(part.scans for part in nested)),
            nesting=1 + max((part.nesting for part in nested), default=0),
        )

    def _source(self, node: exp.Expr, scope: Scope) -> None:
        if isinstance(node, exp.Table):
            output, alias = self._table(node, scope)
        elif isinstance(node, exp.Subquery):
            output, alias = _renamed(self.query(node.this, None), node.args.get("alias")), node.alias
            alias = alias or f"({len(scope.sources)})"
        else:
            raise Refused("NODE", type(node).__name__)
        if alias.lower() in scope.sources:
            raise Refused("DUPLICATE_ALIAS", alias)
        scope.sources[alias.lower()] = output

    def _table(self, node: exp.Table, scope: Scope) -> tuple[Output, str]:
        name = node.name.lower()
        alias = node.args.get("alias")
        if alias is not None and alias.args.get("columns"):
            raise Refused("ARGUMENT", "Table", "column aliases")
        if (cte := self.ctes.get(name)) is not None:
            return cte, node.alias or node.name
        policy = self.policy.views.get(name)
        if policy is None:
            raise Refused("UNKNOWN_VIEW", node.name)
        self.facts.views.add(policy.view.name)
        self.facts.reads.append(node)
        listed = policy.view.kind in ("reference", "engine")
        if listed:
            scope.listed.add((node.alias or node.name).lower())
        hidden = policy.masked if self.masked else frozenset()
        columns = {column.lower(): column in hidden for column in policy.view.columns}
        return Output(columns=columns, rows=LISTED if listed else MANY, scans=1), node.alias or node.name

    def _lateral(self, node: exp.Lateral, scope: Scope) -> None:
        self._expressions([node.this.this], scope)
        alias = node.args.get("alias")
        if alias is None or not alias.columns:
            raise Refused("NODE", "Lateral")
        name = alias.name.lower() or f"({len(scope.sources)})"
        if name in scope.sources:
            raise Refused("DUPLICATE_ALIAS", alias.name)
        # Its rows come from the row beside it: joined by nature.
        scope.sources[name] = Output(columns={c.name.lower(): False for c in alias.columns}, rows=ONE)

    # -- the parts of a SELECT ----------------------------------------------------------------------------------

    def _items(self, node: exp.Select, scope: Scope, inner: list[Output]) -> dict[str, bool]:
        columns: dict[str, bool] = {}
        for i, item in enumerate(node.expressions):
            if (star := _star(item)) is not None:
                columns.update(self._expand(item, star, scope))
                continue
            bare = item.this if isinstance(item, exp.Alias) else item
            if isinstance(bare, exp.Column):
                flag = self._column(bare, scope, scope.aliases)
            else:
                flag = False
                inner += self._expressions([bare], scope, scope.aliases)
            name = item.alias_or_name.lower()
            if isinstance(item, exp.Alias) and name:
                scope.aliases[name] = flag
            columns[name if name and name not in columns else f"({i})"] = flag
        return columns

    def _expand(self, item: exp.Expr, star: exp.Star, scope: Scope) -> dict[str, bool]:
        qualifier = item.table.lower() if isinstance(item, exp.Column) else ""
        if qualifier and qualifier not in scope.sources:
            raise Refused("UNKNOWN_SOURCE", qualifier)
        if not scope.sources:
            raise Refused("NODE", "Star")
        self.facts.starred = True
        columns: dict[str, bool] = {}
        for alias, source in scope.sources.items():
            if not qualifier or alias == qualifier:
                columns.update(source.columns)
        for name in star.args.get("except_") or ():
            if not isinstance(name, (exp.Column, exp.Identifier)) or name.name.lower() not in columns:
                raise Refused("UNKNOWN_COLUMN", name.name)
            columns.pop(name.name.lower())
        for table in self.facts.reads:
            self.facts.columns.add(f"{table.name.lower()}.*")
        return columns

    def _clauses(self, node: exp.Select, scope: Scope) -> list[Output]:
        inner: list[Output] = []
        if (where := node.args.get("where")) is not None:
            inner += self._expressions([where.this], scope)
        flags = list(scope.aliases.values()) if len(scope.aliases) == len(node.expressions) else None
        flags = flags or [self._is_masked_item(item, scope) for item in node.expressions]
        if (group := node.args.get("group")) is not None:
            keys = [
                *group.expressions,
                *(key for rollup in group.args.get("rollup") or () for key in rollup.expressions),
            ]
            for key in keys:
                if _position(key, flags):
                    raise Refused("MASKED_COLUMN", node.expressions[int(key.this) - 1].alias_or_name)
            inner += self._expressions(keys, scope, scope.aliases)
            for key in keys:
                if isinstance(key, exp.Anonymous):
                    scope.aliases.setdefault(key.name.lower(), False)  # GROUP BY window(…) makes a column `window`
        for name in ("having", "qualify"):
            if (part := node.args.get(name)) is not None:
                inner += self._expressions([part.this], scope, scope.aliases)
        if (order := node.args.get("order")) is not None:
            for ordered in order.expressions:
                if _position(ordered.this, flags):
                    raise Refused("MASKED_COLUMN", node.expressions[int(ordered.this.this) - 1].alias_or_name)
            inner += self._expressions([o.this for o in order.expressions], scope, scope.aliases, aliases_first=True)
        distinct = node.args.get("distinct")
        if isinstance(distinct, exp.Distinct) and distinct.expressions:
            raise Refused("ARGUMENT", "Distinct", "on")
        return inner

    def _is_masked_item(self, item: exp.Expr, scope: Scope) -> bool:
        bare = item.this if isinstance(item, exp.Alias) else item
        if isinstance(bare, exp.Column) and not isinstance(bare.this, exp.Star):
            return self._column(bare, scope, scope.aliases)
        return isinstance(bare, (exp.Star, exp.Column))  # positions after a star are not counted: refuse them

    # -- expressions --------------------------------------------------------------------------------------------

    def _expressions(
        self,
        roots: Iterable[exp.Expr | None],
        scope: Scope,
        aliases: dict[str, bool] | None = None,
        *,
        aliases_first: bool = False,
    ) -> list[Output]:
        """Resolve the columns under `roots`; returns the outputs of the queries inside."""
        inner: list[Output] = []
        stack = [root for root in roots if root is not None]
        while stack:
            node = stack.pop()
            if isinstance(node, (exp.Query, exp.Subquery)):
                output = self.query(node, scope)
                if any(output.columns.values()) and not isinstance(node.parent, exp.Exists):
                    raise Refused("MASKED_COLUMN", next(name for name, flag in output.columns.items() if flag))
                inner.append(output)
                continue
            if isinstance(node, exp.Column):
                if self._column(node, scope, aliases, aliases_first=aliases_first):
                    raise Refused("MASKED_COLUMN", node.name)
                continue
            if isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count):
                raise Refused("NODE", "Star")
            for value in node.args.values():
                if isinstance(value, exp.Expr):
                    stack.append(value)
                elif isinstance(value, list):
                    stack.extend(item for item in value if isinstance(item, exp.Expr))
        return inner

    def _column(
        self, node: exp.Column, scope: Scope, aliases: dict[str, bool] | None, *, aliases_first: bool = False
    ) -> bool:
        """Resolve one column; returns whether it is masked."""
        if isinstance(node.this, exp.Star):
            raise Refused("NODE", "Star")
        name, qualifier = node.name.lower(), node.table.lower()
        self.facts.names.add(name)
        if qualifier:
            return self._qualified(node, name, qualifier, scope, aliases)
        if aliases_first and aliases and name in aliases:
            return aliases[name]
        level: Scope | None = scope
        while level is not None:
            found = [alias for alias, source in level.sources.items() if name in source.columns]
            if len(found) > 1 and name not in level.merged:
                raise Refused("AMBIGUOUS_COLUMN", node.name)
            if found:
                return self._owned(node, name, found[0], level, scope)
            if level is scope and aliases and name in aliases:
                return aliases[name]
            level = level.outer
        raise Refused("UNKNOWN_COLUMN", node.name)

    def _qualified(
        self, node: exp.Column, name: str, qualifier: str, scope: Scope, aliases: dict[str, bool] | None
    ) -> bool:
        level: Scope | None = scope
        while level is not None:
            if (source := level.sources.get(qualifier)) is not None:
                if name not in source.columns:
                    raise Refused("UNKNOWN_COLUMN", node.name)
                return self._owned(node, name, qualifier, level, scope)
            level = level.outer
        struct = any(qualifier in source.columns for source in scope.sources.values()) or qualifier in (aliases or ())
        if name in ("start", "end") and struct:  # a window(…) column by its alias
            self.facts.names.add(qualifier)
            return False
        raise Refused("UNKNOWN_SOURCE", qualifier)

    def _owned(self, node: exp.Column, name: str, alias: str, level: Scope, scope: Scope) -> bool:
        self.facts.owners[id(node)] = (level, alias)
        if level is not scope:
            scope.reaches_out = True
        self._remember(name, level.sources[alias])
        return level.sources[alias].columns[name]

    def _using(self, name: str, scope: Scope) -> None:
        for source in scope.sources.values():
            if source.columns.get(name.lower()):
                raise Refused("MASKED_COLUMN", name)

    def _remember(self, name: str, source: Output) -> None:
        for view in self.facts.views:
            known = self.policy.views[view.lower()].view.columns
            if name in known and len(known) == len(source.columns):
                self.facts.columns.add(f"{view}.{name}")


def _star(item: exp.Expr) -> exp.Star | None:
    if isinstance(item, exp.Star):
        return item
    if isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
        return item.this
    return None


def _position(key: exp.Expr, flags: list[bool]) -> bool:
    """Whether `GROUP BY 2` or `ORDER BY 2` points at a masked item."""
    if not isinstance(key, exp.Literal) or key.is_string or not key.this.isdigit():
        return False
    i = int(key.this) - 1
    return 0 <= i < len(flags) and flags[i]


def _renamed(output: Output, alias: exp.Expr | None) -> Output:
    names = [c.name.lower() for c in alias.columns] if isinstance(alias, exp.TableAlias) else []
    if not names:
        return output
    if len(names) != len(output.columns) or len(set(names)) != len(names):
        raise Refused("ARGUMENT", "alias", "columns")
    columns = dict(zip(names, output.columns.values(), strict=True))
    return Output(columns=columns, rows=output.rows, scans=output.scans, nesting=output.nesting)
