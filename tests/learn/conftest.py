"""A tiny random base encoder and a handful of verified questions: enough to prove the plumbing of the learnt parser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from streaming.catalogue import Catalogue

if TYPE_CHECKING:
    from pathlib import Path

_WIDTH, _LAYERS = 32, 2

CASES = [
    {"question": "how many orders were cancelled today", "sql": "SELECT count(*) AS n FROM orders WHERE status = 'CANCELLED' AND trade_date = {as_of_date}"},
    {"question": "open alerts by detector", "sql": "SELECT detector, count(*) AS n FROM alerts WHERE status = 'NEW' GROUP BY detector"},
    {"question": "largest print of the tape", "sql": "SELECT max(qty) AS q FROM market_trades"},
    {"question": "average spread of quotes by venue", "sql": "SELECT venue, avg(spread_bps) AS s FROM quotes GROUP BY venue"},
    {"question": "accounts opened by employees", "sql": "SELECT account_id FROM accounts WHERE account_type = 'EMPLOYEE'"},
    {"question": "what will the weather be", "sql": None},
]  # fmt: skip


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """The shipped catalogue."""
    return Catalogue.load()


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, catalogue: Catalogue) -> Path:
    """A folder laid out like the real base encoder's."""
    folder = tmp_path_factory.mktemp("encoder")
    words = {w for c in CASES for w in c["question"].split()}  # type: ignore[union-attr]
    words |= {w.lower() for v in catalogue.views.values() for c in v.columns for w in c.split("_")}
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(words), *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")]
    tokens = Tokenizer(WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokens.normalizer, tokens.pre_tokenizer = BertNormalizer(lowercase=True), BertPreTokenizer()
    tokens.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokens.save(str(folder / "tokenizer.json"))
    config = {"hidden_size": _WIDTH, "num_hidden_layers": _LAYERS, "num_attention_heads": 4}
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    save_file(_random_state(len(pieces)), folder / "model.safetensors")
    return folder


def _random_state(vocabulary: int) -> dict[str, torch.Tensor]:
    state = {
        "embeddings.word_embeddings.weight": torch.randn(vocabulary, _WIDTH),
        "embeddings.position_embeddings.weight": torch.randn(128, _WIDTH) * 0.1,
        "embeddings.token_type_embeddings.weight": torch.randn(2, _WIDTH) * 0.1,
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(_LAYERS):
        at = f"encoder.layer.{layer}"
        sizes = {f"{at}.attention.self.{n}": (_WIDTH, _WIDTH) for n in ("query", "key", "value")}
        sizes |= {f"{at}.attention.output.dense": (_WIDTH, _WIDTH)}
        sizes |= {f"{at}.intermediate.dense": (64, _WIDTH), f"{at}.output.dense": (_WIDTH, 64)}
        for name, (rows, columns) in sizes.items():
            state[f"{name}.weight"] = torch.randn(rows, columns) * 0.2
            state[f"{name}.bias"] = torch.zeros(rows)
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    for name in norms:
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.ones(_WIDTH), torch.zeros(_WIDTH)
    return state


@pytest.fixture(scope="session")
def case_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one case file, and a locked author's file that must never be read."""
    folder = tmp_path_factory.mktemp("cases")
    lines = [
        {
            "id": f"tst-{i}",
            "author": "tst",
            "question": c["question"],
            "paraphrases": [],
            "role": "officer",
            "expect": "answer" if c["sql"] else "unanswerable",
            "sql": [c["sql"]] if c["sql"] else [],
            "history": [],
        }
        for i, c in enumerate(CASES)
    ]
    (folder / "tst.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    (folder / "law.jsonl").write_text("this is not JSON: reading it fails\n")
    return folder
