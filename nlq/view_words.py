"""Turns of phrase that mean one view whatever single words say: the glossary's, names of windows, sessions, absence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nlq.understand.reading import Reading


@dataclass(frozen=True)
class _Turn:
    view: str
    votes: float
    words: str
    never: str = ""
    """Words that take the vote back."""
    beside: str = ""
    """Words that must stand somewhere, too."""
    idle: bool = False
    """Only where nothing speaks of orders, trades, alerts or quotes."""
    untimed: bool = False
    """Only without a time phrase."""


_STREAMED = r"\b(?:orders?|executions?|quotes?|tape|market|trades?|fills?|prints?)\b"
"""What the streams carry: beside words of the pipeline it names a topic."""
_AT_INSTANT = (
    r"\b(?:at|as of|as at)\b.{0,14}(?:\d{1,2}[:h.]\d\d|\d ?(?:am|pm)\b|o'?clock|noon|midday|half past|quarter)|\d:\d\d(?:am|pm)?\b|"
    r"\bago\b|\b(?:stood|standing|prevail\w*|on screen|in force)\b"
)
"""The market as it stood at an instant."""
_OWN_ROWS = (
    r"\b(?:our|ours|we|us|own|my|fills?|filled|execut\w+|orders?|traders?|desks?|accounts?|clients? (?:buy|sell|bought|sold)|alerts?|"
    r"bought|sold|buys?|sells?|t\d+|algo\w*|effective|deviat\w+)\b"
)
"""Words of the firm's own activity, which carries the quote of its time in its own columns."""
_TURNS = (
    # the glossary: mean quantity per print on the public tape; the cancel ratio over orders
    _Turn("trade_stats_1m", 2.5, r"\b(?:busiest|peak|quietest|widest|worst|which|biggest|dead|single|one|best|those|largest)\b[^.?]{0,25}\bminutes?\b"
          r"|\bminutes? (?:today|where|when|with|in which)\b", never=r"per minute|each minute"),
    _Turn("trade_stats_1m", 1.5, r"\bminutes? (?:where|when|with|in which|that)\b"),
    _Turn("order_flow_30s", 3.0, r"(?:30|thirty)[- ]?s(?:ec(?:ond)?)?s?\b.{0,20}window|half[- ]minute (?:window|stretch)"),
    _Turn("order_flow_30s", 3.0, r"\b(?:sliding|flow|thirty[- ]second|half[- ]minute)\b.{0,25}\b(?:windows?|buckets?|stretch\w*|intervals?|slices?)\b|\border flow\b.{0,30}\bwindows?\b"
          r"|\bsliding\b.{0,12}\border flow\b"),
    _Turn("order_flow_30s", 2.5, r"\bwindows?\b", beside=r"\bdeviation score\b|\bcancel ratio\b|\bopposite\b", never=r"earnings|evidence|results"),
    _Turn("ingest_status", 3.0, r"\bfeeds?\b.{0,40}\b(?:stale|late|behind|lag\w*|delay\w*|slow\w*|fresh|caught up)|\b(?:stale|behind|lagging|slowest) feeds?"),
    _Turn("alerts", 2.5, r"\b(?:in|of|within|inside) the evidence\b|\bevidence (?:window|orders|fills)\b"),
    _Turn("order_events", 1.5, r"\b(?:replace|amend|cancel|reject|expire|fill|order) events?\b"),
    _Turn("order_events", 1.6, r"\b(?:how many|number of|count of|most|per|by)\b.{0,20}\b(?:amend\w*|modification|replaces|replacements)\b"),
    _Turn("accounts", 2.5, r"\b(?:owned by|belong\w* to|in the name of)\b", idle=True),
    _Turn("traders", 2.5, r"\b(?:who|whom) (?:\w+ )?(?:manages|supervises|reports? to)|\breports? to\b|\bline manager\b", idle=True),
    _Turn("trader_baselines", 1.5, r"\b(?:usual|normal|baseline|norms?|habitual|typical)\b", untimed=True),
    _Turn("quotes", 2.0, r"\b(?:right now|current(?:ly)?|latest|at the moment)\b", beside=r"\b(?:mid(?: price)?|bid|ask|offer)\b"),
    _Turn("quotes", 2.5, r"\b(?:bid|ask|offer|mid(?: ?price)?|bid/ask|top of book|touch|quote)\b", beside=_AT_INSTANT, never=_OWN_ROWS),
    _Turn("quotes", 1.8, r"\bbids?\b.{0,60}\b(?:asks?|offers?|offered)\b|\b(?:asks?|offers?)\b.{0,60}\bbids?\b", never=_OWN_ROWS + r"|hit|lift|tape|print|bar"),
    _Turn("quotes", 1.2, r"\bquoted (?:spread|market)\b", never=_OWN_ROWS + r"|bars?\b|one[- ]minute|1m\b|1 ?min"),
    _Turn("market_trades", 1.5, r"\b(?:last|latest|most recent|newest) (?:traded )?(?:price|px|trade)\b", never=_OWN_ROWS),
    _Turn("market_trades", 1.5, r"\btraded? publicly|publicly traded|(?:the )?market (?:deal|trade|change)|changed? hands|(?:paid|dealt) (?:by )?(?:anyone|anybody|market[- ]wide)|market[- ]wide\b", never=r"\bminutes?\b|" + _OWN_ROWS),
    _Turn("market_trades", 2.0, r"\bauction prints?\b|\bprints?\b.{0,20}\bauctions?\b"),
    _Turn("trade_stats_1m", 3.5, r"\b(?:minute|1m|1[- ]min(?:ute)?|one[- ]minute)\b.{0,40}\b(?:watermark|final|provisional)\b"),
    _Turn("trade_stats_1m", 2.5, r"\b(?:1m|1[- ]?min(?:ute)?|one[- ]minute) (?:stats?|statistics|figures|aggregates?|data)\b|\bbar data\b"),
    _Turn("quotes", 0.8, r"spread", never=r"fill|execut|effective|our |we |trade"),
    # what is entered is an order, what is bought or sold a fill
    _Turn("orders", 1.6, r"\border (?:qty|quantit\w+|sizes?)\b|\bsizes? of (?:the |their |an? |all )?orders?\b", never=r"baseline|\bnorms?\b|usual|normal|typical|20[- ]day|execut|fill|evidence"),
    _Turn("orders", 1.5, r"\b(?:entered|submitted)\b", never=r"\b(?:fills?|filled|execut\w+|traded|dealt|alerts?|prints?|personal|outside|entry|entries|events?|restrict\w*|list|calendar|nothing|none|never)\b"),
    _Turn("orders", 1.2, r"\border (?:no\b|nos\b|numbers?\b)", never=r"\b(?:fills?|filled|execut\w+|traded|dealt|events?|trail|steps)\b"),
    _Turn("executions", 0.7, r"\b(?:bought|sold|purchas\w+|buyers?|sales)\b", never=r"\borders?\b|\bentered\b|market|\btape\b|public|personal|private|outside|elsewhere|\bpa[d]?\b|restrict|broker|everyone|anyone"),
    _Turn("market_trades", 1.0, r"\b(?:market|mkt|tape|public) vwap\b", never=r"\b(?:bars?|minutes?|1m)\b"),
    _Turn("alerts", 1.2, r"\b(?:tripped|hit by|flagged by|set off|went off|go off|goes off)\b[^.?]{0,40}\bdetectors?\b|\bdetectors?\b[^.?]{0,20}\b(?:tripped|went off|go off|goes off)\b"),
    _Turn("thresholds", 2.0, r"\brecalibrat\w+|\bthreshold versions?\b|\bversion (?:\d|one|two|three)\b", never=r"\balerts? (?:raised|with|under|created|of)\b"),
    _Turn("traders", 1.0, r"\brisk tier\b|\bmanager'?s? (?:name|id)\b|\bname of (?:the|his|her|their) manager\b|\bwall[- ]crossed\b", idle=True),
    _Turn("trading_calendar", 1.5, r"\b(?:clos\w+|shut\w*) early\b|\bshort (?:session|day)s?\b", idle=True),
    # the pipeline's own views, whose topics have the names of other views
    _Turn("dead_letters", 3.5, r"\bdlq\b|\bdead[- ]?letter\w*|\b(?:messages?|msgs?)\b[^.?]{0,40}\b(?:binned|thrown out|rejected|quarantined|unreadable)\b", beside=_STREAMED),
    _Turn("dead_letters", 2.0, r"\boffsets?\b", never=r"commit|both offsets|broker"),
    _Turn("ingest_status", 3.5, r"\bcommit\w*\b[^.?]{0,40}\b(?:offset|at|broker)\b|\bboth offsets\b|\b(?:messages?|msgs?)\b[^.?]{0,30}\b(?:behind|late)\b", beside=_STREAMED),
    _Turn("ingest_status", 2.0, r"\b(?:partitions?|topics?|feeds?)\b[^?]{0,60}\b(?:lag\w*|behind|backlog|watermark|caught up|queued)\b"
          r"|\b(?:lag|watermark|backlog)\b[^?]{0,60}\b(?:partitions?|topics?|feeds?)\b", beside=_STREAMED),
    # people and accounts on file
    _Turn("traders", 3.0, r"\bwhose (?:line )?(?:manager|boss)\b|\bdirect reports?\b|\breporting line\b|\borg(?:ani[sz]ation)? chart\b|\bemployment\b|\bjoiners?\b|\bleavers?\b", idle=True),
    _Turn("traders", 2.0, r"\bwho\b[^.?]{0,40}\b(?:is|are) (?:risk )?rated\b", idle=True),
    _Turn("accounts", 2.5, r"\b(?:accounts?|accts?|clients?|customers?)\b[^.?]{0,40}\bopened\b", idle=True),
    # events of companies and sessions of venues
    _Turn("corporate_events", 3.5, r"\b(?:earnings|results|watch)\b[^.?]{0,20}\b(?:windows?|periods?)\b[^.?]{0,30}\b(?:open|cover\w*|running|runs|starts?|ends?)\b", idle=True),
    _Turn("corporate_events", 3.0, r"\b(?:numbers|results|earnings|figures)\b[^.?]{0,20}\b(?:due|still to come|ahead|coming up|upcoming)\b|\byet to report\b|\bupcoming (?:results|earnings|numbers)\b", idle=True),
    _Turn("trading_calendar", 3.5, r"\b(?:next|previous|last) trading (?:day|date)\W*$|\bsession (?:is |was |be )?shortened\b|\bminutes (?:left|to go)\b[^.?]{0,30}\bsession\b", idle=True),
    _Turn("trading_calendar", 5.0, r"\b(?:venues?|markets?|exchanges?)\b[^.?]{0,40}\b(?:no|without an?) (?:closing )?auction\b"),
    _Turn("restricted_list", 4.5, r"\b(?:nobody|no one)\b[^.?]{0,30}\b(?:may|can|allowed to)\b[^.?]{0,12}\b(?:trade|deal)\b|\b(?:may|can) (?:nobody|no one)\b[^.?]{0,30}\b(?:trade|deal)\b"),
    _Turn("restricted_list", 3.0, r"\b(?:is|are) (?:anyone|anybody|we|any\w* )?.{0,20}(?:restricted|banned|barred) from|restricted (?:from|in) (?:dealing|trading)"),
)  # fmt: skip
_HOURS = re.compile(r"\b(?:opens?|opened|opening|closes?|closed|closing|shuts?|session)\b")
_SESSION = re.compile(
    r"\bwhen\b|what time|\b(?:til|till|until)\b|how long|length|right now|\brn\b|at the moment|tomorrow|\bare open\b|still open|currently|"
    r"\bis (?:the )?\w+(?: \w+)?(?: \w+)? (?:open|closed|shut)\b|next trading day|\bday off\b"
)
_ABSENT = re.compile(
    r"^(?:\W*(?:list|show|give|find|which|what|name|identify|the|me|all|any|are|there|how|many|of|our|us|number|count|please|do|we|have)\b)*\W*"
    r"(?P<noun>instruments?|symbols?|stocks?|accounts?|traders?)\b[^.?]{0,40}?"
    r"\b(?:with no|without(?: any| a)?|that (?:have|had|did|has) ?(?:not|no|n't)|(?:have|has|had|did)(?:n'?t| not| never)|never|who (?:have|did) ?(?:not|n't)|not)\b[^.?]{0,20}?"
    r"\b(?:trade[sd]?|trading|fills?|filled|orders?|entered|prints?|printed|alerts?)\b"
)
_REFERENCES = {
    "inst": "instruments",
    "symb": "instruments",
    "stoc": "instruments",
    "acco": "accounts",
    "trad": "traders",
}
_FLOW = {"orders", "executions", "market_trades", "alerts", "order_events", "quotes", "personal_trades"}


def wording_votes(reading: Reading, *, own: bool, out: dict[str, float]) -> None:
    """Add the votes of turns of phrase.

    Args:
        reading: the question taken apart.
        own: whether it speaks of the firm's own activity.
        out: view → votes; views that it lacks get none.
    """
    text = reading.question.lower()
    nouns = any(s.name in _FLOW for m in reading.mentions for s in m.of("view"))
    flow = nouns or any(m.is_op("trades") for m in reading.mentions)
    timed = any(m.time is not None and m.time.kind != "now" for m in reading.mentions)
    for turn in _TURNS:
        if turn.view not in out or (turn.idle and flow) or (turn.untimed and timed):
            continue
        if re.search(turn.words, text) and not (turn.never and re.search(turn.never, text)):
            if not turn.beside or re.search(turn.beside, text):
                out[turn.view] += turn.votes
    _glossary_votes(reading, text, own, out)
    if not (flow or timed):
        _reference_votes(reading, out)
    absent = _ABSENT.search(text)
    if absent and (view := _REFERENCES.get(absent["noun"][:4])) in out:
        out[str(view)] += 4.0
    if _HOURS.search(text) and _SESSION.search(text) and "trading_calendar" in out and not nouns:
        venue = any(h.category == "venue" for m in reading.mentions for h in m.hits)
        out["trading_calendar"] += 3.0 if venue or any(m.is_dim("venue") for m in reading.mentions) else 0.0
    cancels = r"\b(?:cancels|cancellations|cxls)\b(?! (?:their|his|an|the|orders))"
    rolling = any(m.time is not None and m.time.kind == "rolling" for m in reading.mentions)
    if "order_events" in out and rolling and re.search(cancels, text):
        out["order_events"] += 1.6


def _glossary_votes(reading: Reading, text: str, own: bool, out: dict[str, float]) -> None:
    """What the glossary says of two measures: volume is the tape's, the cancel ratio is over orders."""
    if re.search(r"\b(?:average|avg|mean) trade volume\b", text) and not own and "market_trades" in out:
        out["market_trades"] += 4.0
    ratio = any(s.name == "cancel_ratio" for m in reading.mentions for s in m.of("meas"))
    if ratio and "orders" in out and not re.search(r"alert|window|baseline|norm", text):
        out["orders"] += 1.6


def _reference_votes(reading: Reading, out: dict[str, float]) -> None:
    """ "Number of traders per desk": with no activity and no time the reference view itself is asked about."""
    if any(m.kind == "sense" and m.of("meas") for m in reading.mentions):
        return
    for mention in reading.mentions:
        named = [s.name for s in mention.of("view") if s.name in ("traders", "accounts", "instruments")]
        if named and named[0] in out:
            out[named[0]] += 1.5
            return
