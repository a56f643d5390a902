"""Does a drafted SQL do what the learnt parser expects of the question? Numbers for the confidence model.

The parser reads the question, `labels.sketch` reads the SQL; the two are compared head by head. It sees no values: a
wrong symbol or date is the grounding ledger's to find, a dropped condition, a wrong aggregate or grouping is found here.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from nlq.learn.labels import AGGREGATES, FILTERS, LabelError, sketch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nlq.contracts import Proposal
    from nlq.learn.labels import Sketch

_SHOWN_ROLES = frozenset({"select", "derive", "lag"})
_KEY_ROLES = frozenset({"group", "partition", "filter", *FILTERS, "condition", "bucket", *AGGREGATES})
_LOOSE_SHAPES = frozenset({"order_asc", "order_desc", "single_block", "single_view", "join", "semi_join", "window"})
_TINY = 1e-3


def agreement(proposal: Proposal, sql: str, schema: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Features named `agree_*`: higher means better for all of them; `agree_read` is 0 when the SQL has no sketch.

    Args:
        proposal: what the parser said about the question.
        sql: the draft, Databricks dialect.
        schema: `Catalogue.sqlglot_schema`.
    """
    try:
        found = sketch(sql, schema)
    except LabelError:
        return {"agree_read": 0.0}
    keys = _columns(proposal, found, _KEY_ROLES)
    shown = _columns(proposal, found, _SHOWN_ROLES)
    shapes = [(s in found.shapes, p) for s, p in proposal.shape.items() if s not in _LOOSE_SHAPES]
    loose = [(s in found.shapes, p) for s, p in proposal.shape.items() if s in _LOOSE_SHAPES]
    views = [(v in found.views, p) for v, p in proposal.views.items()]
    return {
        "agree_read": 1.0,
        "agree_outcome": log(max(proposal.outcome.get("answer", 0.0), _TINY)),
        "agree_main": log(max(proposal.main_view.get(found.main_view, 0.0), _TINY)),
        "agree_views": _likelihood(views),
        "agree_view_worst": _worst(views),
        "agree_keys": _likelihood(keys),
        "agree_key_missing": _worst(x for x in keys if not x[0]),
        "agree_key_extra": _worst(x for x in keys if x[0]),
        "agree_shown_missing": _worst(x for x in shown if not x[0]),
        "agree_shown_extra": _worst(x for x in shown if x[0]),
        "agree_shapes": _likelihood(shapes),
        "agree_shape_missing": _worst(x for x in shapes if not x[0]),
        "agree_shape_extra": _worst(x for x in shapes if x[0]),
        "agree_build": _likelihood(loose),
    }


def _columns(proposal: Proposal, found: Sketch, roles: frozenset[str]) -> list[tuple[bool, float]]:
    """(in the SQL, probability) of each role of each column that either side names."""
    pairs = {(c, r) for c, named in found.columns.items() for r in named if r in roles}
    pairs |= {(c, r) for c, named in proposal.columns.items() for r in named if r in roles}
    return [(r in found.columns.get(c, ()), proposal.columns.get(c, {}).get(r, 0.0)) for c, r in pairs]


def _likelihood(pairs: Iterable[tuple[bool, float]]) -> float:
    """Sum of log probabilities of what is and what is not there."""
    return sum(log(max(p if there else 1.0 - p, _TINY)) for there, p in pairs)


def _worst(pairs: Iterable[tuple[bool, float]]) -> float:
    """Log probability of the least believed part; 0 without parts."""
    return min((log(max(p if there else 1.0 - p, _TINY)) for there, p in pairs), default=0.0)
