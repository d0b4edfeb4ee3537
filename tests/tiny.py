"""A random two-layer llama with a byte tokenizer: the real architecture, in milliseconds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from larimar_memory.decoders.transformers import TransformersDecoder


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


def tiny_decoder(
    dtype: torch.dtype = torch.float32, seed: int = 0, **changes: Any
) -> TransformersDecoder:
    """A random decoder."""
    sizes = {
        "vocab_size": 258,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": True,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**{**sizes, **changes})).to(dtype)
    return TransformersDecoder(model, ByteTokenizer(), name="tiny")


def logits(decoder: TransformersDecoder, tokens: list[list[int]], **options: Any) -> torch.Tensor:
    """All logits of a batch."""
    with torch.no_grad():
        out: SimpleNamespace = decoder.model(torch.tensor(tokens), **options)
    return out.logits
