"""Dealing in a name while it stood on a list: which list, for whom, and that the time of the trade counts."""

from __future__ import annotations

import re

from nlq.understand.reading import Related

_KINDS = (
    ("INSIDER", r"\binsiders?\b(?:[- ](?:list(?:ed)?|entr\w+))?"),
    ("WATCH", r"\bwatch(?:ed|[- ]?list(?:ed)?)?\b(?! window| period)(?: entr\w+| list)?|\bbeing watched\b|\bunder observation\b"),
    ("RESTRICTED", r"\brestrict(?:ed|ions?)\b(?:[- ](?:list|entr\w+))?|\b(?:banned|barred|forbidden|off[- ]limits|prohibited|embargoed|ban)\b|stop list"),
)  # fmt: skip
_SCOPES = (
    ("FIRM", r"(?:scope (?:of )?|for |across |by )?\b(?:the )?(?:firm[- ]?wide|whole[- ]firm|entire firm|house[- ]wide|whole house|firm[- ](?:scope|level)|everyone|everybody)(?: at the firm| here)?(?:[- ]scope)?\b|(?<=\()firm(?=\))|scope (?:=|is)? ?firm|firm(?=[- ]restricted)|/ ?firm(?: scope)?"),
    ("DESK", r"\bdesk[- ](?:wide|scope|level)(?:[- ]scope)?\b|scope (?:=|is)? ?desk"),
    ("PERSON", r"\b(?:person(?:al)?[- ](?:scope|level)|scope (?:=|is)? ?person|personal(?=\W+(?:insider|watch|restrict))|personally|individual(?:ly)?|own(?=\W+insider))\b"),
)  # fmt: skip
_THEN = (
    r"\bwhile\b|\bwhilst\b|\bduring\b|\bat that (?:very )?(?:moment|time|instant)\b|\bat the time(?: of (?:the |its )?(?:trade|deal|dealing|execution|fill|order))?\b|\bat the (?:moment|instant) (?:of|we|they|he|she|it)\b|\bwhen (?:it was )?(?:dealt|traded|executed|bought|sold|entered)\b"
    r"|\bbetween the start and (?:the )?end\b|\b(?:falls?|fell|inside|within)\b(?=[^.?!]{0,40}\b(?:entry|start|restriction|validity|ban)\b)|\bin force at\b|\bwith the (?:restriction|ban|entry) in force\b"
    r"|\bstart/end\b|\bwhile it was (?:in force|on)\b"
)
_ACTIVITY = r"\b(?:fills?|executions?|trad(?:e|es|ed|ing)|deals?|dealt|dealing|bought|sold|buy(?:s|ing)?|sell(?:s|ing)?|sales?|purchases?|orders?)\b|\bPAD?\b"
_CLOCKS = {"personal_trades": "trade_ts", "executions": "exec_ts", "orders": "entry_ts"}
_ENTRY_WANTED = (
    r"\blist (?:entry|id)\b|\bwhich (?:list )?entry\b|\bentry id\b|[,:+&-] ?(?:list )?entry\b|\band (?:the )?entry\b"
)
_LEAD = re.compile(
    r"(?:\b(?:covered|by|fell|falls?|fall|in(?:to)?|names?|stocks?|stuff|something|symbols?|that|which|was|were|is|under|an?|the|done|struck|happened|took place|"
    r"whose ts|as|on|own|whole|firm|to)\W+)*$",
    re.IGNORECASE,
)
"""Words before such a phrase that belong to it."""
_REST = re.compile(
    r"(?:\W+(?:entry|entries|on|that|those|the|its|symbol|name|stock|instrument|was|were|in force|restriction|restricted|ban|barred|banned|validity|"
    r"covered|applied|coverage|listed|list|of|for|to|them|it|from it|moment|start/end|existed|running|active|wide|scope|they)(?!\w))*",
    re.IGNORECASE,
)
"""Words behind it."""


def list_entry(question: str) -> Related | None:
    """The condition that a trade falls into an entry of a list, or None where the question says no such thing."""
    then = re.search(_THEN, question, re.I)
    kinds = [(k, m) for k, words in _KINDS if (m := re.search(words, question, re.I))]
    if then is None or not kinds or not re.search(_ACTIVITY, question, re.I):
        return None
    kind, said = kinds[0]
    if not _near(said, then):
        return None
    scopes = [(s, m) for s, words in _SCOPES if (m := re.search(words, question, re.I)) and _near(said, m)]
    scope, scoped = scopes[0] if scopes else ("", None)
    if (
        kind == "INSIDER"
        and not scope
        and re.search(r"\b(?:they|their|theyre|he|his|she|her|own|themselves)\b", question, re.I)
    ):
        scope = "PERSON"
    ends = [x for x in (then, said, scoped) if x is not None]
    span = (min(x.start() for x in ends), max(x.end() for x in ends))
    span = (_LEAD.search(question[: span[0]]).start(), span[1] + _REST.match(question[span[1] :]).end())  # type: ignore[union-attr]
    joined = bool(re.search(_ENTRY_WANTED, question[: span[0]] + " · " + question[span[1] :], re.I))
    if ":" in question[slice(*span)] or (kind == "RESTRICTED" and not (scope or joined)):
        return None  # a word of the vocabulary already, which may also be the part of a share
    return _related(kind, scope, span, joined=joined)


def _near(one: re.Match[str], two: re.Match[str]) -> bool:
    return max(one.start(), two.start()) - min(one.end(), two.end()) <= 60


def _related(kind: str, scope: str, span: tuple[int, int], *, joined: bool) -> Related:
    views, joins = {}, {}
    for view, clock in _CLOCKS.items():
        entry = "restricted_list" if joined else "r"
        tests = [f"{entry}.list_type = '{kind}'", *([f"{entry}.scope = '{scope}'"] if scope else [])]
        if scope == "PERSON":
            tests.append(f"{entry}.scope_id = {view}.trader_id")
        tests.append(f"{entry}.symbol = {view}.symbol AND {view}.{clock} >= {entry}.start_ts")
        tests.append(f"({entry}.end_ts IS NULL OR {view}.{clock} < {entry}.end_ts)")
        if joined:
            joins[view] = ("restricted_list", " AND ".join(tests))
        else:
            views[view] = f"EXISTS (SELECT 1 FROM restricted_list AS r WHERE {' AND '.join(tests)})"
    return Related(
        name="on a list then", span=span, views=views, joins=joins, shows=("restricted_list.list_id",) if joined else ()
    )
