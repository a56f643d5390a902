"""SQL as the learnt writer reads and writes it: clauses in a fixed order, values, numbers and times left open.

A *form* is a list of tokens. What the question states by name, number or time stands in it as a slot (`V1_` is the first
named value that fits the column, `N2_` the second number, `TIMEAT ( trade_date )` the stated times on that column), so
the writer never has to spell a value; rules fill the slots (`fill_form`), and a slot that nothing fills fails the form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NOW, TODAY = "AS_OF", "AS_DAY"
_MAX_SLOTS = 6
_SCALES = (("N", 1.0), ("NPCT", 0.01), ("NSEC", 1e3), ("NMIN", 6e4), ("NHOUR", 3.6e6))
"""A number of the question as it stands in SQL: as it is, per cent as a share, or a duration in milliseconds."""
_TOKEN = re.compile(r"'(?:[^']|'')*'|[A-Za-z_][A-Za-z_0-9.]*|\d+(?:\.\d+)?|<>|<=|>=|!=|\|\||[^\sA-Za-z0-9_]")
_SLOT = re.compile(r"\b(V|N|NPCT|NSEC|NMIN|NHOUR)(\d)_|\b(VALL)_")
_WINDOW = re.compile(r"\bwindow\(([^(),]+),\s*('[^']*')\)\.start", re.IGNORECASE)
_JOINED = (
    "count ( * )",
    "GROUP BY",
    "ORDER BY",
    "PARTITION BY",
    "IS NULL",
    "IS NOT NULL",
    "COUNT ( * )",
    "COUNT ( DISTINCT",
)


class FormError(ValueError):
    """A statement or form cannot be turned into the other; the message says why."""


class Slots(Protocol):
    """What a question offers for slots. Built by `nlq.learn.slots` from a reading."""

    def values(self, column: str) -> Sequence[tuple[str, ...]]:
        """For each named thing that fits the column, in the question's order: the values it stands for there."""

    @property
    def numbers(self) -> Sequence[float]:
        """The numbers outside time phrases, in the question's order."""

    @property
    def timed(self) -> bool:
        """Whether the question states a time."""

    def times(self, column: str, others: Sequence[str]) -> Sequence[str] | None:
        """Conditions that put the stated times on a column; None when they do not fit."""


def form_of(sql: str, slots: Slots, types: Mapping[str, str]) -> list[str]:
    """The form of a statement in Databricks dialect with `{as_of}` placeholders.

    Args:
        sql: the statement.
        slots: of the question that it answers.
        types: column name → type, upper case, of every column of the catalogue.

    Raises:
        FormError: it does not parse.
    """
    tree = parse_open(sql)
    _times(tree, slots, types)
    _literals(tree, slots)
    tree = _canonical(tree, types)
    return _tokens(_text(tree))


def parse_open(sql: str) -> exp.Expr:
    """The tree of a statement whose as-of time is an open name.

    Raises:
        FormError: it does not parse.
    """
    sql = sql.replace("{as_of_date}", TODAY).replace("{as_of}", NOW)
    sql = _WINDOW.sub(r"span_start(\1, \2)", sql)
    try:
        return sqlglot.parse_one(sql, dialect="databricks")
    except (SqlglotError, RecursionError) as error:
        raise FormError(f"{sql[:80]!r}: {error}") from error


def fill_form(form: Sequence[str], slots: Slots) -> str:
    """The statement of a form, with `{as_of}` placeholders.

    Raises:
        FormError: a slot stays open, or the result does not parse.
    """
    text = " ".join(form)
    if _MARK in text:
        text = _statement(text)
    try:
        tree = sqlglot.parse_one(text, dialect="databricks")
    except (SqlglotError, RecursionError) as error:
        raise FormError(f"{text[:80]!r}: {error}") from error
    for node in list(tree.find_all(exp.Column)):
        _fill_slot(node, slots)
    macros = [n for n in tree.find_all(exp.Anonymous) if n.name.upper() == "TIMEAT"]
    taken = [m.expressions[0].sql() for m in macros]
    for macro in macros:
        found = slots.times(macro.expressions[0].sql(), taken)
        if found is None:
            raise FormError(f"no stated time fits {macro.sql()}")
        made = sqlglot.parse_one(" AND ".join(found) or "TRUE", dialect="databricks")
        macro.replace(exp.Paren(this=made) if isinstance(made, exp.Or) else made)
    out = tree.sql(dialect="databricks")
    out = re.sub(rf"\b{TODAY}\b", "{as_of_date}", out)
    out = re.sub(rf"\b{NOW}\b", "{as_of}", out)
    out = re.sub(r"\bspan_start\(([^(),]+), ('[^']*')\)", r"window(\1, \2).start", out, flags=re.IGNORECASE)
    return re.sub(r"(?i) AND TRUE\b|\bTRUE AND ", "", out)


# -- times, values, numbers ------------------------------------------------------------------------------------------
def _times(tree: exp.Expr, slots: Slots, types: Mapping[str, str]) -> None:
    """Conjuncts that hold a clock column against the as-of time or a literal become one TIMEAT a column."""
    if not slots.timed:
        return
    for where in list(tree.find_all(exp.Where)):
        seen: set[str] = set()
        kept: list[exp.Expr] = []
        for part in _conjuncts(where.this):
            column = _clock_of(part, types)
            if column is None:
                kept.append(part)
            elif column.sql() not in seen:
                seen.add(column.sql())
                kept.append(exp.Anonymous(this="TIMEAT", expressions=[column.copy()]))
        if seen:
            where.set("this", exp.and_(*kept, copy=False))


def _clock_of(part: exp.Expr, types: Mapping[str, str]) -> exp.Column | None:
    columns = [c for c in part.find_all(exp.Column) if c.name not in (NOW, TODAY)]
    inner = {id(c) for s in part.find_all(exp.Subquery) for c in s.find_all(exp.Column)}
    columns = [c for c in columns if id(c) not in inner]
    if not columns or len({c.sql() for c in columns}) > 1:
        return None
    if types.get(columns[0].name, "") not in ("TIMESTAMP", "DATE") or not isinstance(part, exp.Binary | exp.Between):
        return None
    if isinstance(part, exp.Or):
        return None
    literal = any(lit.is_string for lit in part.find_all(exp.Literal))
    return columns[0] if literal or inner or any(c.name in (NOW, TODAY) for c in part.find_all(exp.Column)) else None


def _conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(node, exp.And):
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    else:
        yield node


def _literals(tree: exp.Expr, slots: Slots) -> None:
    for test in list(tree.find_all(exp.In)):
        column = test.this
        held = [e.name for e in test.expressions if isinstance(e, exp.Literal)]
        if isinstance(column, exp.Column) and len(held) > 1 and len(held) == len(test.expressions):
            offered = slots.values(column.sql())
            if len(offered) > 1 and {v for o in offered for v in o} == set(held):
                test.set("expressions", [exp.column("VALL_")])
    for literal in list(tree.find_all(exp.Literal)):
        slot = _value_slot(literal, slots) if literal.is_string else _number_slot(literal, slots)
        if slot is not None:
            literal.replace(exp.column(slot))


def _value_slot(literal: exp.Literal, slots: Slots) -> str | None:
    test = literal.find_ancestor(exp.Predicate, exp.In)
    column = next(iter(test.find_all(exp.Column)), None) if test is not None else None
    if column is None:
        return None
    for k, offered in enumerate(slots.values(column.sql())[:_MAX_SLOTS], 1):
        if offered == (literal.name,):
            return f"V{k}_"
    return None


def _number_slot(literal: exp.Literal, slots: Slots) -> str | None:
    try:
        value = float(literal.name)
    except ValueError:
        return None
    for name, scale in _SCALES:
        for k, number in enumerate(slots.numbers[:_MAX_SLOTS], 1):
            if abs(number * scale - value) < 1e-9 * max(1.0, abs(value)) and value != 0:
                return f"{name}{k}_"
    return None


def _fill_slot(node: exp.Column, slots: Slots) -> None:
    found = _SLOT.fullmatch(node.name)
    if found is None:
        return
    if found[3] or found[1] == "V":
        test = node.find_ancestor(exp.Predicate, exp.In)
        columns = [c for c in test.find_all(exp.Column) if not _SLOT.fullmatch(c.name)] if test is not None else []
        offered = slots.values(columns[0].sql()) if columns else ()
        if found[3]:
            chosen = list(dict.fromkeys(v for o in offered for v in o))
        else:
            chosen = list(offered[int(found[2]) - 1]) if len(offered) >= int(found[2]) else []
        if not chosen:
            raise FormError(f"nothing named fits {node.sql()}")
        if len(chosen) > 1 and isinstance(test, exp.EQ | exp.NEQ) and test.expression is node:
            made: exp.Expr = exp.In(this=test.this.copy(), expressions=[exp.Literal.string(v) for v in chosen])
            test.replace(exp.Not(this=made) if isinstance(test, exp.NEQ) else made)
        elif isinstance(test, exp.In):
            test.set(
                "expressions", [e for e in test.expressions if e is not node] + [exp.Literal.string(v) for v in chosen]
            )
        else:
            node.replace(exp.Literal.string(chosen[0]))
        return
    k = int(found[2])
    if len(slots.numbers) < k:
        raise FormError(f"no number for {node.sql()}")
    value = round(slots.numbers[k - 1] * dict(_SCALES)[found[1]], 10)
    text = str(int(value)) if float(value).is_integer() else f"{value:.10f}".rstrip("0")
    node.replace(exp.Literal.number(text))


# -- canonical text --------------------------------------------------------------------------------------------------
_MARK = "SHOW"


def _canonical(tree: exp.Expr, types: Mapping[str, str]) -> exp.Expr:
    """One spelling for statements that differ in names and order only."""
    for select in tree.find_all(exp.Select):
        _aliases(select, outer=select is tree)
    _tables(tree)
    for where in tree.find_all(exp.Where):
        parts = sorted(_conjuncts(where.this), key=lambda p: p.sql())
        where.set("this", exp.and_(*[p.copy() for p in parts], copy=False) if len(parts) > 1 else parts[0])
    names: dict[str, str] = {}
    for alias in list(tree.find_all(exp.Alias)):
        if alias.alias in types:
            continue
        names.setdefault(alias.alias, f"x{len(names) + 1}")
    for identifier in tree.find_all(exp.Identifier):
        if identifier.name in names and isinstance(identifier.parent, exp.Alias | exp.Column):
            if isinstance(identifier.parent, exp.Column) and identifier.arg_key == "table":
                continue
            identifier.set("this", names[identifier.name])
    return tree


def _aliases(select: exp.Select, *, outer: bool) -> None:
    """Names of shown expressions go where nothing needs them; an order by a name becomes an order by its expression."""
    named = {p.alias: p.this for p in select.expressions if isinstance(p, exp.Alias)}
    for clause in ("order", "having", "qualify"):
        node = select.args.get(clause)
        for column in list(node.find_all(exp.Column)) if node is not None else ():
            if not column.table and column.name in named and not named[column.name].find(exp.Window):
                column.replace(named[column.name].copy())
    group = select.args.get("group")
    for key in list(group.expressions) if group is not None else ():
        if (
            isinstance(key, exp.Column)
            and key.name in named
            and not key.table
            and not isinstance(named[key.name], exp.Column)
        ):
            key.replace(named[key.name].copy())
        elif isinstance(key, exp.Literal) and key.name.isdigit() and int(key.name) <= len(select.expressions):
            key.replace(select.expressions[int(key.name) - 1].unalias().copy())
    if outer:
        used = {c.name for c in (select.args.get("order") or exp.Order()).find_all(exp.Column)}
        for shown in list(select.expressions):
            if isinstance(shown, exp.Alias) and shown.alias not in used:
                shown.replace(shown.this)


def _tables(tree: exp.Expr) -> None:
    """Table aliases t1, t2, … and none where a SELECT reads one source."""
    names: dict[str, str] = {}
    ctes = {c.alias for c in tree.find_all(exp.CTE)}
    for name in ctes:
        names[name] = f"w{len(names) + 1}"
    single = len(list(tree.find_all(exp.Table))) == 1 and not list(tree.find_all(exp.Subquery))
    if single:
        for table in tree.find_all(exp.Table):
            table.set("alias", None)
        for column in tree.find_all(exp.Column):
            column.set("table", None)
        return
    for node in tree.find_all(exp.TableAlias):
        if isinstance(node.parent, exp.CTE):
            node.this.set("this", names[node.name])
        elif node.this is not None:
            names.setdefault(node.name, f"t{len(names) + 1}")
            node.this.set("this", names[node.name])
    for table in tree.find_all(exp.Table):
        if table.name in ctes:
            table.this.set("this", names[table.name])
    for column in tree.find_all(exp.Column):
        if column.table in names:
            column.args["table"].set("this", names[column.table])


def _text(tree: exp.Expr) -> str:
    """Clauses of the outermost SELECT with FROM first, so that the view is settled before the columns."""
    if not isinstance(tree, exp.Select) or tree.args.get("from_", tree.args.get("from")) is None:
        return tree.sql(dialect="databricks", comments=False)
    tree = tree.copy()
    shown = [p.sql(dialect="databricks", comments=False) for p in tree.expressions]
    head = "DISTINCT " if tree.args.get("distinct") else ""
    tree.set("distinct", None)
    tree.set("expressions", [exp.Literal.number("0")])
    order, limit, offset = (tree.args.get(k) for k in ("order", "limit", "offset"))
    for key in ("order", "limit", "offset"):
        tree.set(key, None)
    body = tree.sql(dialect="databricks", comments=False)
    tail = " ".join(n.sql(dialect="databricks").strip() for n in (order, limit, offset) if n is not None)
    body = (
        body.replace("SELECT 0 FROM ", "FROM ", 1)
        if "WITH" not in body[:5]
        else re.sub(r"SELECT 0 FROM (?!.*SELECT 0 FROM )", "FROM ", body)
    )
    return f"{body} {_MARK} {head}{', '.join(shown)} {tail}".strip()


def _statement(text: str) -> str:
    """The inverse of `_text`."""
    body, _, shown = text.rpartition(f" {_MARK} ")
    tail = ""
    depth = 0
    tokens = shown.split(" ")
    for i, token in enumerate(tokens):
        depth += token.count("(") - token.count(")")
        if depth == 0 and token in ("ORDER", "LIMIT", "OFFSET"):
            shown, tail = " ".join(tokens[:i]), " ".join(tokens[i:])
            break
    at = _outer_from(body)
    return f"{body[:at]}SELECT {shown} {body[at:]} {tail}"


def _outer_from(body: str) -> int:
    """Where the outermost FROM stands: the first at depth 0."""
    depth = 0
    for found in re.finditer(r"\(|\)|\bFROM\b", body):
        if found[0] == "(":
            depth += 1
        elif found[0] == ")":
            depth -= 1
        elif depth == 0:
            return found.start()
    raise FormError("no FROM")


def _tokens(text: str) -> list[str]:
    spaced = " ".join(_TOKEN.findall(text))
    for whole in _JOINED:
        spaced = spaced.replace(whole, whole.replace(" ", "\x00"))
    return [t.replace("\x00", " ") for t in spaced.split(" ")] if spaced else []
