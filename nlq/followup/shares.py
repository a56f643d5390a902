"""The earlier figures as parts of their total: "as a percentage of the firm total", "each desk's share of all of them"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from nlq.followup.edit import DIALECT, parsed

if TYPE_CHECKING:
    from nlq.followup.edit import Work

_TOTAL = re.compile(
    r"\b(?:percent\w*|per cent|pct|shares?|fractions?|proportions?|parts?|%)\W+(?:\w+ ){0,2}?of (?:the |that |this |their |all |its )*"
    r"(?:\w+ )?(?:total|whole|sum|lot|overall|grand total|them|it all|everything|all)\b"
    r"|\b(?:in|as|into|to|give|show|with) (?:me |them |it |that |those |these |the |a |an )*(?:percent\w*|per cent|pct|%|shares|proportions)\W*$"
    r"|\b(?:rather than|instead of|not) (?:\w+ )?(?:counts?|numbers?|absolutes?|figures)\b.{0,20}(?:percent|per cent|pct|%|share)"
    r"|(?:percent\w*|per cent|pct|%|shares?).{0,20}\b(?:rather than|instead of|not) (?:\w+ )?(?:counts?|numbers?|absolutes?|figures)\b",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"percent|per cent|pct|%", re.IGNORECASE)
_SPENT = frozenset(
    "total whole firm firm's overall grand counts count numbers all sum each rather instead absolute as a percentage share shares".split()
)


_REST = re.compile(
    r"^\W*(?:(?:of (?:them|it|those|these|all)|please|pls|each|instead|too|as well|now|for each|in (?:percent|per cent|pct|%))\W*)*$",
    re.IGNORECASE,
)
_WITHIN = re.compile(r"\b(?:within|inside|row|rows|normali[sz]e\w*|relative)\b", re.IGNORECASE)


def _plain(work: Work, condition: exp.Expr) -> bool:
    """A condition that the total has, too: on time, or that keeps busted fills out."""
    columns = work.shaper.world.catalogue.views[work.edit.view].columns
    names = {c.name for c in condition.find_all(exp.Column) if c.find_ancestor(exp.Subquery) is None}
    clocks = all(n in columns and columns[n].type in ("TIMESTAMP", "DATE") for n in names)
    return (clocks and len(names) == 1) or "'VALID'" in condition.sql(dialect=DIALECT)


def as_share(work: Work) -> bool:
    """Add every group's part of all groups beside the earlier figure; False when the follow-up asks for no such thing."""
    text = work.reading.question
    said = _TOTAL.search(text)
    if (
        said is None
        or not _REST.match(text[said.end() :])
        or len(work.figures) != 1
        or not work.keys
        or work.tree.args.get("limit")
    ):
        return False
    figure = work.figures[0].unalias()
    if not isinstance(figure, (exp.Count, exp.Sum)) or figure.find(exp.Distinct) or work.tree.args.get("having"):
        return False
    if len(work.keys) > 1 or _WITHIN.search(text):
        work.edit.doubts.append("a part of which total is not clear")
    if not all(_plain(work, c) for c in work.conditions):
        work.edit.doubts.append("whether the total has the same conditions")
    sql = figure.sql(dialect=DIALECT)
    scale = "100.0 * " if _PERCENT.search(text) else ""
    share = f"{scale}{sql} / sum({sql}) OVER ()"
    work.tree.set("expressions", [*work.tree.expressions, parsed(f"{share} AS {'pct' if scale else 'share'}")])
    work.note(
        share, "measure", next((i for i, m in enumerate(work.reading.mentions) if m.is_op("share", "percent")), None)
    )
    mentions = work.reading.mentions
    work.edit.used |= {
        i for i, m in enumerate(mentions) if m.is_op("share", "percent", "share_total") or m.text.lower() in _SPENT
    }
    return True
