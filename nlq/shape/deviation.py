"""How far a fill was from what was usual or fair: "off the instrument's usual spread by over 20 percent", "1 % either side of mid"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nlq.shape.said import Said, keep
from nlq.understand.numbers import literal

if TYPE_CHECKING:
    from nlq.shape.state import Shaper

_USUAL = r"(?:average|avg|mean|usual|normal|norm|typical|baseline|twenty[- ]day|20[- ]?d(?:ay)?)"
_SPREAD = re.compile(
    rf"\bspreads?\b[^.;:?]{{0,60}}\b{_USUAL}\b|\b{_USUAL}\b[^.;:?]{{0,40}}\bspreads?\b|\bspread[- ]deviat\w+|\bdeviat\w+[^.;:?]{{0,40}}\bspread"
)
_MID = re.compile(r"\bmid(?:point|price|[- ]price|dle|s)?\b")
_AWAY = re.compile(
    r"\b(?:away|off|from|stray\w*|deviat\w*|depart\w*|differ\w*|apart|out|beyond|either|both|above or below|below or above|"
    r"over or under|up or down|wider or tighter|tighter or wider|distance|abs\w*)\b|\|"
)
_EITHER = re.compile(
    r"\b(?:either|both|any direction|above or below|below or above|over or under|up or down|wider or (?:tighter|narrower)|"
    r"(?:tighter|narrower) or wider|regardless|plus or minus)\b|\|"
)
_MORE = re.compile(r"\b(?:wider|above|higher|dearer|north)\b|\bover (?:the )?(?:mid|usual|average)")
_LESS = re.compile(r"\b(?:tighter|narrower|below|beneath|under|lower|cheaper|south)\b(?! \d)")
_TAKEN = re.compile(
    r"^(?:the |in )?(?:away|off|from|stray\w*|deviat\w*|depart\w*|differ\w*|either|way|direction|above|below|or|up|down|wider|tighter|usual|"
    r"norm\w*|average|avg|mean|typical|signed|sign|far|gap|by how much|how far|dev|out|either way|up or down|wider or tighter|"
    r"above or below|in either direction|either side|20[- ]day|twenty[- ]day|from the (?:20|twenty)[- ]day|percent|in percent|"
    r"percentage|effective|slippage|landed|struck|done|printed|quoted)\b"
)


def bind_deviation(sh: Shaper) -> None:
    """Bind a percentage that is held against the mid or the usual spread of a fill, with its direction."""
    if sh.view != "executions" or sh.proposal is not None:
        return
    text = sh.reading.question.lower()
    spread, mid = _SPREAD.search(text), _MID.search(text)
    if spread is None and (mid is None or not _AWAY.search(text)):
        return
    column = "spread_deviation_pct" if spread is not None else "mid_deviation_pct"
    name = "spread_dev" if spread is not None else "mid_dev"
    for i, m in enumerate(sh.m):
        compare = m.compare
        if compare is None or not sh.free(i) or compare.number.unit != "pct" or not compare.explicit:
            continue
        value = literal(compare.number.value)
        said = Said(i, m, compare.op, compare.number, True, [], [])
        keep(sh, said, f"{_signed(text, column, named=spread is not None)} {compare.op} {value}", name)
        _take(sh, i)
        return


def _signed(text: str, column: str, *, named: bool) -> str:
    """The column with the sign that the words give it; both ways when they give none."""
    if _EITHER.search(text):
        return f"abs({column})"
    if _MORE.search(text) and not (named and "above" in text and "wider" not in text):
        return column
    return f"-{column}" if _LESS.search(text) else f"abs({column})"


def _take(sh: Shaper, i: int) -> None:
    """The words that name the deviation, and those that ask for it, have found their place."""
    for j, m in enumerate(sh.m):
        if j == i or not sh.free(j):
            continue
        names = {s.name for s in m.senses if s.kind == "meas"}
        usual = m.kind in ("number", "time") and re.search(r"\b(?:20|twenty)[- ]?d", m.text.lower())
        if (
            names & {"spread", "eff_spread", "spread_dev", "mid_dev", "above_mid", "below_mid", "mid", "deviation"}
            or usual
        ) or (
            m.is_op("percent")
            or (m.kind in ("word", "sense") and _TAKEN.match(m.text.lower()) and not m.of("view") and not m.of("code"))
        ):
            sh.used.add(j)
