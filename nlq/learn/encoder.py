"""The sentence encoder: MiniLM's six transformer layers in plain torch, with low-rank changes on the upper ones.

Written out rather than imported from `transformers`, so that the shipped file holds only the changes, so that they can
be merged for speed, and so that loading takes a tenth of a second.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

MAX_TOKENS = 96


class EncoderMissingError(FileNotFoundError):
    """The base encoder's files are not where they were looked for; the message says where and how to get them."""


class Adapted(nn.Module):
    """A frozen linear layer plus a trainable change of low rank."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, rank: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.down: nn.Parameter | None = None
        self.up: nn.Parameter | None = None
        if rank:
            self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / weight.shape[1] ** 0.5)
            self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output with the change added."""
        out = functional.linear(x, self.weight, self.bias)
        if self.down is not None and self.up is not None:
            out = out + functional.linear(functional.linear(x, self.down), self.up) * 2.0
        return out

    def merge(self) -> None:
        """Fold the change into the weight, for inference."""
        if self.down is not None and self.up is not None:
            self.weight = self.weight + 2.0 * (self.up.detach() @ self.down.detach())
            self.down = self.up = None


class Layer(nn.Module):
    """One post-norm transformer layer of BERT."""

    def __init__(self, state: dict[str, Tensor], prefix: str, heads: int, rank: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        names = [f"{prefix}attention.self.{n}" for n in ("query", "key", "value")]
        self.qkv = Adapted(
            torch.cat([state[f"{n}.weight"] for n in names]), torch.cat([state[f"{n}.bias"] for n in names]), rank
        )
        self.out = _adapted(state, f"{prefix}attention.output.dense", rank)
        self.up = _adapted(state, f"{prefix}intermediate.dense", rank)
        self.down = _adapted(state, f"{prefix}output.dense", rank)
        self.norm1 = _norm(state, f"{prefix}attention.output.LayerNorm")
        self.norm2 = _norm(state, f"{prefix}output.LayerNorm")

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, length, width) → the same; `mask` is true where a token may be looked at."""
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        # Written out: on short texts the fused kernel's backward pass takes five times as long on a CPU.
        scores = torch.matmul(q, k.transpose(-1, -2)) / (width // self.heads) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -1e4)
        mixed = torch.matmul(scores.softmax(-1).to(v.dtype), v)
        mixed = mixed.transpose(1, 2).reshape(batch, length, width)
        x = self.norm1(x + functional.dropout(self.out(mixed), self.dropout, self.training))
        hidden = self.down(functional.gelu(self.up(x)))
        return self.norm2(x + functional.dropout(hidden, self.dropout, self.training))


class Encoder(nn.Module):
    """Token vectors of one or two texts."""

    def __init__(self, directory: Path, *, rank: int = 16, tuned_layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        state = load_file(directory / "model.safetensors")
        self.width: int = config["hidden_size"]
        self.words = nn.Embedding.from_pretrained(state["embeddings.word_embeddings.weight"], freeze=True)
        self.places = nn.Embedding.from_pretrained(state["embeddings.position_embeddings.weight"], freeze=True)
        self.segments = nn.Embedding.from_pretrained(state["embeddings.token_type_embeddings.weight"], freeze=True)
        self.norm = _norm(state, "embeddings.LayerNorm")
        count, heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.frozen_layers: int = max(0, count - tuned_layers) if rank else count
        self.layers = nn.ModuleList(
            Layer(state, f"encoder.layer.{i}.", heads, rank if i >= self.frozen_layers else 0, dropout)
            for i in range(count)
        )

    def forward(self, ids: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        """(batch, length) token ids, segment ids and a 0/1 mask → (batch, length, width)."""
        return self.upper(self.lower(ids, segments, mask), mask)

    def lower(self, ids: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        """The part that is never tuned: embeddings and the first layers. Its output may be kept between epochs."""
        x = self.words(ids) + self.segments(segments) + self.places.weight[: ids.shape[1]]
        return self._through(self.norm(x), mask, self.layers[: self.frozen_layers])

    def upper(self, x: Tensor, mask: Tensor) -> Tensor:
        """The tuned layers, from what `lower` gave."""
        return self._through(x, mask, self.layers[self.frozen_layers :])

    def _through(self, x: Tensor, mask: Tensor, layers: nn.ModuleList) -> Tensor:
        attend = None if bool(mask.all()) else mask[:, None, None, :].bool()
        for layer in layers:
            x = layer(x, attend)
        return x

    def merge(self) -> None:
        """Fold all low-rank changes into the weights."""
        for module in self.modules():
            if isinstance(module, Adapted):
                module.merge()


def find_directory(directory: str | Path | None) -> Path:
    """The folder with `config.json`, `tokenizer.json` and `model.safetensors` of MiniLM.

    Raises:
        EncoderMissingError: they are not there.
    """
    from retrieval.models import ModelFileError, embedding_model_dir

    try:
        found = Path(directory) if directory is not None else embedding_model_dir()
    except ModelFileError as error:
        raise EncoderMissingError(str(error)) from error
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        if not (found / name).is_file():
            raise EncoderMissingError(f"{found / name} is missing: fetch the embedding model with `make models`")
    return found


@lru_cache(maxsize=4)
def tokenizer(directory: Path) -> Tokenizer:
    """The base model's word-piece tokenizer, cut at `MAX_TOKENS`."""
    made = Tokenizer.from_file(str(directory / "tokenizer.json"))
    made.no_padding()
    made.enable_truncation(MAX_TOKENS, strategy="longest_first")
    return made


def _adapted(state: dict[str, Tensor], name: str, rank: int) -> Adapted:
    return Adapted(state[f"{name}.weight"], state[f"{name}.bias"], rank)


def _norm(state: dict[str, Tensor], name: str) -> nn.LayerNorm:
    weight = state[f"{name}.weight"]
    made = nn.LayerNorm(weight.shape[0], eps=1e-12)
    made.weight = nn.Parameter(weight.clone(), requires_grad=False)
    made.bias = nn.Parameter(state[f"{name}.bias"].clone(), requires_grad=False)
    return made
