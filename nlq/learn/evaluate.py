"""How well the learnt parser reads questions of authors it has never seen."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from nlq.learn.agreement import agreement
from nlq.learn.batch import Asked, Batcher
from nlq.learn.labels import AGGREGATES, OUTCOMES, ROLES, SHAPES, instantiate
from nlq.learn.mutate import mutations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from nlq.learn.data import Example
    from nlq.learn.labels import Sketch
    from nlq.learn.network import Logits, Network
    from nlq.learn.parser import Parser
    from streaming.catalogue import Catalogue

CORE_SHAPES = (
    "group", "count_rows", "having", "limit", "order_desc", "distinct", "join", "window", "ratio", "percent",
    "conditional", "time_bucket", "latest_row", "top_per_group", "negation", "scalar_subquery", "compare_views",
    "single_block",
)  # fmt: skip
CORE_ROLES = ("select", "group", "filter", "order", *AGGREGATES)


@dataclass(kw_only=True)
class Tally:
    """Counts over wordings."""

    n: int = 0
    answerable: int = 0
    hits: dict[str, int] = field(default_factory=dict)
    shape: dict[str, list[int]] = field(default_factory=dict)
    """Shape → [true positives, false positives, false negatives]."""
    role: dict[str, list[int]] = field(default_factory=dict)

    def add(self, name: str, right: bool) -> None:
        """Count one yes or no."""
        self.hits[name] = self.hits.get(name, 0) + int(right)

    def merge(self, other: Tally) -> None:
        """Add another tally's counts."""
        self.n, self.answerable = self.n + other.n, self.answerable + other.answerable
        for name, count in other.hits.items():
            self.hits[name] = self.hits.get(name, 0) + count
        for mine, theirs in ((self.shape, other.shape), (self.role, other.role)):
            for name, counts in theirs.items():
                mine[name] = [a + b for a, b in zip(mine.get(name, [0, 0, 0]), counts, strict=True)]


@torch.inference_mode()
def evaluate(network: Network, batcher: Batcher, examples: Sequence[Example], size: int = 32) -> Tally:
    """Compare with the closest accepted reading of each wording, at a threshold of one half."""
    network.eval()
    tally = Tally()
    wordings = sorted(((e, w) for e in examples for w in e.wordings), key=lambda x: len(x[1]))
    for start in range(0, len(wordings), size):
        batch = wordings[start : start + size]
        asked = [Asked(question=w, history=e.history, before=e.before, role=e.role) for e, w in batch]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(batcher.inputs(asked))
        for i, (example, _) in enumerate(batch):
            _score(tally, logits, i, example, batcher)
    return tally


def _score(tally: Tally, logits: Logits, i: int, example: Example, batcher: Batcher) -> None:
    tally.n += 1
    outcome = OUTCOMES[int(logits.outcome[i].argmax())]
    tally.add("outcome", outcome == example.outcome)
    tally.add("answerable or not", (outcome == "answer") == (example.outcome == "answer"))
    if example.outcome != "answer":
        tally.add("caught: not answerable", outcome != "answer")
        return
    tally.answerable += 1
    tally.add("kept: answerable", outcome == "answer")
    items = batcher.items
    main = items.views[int(logits.main[i].argmax())]
    views = {v for v, on in zip(items.views, (logits.views[i] > 0).tolist(), strict=True) if on} | {main}
    top = {items.views[k] for k in logits.views[i].topk(4).indices.tolist()} | {main}
    shapes = {s for s, on in zip(SHAPES, (logits.shapes[i] > 0).tolist(), strict=True) if on}
    roles: set[tuple[tuple[str, str], str]] = {
        (items.columns[c], ROLES[r]) for c, r in (logits.roles[i] > 0).nonzero().tolist()
    }
    gold = max(example.accepted, key=lambda s: len(roles & _pairs(s)) + (s.main_view == main) - len(s.views ^ views))
    tally.add("main view", main == gold.main_view)
    tally.add("exact views", views == set(gold.views))
    tally.add("views within top 4", set(gold.views) <= top)
    truth = _pairs(gold)
    core, core_truth = _core(roles), _core(truth)
    _count(tally.role, "all", roles, truth)
    _count(tally.role, "core", core, core_truth)
    for name in CORE_ROLES:
        _count(tally.role, name, {p for p in core if p[1] == name}, {p for p in core_truth if p[1] == name})
    for name in SHAPES:
        _count(tally.shape, name, {name} & shapes, {name} & gold.shapes)
    same_shapes = (shapes & set(CORE_SHAPES)) == (gold.shapes & set(CORE_SHAPES))
    tally.add("exact core roles", core == core_truth)
    tally.add("exact core shapes", same_shapes)
    tally.add(
        "exact sketch (views, core roles, core shapes)", core == core_truth and same_shapes and views == gold.views
    )


def _pairs(found: Sketch) -> set[tuple[tuple[str, str], str]]:
    return {(column, role) for column, roles in found.columns.items() for role in roles}


def _core(pairs: set[tuple[tuple[str, str], str]]) -> set[tuple[tuple[str, str], str]]:
    return {p for p in pairs if p[1] in CORE_ROLES}


def _count(into: dict[str, list[int]], name: str, found: AbstractSet[object], truth: AbstractSet[object]) -> None:
    counts = into.setdefault(name, [0, 0, 0])
    counts[0] += len(found & truth)
    counts[1] += len(found - truth)
    counts[2] += len(truth - found)


def table(tally: Tally) -> str:
    """The tally as a Markdown table."""
    of_all = {"outcome", "answerable or not"}
    lines = [f"{tally.n} wordings, {tally.answerable} answerable.", "", "| what | right |", "| --- | --- |"]
    for name, count in tally.hits.items():
        base = tally.n if name in of_all else tally.n - tally.answerable if "caught" in name else tally.answerable
        lines.append(f"| {name} | {count}/{base} = {100 * count / max(base, 1):.1f} % |")
    lines += ["", "| role or shape | precision | recall | F1 | gold |", "| --- | --- | --- | --- | --- |"]
    for kind, counts in (("role", tally.role), ("shape", tally.shape)):
        for name, (hit, extra, missed) in counts.items():
            if hit + missed < 20:
                continue
            precision, recall = hit / max(hit + extra, 1), hit / (hit + missed)
            f1 = 2 * hit / max(2 * hit + extra + missed, 1)
            lines.append(f"| {kind} {name} | {precision:.3f} | {recall:.3f} | {f1:.3f} | {hit + missed} |")
    return "\n".join(lines)


def agreement_table(parsers: Sequence[tuple[Parser, Sequence[Example]]], catalogue: Catalogue, seed: int = 7) -> str:
    """How well `agreement` tells a gold SQL from the same SQL with one mistake, on unseen authors.

    A logistic model over the features is fitted on the other authors' pairs each time; AUC by kind of mistake.
    """
    from nlq.learn.confidence import Scored, held_out_scores

    rows, kinds = _pairs_with_mistakes(parsers, catalogue, random.Random(seed))
    scores = held_out_scores([Scored(id=k, author=a, features=f, right=r) for k, a, f, r in rows])
    good = [s for s, row in zip(scores, rows, strict=True) if row[3]]
    lines = ["| mistake | n | AUC |", "| --- | --- | --- |"]
    for kind in [*sorted(kinds), "any"]:
        bad = [s for s, row in zip(scores, rows, strict=True) if not row[3] and kind in (row[0], "any")]
        lines.append(f"| {kind} | {len(bad)} | {_auc(good, bad):.3f} |")
    return "\n".join(lines)


def _pairs_with_mistakes(
    parsers: Sequence[tuple[Parser, Sequence[Example]]], catalogue: Catalogue, chance: random.Random
) -> tuple[list[tuple[str, str, dict[str, float], bool]], set[str]]:
    rows: list[tuple[str, str, dict[str, float], bool]] = []
    kinds: set[str] = set()
    schema = catalogue.sqlglot_schema
    for parser, examples in parsers:
        for example in examples:
            if example.outcome != "answer" or not example.gold:
                continue
            proposal = parser.propose_asked(
                Asked(question=example.wordings[0], history=example.history, before=example.before, role=example.role)
            )
            rows.append(("gold", example.author, agreement(proposal, instantiate(example.gold), schema), True))
            for kind, sql in mutations(example.gold, schema, chance):
                kinds.add(kind)
                rows.append((kind, example.author, agreement(proposal, sql, schema), False))
    return rows, kinds


def _auc(good: Sequence[float], bad: Sequence[float]) -> float:
    """Chance that a right SQL scores above a wrong one."""
    import numpy as np

    if not good or not bad:
        return float("nan")
    values = np.concatenate([np.asarray(good), np.asarray(bad)])
    ranks = values.argsort().argsort().astype(float)
    for value in np.unique(values):
        same = values == value
        ranks[same] = ranks[same].mean()
    wins = ranks[: len(good)].sum() - len(good) * (len(good) - 1) / 2
    return float(wins / (len(good) * len(bad)))
