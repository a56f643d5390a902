"""Names → columns: companies, symbols, traders, desks, venues, identifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlq.bind.state import Binder
from nlq.views import CATEGORY_COLUMNS, has, reach

if TYPE_CHECKING:
    from nlq.understand.reading import Mention
    from retrieval.values import Hit


def bind_value(b: Binder, i: int, mention: Mention) -> None:
    """One name as a value of a column, a choice between several, or a doubt."""
    hits = _fitting(b, i, mention)
    if not hits:
        b.bound.doubts.append(f"{mention.text!r} fits no column of {b.view}")
        return
    traders = sorted({h.value for h in hits if h.category == "trader"})
    if len(traders) > 1 and all(h.category == "trader" for h in hits):
        names = [f"{b.world.values.trader_name.get(t, t)} ({t})" for t in traders]
        b.bound.clarify = (f"Which {mention.text} do you mean?", tuple(names))
        b.bound.doubts.append(f"{mention.text!r} has several meanings")
    hit = hits[0]
    column, values = _column_of(b, hit, i)
    if column is None:
        b.bound.doubts.append(f"{mention.text!r} fits no column of {b.view}")
        return
    b.bound.used.add(i)
    b.bound.columns.setdefault(column, []).append((i, values, b.negated(i)))


def _fitting(b: Binder, i: int, mention: Mention) -> list[Hit]:
    view, catalogue = b.view, b.world.catalogue
    fits = [h for h in mention.hits if any(reach(catalogue, view, c) for c in CATEGORY_COLUMNS.get(h.category, ()))]
    rank = {"symbol": 0, "issuer": 1, "trader": 1, "desk": 1, "venue": 2}
    fits.sort(key=lambda h: (not h.exact, rank.get(h.category, 3)))
    if any(h.category == "symbol" and h.how == "value" for h in fits) and mention.text.isupper():
        fits = [h for h in fits if h.category == "symbol"]
    elif any(h.category == "issuer" for h in fits) and not any(
        h.how == "value" and h.category == "symbol" and mention.text.isupper() for h in fits
    ):
        symbols = [h for h in fits if h.category == "symbol"]
        fits = (
            symbols
            if symbols and mention.text.lower() == symbols[0].value.lower()
            else [h for h in fits if h.category != "symbol" or h.how == "name"] or fits
        )
    return fits


def _column_of(b: Binder, hit: Hit, i: int) -> tuple[str | None, tuple[str, ...]]:
    catalogue, view, values = b.world.catalogue, b.view, b.world.values
    if hit.category == "issuer":
        return _issuer(b, hit, i)
    if hit.category == "symbol" and not has(catalogue, view, "symbol") and has(catalogue, view, "issuer_name"):
        return "issuer_name", (values.issuer_of.get(hit.value, hit.value),)
    if hit.category == "trader" and has(catalogue, view, "manager_id") and _managed(b, i):
        return "manager_id", (hit.value,)
    for column in CATEGORY_COLUMNS[hit.category]:
        found = reach(catalogue, view, column)
        if found:
            return found, (hit.value,)
    return None, ()


def _managed(b: Binder, i: int) -> bool:
    before = " ".join(m.text.lower() for m in b.reading.mentions[max(0, i - 4) : i])
    after = " ".join(m.text.lower() for m in b.reading.mentions[i + 1 : i + 4])
    return any(
        w in before for w in ("reports to", "report to", "managed by", "manager is", "under", "work for")
    ) or any(w in after for w in ("reports", "direct report", "team", "people"))


def _issuer(b: Binder, hit: Hit, i: int) -> tuple[str | None, tuple[str, ...]]:
    catalogue, values = b.world.catalogue, b.world.values
    symbols = values.symbols_of.get(hit.value, ())
    shares = [s for s in symbols if values.class_of.get(s) in ("EQUITY", "ETF")]
    full = len(b.reading.mentions[i].text.split()) > 1
    text = b.reading.question.lower()
    wide = any(
        w in text
        for w in (
            "any instrument",
            "every instrument",
            "all instruments",
            "anything of",
            "all its",
            "either class",
            "share class",
            "both classes",
            "each class",
            "anything in",
            "any kind",
            "all lines",
            "every line",
            "whole company",
            "neither",
            "all abc",
        )
    )
    if not has(catalogue, b.view, "symbol") or (full and len(symbols) > 1) or wide:
        return ("issuer_name", (hit.value,)) if has(catalogue, b.view, "issuer_name") else (None, ())
    if len(symbols) == 1:
        return "symbol", (symbols[0],)
    options = [s for s in symbols if values.class_of.get(s) == "OPTION"]
    if options and any(
        (m.kind == "sense" and any("OPTION" in s.name for s in m.of("code")))
        or m.text.lower() in ("put", "call", "puts", "calls")
        for m in b.reading.mentions
    ):
        return "symbol", (options[0],)
    if len(shares) == 1:
        return "symbol", (shares[0],)
    if has(catalogue, b.view, "issuer_name"):
        if len(shares) > 1 and not full:
            b.bound.clarify = (f"Which line of {hit.value} do you mean?", tuple(shares))
            b.bound.doubts.append(f"{hit.value} has several instruments")
        return "issuer_name", (hit.value,)
    return None, ()
