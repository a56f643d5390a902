"""Everything that a question states, each with its span: the input of the binder and of the ledger."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from rapidfuzz.distance import DamerauLevenshtein

from nlq.understand.numbers import Comparison, comparison_at, fraction_at
from nlq.understand.times import TimePhrase, time_phrases
from nlq.understand.tokens import Token, stem, tokenize
from retrieval.values import PATTERNS, Hit, ValueIndex, collapse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlq.understand.lexicon import Lexicon, Sense

_SPOKEN = {
    **{w: str(i) for i, w in enumerate("zero one two three four five six seven eight nine".split())},
    "oh": "0", "dot": ".", "dash": "-", "hyphen": "-", "point": ".",
}  # fmt: skip
_COMMON_WORDS = {
    "f", "on", "it", "be", "all", "are", "now", "key", "see", "low", "open", "cost", "real", "fast", "well", "so", "or",
    "main", "big", "hale", "lin", "becker", "grace", "john", "laura", "peter", "anna", "tom", "marc", "kim", "maya", "post",
    "reference", "orders", "quotes", "executions", "us", "price", "qty", "symbol",
}  # fmt: skip


@dataclass(frozen=True)
class Mention:
    """One thing stated."""

    kind: str
    """time, number, value, sense, unknown_value, filler, word, sign."""
    start: int
    end: int
    span: tuple[int, int]
    text: str
    senses: tuple[Sense, ...] = ()
    hits: tuple[Hit, ...] = ()
    time: TimePhrase | None = None
    compare: Comparison | None = None
    doubt: float = 0.0
    """Above 0 when the reading needed a guess, such as a spelling repair."""

    def of(self, kind: str) -> list[Sense]:
        """Senses of one kind."""
        return [s for s in self.senses if s.kind == kind]

    def is_op(self, *names: str) -> bool:
        """Whether this is one of the named shape words."""
        return any(s.kind == "op" and s.name in names for s in self.senses)


@dataclass(frozen=True)
class Reading:
    """A question taken apart."""

    question: str
    tokens: tuple[Token, ...]
    mentions: tuple[Mention, ...]
    dropped: tuple[Mention, ...] = ()
    """What the speaker took back."""
    notes: tuple[str, ...] = field(default=())

    @property
    def words(self) -> list[str]:
        """Content words that nothing explained."""
        return [m.text for m in self.mentions if m.kind == "word"]


class Extractor:
    """Finds mentions with one vocabulary and one value index."""

    def __init__(self, lexicon: Lexicon, values: ValueIndex) -> None:
        self.lexicon = lexicon
        self.values = values
        self._stems = {w for phrase in lexicon.phrases for w in phrase} | lexicon.filler
        self._spellable = sorted(w for w in lexicon.words if w.isalpha() and len(w) >= 5)

    def read(self, question: str) -> Reading:
        """Take a question apart; every token ends up in exactly one mention."""
        tokens = tokenize(question)
        taken: list[Mention | None] = [None] * len(tokens)
        found: list[tuple[float, Mention]] = []
        for phrase in time_phrases(tokens):
            found.append(
                (len_of(phrase) + 1.7, self._mention(question, tokens, "time", phrase.start, phrase.end, time=phrase))
            )
        found += [(m.end - m.start + 0.8 + 5 * (m.doubt == 0), m) for m in self._values(question, tokens)]
        found += [(m.end - m.start + 0.3, m) for m in self._numbers(question, tokens)]
        found += [(m.end - m.start + 0.5, m) for m in self._senses(question, tokens)]
        found.sort(key=lambda pair: (-pair[0], pair[1].start))
        for _, mention in found:
            if all(taken[i] is None for i in range(mention.start, mention.end)):
                for i in range(mention.start, mention.end):
                    taken[i] = mention
        out: list[Mention] = []
        i = 0
        while i < len(tokens):
            mention = taken[i] or self._rest(question, tokens, i)
            out.append(mention)
            i = mention.end
        kept, dropped = _corrected(out)
        return Reading(question, tuple(tokens), tuple(kept), tuple(dropped))

    def _mention(
        self, question: str, tokens: Sequence[Token], kind: str, start: int, end: int, **more: object
    ) -> Mention:
        span = (tokens[start].start, tokens[end - 1].end)
        return Mention(kind, start, end, span, question[span[0] : span[1]], **more)  # type: ignore[arg-type]

    def _values(self, question: str, tokens: Sequence[Token]) -> list[Mention]:
        out = []
        for i in range(len(tokens)):
            for j in range(min(len(tokens), i + 2 * self.values.longest + 2), i, -1):
                if hits := _in_place(self._hits(tokens, i, j), tokens, i, j):
                    out.append(self._mention(question, tokens, "value", i, j, hits=tuple(hits)))
                    break
            else:
                out += self._identifier(question, tokens, i)
        return out + self._dictated(question, tokens)

    def _hits(self, tokens: Sequence[Token], i: int, j: int) -> list[Hit]:
        part = tokens[i:j]
        if part[0].is_sign or part[-1].is_sign:
            return []
        words = [t.low for t in part if not t.is_sign]
        if j - i > 1:
            joined = question_form(part)
            hits = self.values.lookup(words)
            if not hits and re.search(r"[a-z]-?\d|-", joined) and " " not in joined:
                hits = [h for h in self.values.spelled(joined) if len(joined) > 3]
            if tuple(t.stem for t in part if not t.is_sign) in self.lexicon.phrases:
                hits = [
                    h
                    for h in hits
                    if h.category not in ("account", "error_field", "parameter", "topic", "reject_reason", "owner")
                ]
            return list(hits)
        low = words[0]
        if low in _COMMON_WORDS and not (part[0].text.isupper() and low not in ("us",)):
            return []
        hits = self.values.lookup([low])
        if not hits and low.endswith("s") and len(low) > 4:
            hits = [h for h in self.values.lookup([low[:-1]]) if h.category in ("trader", "issuer", "symbol")]
        if not hits:
            hits = [h for h in self.values.spelled(low) if len(low) >= 4 and any(c.isdigit() for c in low)]
        if not hits:
            return []
        if low in self.lexicon.words and low not in ("clients",):
            hits = [h for h in hits if h.category != "account"]
        plain_word = stem(low) in self._stems or low in self._stems
        if plain_word:
            hits = [
                h
                for h in hits
                if (part[0].text.isupper() and len(low) <= 5)
                or h.category == "desk"
                or (h.category in ("parameter",) and "_" in low)
                or (h.how in ("name",) and h.category == "symbol")
            ]
        if len(low) <= 2 and not part[0].text.isupper():
            hits = [
                h for h in hits if (h.category == "symbol" and len(low) == 2) or h.how == "name" or h.category == "desk"
            ]
        return list(hits)

    def _identifier(self, question: str, tokens: Sequence[Token], i: int) -> list[Mention]:
        for j in range(min(len(tokens), i + 5), i, -1):
            form = question_form(tokens[i:j])
            if " " in form:
                continue
            for pattern, category in PATTERNS:
                if pattern.match(form):
                    hit = Hit(
                        category,
                        form.upper(),
                        category in ("order", "exec", "print", "alert", "event", "query", "personal_trade"),
                        "pattern",
                    )
                    kind = "value" if hit.exact else "unknown_value"
                    return [self._mention(question, tokens, kind, i, j, hits=(hit,))]
        return []

    def _dictated(self, question: str, tokens: Sequence[Token]) -> list[Mention]:
        """Identifiers spoken letter by letter and digit by digit: "T forty four", "A B C dot B"."""
        out = []
        for i, token in enumerate(tokens):
            if not ((len(token.low) == 1 and token.low.isalpha()) or token.low in ("algo",)):
                continue
            best: Mention | None = None
            for j in range(i + 2, min(len(tokens), i + 9) + 1):
                form = _spoken(tokens[i:j])
                if form is None:
                    break
                hits = [h for f in form for h in self.values.spelled(f)]
                if hits and len(collapse(form[0])) >= 2:
                    best = self._mention(question, tokens, "value", i, j, hits=tuple(dict.fromkeys(hits)))
            if best is not None:
                out.append(best)
        return out

    def _numbers(self, question: str, tokens: Sequence[Token]) -> list[Mention]:
        out = []
        for i in range(len(tokens)):
            compare = comparison_at(tokens, i)
            if (
                compare is None
                and (number := fraction_at(tokens, i))
                and tokens[i].low in ("double", "twice", "triple", "half", "treble")
            ):
                compare = Comparison("=", number, i, number.end, False)
            if compare is not None:
                out.append(self._mention(question, tokens, "number", i, compare.end, compare=compare))
        return out

    def _senses(self, question: str, tokens: Sequence[Token]) -> list[Mention]:
        out = []
        stems = [t.stem for t in tokens]
        for i in range(len(tokens)):
            for j in range(min(len(tokens), i + self.lexicon.longest + 3), i, -1):
                if tokens[i].is_sign or tokens[j - 1].is_sign:
                    continue
                key = tuple(s for s, t in zip(stems[i:j], tokens[i:j], strict=True) if not t.is_sign or t.low == "%")
                text = question[tokens[i].start : tokens[j - 1].end]
                senses = tuple(s for s in self.lexicon.phrases.get(key, ()) if s.fits(text))
                if senses and all(t.low in "-/" for t in tokens[i:j] if t.is_sign):
                    out.append(self._mention(question, tokens, "sense", i, j, senses=senses))
                    break
        return out

    def _rest(self, question: str, tokens: Sequence[Token], i: int) -> Mention:
        token = tokens[i]
        if token.is_sign or not any(c.isalnum() for c in token.text):
            return self._mention(question, tokens, "sign", i, i + 1)
        if token.stem in self.lexicon.filler or token.low in self.lexicon.filler:
            return self._mention(question, tokens, "filler", i, i + 1)
        if hits := self.values.near(token.low):
            return self._mention(question, tokens, "value", i, i + 1, hits=tuple(hits), doubt=0.3)
        if repaired := self._spelling(token.low):
            senses = self.lexicon.phrases.get((stem(repaired),))
            if senses:
                return self._mention(question, tokens, "sense", i, i + 1, senses=senses, doubt=0.2)
            return self._mention(question, tokens, "filler", i, i + 1)
        return self._mention(question, tokens, "word", i, i + 1)

    def _spelling(self, word: str) -> str | None:
        if len(word) < 5 or not word.isalpha():
            return None
        if len(word) == 5:
            swapped = [w for w in self._spellable if sorted(w) == sorted(word) and w[0] == word[0]]
            return swapped[0] if len({stem(w) for w in swapped}) == 1 else None
        near = [
            w
            for w in self._spellable
            if abs(len(w) - len(word)) <= 1
            and w[0] == word[0]
            and DamerauLevenshtein.distance(w, word, score_cutoff=1) <= 1
        ]
        stems = {stem(w) for w in near}
        return near[0] if len(stems) == 1 else None


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


def _corrected(mentions: list[Mention]) -> tuple[list[Mention], list[Mention]]:
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
    gone = [mentions[k] for k in sorted(dropped)]
    return [_as_filler(m) if k in dropped else m for k, m in enumerate(mentions)], gone


def _as_filler(mention: Mention) -> Mention:
    return Mention("filler", mention.start, mention.end, mention.span, mention.text)


_DESK_CUES = {"desk", "team", "desks", "guys", "boys", "floor", "traders", "trader", "crew", "people", "lot"}
_BASED = {"based", "sitting", "located", "sits", "office"}


def _in_place(hits: list[Hit], tokens: Sequence[Token], i: int, j: int) -> list[Hit]:
    """Meanings that the neighbouring words allow: a city is a desk before "desk", a place of work beside "based"."""
    if not any(h.how == "city" or h.category == "location" for h in hits):
        return hits
    after = [t.low for t in tokens[j : j + 3] if not t.is_sign]
    before = [t.low for t in tokens[max(0, i - 3) : i] if not t.is_sign]
    if _BASED & {*after[:2], *before[-2:]} or {"location"} & {*before[-2:], *after[:1]}:
        kept = [h for h in hits if h.category == "location"]
    elif _DESK_CUES & set(after[:2]) or (before and before[-1] in ("desk",)):
        kept = [h for h in hits if h.category == "desk"]
    elif all(h.category == "desk" and h.how == "city" for h in hits) or (
        all(h.category == "desk" for h in hits)
        and j - i == 1
        and tokens[i].low == "crypto"
        and not tokens[i].text.isupper()
    ):
        kept = []
    else:
        exact = [h for h in hits if h.how != "city" and h.category != "location"]
        kept = exact or [h for h in hits if h.category == "venue"] or [h for h in hits if h.category == "location"]
    return kept


def len_of(phrase: TimePhrase) -> int:
    """Tokens of a time phrase."""
    return phrase.end - phrase.start


def question_form(tokens: Sequence[Token]) -> str:
    """Tokens as they stood, with a blank where there was one."""
    out = tokens[0].text
    for before, token in pairwise(tokens):
        out += (" " if token.start > before.end else "") + token.text
    return out.strip(".,;:?!")


def _spoken(tokens: Sequence[Token]) -> list[str] | None:
    """Ways to write down what was spelled: digits one by one, in tens, or as one number."""
    from nlq.understand.numbers import ONES, TENS

    letters, digits, whole = "", "", 0
    for token in tokens:
        low = token.low
        if low in TENS:
            digits += str(TENS[low])
            whole += TENS[low]
        elif (low in ONES and low != "oh") or low == "oh":
            value = ONES[low]
            if digits.endswith("0") and len(digits) >= 2 and 0 < value < 10 and tokens and _was_tens(tokens, token):
                digits = digits[:-1] + str(value)
            else:
                digits += str(value)
            whole += value
        elif low == "hundred":
            digits += "00"
            whole *= 100
        elif low == "thousand":
            digits += "000"
            whole *= 1000
        elif low == "-" or low in _SPOKEN:
            continue
        elif (len(low) == 1 and low.isalpha()) or low == "algo" or (low.isdigit() and len(low) <= 4):
            if low.isdigit():
                digits += low
            elif digits:
                letters += digits
                digits = ""
                letters += low
            else:
                letters += low
        elif low in ("deriv", "crypto", "mm", "ldn", "fra", "ny"):
            letters += low
        else:
            return None
    return [letters + digits] + ([letters + str(whole)] if whole else [])


def _was_tens(tokens: Sequence[Token], token: Token) -> bool:
    from nlq.understand.numbers import TENS

    k = list(tokens).index(token)
    return k > 0 and tokens[k - 1].low in TENS
