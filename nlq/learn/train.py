"""Training of the learnt parser and writer on verified questions: minutes on a CPU, the same weights for the same seed."""

from __future__ import annotations

import hashlib
import json
import random
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from nlq.learn.augment import vary
from nlq.learn.batch import Asked, Batcher, Targets
from nlq.learn.describe import describe, text_key
from nlq.learn.encoder import Encoder, tokenizer
from nlq.learn.labels import OUTCOMES, ROLES, SHAPES
from nlq.learn.network import Logits, Network, further
from nlq.learn.states import FrozenStates
from nlq.learn.writer import Writer, described, vocabulary_of
from nlq.learn.writer import loss_of as loss_of_forms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nlq.learn.data import Example
    from nlq.learn.writer import Vocabulary
    from streaming.catalogue import Catalogue


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the weights, besides the data.

    First the heads, then the writer are trained on a frozen encoder. With a `rank`, its upper layers are tuned with both
    afterwards, at some four times the cost of an epoch.
    """

    head_epochs: int = 8
    cycles: int = 1
    """How often the heads' `head_epochs` are gone through, each time with the rate up and down again."""
    writer_epochs: int = 0
    """On the frozen encoder; 0 makes no writer."""
    tuned_epochs: int = 6
    last_epochs: int = 0
    """Of new heads on the token vectors of the encoder as it is then, which stays as it is; 0 keeps the heads there are."""
    voices: int = 1
    """How many sets of such heads are trained, each from another start; their probabilities are averaged."""
    batch_size: int = 48
    rank: int = 0
    tuned_layers: int = 0
    head_rate: float = 3e-3
    tuned_rate: float = 4e-4
    tuned_head_rate: float = 1e-3
    last_dropout: float = 0.3
    """Of the token vectors, while the last heads are trained."""
    writer_rate: float = 1e-3
    writer_weight: float = 1.5
    """Of the writer's loss beside the heads' while the encoder is tuned."""
    columns: int = 40
    """Columns whose roles are scored for each question in a step."""
    variants: int = 0
    """Reworded copies of each wording beside the wording itself."""
    seed: int = 20261120


def train(
    examples: Sequence[Example],
    catalogue: Catalogue,
    directory: Path,
    recipe: Recipe,
    *,
    names: Sequence[Sequence[str]] = (),
    forms: Callable[[Example, str], Sequence[str]] | None = None,
    states: FrozenStates | None = None,
    start: Path | None = None,
    keep: Callable[[Network], object] = lambda network: None,
    progress: Callable[[str], None] = print,
) -> Network:
    """Tune a network on all wordings of `examples`.

    Args:
        examples: verified questions.
        catalogue: what they are asked of.
        directory: folder of the base encoder.
        recipe: sizes, rates and seed.
        names: groups of interchangeable names for rewording.
        forms: the form that a wording of an example should be written as, empty for none; None trains no writer.
        states: token vectors of an earlier training with the same base and recipe, to save time.
        start: weights to begin with, of the same catalogue and layout; None begins with none.
        keep: given the network after each stage and each epoch of tuning, to survive an interruption.
        progress: told of each epoch.

    Raises:
        WeightsError: `start` cannot be used.
    """
    torch.manual_seed(recipe.seed)
    network, batcher = new_network(catalogue, directory, recipe)
    rows = list(_rows(examples, names, recipe, forms))
    written = [r for r in rows if r.form]
    if recipe.writer_epochs and written:
        vocabulary = vocabulary_of([r.form for r in written], network.items)
        network.writer = Writer(vocabulary, described(vocabulary, network.items), network.encoder.width)
    states = states if states is not None else FrozenStates()
    if recipe.head_epochs or recipe.tuned_epochs or written:
        states.add(network, batcher, [r.asked for r in rows])
    if start is not None:
        _begin_with(network, start)
    chance = random.Random(recipe.seed)
    parts = {"encoder": [], "writer": [], "heads": []}  # type: dict[str, list[torch.nn.Parameter]]
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parts[name.split(".")[0] if name.startswith(("encoder.", "writer.")) else "heads"].append(parameter)
    stages = [("heads", recipe.head_epochs, rows, [{"params": parts["heads"], "lr": recipe.head_rate}])] * recipe.cycles
    if network.writer is not None:
        stages.append(
            ("writer", recipe.writer_epochs, written, [{"params": parts["writer"], "lr": recipe.writer_rate}])
        )
    if parts["encoder"]:
        rates = {"heads": recipe.tuned_head_rate, "writer": recipe.writer_rate, "encoder": recipe.tuned_rate}
        stages.append(("all", recipe.tuned_epochs, rows, [{"params": parts[n], "lr": r} for n, r in rates.items()]))
    for stage, epochs, chosen, groups in stages:
        if not epochs:
            continue
        steps = epochs * -(-len(chosen) // recipe.batch_size)
        optimiser, schedule = _descent(groups, steps)
        for epoch in range(epochs):
            started, total, count = time.perf_counter(), 0.0, 0
            network.train()
            for batch in _batches(chosen, recipe.batch_size, chance):
                loss = _loss_of_batch(network, batcher, states, batch, recipe, stage)
                _step(loss, optimiser, schedule)
                total, count = total + float(loss.detach()), count + 1
            seconds = time.perf_counter() - started
            progress(f"{stage} {epoch + 1}/{epochs} loss {total / max(count, 1):.3f} {seconds:.0f} s")
            if epoch + 1 == epochs or stage == "all":
                keep(network)
    if recipe.last_epochs:
        _last_heads(network, batcher, rows, recipe, progress)
    network.eval()
    return network


def _descent(
    groups: Sequence[dict[str, Any]], steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimiser = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=0.01)
    rates = [g["lr"] for g in optimiser.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rates, total_steps=steps + 1, pct_start=0.1, anneal_strategy="linear"
    )
    return optimiser, schedule


def _step(loss: Tensor, optimiser: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    for group in optimiser.param_groups:
        torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
    optimiser.step()
    schedule.step()


def _last_heads(
    network: Network, batcher: Batcher, rows: Sequence[Row], recipe: Recipe, progress: Callable[[str], None]
) -> None:
    """New heads over the encoder as it is: one set takes the place of the network's, the others stand beside it."""
    states = FrozenStates()
    states.add(network, batcher, [r.asked for r in rows])
    made = []
    for voice in range(recipe.voices):
        torch.manual_seed(recipe.seed + voice)
        chance, heads = random.Random(recipe.seed + voice), Network(network.encoder, network.items)
        of_heads = [(n, p) for n, p in heads.named_parameters() if p.requires_grad and not n.startswith("encoder.")]
        groups = [{"params": [p for _, p in of_heads], "lr": recipe.head_rate}]
        optimiser, schedule = _descent(groups, recipe.last_epochs * -(-len(rows) // recipe.batch_size))
        started, total, count = time.perf_counter(), 0.0, 0
        heads.train()
        for epoch in range(recipe.last_epochs):
            for batch in _batches(rows, recipe.batch_size, chance):
                loss = _loss_of_batch(heads, batcher, states, batch, recipe, "last")
                _step(loss, optimiser, schedule)
                if epoch + 1 == recipe.last_epochs:
                    total, count = total + float(loss.detach()), count + 1
        seconds = time.perf_counter() - started
        progress(f"heads {voice + 1} of {recipe.voices} loss {total / max(count, 1):.3f} {seconds:.0f} s")
        made.append((heads.eval(), dict(of_heads)))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name in made[0][1]:
                parameter.copy_(made[0][1][name])
    network.others = tuple(heads for heads, _ in made[1:])


def _begin_with(network: Network, path: Path) -> None:
    """Put trained values into an untrained network; tokens that were not known then stay as they are."""
    from nlq.learn.parser import read_weights, read_writer

    card, state = read_weights(path)
    state.pop("item_vectors", None)
    network.load_state_dict({n: t.float() for n, t in state.items()}, strict=False)
    if network.writer is None or not card.get("tokens"):
        return
    at = network.writer.vocabulary.at
    held = dict(network.writer.named_parameters())
    with torch.no_grad():
        for name, tensor in read_writer(card, path).items():
            if name in ("words", "bias"):
                known = [(at[t], i) for i, t in enumerate(card["tokens"]) if t in at]
                held[name][[a for a, _ in known]] = tensor.float()[[i for _, i in known]]
            else:
                held[name].copy_(tensor.float())


@dataclass(frozen=True)
class Row:
    """One wording to learn from."""

    example: Example
    asked: Asked
    form: tuple[str, ...]
    """Empty where the writer learns nothing from it."""


def _rows(
    examples: Sequence[Example],
    names: Sequence[Sequence[str]],
    recipe: Recipe,
    forms: Callable[[Example, str], Sequence[str]] | None,
) -> Iterator[Row]:
    """Each wording and its variants. A wording's variants depend on it and the seed alone, not on the other rows."""
    for example in examples:
        for wording in example.wordings:
            chance = random.Random(f"{recipe.seed} {example.id} {wording}")
            for text in [wording, *(vary(wording, names, chance) for _ in range(recipe.variants))]:
                asked = Asked(question=text, history=example.history, before=example.before, role=example.role)
                yield Row(example, asked, tuple(forms(example, text)) if forms is not None else ())


def _loss_of_batch(
    network: Network, batcher: Batcher, states: FrozenStates, batch: Sequence[Row], recipe: Recipe, stage: str
) -> Tensor:
    asked = [r.asked for r in batch]
    inputs = batcher.inputs(asked)
    loss = torch.zeros(())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        if stage == "all":
            hidden = network.encoder.upper(states.of(asked, inputs, whole=False), inputs.mask)
        else:
            hidden = states.of(asked, inputs, whole=True)
    if stage == "last":
        hidden = functional.dropout(hidden, recipe.last_dropout)
    if stage != "writer":
        targets = batcher.targets([r.example.outcome for r in batch], [r.example.sketch for r in batch])
        chosen, weights = sample_columns(targets, batcher.items.view_of, recipe.columns)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network.heads(hidden, inputs, chosen)
        loss = loss + loss_of(logits, targets, chosen, weights)
    at = [i for i, r in enumerate(batch) if r.form]
    if stage in ("writer", "all") and network.writer is not None and at:
        given, wanted = form_tensors(network.writer.vocabulary, [batch[i].form for i in at])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = network.writer(hidden[at], inputs.mask[at], given)
        loss = loss + (recipe.writer_weight if stage == "all" else 1.0) * loss_of_forms(scores, wanted)
    return loss


def form_tensors(vocabulary: Vocabulary, forms: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
    """What the writer is given and what it should say next, (batch, length) each."""
    encoded = [vocabulary.encode(f) for f in forms]
    given = torch.zeros(len(forms), max(map(len, encoded)), dtype=torch.long)
    wanted = given.clone()
    for i, tokens in enumerate(encoded):
        given[i, : len(tokens)] = torch.tensor([1, *tokens[:-1]])
        wanted[i, : len(tokens)] = torch.tensor(tokens)
    return given, wanted


def new_network(catalogue: Catalogue, directory: Path, recipe: Recipe) -> tuple[Network, Batcher]:
    """An untrained network for the catalogue, and the batcher that feeds it."""
    encoder = Encoder(directory, rank=recipe.rank, tuned_layers=recipe.tuned_layers)
    tokens = tokenizer(directory)
    items = describe(catalogue, encoder, tokens)
    return Network(encoder, items), Batcher(catalogue, items, tokens)


def sample_columns(targets: Targets, view_of: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Columns to train on, (batch, size), and their weights: those with a role, their views' others, some at random.

    A random column stands for all that were left out.
    """
    used = targets.roles.amax(-1)
    of_views = targets.views[:, view_of]
    score = 4.0 * used + 2.0 * of_views + torch.rand_like(used)
    # A third is kept for columns of other views.
    order = score.argsort(1, descending=True)
    size = min(size, used.shape[1])
    near, rest = order.split([size * 2 // 3, used.shape[1] - size * 2 // 3], 1)
    far = rest.gather(1, torch.rand(rest.shape).argsort(1)[:, : size - near.shape[1]])
    weight_far = rest.shape[1] / max(far.shape[1], 1)
    weights = torch.cat([torch.ones(near.shape), torch.full(far.shape, weight_far)], 1)
    return torch.cat([near, far], 1), weights


def loss_of(logits: Logits, targets: Targets, chosen: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
    """Sum of the heads' losses, weighted so that each is of the order of one at the start."""
    loss = functional.cross_entropy(logits.outcome.float(), targets.outcome)
    rows = targets.has_sketch
    if bool(rows.any()):
        roles = targets.roles
        if chosen is not None:
            roles = roles.gather(1, chosen[..., None].expand(-1, -1, roles.shape[-1]))
        loss = loss + functional.cross_entropy(logits.main[rows].float(), targets.main[rows])
        loss = loss + 0.5 * _binary(logits.views[rows], targets.views[rows])
        loss = loss + 0.2 * _binary(logits.shapes[rows], targets.shapes[rows])
        by_column = None if weights is None else weights[rows][..., None]
        loss = loss + 0.15 * _binary(logits.roles[rows], roles[rows], by_column)
    return loss


def _binary(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Binary cross entropy, summed over what a question has and averaged over questions."""
    summed = functional.binary_cross_entropy_with_logits(logits.float(), targets, weight=weights, reduction="sum")
    return summed / logits.shape[0]


def _batches(rows: Sequence[Row], size: int, chance: random.Random) -> Iterator[list[Row]]:
    """Random batches of similar length, so that little is spent on padding."""
    order = sorted(
        rows,
        key=lambda r: (
            len(r.asked.question) + 2 * len(r.form) + sum(map(len, r.asked.history[-2:])) + chance.random() * 30
        ),
    )
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    chance.shuffle(batches)
    yield from batches


def save(network: Network, path: Path, recipe: Recipe, **facts: object) -> str:
    """Write the trained change in half precision with its recipe beside it; returns the SHA-256 of the weights.

    The writer goes into a file of its own, `<name>-writer.safetensors`.
    """
    held = _trained(network)
    state = {n: t for n, t in held.items() if not n.startswith("writer.")}
    state["item_vectors"] = network.items.vectors.half().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = _write(state, path)
    card: dict[str, object] = {
        "sha256": digest,
        "recipe": asdict(recipe),
        "views": list(network.items.views),
        "columns": [list(c) for c in network.items.columns],
        "texts": [text_key(t) for t in network.items.texts],
        "roles": list(ROLES),
        "shapes": list(SHAPES),
        "outcomes": list(OUTCOMES),
        **facts,
    }
    if network.writer is not None:
        written = {n.removeprefix("writer."): t for n, t in held.items() if n.startswith("writer.")}
        card["writer_sha256"] = _write(written, path.with_name(f"{path.stem}-writer.safetensors"))
        card["tokens"] = list(network.writer.vocabulary.tokens)
    card["others"] = [
        _write({n: t for n, t in _trained(other).items() if not n.startswith("encoder.")}, further(path, at))
        for at, other in enumerate(network.others, 2)
    ]
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return digest


def _trained(network: Network) -> dict[str, Tensor]:
    return {
        name: p.detach().half().contiguous()
        for name, p in network.named_parameters()
        if p.requires_grad and (name != "offset" or p.abs().sum() > 0)
    }


def _write(state: dict[str, Tensor], path: Path) -> str:
    temporary = path.with_suffix(".partial")
    save_file(state, temporary)
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    temporary.chmod(0o644)
    temporary.replace(path)
    return digest
