"""A GBNF grammar for one SELECT that can only name views, columns and functions that exist.

It rules out prose, write verbs and invented names. It does not make a statement mean what was asked.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming.catalogue import Catalogue

FUNCTIONS = (
    "count", "sum", "avg", "min", "max", "median", "stddev", "corr", "percentile", "min_by", "max_by", "abs", "round",
    "coalesce", "nullif", "greatest", "least", "hour", "minute", "date_trunc", "datediff", "date_add", "unix_micros",
    "lower", "upper", "count_if", "lag", "lead", "rank", "dense_rank", "row_number", "array_contains", "size",
)  # fmt: skip
"""Functions that a draft may call; the guard has its own, final list."""

_GRAMMAR = r"""
root ::= "CANNOT" | select
select ::= "SELECT " ("DISTINCT ")? items " FROM " from (" WHERE " cond)? (" GROUP BY " exprs)? (" HAVING " cond)? (" ORDER BY " sorts)? (" LIMIT " int)?
items ::= "*" | item (", " item)*
item ::= expr (" AS " alias)?
from ::= table (" JOIN " table " ON " cond | " LEFT JOIN " table " ON " cond)*
table ::= view (" " tname)? | "(" select ") " tname
cond ::= notcond ((" AND " | " OR ") notcond)*
notcond ::= ("NOT ")? pred
pred ::= expr (cmp | " IS NULL" | " IS NOT NULL" | " IN (" (select | exprs) ")" | " NOT IN (" (select | exprs) ")" | " BETWEEN " expr " AND " expr | " LIKE " string)? | "EXISTS (" select ")" | "(" cond ")"
cmp ::= (" = " | " <> " | " != " | " >= " | " <= " | " > " | " < ") expr
exprs ::= expr (", " expr)*
sorts ::= sort (", " sort)*
sort ::= (expr | alias) (" DESC" | " ASC")?
expr ::= term ((" + " | " - " | " * " | " / ") term)*
term ::= func | case | cast | now | literal | interval | name | "(" select ")" | "(" expr ")"
func ::= fname "(" ("*" | ("DISTINCT ")? exprs)? ")" (" OVER (" over ")")?
over ::= ("PARTITION BY " exprs)? (" "? "ORDER BY " sorts)?
case ::= "CASE" (" WHEN " cond " THEN " expr)+ (" ELSE " expr)? " END"
cast ::= "CAST(" expr " AS " ("DATE" | "TIMESTAMP" | "DOUBLE" | "BIGINT" | "STRING") ")"
interval ::= "INTERVAL " int " " ("SECONDS" | "MINUTES" | "HOURS" | "DAYS")
literal ::= number | string | "TRUE" | "FALSE" | "NULL"
string ::= "'" [^'\n;]{0,60} "'"
number ::= "-"? [0-9]{1,12} ("." [0-9]{1,6})?
int ::= [0-9]{1,6}
name ::= (tname ".")? column
tname ::= [a-z] [0-9]?
alias ::= [a-z] [a-z_0-9]{0,24}
"""


def select_grammar(catalogue: Catalogue, views: Sequence[str] | None = None, *, instants: Sequence[str] = ()) -> str:
    """The grammar for a catalogue's views, or for some of them; the same text for the same names.

    Args:
        catalogue: whose names there are.
        views: the views that may be named; None allows all.
        instants: TIMESTAMP and DATE literals that may be written. The model never makes up one of its own.
    """
    names = tuple(sorted(views if views is not None else catalogue.views))
    return _built(names, _columns(catalogue, views), tuple(sorted(set(instants))))


def _columns(catalogue: Catalogue, views: Sequence[str] | None) -> tuple[str, ...]:
    chosen = views if views is not None else catalogue.views
    return tuple(sorted({column for view in chosen for column in catalogue.views[view].columns}))


@lru_cache(maxsize=64)
def _built(views: tuple[str, ...], columns: tuple[str, ...], instants: tuple[str, ...]) -> str:
    names = {
        "view": views,
        "column": columns,
        "fname": FUNCTIONS,
        "now": ("current_timestamp()", "current_date()", *instants),
    }
    rules = [rule + " ::= " + " | ".join(f'"{text}"' for text in texts) for rule, texts in names.items()]
    return _GRAMMAR.strip() + "\n" + "\n".join(rules) + "\n"
