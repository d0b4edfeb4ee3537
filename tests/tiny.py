"""A random two-layer llama with a byte tokenizer, and a random BERT: the real architectures, quick."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.models import finding


class ByteTokenizer:
    """One token a byte, after a start token 0 and an end token 1."""

    bos_token_id, eos_token_id, pad_token_id, chat_template = 0, 1, 1, None

    def __call__(self, text: str | list[str], **_: Any) -> dict[str, Any]:
        if isinstance(text, list):
            if not text:
                raise IndexError("a real tokenizer takes no empty batch either")
            return {"input_ids": [self(t)["input_ids"] for t in text]}
        return {"input_ids": [2 + byte for byte in text.encode()]}

    def decode(self, ids: list[int], **_: Any) -> str:
        return bytes(i - 2 for i in ids if i > 1).decode(errors="replace")


SIZES: dict[str, Any] = {
    "vocab_size": 258,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
"""Of a tiny decoder of any kind."""


def tiny_decoder(
    dtype: torch.dtype = torch.float32, seed: int = 0, **changes: Any
) -> TransformersDecoder:
    """A random decoder."""
    sizes = {**SIZES, "tie_word_embeddings": True}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**{**sizes, **changes})).to(dtype)
    return TransformersDecoder(model, ByteTokenizer(), name="tiny")


def tiny_encoder(folder: Path) -> Path:
    """A random one-layer sentence encoder with the bundled one's tokenizer, as a folder."""
    folder.mkdir(parents=True)
    shutil.copy(finding.resolve(finding.DEFAULT_ENCODER) / "tokenizer.json", folder)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(BertConfig(**sizes, num_attention_heads=2)).save_pretrained(folder)
    return folder


def logits(decoder: TransformersDecoder, tokens: list[list[int]], **options: Any) -> torch.Tensor:
    """All logits of a batch."""
    with torch.no_grad():
        out: SimpleNamespace = decoder.model(torch.tensor(tokens), **options)
    return out.logits
