"""Heads over the encoder: outcome, views, column roles and shape, all from one pass over the question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlq.learn.labels import OUTCOMES, ROLES, SHAPES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nlq.learn.describe import Items
    from nlq.learn.encoder import Encoder
    from nlq.learn.writer import Writer

_WIDE = 96
_HIDDEN = 128
_HEADS = 4
_EACH = _WIDE // _HEADS
_LEAST = 1e-6


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A batch. `before_*` is the sketch of the conversation's last SQL, zeros without one."""

    ids: Tensor
    segments: Tensor
    mask: Tensor
    bag: Tensor
    """(batch, item vocabulary)"""
    denied_views: Tensor
    """(batch, views): 1 where the asker's role may not read the view."""
    masked_columns: Tensor
    """(batch, columns): 1 where the role sees the column masked."""
    before_views: Tensor
    """(batch, views, 2): main, needed."""
    before_roles: Tensor
    """(batch, columns, roles)"""
    before_shapes: Tensor
    """(batch, shapes)"""


@dataclass(frozen=True, kw_only=True)
class Logits:
    """Raw scores; softmax over `outcome` and `main`, sigmoid for the rest."""

    outcome: Tensor
    main: Tensor
    views: Tensor
    roles: Tensor
    shapes: Tensor


class Network(nn.Module):
    """Encoder and heads. Works for any catalogue through `Items`; a learnt offset helps for the one it was tuned on."""

    def __init__(self, encoder: Encoder, items: Items, *, known: bool = True) -> None:
        super().__init__()
        self.encoder, self.items = encoder, items
        self.writer: Writer | None = None
        self.others: tuple[Network, ...] = ()
        """Other heads over the same encoder, trained from another start: together they are less sure where they differ."""
        width, count = encoder.width, len(items.views) + len(items.columns)
        self.register_buffer("item_vectors", items.vectors, persistent=False)
        self.register_buffer("item_words", items.words, persistent=False)
        self.register_buffer("view_of", items.view_of, persistent=False)
        self.project = nn.Linear(width, _WIDE)
        self.offset = nn.Parameter(torch.zeros(count, _WIDE), requires_grad=known)
        self.keys = nn.Linear(width, _WIDE)
        self.values = nn.Linear(width, _WIDE)
        self.sentence = nn.Linear(2 * width, _HIDDEN)
        self.sentence_match = nn.Linear(_HIDDEN, _WIDE)
        self.direct = nn.Linear(_HIDDEN, _WIDE)
        self.from_context = nn.Linear(3 * _WIDE + _HEADS + 3, _HIDDEN)
        self.from_item = nn.Linear(_WIDE, _HIDDEN)
        self.from_sentence = nn.Linear(_HIDDEN, _HIDDEN)
        self.view_before = nn.Linear(3, _HIDDEN)
        self.view_out = nn.Linear(_HIDDEN, 2)
        self.from_view = nn.Linear(_HIDDEN + 2, _HIDDEN)
        self.role_before = nn.Linear(len(ROLES), _HIDDEN)
        self.role_mid = nn.Linear(_HIDDEN, _HIDDEN)
        self.role_out = nn.Linear(_HIDDEN, len(ROLES))
        self.shape_out = nn.Sequential(
            nn.Linear(_HIDDEN * 2 + len(SHAPES) + 1, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, len(SHAPES))
        )
        self.outcome_out = nn.Sequential(nn.Linear(_HIDDEN + 3, 64), nn.GELU(), nn.Linear(64, len(OUTCOMES)))
        self.offset_drop = 0.3
        nn.init.constant_(self.role_out.bias, -5.0)
        nn.init.constant_(self.shape_out[2].bias, -1.5)

    def train(self, mode: bool = True) -> Self:
        """As in torch, for the other heads, too."""
        for other in self.others:
            other.train(mode)
        return super().train(mode)

    def forward(self, batch: Inputs) -> Logits:
        """All heads' scores for a batch."""
        return self.voices(self.encoder(batch.ids, batch.segments, batch.mask), batch)

    def voices(self, hidden: Tensor, batch: Inputs) -> Logits:
        """The scores of these heads and the others together: the mean of their probabilities."""
        return together([network.heads(hidden, batch) for network in (self, *self.others)])

    def heads(self, hidden: Tensor, batch: Inputs, chosen: Tensor | None = None) -> Logits:
        """The scores from token vectors (batch, length, width) that are there already.

        `chosen`, (batch, some) column numbers, scores only those columns' roles: training looks at a sample.
        """
        mean = (hidden * batch.mask[..., None]).sum(1) / batch.mask.sum(1, keepdim=True)
        sentence = functional.gelu(self.sentence(torch.cat([hidden[:, 0], mean], -1)))
        sentence = functional.dropout(sentence, 0.1, self.training)
        reader = _Reader(self, hidden, sentence, batch)
        item = self._items()
        count = batch.before_views.shape[1]
        asked_before = batch.before_views.amax((1, 2), keepdim=False)[:, None]
        before = torch.cat([batch.before_views, asked_before[:, None].expand(-1, count, 1)], -1)
        at_view = functional.gelu(reader.read(item[:count], reader.overlap[:, :count]) + self.view_before(before))
        direct = (self.direct(sentence) @ item[:count].T)[..., None]
        main, needed = (self.view_out(at_view) + direct).unbind(-1)
        roles = self._roles(reader, item[count:], at_view, main, needed, batch, chosen)
        believed = (main.detach().softmax(-1)[..., None] * at_view).sum(1)
        shapes = self.shape_out(torch.cat([sentence, believed, batch.before_shapes, asked_before], -1))
        outcome = self._outcome(sentence, needed, roles, batch, chosen)
        return Logits(outcome=outcome, main=main, views=needed, roles=roles, shapes=shapes)

    def _items(self) -> Tensor:
        """Vectors of views and columns: their description, and for known ones what training has added."""
        offset = self.offset
        if self.training:
            # Sometimes without the addition, so that descriptions alone must do: another catalogue has no more.
            offset = offset * (torch.rand(offset.shape[0], 1) > self.offset_drop)
        projected: Tensor = self.project(self.item_vectors)
        return projected + offset

    def _roles(
        self,
        reader: _Reader,
        item: Tensor,
        at_view: Tensor,
        main: Tensor,
        needed: Tensor,
        batch: Inputs,
        chosen: Tensor | None,
    ) -> Tensor:
        likely = torch.stack([main.detach().softmax(-1), needed.detach().sigmoid()], -1)
        view = self.from_view(torch.cat([at_view, likely.to(at_view.dtype)], -1))
        before, overlap = batch.before_roles, reader.overlap[:, view.shape[1] :]
        if chosen is None:
            view = view[:, self.view_of]
        else:
            row = torch.arange(len(chosen))[:, None]
            item, view = item[chosen], view[row, self.view_of[chosen]]
            before, overlap = before[row, chosen], overlap[row, chosen]
        mixed = functional.gelu(reader.read(item, overlap) + view + self.role_before(before))
        mixed = functional.dropout(mixed, 0.1, self.training)
        logits: Tensor = self.role_out(functional.gelu(self.role_mid(mixed)))
        return logits

    def _outcome(self, sentence: Tensor, needed: Tensor, roles: Tensor, batch: Inputs, chosen: Tensor | None) -> Tensor:
        """Besides the words: would the SQL touch what the role may not see?"""
        denied = (needed.detach().sigmoid() * batch.denied_views).amax(1)
        hidden_from_role = batch.masked_columns if chosen is None else batch.masked_columns.gather(1, chosen)
        masked = (roles.detach().sigmoid().amax(-1) * hidden_from_role).amax(1)
        limited = batch.denied_views.mean(1)
        logits: Tensor = self.outcome_out(torch.cat([sentence, torch.stack([denied, masked, limited], -1)], -1))
        return logits


def together(voices: Sequence[Logits]) -> Logits:
    """Scores whose probabilities are the mean of all voices' probabilities."""
    if len(voices) == 1:
        return voices[0]

    def one_of(scores: list[Tensor]) -> Tensor:
        return torch.stack([s.float().softmax(-1) for s in scores]).mean(0).clamp(min=_LEAST).log()

    def each(scores: list[Tensor]) -> Tensor:
        return torch.logit(torch.stack([s.float().sigmoid() for s in scores]).mean(0), eps=_LEAST)

    return Logits(
        outcome=one_of([v.outcome for v in voices]),
        main=one_of([v.main for v in voices]),
        views=each([v.views for v in voices]),
        roles=each([v.roles for v in voices]),
        shapes=each([v.shapes for v in voices]),
    )


def further(path: Path, number: int) -> Path:
    """The file of the further heads that go with the weights file `path`; the second are number 2."""
    return path.with_name(f"{path.stem}-{number}.safetensors")


class _Reader:
    """Lets items look at one batch of questions; keys and values are made once for views and columns."""

    def __init__(self, network: Network, hidden: Tensor, sentence: Tensor, batch: Inputs) -> None:
        size, length, _ = hidden.shape
        self.network = network
        self.keys = network.keys(hidden).view(size, length, _HEADS, _EACH).permute(0, 2, 3, 1)
        self.values = network.values(hidden).view(size, length, _HEADS, _EACH).transpose(1, 2)
        self.hide = batch.mask[:, None, None, :] == 0
        self.sentence = network.from_sentence(sentence)[:, None]
        self.match = network.sentence_match(sentence)[:, None]
        self.overlap = (batch.bag @ network.item_words).view(size, -1, 3)

    def read(self, item: Tensor, overlap: Tensor) -> Tensor:
        """(items, wide) or (batch, items, wide) → (batch, items, hidden)."""
        count = item.shape[-2]
        asked = item.view(*item.shape[:-1], _HEADS, _EACH).transpose(-3, -2)
        scores = torch.matmul(asked, self.keys) / _EACH**0.5
        scores = scores.masked_fill(self.hide, -1e4)
        context = torch.matmul(scores.softmax(-1).to(self.values.dtype), self.values)
        context = context.transpose(1, 2).reshape(len(self.keys), count, _WIDE)
        strongest = scores.amax(-1).transpose(1, 2)
        matched = self.match * item
        seen = torch.cat([context, context * item, matched, strongest, overlap.to(context.dtype)], -1)
        found: Tensor = self.network.from_context(seen) + self.network.from_item(item) + self.sentence
        return found
