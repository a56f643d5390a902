"""The learnt parser in use: a question in, a `Proposal` out, on one CPU thread."""

from __future__ import annotations

import hashlib
import json
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from nlq.contracts import Proposal
from nlq.learn.batch import Asked, Batcher
from nlq.learn.describe import describe
from nlq.learn.encoder import Encoder, find_directory, tokenizer
from nlq.learn.labels import OUTCOMES, ROLES, SHAPES, LabelError, sketch
from nlq.learn.network import Network, further
from nlq.learn.writer import Vocabulary, Writer, described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nlq.contracts import Turn
    from nlq.learn.labels import Sketch
    from streaming.catalogue import Catalogue

WEIGHTS = Path(__file__).with_name("weights")
_AGAIN = "train it anew with `python -m nlq.learn train`"
_SHOWN = 0.02
"""Roles less probable than this are left out of a proposal."""


class WeightsError(RuntimeError):
    """The trained weights cannot be used; the message names the file, what is wrong and how to make them anew."""


class Parser:
    """Proposes outcome, views, column roles and shape. Safe to call from several threads."""

    def __init__(self, network: Network, batcher: Batcher, catalogue: Catalogue) -> None:
        self.network, self.batcher, self._catalogue = network.eval(), batcher, catalogue
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        catalogue: Catalogue,
        *,
        encoder: str | Path | None = None,
        weights: str | Path | None = None,
        without_author: str | None = None,
    ) -> Parser:
        """Load the shipped weights, or those of a file, onto a catalogue.

        Args:
            catalogue: what may be asked about; views and columns that the weights were not tuned on are read through
                their descriptions alone.
            encoder: folder of the base encoder; None looks in the download cache.
            weights: a `.safetensors` file with its `.json` card beside it.
            without_author: take the fold that never saw this author's questions, for honest measurement.

        Raises:
            EncoderMissingError: the base encoder is not there.
            WeightsError: the weights are missing, damaged or of another layout.
        """
        directory = find_directory(encoder)
        path = Path(weights) if weights is not None else weights_for(without_author)
        card, state = read_weights(path)
        recipe = card["recipe"]
        base = Encoder(directory, rank=recipe["rank"], tuned_layers=recipe["tuned_layers"])
        tokens = tokenizer(directory)
        made = state.pop("item_vectors", None)
        items = describe(catalogue, base, tokens, None if made is None else dict(zip(card["texts"], made, strict=True)))
        network = Network(base, items)
        if card.get("tokens"):
            network.writer = _writer(network, card, path)
        _fill(network, state, card, path)
        for at, digest in enumerate(card.get("others", ()), 2):
            other = Network(base, items)
            _fill(other, _checked(further(path, at), digest), card, path, first=False)
            network.others = (*network.others, other)
        base.merge()
        return cls(network, Batcher(catalogue, items, tokens), catalogue)

    def propose(self, question: str, history: Sequence[Turn] = (), role: str = "officer") -> Proposal:
        """What the question seems to want. `role` is the asker's; it matters for the outcome only."""
        asked = Asked(
            question=question,
            history=tuple(turn.question for turn in history),
            before=self._sketch_of(history[-1].sql) if history else None,
            role=role,
        )
        return self.propose_asked(asked)

    @torch.inference_mode()
    def propose_asked(self, asked: Asked) -> Proposal:
        """As `propose`, for a question whose conversation has been read already."""
        inputs = self.batcher.inputs([asked])
        with self._lock:
            hidden = self.network.encoder(inputs.ids, inputs.segments, inputs.mask)
            logits = self.network.voices(hidden, inputs)
            # A follow-up's SQL stands on the one before, which the writer does not read.
            writer = self.network.writer if not asked.history else None
            written = writer.write(hidden, inputs.mask) if writer is not None else []
        items = self.batcher.items
        roles = logits.roles[0].sigmoid()
        columns: dict[tuple[str, str], dict[str, float]] = {}
        for at, kind in (roles > _SHOWN).nonzero().tolist():
            columns.setdefault(items.columns[at], {})[ROLES[kind]] = float(roles[at, kind])
        return Proposal(
            outcome=_named(OUTCOMES, logits.outcome[0].softmax(-1)),
            main_view=_named(items.views, logits.main[0].softmax(-1)),
            views=_named(items.views, logits.views[0].sigmoid()),
            columns=columns,
            shape=_named(SHAPES, logits.shapes[0].sigmoid()),
            forms=tuple((tuple(w.form), tuple(w.scores)) for w in written),
        )

    def _sketch_of(self, sql: str) -> Sketch | None:
        try:
            return _cached_sketch(sql, self._catalogue.source, _Schema(self._catalogue))
        except LabelError:
            return None


class _Schema:
    """Lets a catalogue's schema be the key of a cache."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def __hash__(self) -> int:
        return hash((self.catalogue.name, self.catalogue.version))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Schema) and other.catalogue is self.catalogue


@lru_cache(maxsize=256)
def _cached_sketch(sql: str, _source: Path, schema: _Schema) -> Sketch:
    return sketch(sql, schema.catalogue.sqlglot_schema)


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The card and the tensors of a weights file, checked against the digest in the card.

    Raises:
        WeightsError: a file is missing or does not match.
    """
    try:
        card: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: {error}; {_AGAIN}") from error
    return card, _checked(path, card["sha256"])


def read_writer(card: dict[str, Any], path: Path) -> dict[str, torch.Tensor]:
    """The tensors of the writer that goes with the weights file `path`.

    Raises:
        WeightsError: the file is missing or does not match.
    """
    return _checked(path.with_name(f"{path.stem}-writer.safetensors"), card["writer_sha256"])


def _checked(path: Path, wanted: str) -> dict[str, torch.Tensor]:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: {error}; {_AGAIN}") from error
    if digest != wanted:
        raise WeightsError(f"{path}: SHA-256 is {digest}, its card says {wanted}; {_AGAIN}")
    return load_file(path)


def _writer(network: Network, card: dict[str, Any], path: Path) -> Writer:
    state = read_writer(card, path)
    vocabulary = Vocabulary(card["tokens"])
    writer = Writer(vocabulary, described(vocabulary, network.items), network.encoder.width)
    missing, unexpected = writer.load_state_dict({n: t.float() for n, t in state.items()}, strict=False)
    if missing or unexpected:
        raise WeightsError(f"{path}: layout of the writer differs at {[*missing, *unexpected][:3]}; {_AGAIN}")
    return writer


def weights_for(without_author: str | None) -> Path:
    """The shipped weights file, or the fold's that never saw an author.

    Raises:
        WeightsError: no fold leaves the author out.
    """
    if without_author is None:
        return WEIGHTS / "parser.safetensors"
    for card in sorted(WEIGHTS.glob("fold-*.json")):
        if without_author in json.loads(card.read_text(encoding="utf-8"))["left_out"]:
            return card.with_suffix(".safetensors")
    raise WeightsError(
        f"no fold in {WEIGHTS} leaves out {without_author!r}; make the folds with `python -m nlq.learn train --folds`"
    )


def _fill(
    network: Network, state: dict[str, torch.Tensor], card: dict[str, Any], path: Path, *, first: bool = True
) -> None:
    """Put trained values into a network that may describe another catalogue."""
    if (list(ROLES), list(SHAPES), list(OUTCOMES)) != (card["roles"], card["shapes"], card["outcomes"]):
        raise WeightsError(f"{path}: trained for other roles or shapes; train it anew with `python -m nlq.learn train`")
    state = {name: tensor.float() for name, tensor in state.items()}
    trained = state.pop("offset", None)
    if trained is not None:
        names = [*card["views"], *(tuple(c) for c in card["columns"])]
        known = {name: trained[i] for i, name in enumerate(names)}
        here = [*network.items.views, *network.items.columns]
        zero = torch.zeros(trained.shape[1])
        network.offset.data = torch.stack([known.get(name, zero) for name in here])
    missing, unexpected = network.load_state_dict(state, strict=False)
    missing = [n for n in missing if not n.startswith("writer.")]
    wrong = [n for n in missing if n != "offset" and network.get_parameter(n).requires_grad] + list(unexpected)
    if not first:
        # Further heads share the encoder, whose change lies in the first file.
        wrong = [n for n in wrong if not n.startswith("encoder.")]
    if wrong:
        raise WeightsError(f"{path}: layout differs at {wrong[:3]}; train it anew with `python -m nlq.learn train`")


def _named(names: Sequence[str], values: torch.Tensor) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))
