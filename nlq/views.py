"""Which view a question is about: every stated thing votes for the views that can hold it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nlq.view_words import wording_votes

if TYPE_CHECKING:
    from nlq.contracts import Proposal
    from nlq.understand.lexicon import Lexicon
    from nlq.understand.reading import Mention, Reading
    from streaming.catalogue import Catalogue

REACH = {"trader_id": "traders", "account_id": "accounts", "symbol": "instruments"}
"""Key column → reference view whose columns are one join away."""
CATEGORY_COLUMNS: dict[str, tuple[str, ...]] = {
    "trader": ("trader_id", "scope_id", "employee_trader_id"), "symbol": ("symbol",), "issuer": ("issuer_name", "symbol"),
    "desk": ("desk", "scope_id"), "venue": ("venue",), "account": ("account_id",), "sector": ("sector",), "country": ("country",),
    "currency": ("currency",), "location": ("location",), "business_unit": ("business_unit",), "parameter": ("parameter",),
    "topic": ("topic",), "producer": ("producer",), "broker": ("broker",), "officer": ("assigned_to", "approved_by", "added_by"),
    "reject_reason": ("reject_reason",), "error_field": ("error_field",), "alert": ("alert_id",), "order": ("order_id",),
    "exec": ("exec_id",), "print": ("trade_id",), "event": ("event_id",), "list": ("list_id",), "query": ("query_id",),
    "owner": ("beneficial_owner_id",), "isin": ("isin",), "fiscal_period": ("fiscal_period",), "holiday": ("holiday_name",),
    "personal_trade": ("personal_trade_id",), "model": ("model",), "user": ("user_id",),
}  # fmt: skip


_PRIOR = {"executions": 0.55, "orders": 0.5, "market_trades": 0.3, "alerts": 0.3, "quotes": 0.2, "order_events": -0.5,
          "trader_baselines": -0.5, "trade_stats_1m": -0.2, "order_flow_30s": -0.4, "query_audit": -0.5}  # fmt: skip
"""What people mean when nothing says otherwise: fills and orders before their single steps."""


def scores(reading: Reading, catalogue: Catalogue, lexicon: Lexicon, proposal: Proposal | None) -> dict[str, float]:
    """View → how well it fits; only differences matter."""
    out = {view: _PRIOR.get(view, 0.0) for view in catalogue.views}
    market = any(m.is_op("market") or any(s.name == "market_trades" for s in m.of("view")) for m in reading.mentions)
    own = any(m.is_op("own") and not market for m in reading.mentions)
    rows_named = any(s.name in ("executions", "orders") for m in reading.mentions for s in m.of("view"))
    first = True
    for mention in reading.mentions:
        if mention.kind == "value":
            _value_votes(mention, catalogue, out)
        if mention.kind != "sense":
            continue
        if any(s.kind == "view" for s in mention.senses):
            for sense in mention.of("view"):
                single = mention.end - mention.start == 1
                weak = single and any(s.kind in ("dim", "code", "meas") for s in mention.senses)
                # Fills and orders carry the quote of their time: "our fills with bid and ask".
                weak = weak or (sense.name == "quotes" and rows_named and "quote" not in mention.text.lower())
                out[sense.name] += (
                    (0.5 if weak else 3.0)
                    + (0.6 if first and not weak else 0)
                    + 0.8 * (mention.end - mention.start - 1)
                )
            first = False
        if mention.is_op("trades"):
            out["market_trades" if market else "executions"] += 2.0
        _sense_votes(mention, catalogue, lexicon, out)
    if market and not own:
        for view in ("market_trades", "trade_stats_1m", "quotes"):
            if view in out:
                out[view] += 0.7
    wording_votes(reading, own=own, out=out)
    named = {s.name for m in reading.mentions for s in m.of("view")}
    rows = named & {"alerts", "personal_trades"}
    if "traders" in named and len(rows) == 1:
        # "Alerts on new joiners": the rows are the alerts', the person is one join away.
        out[rows.pop()] += 2.5
    for related in reading.related:
        found = (*related.views, *related.joins)
        usual = 4.0 if len(set(found)) > 1 else 6.0
        for view in found if related.votes is None else found[:1]:
            if view in out:
                out[view] += usual if related.votes is None else related.votes
    if own and "executions" in out:
        out["executions"] += 0.6
    if proposal is not None:
        for view in out:
            out[view] += 2.0 * math.log(max(proposal.main_view.get(view, 0.0), 1e-3)) + 6
    return out


def has(catalogue: Catalogue, view: str, column: str) -> bool:
    """Whether the view holds the column itself."""
    return column in catalogue.views[view].columns


def reach(catalogue: Catalogue, view: str, column: str) -> str | None:
    """The column as the plan writes it: bare, or through the reference view that is one join away."""
    if has(catalogue, view, column):
        return column
    for key, reference in REACH.items():
        if (
            reference in catalogue.views
            and reference != view
            and has(catalogue, view, key)
            and has(catalogue, reference, column)
        ):
            return f"{reference}.{column}"
    return None


def _value_votes(mention: Mention, catalogue: Catalogue, out: dict[str, float]) -> None:
    for view in out:
        fits = any(
            reach(catalogue, view, column) for hit in mention.hits for column in CATEGORY_COLUMNS.get(hit.category, ())
        )
        out[view] += 0.2 if fits else -1.2
    for hit in mention.hits:
        special = {"alert": "alerts", "order": "orders", "exec": "executions", "print": "market_trades", "list": "restricted_list",
                   "query": "query_audit", "personal_trade": "personal_trades", "parameter": "thresholds", "broker": "personal_trades",
                   "producer": "dead_letters", "error_field": "dead_letters"}.get(hit.category)  # fmt: skip
        if special in out:
            out[special] += 1.0


_EVERYDAY = {"open", "opened", "closed", "close", "closes", "late", "new", "watch", "normal", "usual", "mean", "norm", "value", "status", "called",
             "reason", "question", "questions", "limit", "level", "high", "low", "life", "how long", "until", "units", "version"}  # fmt: skip
"""Words too common to say which view is meant."""


def _sense_votes(mention: Mention, catalogue: Catalogue, lexicon: Lexicon, out: dict[str, float]) -> None:
    weight = 0.2 if mention.text.lower() in _EVERYDAY else 1.0
    votes: dict[str, float] = {}
    for sense in mention.senses:
        if sense.kind == "code":
            for view, column, _ in sense.places:
                narrow = len({v for v, *_ in sense.places})
                votes[view or ""] = max(votes.get(view or "", 0), 1.2 if narrow <= 3 else 0.5)
                for name in out:
                    if name != view and view in REACH.values() and reach(catalogue, name, column):
                        votes[name] = max(votes.get(name, 0), 0.4)
        elif sense.kind == "cond":
            for view in lexicon.conditions.get(sense.name, {}):
                if view != "*":
                    votes[view] = max(votes.get(view, 0), 1.0)
        elif sense.kind == "meas":
            known = {**lexicon.measures.get(sense.name, {}), **lexicon.aggregates.get(sense.name, {})}
            for view in known:
                votes[view] = max(votes.get(view, 0), 1.5 if len(known) == 1 else 0.5)
        elif sense.kind == "col":
            views = [v for v in out if has(catalogue, v, sense.name)]
            for view in views:
                votes[view] = max(votes.get(view, 0), 1.5 / len(views))
        elif sense.kind == "dim":
            column = lexicon.dimensions.get(sense.name, "")
            views = [v for v in out if has(catalogue, v, column)]
            for view in views:
                votes[view] = max(votes.get(view, 0), 0.9 / len(views))
    for view, vote in votes.items():
        if view in out:
            out[view] += vote * weight
