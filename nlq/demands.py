"""What a question's words demand of the statement that answers it: a check of the draft that shares nothing with the drafting.

The rules, the learnt parser and the language model all read the question to write SQL; a word that they read wrongly,
they read wrongly here and there alike. This check goes the other way: it looks only at the finished statement, and asks
of a few plain words ("per desk", "whose", "in seconds", "of which") whether the statement has anything that could be
their doing. It proves nothing right; what it finds missing is a doubt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import sqlglot
import yaml
from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_BUCKET = re.compile(r"\bwindow\(", re.IGNORECASE)
"""A time bucket, whose name the parser takes for a keyword after GROUP BY."""
_FILE = Path(__file__).with_name("demands.yaml")


@dataclass(frozen=True, kw_only=True)
class Demand:
    """One line of `demands.yaml`."""

    doubt: str
    said: re.Pattern[str]
    unless: re.Pattern[str] | None
    needs: tuple[str, ...]
    alone: bool
    """Only of a question that stands alone: in a follow-up these words point at the answer before."""
    following: bool
    """Only of a follow-up."""


class Statement:
    """A drafted statement, looked at from outside."""

    def __init__(self, sql: str) -> None:
        self.tree = sqlglot.parse_one(_BUCKET.sub("time_window(", sql), dialect="databricks")
        self.text = sql.lower()
        first = self.tree.find(exp.Select)
        self.projections = list(first.expressions) if first is not None else []
        self.figures = sum(1 for p in self.projections if p.find(exp.AggFunc))
        self.shown = " ".join(
            {n for p in self.projections for n in (p.alias_or_name, *(c.name for c in p.find_all(exp.Column)))}
            | ({"*"} if any(p.find(exp.Star) and not p.find(exp.Count) for p in self.projections) else set())
        ).lower()
        self.columns = frozenset(c.name.lower() for p in self.projections for c in p.find_all(exp.Column))
        """Columns that the shown expressions are made of."""

    def has(self, need: str) -> bool:
        """Whether the statement has a part, a text or a shown column, as `demands.yaml` writes them."""
        kind, _, pattern = need.partition(" ")
        if kind == "text":
            return re.search(pattern, self.text) is not None
        if kind == "shows":
            return re.search(pattern, self.shown) is not None
        return _PARTS[need](self)

    def any_of(self, *nodes: type[exp.Expr]) -> bool:
        """Whether a node of one of these classes stands anywhere in the statement."""
        return self.tree.find(*nodes) is not None


_PARTS: dict[str, Callable[[Statement], bool]] = {
    "aggregate": lambda s: s.any_of(exp.AggFunc),
    "avg": lambda s: s.any_of(exp.Avg),
    "compares_columns": lambda s: any(
        b.left.find(exp.Column) and b.right.find(exp.Column)
        for b in s.tree.find_all(exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NEQ)
    ),
    "conditional": lambda s: s.any_of(exp.Case, exp.If, exp.CountIf, exp.Filter),
    "count": lambda s: s.any_of(exp.Count, exp.CountIf),
    "distinct": lambda s: s.any_of(exp.Distinct),
    "division": lambda s: s.any_of(exp.Div),
    "group": lambda s: s.any_of(exp.Group),
    "having": lambda s: s.any_of(exp.Having),
    "join": lambda s: s.any_of(exp.Join),
    "many": lambda s: re.search(r"\blimit 1\b", s.text) is None,
    "max": lambda s: s.any_of(exp.Max, exp.ArgMax),
    "min": lambda s: s.any_of(exp.Min, exp.ArgMin),
    "no_figure": lambda s: not s.figures,
    "ordered": lambda s: s.any_of(exp.Order),
    "partition": lambda s: any(w.args.get("partition_by") for w in s.tree.find_all(exp.Window)),
    "scalar": lambda s: len(s.projections) == 1 and s.projections[0].find(exp.AggFunc) is not None,
    "subquery": lambda s: len(list(s.tree.find_all(exp.Select))) > 1,
    "sum": lambda s: s.any_of(exp.Sum),
    "two_joins": lambda s: len(list(s.tree.find_all(exp.Join))) > 1,
    "two_figures": lambda s: s.figures > 1,
    "window": lambda s: s.any_of(exp.Window),
}


@cache
def demands() -> tuple[Demand, ...]:
    """The lines of the shipped file.

    Raises:
        ValueError: a line names a part that there is none of.
    """
    out = []
    for line in yaml.safe_load(_FILE.read_text(encoding="utf-8")):
        check_parts(_FILE.name, line["doubt"], line["needs"])
        unless = re.compile(line["unless"], re.IGNORECASE) if line.get("unless") else None
        out.append(
            Demand(
                doubt=line["doubt"],
                said=re.compile(line["said"], re.IGNORECASE),
                unless=unless,
                needs=tuple(line["needs"]),
                alone=bool(line.get("alone")),
                following=bool(line.get("following")),
            )
        )
    return tuple(out)


def check_parts(file: str, line: str, needs: Iterable[str]) -> None:
    """Look whether every need of one line of a file is a part that `Statement.has` knows.

    Raises:
        ValueError: one is not.
    """
    unknown = [n for n in needs if n.partition(" ")[0] not in ("text", "shows") and n not in _PARTS]
    if unknown:
        raise ValueError(f"{file}: {line!r} needs {unknown[0]!r}, which is no part of a statement")


def unmet(question: str, sql: str, values: Iterable[tuple[int, int]] = (), *, follows: bool = False) -> list[str]:
    """The demands of the question that the statement shows no sign of meeting.

    Args:
        question: as the officer typed it.
        sql: the drafted statement, Spark SQL.
        values: character ranges of names and values in the question, which are not words: a company may be called
            "Same Day Holdings".
        follows: whether the question changes the one before it.
    """
    text = question
    for begin, end in values:
        text = text[:begin] + "_" * (end - begin) + text[end:]
    try:
        statement = Statement(sql)
    except sqlglot.errors.SqlglotError:
        return ["the draft is no SQL"]
    return [
        d.doubt
        for d in demands()
        if not (d.alone if follows else d.following)
        and d.said.search(text)
        and not (d.unless and d.unless.search(text))
        and not any(map(statement.has, d.needs))
    ]
