"""BERT, as it reads texts: the hidden states of transformers' `BertModel`, without its imports.

Importing a model of transformers takes some two seconds, for which the first read of a process would
have to wait. This is arXiv 1810.04805's encoder, read only: no pooler, no dropout, and many texts in
one sequence (see `flat`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from larimar_memory.encoders.fast_cpu import attend
from larimar_memory.encoders.flat import Alike, in_sequence
from larimar_memory.models.files import read_json
from larimar_memory.models.filling import filled

_USUAL = {"hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False}
"""What a model's configuration must say, if it says anything of it."""

_NAMES = {
    "attention.self.qkv": "qkv",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}
"""The parts of a layer: their names in the file, and here."""


class Bert(nn.Module):
    """A frozen BERT.

    Args:
        config: the model's configuration.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        hidden, small = config["hidden_size"], config.get("layer_norm_eps", 1e-12)
        counts = (
            config["vocab_size"],
            config["max_position_embeddings"],
            config.get("type_vocab_size", 2),
        )
        # From a tensor: drawing random numbers that are never used imports torch's compiler (1 s).
        self.words, self.places, self.kinds = (
            nn.Embedding.from_pretrained(torch.empty(count, hidden)) for count in counts
        )
        self.norm = nn.LayerNorm(hidden, eps=small)
        sizes = hidden, config["intermediate_size"], config["num_attention_heads"], small
        self.layers = nn.ModuleList(_Layer(*sizes) for _ in range(config["num_hidden_layers"]))

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype) -> Bert | None:
        """Read a model's folder; None if it is of another kind, or its file is laid out otherwise."""
        config, file = read_json(folder / "config.json"), folder / "model.safetensors"
        usual = all(config.get(name, value) == value for name, value in _USUAL.items())
        if config.get("model_type") != "bert" or not usual or not file.is_file():
            return None
        with torch.device("meta"):
            model = cls(config)
        return filled(model, _renamed(load_file(file), len(model.layers)), dtype)

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return self.norm.weight.dtype

    def forward(
        self, groups: Sequence[Sequence[Sequence[int]]]
    ) -> list[tuple[Float[Tensor, "b t h"], Int[Tensor, "b t"]]]:
        """The last hidden states of each group of texts, and its mask; as for the group alone, padded.

        Args:
            groups: the token ids of texts of similar lengths.
        """
        ids, places, alike = in_sequence(groups, self.dtype)
        x: Tensor = self.norm(self.words(ids) + self.kinds.weight[0] + self.places(places))
        for layer in self.layers:
            x = layer(x, alike)
        return [(x[of.places], of.mask) for of in alike]


class _Layer(nn.Module):
    def __init__(self, hidden: int, inner: int, heads: int, small: float) -> None:
        super().__init__()
        self._heads = heads
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)
        self.attention_norm, self.norm = (nn.LayerNorm(hidden, eps=small) for _ in range(2))

    def forward(self, x: Float[Tensor, "t h"], groups: Sequence[Alike]) -> Float[Tensor, "t h"]:
        parts = self.qkv(x).view(len(x), 3, self._heads, -1).unbind(1)
        seen = torch.empty_like(parts[0])
        for places, mask, bias in groups:
            if bias is None:
                start = int(places[0, 0])
                whole = slice(start, start + mask.numel())
                q, k, v = (part[whole].unflatten(0, mask.shape).transpose(1, 2) for part in parts)
                seen[whole] = attend(q, k, v, None).flatten(0, 1)
            else:
                q, k, v = (part[places].transpose(1, 2) for part in parts)
                there = mask.bool()
                seen[places[there]] = attend(q, k, v, bias)[there]
        x = self.attention_norm(self.out(seen.flatten(1)) + x)
        again: Tensor = self.norm(self.down(functional.gelu(self.up(x))) + x)
        return again


def _renamed(held: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """A file's tensors under this module's names, without a pooler's; what is missing stays so."""
    held = {name.removeprefix("bert."): tensor for name, tensor in held.items()}
    known = {
        f"embeddings.{kind}_embeddings.weight": f"{name}.weight"
        for kind, name in (("word", "words"), ("position", "places"), ("token_type", "kinds"))
    }
    for end in ("weight", "bias"):
        known[f"embeddings.LayerNorm.{end}"] = f"norm.{end}"
        for n in range(layers):
            begin = f"encoder.layer.{n}"
            parts = [held.get(f"{begin}.attention.self.{of}.{end}") for of in ("query", "key", "value")]
            there = [part for part in parts if part is not None]
            if len(there) == len(parts):
                held[f"{begin}.attention.self.qkv.{end}"] = torch.cat(there)
            known |= {f"{begin}.{old}.{end}": f"layers.{n}.{new}.{end}" for old, new in _NAMES.items()}
    return {new: held[old] for old, new in known.items() if old in held}
