"""From questions to the tensors that the network reads; the same code for training and for asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nlq.learn.labels import OUTCOMES, ROLES, SHAPES
from nlq.learn.network import Inputs
from nlq.learn.text import earlier, normalise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer
    from torch import Tensor

    from nlq.learn.describe import Items
    from nlq.learn.labels import Sketch
    from streaming.catalogue import Catalogue

_ROLE_AT = {name: i for i, name in enumerate(ROLES)}
_SHAPE_AT = {name: i for i, name in enumerate(SHAPES)}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question with what is known beside its words."""

    question: str
    history: Sequence[str] = ()
    before: Sketch | None = None
    role: str = "officer"


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What the network should say. Rows without a sketch count for `outcome` only."""

    outcome: Tensor
    has_sketch: Tensor
    main: Tensor
    views: Tensor
    roles: Tensor
    shapes: Tensor


class Batcher:
    """Makes inputs and targets for one catalogue."""

    def __init__(self, catalogue: Catalogue, items: Items, tokens: Tokenizer) -> None:
        self.items, self.tokens = items, tokens
        self.view_at = {v: i for i, v in enumerate(items.views)}
        self.column_at = {c: i for i, c in enumerate(items.columns)}
        self.rights = {role: self._rights(catalogue, role) for role in catalogue.roles}

    def _rights(self, catalogue: Catalogue, role: str) -> tuple[Tensor, Tensor]:
        allowed = catalogue.roles[role].views
        denied = torch.tensor([0.0 if v in allowed else 1.0 for v in self.items.views])
        masked = {v: catalogue.masked_columns(v, role) for v in self.items.views}
        return denied, torch.tensor([1.0 if c in masked[v] else 0.0 for v, c in self.items.columns])

    def inputs(self, asked: Sequence[Asked]) -> Inputs:
        """Tensors of a batch; an unknown role counts as one that may see everything."""
        encoded = [
            self.tokens.encode(normalise(a.question), earlier(a.history)) if a.history
            else self.tokens.encode(normalise(a.question))
            for a in asked
        ]  # fmt: skip
        size, longest = len(asked), max(len(e.ids) for e in encoded)
        ids = torch.zeros(size, longest, dtype=torch.long)
        segments = torch.zeros(size, longest, dtype=torch.long)
        mask = torch.zeros(size, longest)
        for i, e in enumerate(encoded):
            n = len(e.ids)
            ids[i, :n], segments[i, :n], mask[i, :n] = torch.tensor(e.ids), torch.tensor(e.type_ids), 1.0
        free = (torch.zeros(len(self.items.views)), torch.zeros(len(self.items.columns)))
        rights = [self.rights.get(a.role, free) for a in asked]
        views, roles, shapes, main = self._multi_hot([a.before for a in asked])
        first = torch.zeros_like(views)
        for i, at in enumerate(main.tolist()):
            if at >= 0:
                first[i, at] = 1.0
        return Inputs(
            ids=ids,
            segments=segments,
            mask=mask,
            bag=torch.stack([self.items.bag(e.ids) for e in encoded]),
            denied_views=torch.stack([r[0] for r in rights]),
            masked_columns=torch.stack([r[1] for r in rights]),
            before_views=torch.stack([first, views], -1),
            before_roles=roles,
            before_shapes=shapes,
        )

    def targets(self, outcomes: Sequence[str], sketches: Sequence[Sketch | None]) -> Targets:
        """Targets of a batch."""
        views, roles, shapes, main = self._multi_hot(sketches)
        return Targets(
            outcome=torch.tensor([OUTCOMES.index(o) for o in outcomes]),
            has_sketch=torch.tensor([s is not None for s in sketches]),
            main=main.clamp(min=0),
            views=views,
            roles=roles,
            shapes=shapes,
        )

    def _multi_hot(self, sketches: Sequence[Sketch | None]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        size = len(sketches)
        views = torch.zeros(size, len(self.items.views))
        roles = torch.zeros(size, len(self.items.columns), len(ROLES))
        shapes = torch.zeros(size, len(SHAPES))
        main = torch.full((size,), -1)
        for i, found in enumerate(sketches):
            if found is None:
                continue
            main[i] = self.view_at.get(found.main_view, -1)
            for view in found.views & self.view_at.keys():
                views[i, self.view_at[view]] = 1.0
            for column, named in found.columns.items():
                if column in self.column_at:
                    roles[i, self.column_at[column], [_ROLE_AT[n] for n in named]] = 1.0
            shapes[i, [_SHAPE_AT[n] for n in found.shapes]] = 1.0
        return views, roles, shapes, main
