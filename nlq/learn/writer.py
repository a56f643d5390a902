"""The learnt writer: a small decoder over the encoder's token vectors that writes a question's form token by token.

It also says how probable any given form is, which is how a draft of the rules is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlq.learn.describe import Items

PAD, BOS, EOS, UNKNOWN = "<pad>", "<bos>", "<eos>", "<unk>"
SPECIAL = (PAD, BOS, EOS, UNKNOWN)
MAX_LENGTH = 110
_WIDE, _HEADS, _INNER = 256, 4, 512


class Vocabulary:
    """Tokens of forms."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = (*SPECIAL, *(t for t in tokens if t not in SPECIAL))
        self.at = {t: i for i, t in enumerate(self.tokens)}

    def encode(self, form: Sequence[str]) -> list[int]:
        """Token numbers with the end mark."""
        return [self.at.get(t, 3) for t in form[: MAX_LENGTH - 1]] + [2]


class _Attention(nn.Module):
    def __init__(self, wide: int) -> None:
        super().__init__()
        self.q, self.kv, self.out = nn.Linear(wide, wide), nn.Linear(wide, 2 * wide), nn.Linear(wide, wide)

    def keys(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a memory, split by head."""
        b, n, w = memory.shape
        k, v = self.kv(memory).view(b, n, 2, _HEADS, w // _HEADS).permute(2, 0, 3, 1, 4)
        return k, v

    def forward(self, x: Tensor, held: tuple[Tensor, Tensor], hide: Tensor | None) -> Tensor:
        b, n, w = x.shape
        q = self.q(x).view(b, n, _HEADS, w // _HEADS).transpose(1, 2)
        scores = q @ held[0].transpose(-1, -2) / (w // _HEADS) ** 0.5
        if hide is not None:
            scores = scores.masked_fill(hide, -1e4)
        mixed = scores.softmax(-1).to(held[1].dtype) @ held[1]
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(b, n, w))
        return out


class _Block(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.own, self.cross = _Attention(_WIDE), _Attention(_WIDE)
        self.up, self.down = nn.Linear(_WIDE, _INNER), nn.Linear(_INNER, _WIDE)
        self.norms = nn.ModuleList(nn.LayerNorm(_WIDE) for _ in range(3))
        self.dropout = dropout

    def forward(
        self, x: Tensor, own: tuple[Tensor, Tensor], hide_own: Tensor | None, cross: tuple[Tensor, Tensor], hide: Tensor
    ) -> Tensor:
        drop = self.dropout
        x = x + functional.dropout(self.own(self.norms[0](x), own, hide_own), drop, self.training)
        x = x + functional.dropout(self.cross(self.norms[1](x), cross, hide), drop, self.training)
        inner = functional.gelu(self.up(self.norms[2](x)))
        return x + functional.dropout(self.down(functional.dropout(inner, drop, self.training)), drop, self.training)


class Writer(nn.Module):
    """Decoder over token vectors. `described` holds a sentence vector for tokens that are views or columns, else zeros."""

    described: Tensor

    def __init__(
        self, vocabulary: Vocabulary, described: Tensor, width: int, *, layers: int = 3, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.vocabulary, self.dropout = vocabulary, dropout
        self.register_buffer("described", described, persistent=False)
        count = len(vocabulary.tokens)
        self.words = nn.Parameter(torch.randn(count, _WIDE) * 0.05)
        self.from_description = nn.Linear(described.shape[1], _WIDE, bias=False)
        self.places = nn.Parameter(torch.randn(MAX_LENGTH, _WIDE) * 0.02)
        self.memory = nn.Linear(width, _WIDE)
        self.memory_norm = nn.LayerNorm(_WIDE)
        self.blocks = nn.ModuleList(_Block(dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(_WIDE)
        self.bias = nn.Parameter(torch.zeros(count))

    def table(self) -> Tensor:
        """The tokens' vectors, the same for reading and writing."""
        return self.words + self.from_description(self.described)

    def read(self, hidden: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What each block looks at: keys and values of the question."""
        memory = self.memory_norm(self.memory(functional.dropout(hidden, self.dropout, self.training)))
        return [block.cross.keys(memory) for block in self.blocks]

    def forward(self, hidden: Tensor, mask: Tensor, given: Tensor) -> Tensor:
        """Scores of the next token after each of `given` (batch, length), which begins with the start mark."""
        table = self.table()
        x = functional.dropout(table[given] + self.places[: given.shape[1]], self.dropout, self.training)
        later = torch.ones(given.shape[1], given.shape[1], dtype=torch.bool).triu(1)
        hide = mask[:, None, None, :] == 0
        for block, cross in zip(self.blocks, self.read(hidden), strict=True):
            own = block.own.keys(block.norms[0](x))
            x = block(x, own, later, cross, hide)
        return self.norm(x) @ table.T / _WIDE**0.5 * 4.0 + self.bias

    @torch.inference_mode()
    def score(self, hidden: Tensor, mask: Tensor, forms: Sequence[Sequence[str]]) -> list[list[float]]:
        """Log probability of each token of each form, the end mark last; one question."""
        encoded = [self.vocabulary.encode(f) for f in forms]
        longest = max(map(len, encoded))
        given = torch.zeros(len(forms), longest, dtype=torch.long)
        for i, tokens in enumerate(encoded):
            given[i, : len(tokens)] = torch.tensor([1, *tokens[:-1]])
        logits = self(hidden.expand(len(forms), -1, -1), mask.expand(len(forms), -1), given).float().log_softmax(-1)
        return [[float(logits[i, j, t]) for j, t in enumerate(tokens)] for i, tokens in enumerate(encoded)]

    @torch.inference_mode()
    def write(self, hidden: Tensor, mask: Tensor, *, beams: int = 4) -> list[Written]:
        """The most probable forms of one question, best first, by beam search."""
        table = self.table()
        crosses = self.read(hidden)
        hide = mask[:, None, None, :] == 0
        held: list[tuple[Tensor, Tensor] | None] = [None] * len(self.blocks)
        alive: list[tuple[list[int], list[float]]] = [([1], [])]
        done: list[Written] = []
        for step in range(MAX_LENGTH - 1):
            last = torch.tensor([tokens[-1] for tokens, _ in alive])
            x = table[last][:, None] + self.places[step]
            for b, block in enumerate(self.blocks):
                k, v = block.own.keys(block.norms[0](x))
                before = held[b]
                own = (k, v) if before is None else (torch.cat([before[0], k], 2), torch.cat([before[1], v], 2))
                held[b] = own
                cross = (crosses[b][0].expand(len(alive), -1, -1, -1), crosses[b][1].expand(len(alive), -1, -1, -1))
                x = block(x, own, None, cross, hide)
            logits = (self.norm(x[:, 0]) @ table.T / _WIDE**0.5 * 4.0 + self.bias).float()
            logits[:, [0, 1, 3]] = -1e9
            scores = logits.log_softmax(-1)
            totals = scores + torch.tensor([sum(s) for _, s in alive])[:, None]
            best = totals.flatten().topk(2 * beams)
            chosen: list[tuple[list[int], list[float]]] = []
            parents: list[int] = []
            for at in best.indices.tolist():
                parent, token = divmod(at, totals.shape[1])
                tokens, past = alive[parent]
                grown = [*past, float(scores[parent, token])]
                if token == 2:
                    done.append(Written([self.vocabulary.tokens[t] for t in tokens[1:]], grown))
                elif len(chosen) < beams:
                    chosen.append(([*tokens, token], grown))
                    parents.append(parent)
            done.sort(key=lambda w: -w.total)
            if not chosen or (len(done) >= beams and done[beams - 1].total > sum(chosen[0][1])):
                break
            if done and done[0].total > sum(chosen[0][1]) + 4.0:
                break
            order = torch.tensor(parents)
            held = [(h[0][order], h[1][order]) for h in held if h is not None]
            alive = chosen
        return done[:beams]


@dataclass(frozen=True)
class Written:
    """One form with the log probability of each of its tokens."""

    form: list[str]
    scores: list[float]

    @property
    def total(self) -> float:
        """Log probability of the whole."""
        return sum(self.scores)


def loss_of(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross entropy of the next tokens, padding left out."""
    return functional.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), ignore_index=0, label_smoothing=0.1)


def vocabulary_of(forms: Sequence[Sequence[str]], items: Items) -> Vocabulary:
    """Every token of the forms, and the catalogue's names."""
    return Vocabulary(sorted({t for f in forms for t in f} | set(items.views) | {c for _, c in items.columns}))


def described(vocabulary: Vocabulary, items: Items) -> Tensor:
    """Sentence vectors of tokens that name a view or column, the mean over columns of one name; zeros for others."""
    held: dict[str, list[Tensor]] = {}
    for at, name in enumerate([*items.views, *(c for _, c in items.columns)]):
        held.setdefault(name, []).append(items.vectors[at])
    out = torch.zeros(len(vocabulary.tokens), items.vectors.shape[1])
    for at, token in enumerate(vocabulary.tokens):
        if found := held.get(token.rpartition(".")[2]):
            out[at] = torch.stack(found).mean(0)
    return out
