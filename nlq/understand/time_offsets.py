"""Spans counted from now, and days named otherwise: what people say beside "the last hour" and "today".

Only the words stand here, as regular expressions over the simplified question; `time_phrases` makes phrases of them.
`SPAN` is a number with its unit, or "an hour".
"""

from __future__ import annotations

_UNITS = r"(?P<unit>seconds?|secs?|minutes?|mins?|min|m|hours?|hrs?|hr|h|days?|d|weeks?|wks?)"
_LONG = r"(?P<unit>hours?|hrs?|hr|h|days?|d|weeks?|wks?)"
_N = r"(?:(?P<n>\d+(?:\.\d+)?)|an?|one)"
SPAN = _N + r" (?:full |clock |whole )?" + _UNITS
_LONG_SPAN = _N + r" (?:full |calendar |whole )?" + _LONG
_NOW = (
    r"(?:now|this (?:moment|instant|minute|point)|the (?:present|current) (?:moment|time|instant)|the present|"
    r"(?:the )?(?:as of|asof|as at|as-of)(?: (?:time|date|moment|timestamp|instant))?|the (?:time|moment) of (?:asking|the question))"
)
_UP_TO = r"(?:(?:leading |running |right )?(?:up )?(?:to|until|till|til)|preceding|ending (?:at|on)|ended)"
_IN = r"(?:in |over |during |within |for |across |of )?(?:the )?"

OFFSETS: tuple[tuple[str, str], ...] = (
    ("rolling", _IN + SPAN + r" (?:just )?" + _UP_TO + " " + _NOW),
    ("rolling", r"(?:(?:in|over|during|within) (?:the )?|the )" + SPAN + r" (?:before|prior to) " + _NOW),
    ("rolling", _IN + SPAN + r" (?:lookback|look back|trailing window)"),
    ("rolling", r"(?:a |with a |with )?lookback (?:of |window of )?(?:the )?(?:last )?" + SPAN),
    ("rolling", r"(?:going|looking|reaching|stretching|look|reach|go) back (?:over )?(?:the )?(?:last )?" + SPAN + r"(?: from " + _NOW + r")?"),
    ("rolling", r"(?:from )?" + _NOW + r" (?:minus |less )?" + SPAN + r" (?:up )?(?:to|until|till|through) " + _NOW),
    ("rolling", r"(?:less than|under|not more than|no more than|no longer than|at most|within|not over) " + SPAN + r" ago"),
    ("rolling", r"(?:since|from|starting) (?:about |exactly )?" + SPAN + r" ago(?: (?:on ?wards?|(?:up )?(?:to|til|till|until) " + _NOW + r"))?"),
    ("rolling", _IN + r"(?:past|trailing) (?P<unit>day)"),
    ("older", r"(?:more than|over|at least|longer than|upwards of|longer ago than|further back than|earlier than) " + SPAN + r" ago"),
    ("older", r"(?:longer|further back) ago than " + SPAN),
    ("older", SPAN + r" (?:ago )?or (?:more|longer|earlier) ago|" + SPAN.replace("<n>", "<n2>").replace("<unit>", "<unit2>") + r" ago or (?:more|longer|earlier)"),
    ("ahead", r"(?:between|from) (?:" + _NOW + r"|today)(?: on)?(?: up)? (?:and|to|through to|through|until|till) (?:" + _NOW + r" )?(?:\+ |plus )?" + _LONG_SPAN + r"(?: (?:out|ahead|from now|later|hence))?"),
    ("ahead", r"(?:within|inside|in|over|during) (?:the )?" + _LONG_SPAN + r" (?:of|from|following|after) " + _NOW),
    ("ahead", r"(?:up to |within |over |for )?(?:the )?" + _LONG_SPAN + r" (?:ahead|hence)"),
    ("ago", r"(?:in force |as |valid )?(?:at |as of |as at )?" + _NOW + r" (?:minus|less) " + SPAN),
    ("ago", r"(?:go |going )?(?:back )?(?:exactly |precisely )?" + SPAN + r" (?:back|earlier) ?(?:from|than)? " + _NOW),
    ("ago", r"(?:go|going|wind it|wind|turn it) back (?:exactly |precisely |by )?" + SPAN + r" from " + _NOW),
    ("ago", r"(?:exactly |precisely |as of |at |as at )?(?:(?P<n>\d+(?:\.\d+)?)|an?) " + _UNITS.replace("|days?|d", "") + r" (?:ago|back|earlier)(?: to the (?:minute|second|hour))?"),
    ("the_day", r"(?:the )?days?(?= (?:hi|lo|high|low|highs|lows|highest|lowest|range|extremes?|vwap)\b)"),
    ("today", r"(?:over |in |during |for |across )?the (?:day|session) so far|(?:for |over )?the (?:whole|entire) of today|the entire (?:session|day) so far"),
    ("week", r"(?:in |of |during |over )?(?:the |this )weeks(?= (?:executions?|orders?|trades?|fills?|alerts?|activity|trading|prints?|cancels|quotes|dead|personal|flow|volume)\b)"),
    ("week", r"earlier (?:in )?(?:this|the) week"),
    ("quarter", r"(?:since|from) the (?:start|beginning) of (?:the|this)(?: current)? quarter(?: (?:up )?(?:to|till?|until) (?:now|today|date))?"),
    ("year", r"(?:since|from) the (?:start|beginning) of (?:the|this)(?: current)? year|since (?:the )?(?:1 january|january 1|new year)"),
    ("month", r"(?:since|from) the (?:start|beginning) of (?:the|this)(?: current)? (?:calendar )?month"),
    ("unclear", r"(?:since|from|until|till|up to) yesterday(?: on ?wards?)?|(?:two|2|three|3) (?:sessions|trading days) ago|at lunch(?:time)?|as (?:at|of) (?:the )?(?:open|close)(?: of business)?(?: yesterday| today)?"),
)  # fmt: skip
"""Kind of phrase and its words; the named groups `n` and `unit` carry the span."""
