"""Everything that a question states, each with its span: the input of the binder and of the ledger."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rapidfuzz.distance import DamerauLevenshtein

from nlq.understand.corrected import corrected
from nlq.understand.dictated import question_form, spoken
from nlq.understand.numbers import Comparison, comparison_at, fraction_at
from nlq.understand.reading import Mention, Reading
from nlq.understand.time_phrases import TIME_WORDS, TimePhrase, time_phrases
from nlq.understand.tokens import Token, stem, tokenize
from retrieval.values import PATTERNS, Hit, ValueIndex, collapse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlq.understand.lexicon import Lexicon

_COMMON_WORDS = {
    "f", "on", "it", "be", "all", "are", "now", "key", "see", "low", "open", "cost", "real", "fast", "well", "so", "or",
    "main", "big", "hale", "lin", "becker", "grace", "john", "laura", "peter", "anna", "tom", "marc", "kim", "maya", "post",
    "reference", "orders", "quotes", "executions", "us", "price", "qty", "symbol",
}  # fmt: skip


COMMON = frozenset(Path(__file__).with_name("common_words.txt").read_text(encoding="utf-8").split())
"""Frequent English words of five letters and more: none of them is a misspelt name."""


class Extractor:
    """Finds mentions with one vocabulary and one value index."""

    def __init__(self, lexicon: Lexicon, values: ValueIndex) -> None:
        self.lexicon = lexicon
        self.values = values
        self._stems = {w for phrase in lexicon.phrases for w in phrase} | lexicon.filler
        self._spellable = sorted(w for w in lexicon.words if w.isalpha() and len(w) >= 5)

    def read(self, question: str) -> Reading:
        """Take a question apart; every token ends up in exactly one mention."""
        tokens = _counting_n([self._spelled(t) for t in tokenize(question)])
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
        kept, dropped = corrected(out)
        return Reading(question, tuple(tokens), tuple(kept), tuple(dropped))

    def _mention(
        self, question: str, tokens: Sequence[Token], kind: str, start: int, end: int, **more: object
    ) -> Mention:
        span = (tokens[start].start, tokens[end - 1].end)
        return Mention(kind, start, end, span, _written(question, tokens[start:end]), **more)  # type: ignore[arg-type]

    def _values(self, question: str, tokens: Sequence[Token]) -> list[Mention]:
        out = []
        for i in range(len(tokens)):
            for j in range(min(len(tokens), i + 2 * self.values.longest + 2), i, -1):
                if hits := _in_place(self._hits(tokens, i, j), tokens, i, j):
                    shorter = j - 1 > i and tokens[j - 1].stem in _NOUNS and not any(h.exact for h in hits)
                    if shorter and (inner := _in_place(self._hits(tokens, i, j - 1), tokens, i, j - 1)):
                        # "London stock": the noun is asked for, the name stands before it.
                        out.append(self._mention(question, tokens, "value", i, j - 1, hits=tuple(inner)))
                        break
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
                or (h.category == "desk" and (part[0].text.isupper() or _beside_desk(tokens, i, j)))
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
                form = spoken(tokens[i:j])
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
                text = _written(question, tokens[i:j])
                senses = tuple(s for s in self.lexicon.phrases.get(key, ()) if s.fits(text))
                # Shorter phrases stay in the race: "percentage" is free again where "of today" takes the "of".
                if any(s.kind == "view" for s in senses) and self._listed(tokens[i:j]):
                    continue
                if senses and all(t.low in "-/" for t in tokens[i:j] if t.is_sign):
                    out.append(self._mention(question, tokens, "sense", i, j, senses=senses))
        return out

    def _listed(self, tokens: Sequence[Token]) -> bool:
        """Whether a slash stands between two things that each have a meaning: "partition/lag" is a list of columns."""
        marks = [k for k, t in enumerate(tokens) if t.low == "/"]
        parts = [tokens[a + 1 : b] for a, b in itertools.pairwise([-1, *marks, len(tokens)])]
        return bool(marks) and all(
            tuple(t.stem for t in part if not t.is_sign) in self.lexicon.phrases for part in parts
        )

    def _rest(self, question: str, tokens: Sequence[Token], i: int) -> Mention:
        token = tokens[i]
        if token.is_sign or not any(c.isalnum() for c in token.text):
            return self._mention(question, tokens, "sign", i, i + 1)
        if token.stem in self.lexicon.filler or token.low in self.lexicon.filler:
            return self._mention(question, tokens, "filler", i, i + 1)
        if token.low not in COMMON and (hits := self.values.near(token.low)):
            return self._mention(question, tokens, "value", i, i + 1, hits=tuple(hits), doubt=0.3)
        if token.low not in COMMON and (repaired := self._spelling(token.low)):
            senses = self.lexicon.phrases.get((stem(repaired),))
            if senses:
                return self._mention(question, tokens, "sense", i, i + 1, senses=senses, doubt=0.2)
            if {repaired, stem(repaired)} & self.lexicon.filler:
                return self._mention(question, tokens, "filler", i, i + 1)
        return self._mention(question, tokens, "word", i, i + 1)

    def _spelled(self, token: Token) -> Token:
        """A misspelt word as it should stand: "befor", "yesteday", "wihtout"; names are repaired elsewhere."""
        low = token.low
        if len(low) < 5 or not low.isalpha() or low in TIME_WORDS or low in COMMON or token.stem in self._stems:
            return token
        if low in self.lexicon.words or self.values.lookup([low]):
            return token
        near = [w for w in TIME_WORDS if DamerauLevenshtein.distance(w, low, score_cutoff=1) <= 1]
        if len(near) != 1:
            word = None if token.text.isupper() or self.values.near(low) else self._spelling(low)
            near = [word] if word is not None else []
        return replace(token, low=near[0], stem=stem(near[0]), repaired=True) if len(near) == 1 else token

    def _spelling(self, word: str) -> str | None:
        if len(word) < 5 or not word.isalpha():
            return None
        if len(word) == 5:
            near = [w for w in self._spellable if sorted(w) == sorted(word) and w[0] == word[0]]
            near = near or [w for w in self._spellable if len(w) == 6 and w[0] == word[0] and _lacks_one(word, w)]
            return near[0] if len({stem(w) for w in near}) == 1 else None
        near = [
            w
            for w in self._spellable
            if abs(len(w) - len(word)) <= 1
            and w[0] == word[0]
            and DamerauLevenshtein.distance(w, word, score_cutoff=1) <= 1
        ]
        stems = {stem(w) for w in near}
        return near[0] if len(stems) == 1 else None


def _lacks_one(short: str, word: str) -> bool:
    """Whether a letter was left out: "staus"."""
    return any(word[:k] + word[k + 1 :] == short for k in range(1, len(word)))


def _counting_n(tokens: list[Token]) -> list[Token]:
    """A bare "n" in a list of figures is the count; between two words it is how people in a hurry write "and"."""
    out = list(tokens)
    for i, t in enumerate(tokens):
        if t.low != "n" or t.text == "N" or [u.low for u in tokens[max(0, i - 2) : i]] == ["y", "/"]:
            continue
        before = tokens[i - 1].text if i else ":"
        after = tokens[i + 1].text if i + 1 < len(tokens) else "."
        if (before in ",:+/&>-(" and (after in ",.;+/&)" or after.lower() in ("per", "by"))) or (
            after in ",.;)" and before in ("+", "&", ",", "and", "with")
        ):
            out[i] = replace(t, low="count", stem=stem("count"), repaired=True)
    return out


def _written(question: str, tokens: Sequence[Token]) -> str:
    """The words as they should have been written: misspelt ones are repaired."""
    text = question[tokens[0].start : tokens[-1].end]
    for t in reversed(tokens):
        if t.repaired:
            begin = t.start - tokens[0].start
            text = text[:begin] + t.low + text[begin + len(t.text) :]
    return text


_NOUNS = {"stock", "desk", "trad", "trader", "venu", "account", "nam", "order", "shar"}
_DESK_CUES = {"desk", "team", "desks", "guys", "boys", "floor", "traders", "trader", "crew", "people", "lot"}
_BASED = {"based", "sitting", "located", "sits", "office"}


def _beside_desk(tokens: Sequence[Token], i: int, j: int) -> bool:
    """Whether the words speak of a desk: "the crypto desk", not "crypto fills"."""
    after = [t.low for t in tokens[j : j + 3] if not t.is_sign]
    return bool(_DESK_CUES & set(after[:2])) or (i > 0 and tokens[i - 1].low == "desk")


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
