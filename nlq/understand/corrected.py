"""What a speaker takes back: "buys, wait no, make that sells"."""

from __future__ import annotations

import re

from nlq.understand.reading import Mention

_REPAIR = re.compile(
    r"^(?:wait no|no wait|no hang on|hang on|no hold on|or no|make that|scratch that|correction|no sorry|sorry no|actually no|no actually|i meant|no by|"
    r"no make that|no make it|rather|instead of that|no not|no i mean|times no|no the|wait make that|no)$"
)
_TAKEN_BACK = re.compile(r"^(?:instead of|rather than|not the|not|no longer)$")


def _slot(mention: Mention) -> str | None:
    """What a mention settles: a later mention of the same slot replaces an earlier one after "no, wait"."""
    if mention.kind == "time" and mention.time is not None and mention.time.kind != "now":
        return "time"
    if mention.kind == "value":
        return f"value {mention.hits[0].category}"
    for sense in mention.senses:
        if sense.kind == "agg":
            return "agg"
        if sense.kind == "code":
            return f"code {sense.places[0][1]}"
        if sense.kind == "meas":
            return "meas"
        if sense.kind == "dim":
            return f"dim {sense.kind}"
    return None


def corrected(mentions: list[Mention]) -> tuple[list[Mention], list[Mention]]:
    """Drop what the speaker took back: "buys, wait no, make that sells"; "five by fills ... no, by turnover"."""
    words = [m.text.lower().strip(",.") for m in mentions]
    dropped: set[int] = set()
    for i in range(1, len(mentions)):
        for n in (3, 2, 1):
            phrase = " ".join(w for w in words[i : i + n] if w)
            if len(words[i : i + n]) < n or not _REPAIR.match(phrase):
                continue
            broken = words[i - 1] in ("", "...", ",", ".", "-") or n > 1
            after = i + n
            if not broken or (
                n == 1
                and not (mentions[i - 1].kind == "sign" and mentions[min(after, len(mentions) - 1)].kind == "sign")
            ):
                continue
            slots = [s for m in mentions[after : after + 8] if (s := _slot(m))]
            for slot in slots[:1]:
                earlier = [
                    k
                    for k in range(max(0, i - 12), i)
                    if _slot(mentions[k]) == slot or (slot in ("meas", "agg") and _slot(mentions[k]) in ("meas", "agg"))
                ]
                if earlier:
                    dropped.update(earlier[-2:] if slot in ("meas", "agg") else earlier[-1:])
                    dropped.update(range(i, after))
            break
    _instead_of(mentions, words, dropped)
    gone = [mentions[k] for k in sorted(dropped)]
    return [_as_filler(m) if k in dropped else m for k, m in enumerate(mentions)], gone


def _instead_of(mentions: list[Mention], words: list[str], dropped: set[int]) -> None:
    """ "By venue instead of desk": what stands behind is given up, when something of its kind stands before."""
    for i in range(len(words) - 2):
        if f"{words[i]} {words[i + 1]}" not in ("instead of", "rather than"):
            continue
        for k in range(i + 2, min(i + 6, len(mentions))):
            slot = _kind_of(mentions[k])
            if slot is None and mentions[k].kind == "filler":
                continue
            if slot is not None and any(_kind_of(mentions[j]) == slot for j in range(i)):
                dropped.update((i, i + 1, k))
            break


def _kind_of(mention: Mention) -> str | None:
    """As `_slot`, with all columns that a result may be cut by alike."""
    dims = mention.of("dim")
    return "dim" if dims and not mention.of("code") else _slot(mention)


def _as_filler(mention: Mention) -> Mention:
    return Mention("filler", mention.start, mention.end, mention.span, mention.text)
