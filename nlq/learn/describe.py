"""The catalogue as the learnt heads see it: one sentence vector and a few word sets for each view and column."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tokenizers import Tokenizer
    from torch import Tensor

    from nlq.learn.encoder import Encoder
    from streaming.catalogue import Catalogue, Column, View

_STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "or",
        "and",
        "in",
        "on",
        "at",
        "it",
        "its",
        "is",
        "was",
        "when",
        "who",
        "what",
        "how",
        "which",
        "that",
        "this",
        "by",
        "for",
        "to",
        "from",
        "with",
        "as",
        "one",
        "not",
        "no",
        "null",
        "until",
        "than",
        "then",
        "same",
        "only",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Items:
    """Views first, then columns, in the catalogue's order."""

    views: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    view_of: Tensor
    """Index into `views`, one a column."""
    vectors: Tensor
    """(views + columns, width), unit length."""
    words: Tensor
    """(vocabulary of the items, (views + columns) * 3): weight of a token as name, meaning and code word."""
    vocabulary: Mapping[int, int]
    """Token id → row of `words`."""
    texts: tuple[str, ...]
    """The descriptions behind `vectors`."""

    def bag(self, ids: Sequence[int]) -> Tensor:
        """0/1 row over `vocabulary` of a question's tokens."""
        row = torch.zeros(len(self.vocabulary))
        for token in set(ids):
            place = self.vocabulary.get(token)
            if place is not None:
                row[place] = 1.0
        return row


def describe(
    catalogue: Catalogue, encoder: Encoder, tokens: Tokenizer, made: Mapping[str, Tensor] | None = None
) -> Items:
    """Encode every view and column description with `encoder` as it is before any tuning.

    `made` holds vectors by `text_key`, as a weights file ships them: encoding three hundred texts takes seconds.
    """
    views = tuple(catalogue.views.values())
    columns = tuple((v, c) for v in views for c in v.columns.values())
    texts = [_view_text(v) for v in views] + [_column_text(v, c) for v, c in columns]
    known = dict(made or {})
    new = [t for t in texts if text_key(t) not in known]
    for start in range(0, len(new), 32):
        vectors = _embed(encoder, tokens, new[start : start + 32])
        known |= {text_key(t): v for t, v in zip(new[start : start + 32], vectors, strict=True)}
    parts = [(_words(v.name), v.meaning, "") for v in views]
    parts += [(_words(c.name), c.meaning, " ".join(_words(code) for code in c.codes)) for _, c in columns]
    vocabulary, words = _word_table(parts, tokens)
    order = {v.name: i for i, v in enumerate(views)}
    return Items(
        views=tuple(order),
        columns=tuple((v.name, c.name) for v, c in columns),
        view_of=torch.tensor([order[v.name] for v, _ in columns]),
        vectors=torch.stack([known[text_key(t)].float() for t in texts]),
        words=words,
        vocabulary=vocabulary,
        texts=tuple(texts),
    )


def text_key(text: str) -> str:
    """Names a description in a weights file."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _words(name: str) -> str:
    return re.sub(r"[_\-.]+", " ", name).lower()


def _view_text(view: View) -> str:
    return f"{_words(view.name)}: {view.meaning}"


def _column_text(view: View, column: Column) -> str:
    codes = f" Values: {', '.join(_words(c) for c in column.codes)}." if column.codes else ""
    return f"{_words(column.name)}: {column.meaning}.{codes} In {_words(view.name)}."


@torch.no_grad()
def _embed(encoder: Encoder, tokens: Tokenizer, texts: Sequence[str]) -> Tensor:
    encoder.eval()
    encoded = [tokens.encode(t) for t in texts]
    longest = max(len(e.ids) for e in encoded)
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    mask = torch.zeros(len(texts), longest)
    for i, e in enumerate(encoded):
        ids[i, : len(e.ids)] = torch.tensor(e.ids)
        mask[i, : len(e.ids)] = 1
    hidden = encoder(ids, torch.zeros_like(ids), mask)
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(mean, dim=-1)


def _word_table(parts: Sequence[tuple[str, str, str]], tokens: Tokenizer) -> tuple[dict[int, int], Tensor]:
    """Weight of each token for each item and field: rarer tokens weigh more, each field sums to one."""
    fields = [[_token_ids(text, tokens) for text in part] for part in parts]
    counts: dict[int, int] = {}
    for part in fields:
        for ids in part:
            for token in ids:
                counts[token] = counts.get(token, 0) + 1
    vocabulary = {token: i for i, token in enumerate(sorted(counts))}
    table = torch.zeros(len(vocabulary), len(parts), 3)
    for i, part in enumerate(fields):
        for k, ids in enumerate(part):
            weights = {token: 1.0 / counts[token] ** 0.5 for token in ids}
            # A code list is matched by any one of its words, so it is not divided by its length.
            total = max(weights.values(), default=1.0) if k == 2 else sum(weights.values())
            for token, weight in weights.items():
                table[vocabulary[token], i, k] = weight / total
    return vocabulary, table.flatten(1)


def _token_ids(text: str, tokens: Tokenizer) -> set[int]:
    kept = " ".join(w for w in re.findall(r"[a-z0-9]+", text.lower()) if w not in _STOP)
    return set(tokens.encode(kept, add_special_tokens=False).ids)
