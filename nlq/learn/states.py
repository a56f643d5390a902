"""Token vectors of an encoder that stays as it is, made once for many epochs of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlq.learn.batch import Asked, Batcher
    from nlq.learn.network import Inputs, Network


class FrozenStates:
    """Token vectors of the encoder before any tuning, made once for all epochs and folds.

    Kept are those of the layers that are never tuned and, where that is not all, those of the whole encoder.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, tuple[str, ...]], tuple[Tensor, Tensor]] = {}

    @torch.inference_mode()
    def add(self, network: Network, batcher: Batcher, asked: Sequence[Asked]) -> None:
        """Make what is not there yet; the network must not have been tuned."""
        network.eval()
        wanted = {(a.question, tuple(a.history[-2:])): a for a in asked}
        order = sorted((k for k in wanted if k not in self._held), key=lambda k: len(k[0]) + sum(map(len, k[1])))
        for start in range(0, len(order), 64):
            keys = order[start : start + 64]
            inputs = batcher.inputs([wanted[k] for k in keys])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                lower = network.encoder.lower(inputs.ids, inputs.segments, inputs.mask)
                whole = network.encoder.upper(lower, inputs.mask)
            for i, key in enumerate(keys):
                size = int(inputs.mask[i].sum())
                self._held[key] = (lower[i, :size].bfloat16().clone(), whole[i, :size].bfloat16().clone())

    def of(self, asked: Sequence[Asked], inputs: Inputs, *, whole: bool) -> Tensor:
        """(batch, length, width) for a batch whose inputs were made from `asked`."""
        found = [self._held[a.question, tuple(a.history[-2:])][whole] for a in asked]
        hidden = torch.zeros(*inputs.ids.shape, found[0].shape[-1])
        for i, state in enumerate(found):
            hidden[i, : len(state)] = state
        return hidden
