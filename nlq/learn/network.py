"""Heads over the encoder: outcome, views, column roles and shape, all from one pass over the question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlq.learn.labels import OUTCOMES, ROLES, SHAPES

if TYPE_CHECKING:
    from nlq.learn.describe import Items
    from nlq.learn.encoder import Encoder

_WIDE = 128
_HIDDEN = 192
_HEADS = 4


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
        width, count = encoder.width, len(items.views) + len(items.columns)
        self.register_buffer("item_vectors", items.vectors, persistent=False)
        self.register_buffer("item_words", items.words, persistent=False)
        self.register_buffer("view_of", items.view_of, persistent=False)
        self.project = nn.Linear(width, _WIDE)
        self.offset = nn.Parameter(torch.zeros(count, _WIDE), requires_grad=known)
        self.keys = nn.Linear(width, _WIDE)
        self.values = nn.Linear(width, _WIDE)
        self.sentence = nn.Linear(2 * width, _HIDDEN)
        self.from_context = nn.Linear(2 * _WIDE + _HEADS + 3, _HIDDEN)
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

    def forward(self, batch: Inputs) -> Logits:
        """All heads' scores for a batch."""
        hidden = self.encoder(batch.ids, batch.segments, batch.mask)
        mean = (hidden * batch.mask[..., None]).sum(1) / batch.mask.sum(1, keepdim=True)
        sentence = functional.gelu(self.sentence(torch.cat([hidden[:, 0], mean], -1)))
        sentence = functional.dropout(sentence, 0.1, self.training)
        every = self._read_items(hidden, sentence, batch)
        count = batch.before_views.shape[1]
        asked_before = batch.before_views.amax((1, 2), keepdim=False)[:, None]
        before = torch.cat([batch.before_views, asked_before[:, None].expand(-1, count, 1)], -1)
        at_view = functional.gelu(every[:, :count] + self.view_before(before))
        main, needed = self.view_out(at_view).unbind(-1)
        roles = self._roles(every[:, count:], at_view, main, needed, batch)
        chosen = (main.detach().softmax(-1)[..., None] * at_view).sum(1)
        shapes = self.shape_out(torch.cat([sentence, chosen, batch.before_shapes, asked_before], -1))
        outcome = self._outcome(sentence, needed, roles, batch)
        return Logits(outcome=outcome, main=main, views=needed, roles=roles, shapes=shapes)

    def _read_items(self, hidden: Tensor, sentence: Tensor, batch: Inputs) -> Tensor:
        """Each item attends to the question's tokens → (batch, items, hidden)."""
        size, length, _ = hidden.shape
        offset = self.offset
        if self.training:
            kept = torch.rand(offset.shape[0], 1) > self.offset_drop
            offset = offset * kept
        item = self.project(self.item_vectors) + offset
        count, each = item.shape[0], _WIDE // _HEADS
        asked = item.view(count, _HEADS, each).transpose(0, 1)
        keys = self.keys(hidden).view(size, length, _HEADS, each).permute(0, 2, 3, 1)
        values = self.values(hidden).view(size, length, _HEADS, each).transpose(1, 2)
        scores = torch.matmul(asked, keys) / each**0.5
        scores = scores.masked_fill(batch.mask[:, None, None, :] == 0, -1e4)
        context = torch.matmul(scores.softmax(-1), values).transpose(1, 2).reshape(size, count, _WIDE)
        strongest = scores.amax(-1).transpose(1, 2)
        overlap = (batch.bag @ self.item_words).view(size, count, 3)
        seen = torch.cat([context, context * item, strongest, overlap.to(context.dtype)], -1)
        return self.from_context(seen) + self.from_item(item) + self.from_sentence(sentence)[:, None]

    def _roles(self, every: Tensor, at_view: Tensor, main: Tensor, needed: Tensor, batch: Inputs) -> Tensor:
        chosen = torch.stack([main.detach().softmax(-1), needed.detach().sigmoid()], -1)
        view = self.from_view(torch.cat([at_view, chosen.to(at_view.dtype)], -1))[:, self.view_of]
        mixed = functional.gelu(every + view + self.role_before(batch.before_roles))
        mixed = functional.dropout(mixed, 0.1, self.training)
        return self.role_out(functional.gelu(self.role_mid(mixed)))

    def _outcome(self, sentence: Tensor, needed: Tensor, roles: Tensor, batch: Inputs) -> Tensor:
        """Besides the words: would the SQL touch what the role may not see?"""
        denied = (needed.detach().sigmoid() * batch.denied_views).amax(1)
        seen = roles.detach().sigmoid().amax(-1)
        masked = (seen * batch.masked_columns).amax(1)
        limited = batch.denied_views.mean(1)
        return self.outcome_out(torch.cat([sentence, torch.stack([denied, masked, limited], -1)], -1))
