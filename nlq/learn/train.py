"""Training of the learnt parser on verified questions: minutes on a CPU, the same weights for the same seed."""

from __future__ import annotations

import hashlib
import json
import random
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch.nn import functional

from nlq.learn.augment import vary
from nlq.learn.batch import Asked, Batcher, Targets
from nlq.learn.describe import describe
from nlq.learn.encoder import Encoder, tokenizer
from nlq.learn.labels import OUTCOMES, ROLES, SHAPES
from nlq.learn.network import Logits, Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nlq.learn.data import Example
    from streaming.catalogue import Catalogue


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights, besides the data."""

    epochs: int = 8
    batch_size: int = 48
    rank: int = 16
    tuned_layers: int = 4
    encoder_rate: float = 1.5e-3
    head_rate: float = 1.2e-3
    augment: float = 0.7
    """Share of wordings that are varied in each epoch."""
    seed: int = 20261120


def train(
    examples: Sequence[Example],
    catalogue: Catalogue,
    directory: Path,
    recipe: Recipe,
    *,
    names: Sequence[Sequence[str]] = (),
    progress: Callable[[str], None] = print,
) -> Network:
    """Tune a network on all wordings of `examples`; `directory` holds the base encoder."""
    torch.manual_seed(recipe.seed)
    chance = random.Random(recipe.seed)
    network, batcher = new_network(catalogue, directory, recipe)
    tuned = [p for p in network.encoder.parameters() if p.requires_grad]
    heads = [p for n, p in network.named_parameters() if p.requires_grad and not n.startswith("encoder.")]
    optimiser = torch.optim.AdamW(
        [{"params": tuned, "lr": recipe.encoder_rate}, {"params": heads, "lr": recipe.head_rate}], weight_decay=0.01
    )
    wordings = [(e, w) for e in examples for w in e.wordings]
    steps = recipe.epochs * -(-len(wordings) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        [recipe.encoder_rate, recipe.head_rate],
        total_steps=steps + 1,
        pct_start=0.1,
        anneal_strategy="linear",
    )
    for epoch in range(recipe.epochs):
        network.train()
        started, total, count = time.perf_counter(), 0.0, 0
        for batch in _batches(wordings, recipe.batch_size, chance):
            asked = [
                Asked(
                    question=vary(w, names, chance) if chance.random() < recipe.augment else w,
                    history=e.history,
                    before=e.before,
                    role=e.role,
                )
                for e, w in batch
            ]
            targets = batcher.targets([e.outcome for e, _ in batch], [e.sketch for e, _ in batch])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = network(batcher.inputs(asked))
            loss = loss_of(logits, targets)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*tuned, *heads], 1.0)
            optimiser.step()
            schedule.step()
            total, count = total + float(loss.detach()), count + 1
        progress(f"epoch {epoch + 1}/{recipe.epochs} loss {total / count:.3f} {time.perf_counter() - started:.0f} s")
    network.eval()
    return network


def new_network(catalogue: Catalogue, directory: Path, recipe: Recipe) -> tuple[Network, Batcher]:
    """An untrained network for the catalogue, and the batcher that feeds it."""
    encoder = Encoder(directory, rank=recipe.rank, tuned_layers=recipe.tuned_layers)
    tokens = tokenizer(directory)
    items = describe(catalogue, encoder, tokens)
    return Network(encoder, items), Batcher(catalogue, items, tokens)


def loss_of(logits: Logits, targets: Targets) -> torch.Tensor:
    """Sum of the heads' losses, weighted so that each is of the order of one at the start."""
    loss = functional.cross_entropy(logits.outcome.float(), targets.outcome)
    rows = targets.has_sketch
    if bool(rows.any()):
        loss = loss + functional.cross_entropy(logits.main[rows].float(), targets.main[rows])
        loss = loss + 0.5 * _binary(logits.views[rows], targets.views[rows])
        loss = loss + 0.15 * _binary(logits.shapes[rows], targets.shapes[rows])
        loss = loss + 0.10 * _binary(logits.roles[rows], targets.roles[rows])
    return loss


def _binary(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross entropy, summed over what a question has and averaged over questions."""
    summed = functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="sum")
    return summed / logits.shape[0]


def _batches(
    wordings: Sequence[tuple[Example, str]], size: int, chance: random.Random
) -> Iterator[list[tuple[Example, str]]]:
    """Random batches of similar length, so that little is spent on padding."""
    order = sorted(wordings, key=lambda w: len(w[1]) + sum(map(len, w[0].history[-2:])) + chance.random() * 30)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    chance.shuffle(batches)
    yield from batches


def save(network: Network, path: Path, recipe: Recipe, **facts: object) -> str:
    """Write the trained change in half precision with its recipe beside it; returns the SHA-256 of the weights."""
    state = {
        name: p.detach().half().contiguous()
        for name, p in network.named_parameters()
        if p.requires_grad and (name != "offset" or p.abs().sum() > 0)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    save_file(state, temporary)
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    card = {
        "sha256": digest,
        "recipe": asdict(recipe),
        "views": list(network.items.views),
        "columns": [list(c) for c in network.items.columns],
        "roles": list(ROLES),
        "shapes": list(SHAPES),
        "outcomes": list(OUTCOMES),
        **facts,
    }
    temporary.replace(path)
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return digest
