"""How large a statement may be before it is refused. Every figure is a bound on work done before or while running."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GuardLimits:
    """Cost bounds of wall 1. The defaults were set against the gold SQL of the evaluation set (see docs/guard.md)."""

    purpose_for: frozenset[str] = frozenset()
    """Views that are only read for a stated purpose (case reference); see `Principal.purpose`."""
    max_chars: int = 8_000
    """Characters of the statement, before and after the rewrite of an unfiltered role."""
    max_nesting: int = 60
    """Open brackets at one point; sqlglot recurses per bracket and Python's stack ends at about 100 levels."""
    max_nodes: int = 1_500
    """Syntax-tree nodes of the statement as given."""
    max_depth: int = 60
    """Depth of the syntax tree."""
    max_scans: int = 12
    """View reads, multiplied through CTEs that are read more than once."""
    max_queries_deep: int = 12
    """Queries inside queries."""
    max_generators: int = 3
    """Calls of explode."""
    max_joins: int = 8
    """Joins of one SELECT."""
    max_group_keys: int = 12
    """Keys of one GROUP BY."""
    max_in_list: int = 500
    """Values of one IN list."""
    max_literal: int = 1_000
    """Characters of one string literal."""
    max_pattern: int = 200
    """Characters of one LIKE or regular-expression pattern."""
    max_rows: int = 10_000
    """Rows that may be returned; the SQL asks for one more, so that a cut is seen."""
    max_offset: int = 100_000
    """Rows that OFFSET may skip."""
