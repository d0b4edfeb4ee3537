"""A llama that reads: what transformers' `LlamaForCausalLM` computes, bit for bit, without its imports.

Importing a model of transformers takes some two seconds, for which the first answer of a process would
have to wait. This module has the same parts under the same names, and reads tokens into a cache;
whatever else transformers can do with a model, `TransformersDecoder.model` does.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from larimar_memory.models.files import read_json
from larimar_memory.models.filling import filled

_USUAL = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "pretraining_tp": 1}
"""What a model's configuration must say, if it says anything of it."""


_TABLE = "model.embed_tokens.weight"
"""The table of tokens in a file, which may be the head as well."""


class Llama(nn.Module):
    """A frozen llama, in eval mode.

    Args:
        config: the model's configuration, with `rope_parameters`.

    Attributes:
        generation_config: transformers' settings of how the model writes.
    """

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.config = config
        self.generation_config: Any = None
        self.model = _Base(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype) -> Llama | None:
        """Read a model's folder; None if it is of another kind, or its file is laid out otherwise."""
        held, file = read_json(folder / "config.json"), folder / "model.safetensors"
        rope = held["rope_parameters"] = held.get("rope_parameters") or _rope(held)
        usual = all(held.get(name, value) == value for name, value in _USUAL.items())
        if (
            held.get("model_type") != "llama"
            or not usual
            or rope.get("rope_type") != "default"
            or "rope_theta" not in rope
            or "quantization_config" in held
            or not file.is_file()
        ):
            return None
        with torch.device("meta"):
            llama = cls(SimpleNamespace(**held))
        tensors, tied = load_file(file), bool(held.get("tie_word_embeddings"))
        if tied and _TABLE in tensors:
            # In its number format already: what both share is converted once.
            tensors["lm_head.weight"] = tensors[_TABLE] = tensors[_TABLE].to(dtype)
        found = filled(llama, tensors, dtype)
        if found is not None and tied:
            found.lm_head.weight = found.model.embed_tokens.weight
        return found

    @property
    def base_model(self) -> _Base:
        """The model without its head."""
        return self.model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return self.lm_head.weight.dtype

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of tokens."""
        table: nn.Embedding = self.model.embed_tokens
        return table

    def num_parameters(self) -> int:
        """How many numbers it has; those that the head shares count once."""
        return sum(weight.numel() for weight in self.parameters())


def _rope(held: dict[str, Any]) -> dict[str, Any]:
    """The rotation of a configuration that transformers wrote before its version 5."""
    return held.get("rope_scaling") or {
        "rope_type": "default",
        "rope_theta": held.get("rope_theta", 10000.0),
    }


class _Base(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        # From a tensor: drawing random numbers that are never used imports torch's compiler (1 s).
        self.embed_tokens = nn.Embedding.from_pretrained(
            torch.empty(config.vocab_size, config.hidden_size)
        )
        self.layers = nn.ModuleList(_Layer(config, n) for n in range(config.num_hidden_layers))
        self.norm = _Norm(config)
        self.rotary_emb = _Rotary(config)

    def forward(
        self,
        input_ids: Int[Tensor, "b t"],
        attention_mask: Int[Tensor, "b pt"],
        position_ids: Int[Tensor, "b t"],
        past_key_values: Any,
        use_cache: bool = True,
    ) -> SimpleNamespace:
        """The `last_hidden_state` of tokens, (b, t, h), which the cache then holds as well.

        Args:
            attention_mask: 1 where there is a token, over those in the cache and the new ones.
            past_key_values: a `DynamicCache`.
        """
        x: Tensor = self.embed_tokens(input_ids)
        angles = self.rotary_emb(x, position_ids)
        before = int(past_key_values.get_seq_length())
        mask = _causal(attention_mask.bool(), input_ids.shape[1], before)
        for layer in self.layers:
            x = layer(x, angles, mask, past_key_values)
        return SimpleNamespace(last_hidden_state=self.norm(x), past_key_values=past_key_values)


class _Layer(nn.Module):
    def __init__(self, config: SimpleNamespace, number: int) -> None:
        super().__init__()
        self.self_attn, self.mlp = _Attention(config, number), _Mlp(config)
        self.input_layernorm, self.post_attention_layernorm = _Norm(config), _Norm(config)

    def forward(
        self,
        x: Float[Tensor, "b t h"],
        angles: tuple[Tensor, Tensor],
        mask: Bool[Tensor, "b 1 t pt"] | None,
        cache: Any,
    ) -> Float[Tensor, "b t h"]:
        x = x + self.self_attn(self.input_layernorm(x), angles, mask, cache)
        read: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return read


class _Attention(nn.Module):
    def __init__(self, config: SimpleNamespace, number: int) -> None:
        super().__init__()
        heads, hidden = config.num_attention_heads, config.hidden_size
        groups = getattr(config, "num_key_value_heads", None) or heads
        self._channels = getattr(config, "head_dim", None) or hidden // heads
        self._number, self._share = number, heads // groups
        self.q_proj = nn.Linear(hidden, heads * self._channels, bias=False)
        self.k_proj = nn.Linear(hidden, groups * self._channels, bias=False)
        self.v_proj = nn.Linear(hidden, groups * self._channels, bias=False)
        self.o_proj = nn.Linear(heads * self._channels, hidden, bias=False)

    def forward(
        self,
        x: Float[Tensor, "b t h"],
        angles: tuple[Tensor, Tensor],
        mask: Bool[Tensor, "b 1 t pt"] | None,
        cache: Any,
    ) -> Float[Tensor, "b t h"]:
        query, key, value = (
            of(x).unflatten(-1, (-1, self._channels)).transpose(1, 2)
            for of in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = (_turned(each, *angles) for each in (query, key))
        key, value = cache.update(key, value, self._number)
        length = query.shape[2]
        if mask is not None and self._share > 1:
            if length == 1:
                # Queries that share keys are rows of one product.
                query = query.unflatten(1, (-1, self._share)).squeeze(3)
            else:
                key, value = (each.repeat_interleave(self._share, 1) for each in (key, value))
        seen = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            is_causal=mask is None and length > 1,
            enable_gqa=mask is None and self._share > 1,
        )
        by_token = seen.reshape(len(x), 1, -1) if length == 1 else seen.transpose(1, 2).flatten(2)
        out: Tensor = self.o_proj(by_token)
        return out


class _Mlp(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x: Float[Tensor, "b t h"]) -> Float[Tensor, "b t h"]:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class _Norm(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.hidden_size))
        self._small = config.rms_norm_eps

    def forward(self, x: Float[Tensor, "b t h"]) -> Float[Tensor, "b t h"]:
        exact = x.float()
        scale = torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self._small)
        return self.weight * (exact * scale).to(x.dtype)


class _Rotary(nn.Module):
    rope_type = "default"

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        channels = getattr(config, "head_dim", None)
        channels = channels or config.hidden_size // config.num_attention_heads
        steps = torch.arange(0, channels, 2, dtype=torch.float, device="cpu") / channels
        self._pace = 1.0 / (config.rope_parameters["rope_theta"] ** steps)

    def forward(
        self, x: Float[Tensor, ...], position_ids: Int[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b t c"], Float[Tensor, "b t c"]]:
        """Cosines and sines of places, in the number format of `x`."""
        half = position_ids[..., None].float() * self._pace
        angles = torch.cat((half, half), dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def _turned(
    x: Float[Tensor, "b heads t c"], cosine: Float[Tensor, "b t c"], sine: Float[Tensor, "b t c"]
) -> Float[Tensor, "b heads t c"]:
    first, second = x.chunk(2, dim=-1)
    return x * cosine[:, None] + torch.cat((-second, first), dim=-1) * sine[:, None]


def _causal(there: Bool[Tensor, "b pt"], new: int, before: int) -> Bool[Tensor, "b 1 t pt"] | None:
    """Which tokens each new one attends to; None if it is all before it, and a kernel knows that."""
    if bool(there.all()) and (new == 1 or before == 0):
        return None
    order = torch.arange(before + new)
    earlier = order[None] <= order[before:, None]
    return there[:, None, None] & earlier
