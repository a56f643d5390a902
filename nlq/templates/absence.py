"""Who or what has no row in a fact view: "traders with no order in the last 45 minutes who are still employed".

The words of the absence name the fact view ("no order", "haven't dealt", "never flagged"), the noun that stands first
names whose absence it is. Conditions on the latter's own columns (desk, city, still employed) stay with it, all others
describe the rows that are missing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from nlq.plan import Part, Plan
from nlq.shape.dims import find_dims
from nlq.shape.state import Shaper
from nlq.templates.words import bound_for
from nlq.views import has

if TYPE_CHECKING:
    from nlq.shape.state import Rank

_NONE = r"(?:\b(?:no|zero|never(?= an? )|without|w/o|sans|lacking|not (?:a|one|any)|didn'?t have|haven'?t had|hasn'?t had|have had no|nil)\b(?:\W+(?:a|an|any|one|single|a single|not|so much as|own|valid|corresponding|at all)){0,3})"
"""Words that deny a noun."""
_DENIED = r"(?:\b(?:ha(?:s|ve|d)|did|does|do|was|were|is|are)(?:n'?t| not| never)\b|\bnever\b|\bnot\b|\bnobody\b|\bno ?one\b|\bnothing\b(?: at all)?|\bleft out everyone who\b)"
"""Words that deny a verb."""
_GAP = r"(?:[^\w?.!;:]+(?:had|have|been|once|ever|yet|even|at all|in|on|any|a|an|the|one|single|[\w&'-]+)){0,4}?[^\w?.!;:]+"
_FACTS: tuple[tuple[str, str, str], ...] = (
    ("personal_trades", r"(?:personal|outside|private|pa|pad)\W+(?:account\W+)?(?:trades?|deals?|dealings?)", r"(?:reported|declared)\W+(?:dealing|a trade|any)"),
    ("alerts", r"(?:[\w-]+\W+){0,2}?(?:alerts?|flags?|cases?)", r"(?:alerted|flagged|raised)"),
    ("corporate_events", r"(?:corporate|corp|company)\W+(?:events?|news)|news|announcements?|rows of news", r"(?:announced)"),
    ("restricted_list", r"(?:[\w-]+\W+){0,2}?(?:list(?:ed)?\W+entr(?:y|ies)|restrictions?)|restricted list", r"(?:been\W+)?(?:on|appear\w*)\W+(?:at all\W+)?(?:on\W+|in\W+)?(?:the\W+|any\W+)?(?:[\w-]+\W+)?(?:lists?|restriction records)"),
    ("market_trades", r"(?:[\w-]+\W+)?(?:prints?|tape trades?|market trades?|trades? on the tape)", r"(?:printed|traded on the tape)"),
    ("orders", r"(?:[\w-]+\W+){0,2}?(?:orders?|order entr(?:y|ies)|tickets?|rejects?|rejections?)", r"(?:entered|placed|sent|put in|submitted|ordered)"),
    ("executions", r"(?:[\w-]+\W+){0,2}?(?:fills?|executions?|trades?|deals?)", r"(?:traded?|trading|dealt|dealing|deal|executed|filled|touched|bought|sold|shorted|active)"),
)  # fmt: skip
"""Fact view, the nouns and the verbs that mean it; the first that fits holds."""
_WHOSE: tuple[tuple[str, str], ...] = (
    ("accounts", r"\b(?:accounts?|accts?|clients?|clinets|customers?)\b"),
    ("thresholds", r"\bdetectors?\b"),
    ("restricted_list", r"\b(?:watch|restricted|insider)[- ]?list (?:names?|stocks?|symbols?)\b|\bunder an? (?:active )?(?:WATCH|RESTRICTED|INSIDER) entry\b"),
    ("traders", r"\b(?:traders?|who|people|ppl|persons?|dealers?|staff|algos?|employees?|colleagues?|anyone|anybody|nobody|desk ids?)\b"),
    ("instruments", r"\b(?:instruments?|symbols?|tickers?|stocks?|securities|security|names|contracts?|products?|shares|name(?! (?:the|those|each|all|every|any|me)\b))\b"),
    ("issuers", r"\b(?:issuers?|compan(?:y|ies))\b"),
)  # fmt: skip
"""Whose absence it is, and the nouns that mean them."""
_KEY = {"accounts": "account_id", "traders": "trader_id", "instruments": "symbol", "thresholds": "detector", "restricted_list": "symbol", "issuers": "issuer_name"}  # fmt: skip
_FLOW = re.compile(
    r"\b(?:orders?|fills?|executions?|trades?|alerts?|cases?|messages?|quotes?|(?:which|the|those|dead|quiet|any) (?:windows?|minutes?|bars?)|entries|events?|deals?)\b",
    re.I,
)
_OWN = re.compile(r"\b(?:we|us|our|ours|firm|desk|house|client|account|own|here|anyone|anybody|nobody|no ?one)\b", re.I)
_TAPE = re.compile(r"\b(?:tape|prints?|printed|market)\b", re.I)
_OPEN_ENDED = re.compile(r"\b(?:never|ever|whatsoever|on record|at all times|on file|any period|no period)\b", re.I)
_OTHERWISE = re.compile(
    r"\b(?:but|yet|only|despite|although|though|except|percent|percentage|share of|ratio|proportion|"
    r"can|cannot|can't|may|must|allowed|permitted)\b|%",
    re.I,
)
_SPENT = frozenset(
    "single one one single at all whatsoever ever yet record on file clean sheet gone quiet idle inactive silent absent still even once so "
    "much as any not no never without zero w/o haven't hasn't hasnt havent didn't didnt had have has been nobody nothing none past "
    "touched touch traded trade trades trading dealt deal fill fills filled executed execution executions order orders entered placed sent shorted bought sold print prints printed "
    "raised flagged alert alerts reject rejects rejected rejection tape meaning hold list such".split()
)
"""Words that say the absence again, or how complete it is."""


def absence(sh: Shaper, mode: str, rank: Rank | None) -> Plan | None:
    """Rows of reference data for which a fact view has none."""
    text = sh.reading.question
    found = _denied(text)
    if (
        found is None
        or rank is not None
        or _OTHERWISE.search(text)
        or any(r.name != "still employed" for r in sh.reading.related)
    ):
        return None
    facts, span = found
    whose = _whose(text, span)
    if any(
        m.span[0] <= span[0] < m.span[1] and not m.is_op("not") and (m.kind == "value" or m.of("code")) for m in sh.m
    ):
        return None  # "no locate" is a reason, not a denial
    if whose is None or any(m.compare is not None and m.compare.explicit and m.time is None for m in sh.m):
        return None
    if whose == "instruments" and facts == "executions" and _TAPE.search(text):
        facts = "market_trades"
    view = "instruments" if whose == "issuers" else whose
    catalogue, key = sh.world.catalogue, _KEY[whose]
    if view == facts or not has(catalogue, facts, key):
        return None
    plan = _plan(sh, view, facts, key, span)
    if whose == "instruments" and facts == "executions" and not _OWN.search(text):
        sh.doubts.append("traded by the firm or by the market")
    timed = any(m.time is not None for m in sh.m)
    if not timed and not _OPEN_ENDED.search(text):
        sh.doubts.append("since when there is none is not said")
    return plan


def _denied(text: str) -> tuple[str, tuple[int, int]] | None:
    """The fact view whose rows are denied, and where."""
    idle = re.search(r"\b(?:idle|inactive|gone quiet|silent|clean sheet)\b", text, re.I)
    best: tuple[str, tuple[int, int]] | None = None
    for facts, nouns, verbs in _FACTS:
        for pattern in (rf"{_NONE}\W+(?:{nouns})\b", rf"\bzero[- ](?:{nouns})\b", rf"{_DENIED}{_GAP}(?:{verbs})\b"):
            m = re.search(pattern, text, re.I)
            if m and (best is None or m.end() - m.start() < best[1][1] - best[1][0]):
                best = (facts, m.span())
    return best if best or not idle else None


def _whose(text: str, span: tuple[int, int]) -> str | None:
    """Whose absence it is: the noun that stands first outside the denial, unless rows of a flow stand there."""
    outside = text[: span[0]] + " " * (span[1] - span[0]) + text[span[1] :]
    hits = [(m.start(), view) for view, words in _WHOSE if (m := re.search(words, outside, re.I))]
    if not hits:
        return None
    _, view = min(hits)
    flow = _FLOW.search(outside[: span[0]])
    if flow is not None and not re.search(r"\bstaff list\b", text, re.I):
        return None  # "orders without a fill": it is the order that is asked for
    return view


def _plan(sh: Shaper, view: str, facts: str, key: str, span: tuple[int, int]) -> Plan:
    outer, inner = bound_for(sh, view), bound_for(sh, facts)
    columns = sh.world.catalogue.views[view].columns
    own = [p for p in outer.where if _of_itself(p, view, facts)]
    mine = {p.phrase for p in own if p.phrase}
    missing = [_undenied(p, span) for p in inner.where if p.phrase not in mine or p.reason == "time"]
    missing = [p for p in missing if not re.match(rf"(?:NOT )?(?:{view}|traders|accounts|instruments)\.", p.sql)]
    missing = [p for p in missing if p.phrase.lower() != "file"]  # "on file" fills no order
    if facts == "restricted_list" and re.search(r"\bany (?:list|type|kind)\b|\bno type\b", sh.reading.question, re.I):
        missing = [p for p in missing if not p.sql.startswith("list_type")]
    sh.used |= outer.used | inner.used | {i for i, m in enumerate(sh.m) if _spent(m.text)}
    sh.used |= {i for i, m in enumerate(sh.m) if m.is_op("not") or any(s.name in (view, facts) for s in m.of("view"))}
    sh.doubts = [d for d in outer.doubts if d in inner.doubts]
    sh.settled = True
    counted = bool(re.search(r"\b(?:how many|number|count|n)\b", sh.reading.question, re.I)) or any(x.agg == "count" and x.i >= 0 for x in sh.measures)  # fmt: skip
    other = Shaper(sh.world, sh.reading, outer, sh.proposal)
    alike = [d for d in find_dims(other) if has(sh.world.catalogue, view, d.sql.rpartition(".")[2])]
    led = [d for d in alike if d.led or (counted and d.sql.rpartition(".")[2] not in (key, *sh.bound.filtered))]
    keys = tuple(Part(sql=d.sql.rpartition(".")[2], alias=d.alias, reason="grouping") for d in led)
    sh.used |= {d.i for d in alike}
    absent = Plan(view=facts, where=tuple(missing), keys=(Part(sql=key, alias=key),))
    single = tuple(sh.world.catalogue.views[view].key) == (key,)
    if led or counted:
        count = "count(*)" if single else f"count(DISTINCT {key})"
        sh.used |= {x.i for x in sh.measures if x.agg == "count"}
        return Plan(view=view, where=tuple(own), keys=keys, measures=(Part(sql=count, alias="n", reason="measure"),), absent=absent)  # fmt: skip
    if not single:
        return Plan(view=view, where=tuple(own), shown=(Part(sql=key, alias=key),), distinct=True, absent=absent)
    shown = tuple(Part(sql=c.name, alias=c.name) for c in columns.values() if c.sensitivity is None or (c.name == "trader_name" and sh.sees_names))  # fmt: skip
    return Plan(view=view, where=tuple(own), shown=shown, absent=absent)


def _of_itself(part: Part, view: str, facts: str) -> bool:
    """Whether a condition describes the one whose absence it is, not the rows that are missing."""
    if part.reason == "time":
        return False
    if part.reason.startswith("default"):
        return False
    if view == "thresholds":
        return part.sql.startswith("detector")
    joined = re.match(r"(?:NOT )?(\w+)\.", part.sql)
    return joined is None or joined[1] == view


def _undenied(part: Part, span: tuple[int, int]) -> Part:
    """ "No rejected order": the denial is the absence's, the word itself describes what is missing."""
    near = part.span is not None and span[0] - 2 <= part.span[0] <= span[1] + 40
    sql = part.sql
    if near and sql.startswith("NOT "):
        sql = sql[4:]
    elif near and re.search(r"<> |NOT IN", sql) and "SELECT" not in sql:
        sql = sql.replace("<> ", "= ").replace("NOT IN", "IN")
    return replace(part, sql=sql)


def _spent(text: str) -> bool:
    return all(w in _SPENT for w in re.findall(r"[\w/']+", text.lower().replace("’", "'")))
