"""Why a statement is refused: stable codes, one fixed sentence each. No sentence repeats a value of the statement."""

from __future__ import annotations

MESSAGES = {
    "EMPTY": "There is no statement.",
    "TOO_LONG": "The statement is too long.",
    "CHARACTER": "The statement contains a control, format or line-separator character.",
    "SUBSTITUTION": "The statement contains a substitution mark.",
    "TOKEN": "The statement contains a token that queries do not need: {0}.",
    "NESTING": "The statement is nested too deeply.",
    "PARSE": "The statement is not SQL that can be checked.",
    "MANY_STATEMENTS": "Only one statement may run.",
    "ROOT_NOT_SELECT": "Only SELECT statements may run.",
    "NODE": "The construct {0} is not on the allow-list.",
    "ARGUMENT": "The option {1} of {0} is not on the allow-list.",
    "FUNCTION": "The function {0} is not on the allow-list.",
    "TYPE": "The type {0} is not on the allow-list.",
    "IDENTIFIER": "A name contains characters other than letters, digits and underscores, or is too long.",
    "QUALIFIED_NAME": "A view is named by its own name only, without a database or path.",
    "UNKNOWN_ROLE": "The role is not known.",
    "UNKNOWN_VIEW": "There is no view {0!r}.",
    "UNKNOWN_COLUMN": "There is no column {0!r} here.",
    "AMBIGUOUS_COLUMN": "More than one view here has the column {0!r}; name the view.",
    "UNKNOWN_SOURCE": "There is no view or alias {0!r} here.",
    "DUPLICATE_ALIAS": "Two sources of one SELECT are called {0!r}.",
    "CTE_NAME": "The WITH name {0!r} is taken by a view, another WITH query, or nested.",
    "MASKED_COLUMN": "The column {0!r} is masked for this role and may only be listed.",
    "CLOCK": "The time of the answer must be given.",
    "CLOCK_WORD": "Write current_timestamp() or current_date() instead of a special time word.",
    "CROSS_JOIN": "The sources of a SELECT must be joined by equal columns.",
    "TOO_MANY_NODES": "The statement is too large.",
    "TOO_DEEP": "The statement is nested too deeply.",
    "TOO_MANY_SCANS": "The statement reads too many views.",
    "TOO_MANY_JOINS": "The statement has too many joins.",
    "TOO_MANY_KEYS": "The statement has too many grouping keys.",
    "LIST_TOO_LONG": "An IN list is too long.",
    "LITERAL_TOO_LONG": "A literal or pattern is too long.",
    "LIMIT": "LIMIT and OFFSET take one whole number within bounds.",
    "WINDOW_SIZE": "A time window needs literal durations, with a slide of at least a hundredth of its length.",
    "ARGUMENT_VALUE": "The function {0} needs a small literal number here.",
    "PURPOSE": "Reading {0!r} needs a purpose or case reference.",
    "FILTER": "The row filter of the role cannot be applied.",
    "UNSTABLE": "The statement does not keep its form when it is written out and read again.",
    "POLICY_LOST": "The rewritten statement reads a view without the filter of the role.",
    "INTERNAL": "The statement could not be checked.",
}


class Refused(Exception):
    """A rule refused the statement. Internal to the guard: `check` turns it into a Verdict."""

    def __init__(self, rule: str, *parts: str) -> None:
        self.rule = rule
        self.message = MESSAGES[rule].format(*(_clean(part) for part in parts))
        super().__init__(self.message)


def _clean(part: str) -> str:
    """Keep names readable and harmless in a message: printable ASCII, at most 40 characters."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in part[:40])
