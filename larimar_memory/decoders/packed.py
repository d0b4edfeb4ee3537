"""Weights of a llama-like decoder in 4 or 8 bits, packed to make one token at a time on a CPU.

The time for a token is the time to read the weights from RAM. A matrix whose weights came from 4-bit
numbers, as in many GGUF files, is kept as these numbers again; any other matrix as 8-bit numbers with
one scale per row. Projections of the same input form one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from jaxtyping import BFloat16, Float, Int8, UInt8
from torch import Tensor, nn

Updates: TypeAlias = Mapping[nn.Module, tuple[Tensor, Tensor]]
"""A and B of linear layers (A rank x inputs, B outputs x rank): they act as W + B A."""

_CLASSES = ("Llama", "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM")
_ROTATIONS = ("default", "linear", "llama3", "yarn")
"""The kinds of rotation whose angles do not depend on the length of the text."""

_KERNELS = ("AVX2", "AVX512")
_WIDE = 16
"""The 8-bit kernel reads past the end of rows that are not a multiple of this; the 4-bit kernel takes
no other number of rows."""

_GROUP = 32
"""How many 4-bit numbers share a scale and a zero."""

_NEAR = 0.15
"""How far weights that were read from 4 bits may be from whole numbers, after scaling: rounding to bf16
moves them by less than .04; among other weights, some are half a step away."""

_BLOCK = 1024
"""How many rows of a matrix are packed at once, in memory that is reused."""

_CACHED = 1 << 17
"""How many weights are looked at together: they fit in a core's cache as float32, twice."""

_MOST = 2 << 30
"""The most parameters of a model that is packed, since one more copy of them is held."""


class Product(NamedTuple):
    """A matrix as whole numbers.

    Attributes:
        numbers: of 8 bits, or two of 4 bits per byte, in the kernel's own order.
        scales: bf16; one per row of 8-bit numbers, else a scale and a zero per group of each row.
        bias: what is added to the product.
        update: A and B of a low-rank update, in 8 bits.
    """

    numbers: Int8[Tensor, "o i"] | UInt8[Tensor, "o j"]
    scales: BFloat16[Tensor, " o"] | BFloat16[Tensor, "groups o 2"]
    bias: Float[Tensor, " o"] | None = None
    update: tuple[Product, Product] | None = None

    def times(self, x: BFloat16[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        """The product with n rows, float32."""
        if self.scales.ndim == 1:
            y = torch._weight_int8pack_mm(x, self.numbers, self.scales).float()
        else:
            y = _times_4_bits(x, self.numbers, _GROUP, self.scales).float()
        if self.bias is not None:
            y += self.bias
        if self.update is not None:
            down, up = self.update
            inner = torch._weight_int8pack_mm(x, down.numbers, down.scales)
            y += torch._weight_int8pack_mm(inner, up.numbers, up.scales)
        return y


_times_4_bits = torch.ops.aten._weight_int4pack_mm_for_cpu.default


class Layer(NamedTuple):
    """The gains of a layer's norms, and its products; queries, keys and values are one product."""

    gains: tuple[Float[Tensor, " h"], Float[Tensor, " h"]]
    attention: Product
    out: Product
    gate_up: Product
    down: Product


class Packed(NamedTuple):
    """Everything that a step multiplies by.

    Attributes:
        sizes: query heads, key/value heads, channels per head.
        small: the number that the norms add to the mean square.
    """

    embedding: Float[Tensor, "v h"]
    layers: tuple[Layer, ...]
    gain: Float[Tensor, " h"]
    head: Product
    sizes: tuple[int, int, int]
    small: float


def groups(model: Any) -> list[tuple[nn.Linear, ...]] | None:
    """A model's projections, grouped by product, in the order of `Layer`, with the head last.

    None if the model is not a llama-like decoder for which a step computes what transformers does, or
    this CPU is not of a kind on which steps were found to be faster.
    """
    config, base = model.config, model.base_model
    if (
        type(model).__name__ not in _CLASSES
        or model.device.type != "cpu"
        or torch.backends.cpu.get_cpu_capability() not in _KERNELS
        or getattr(config, "hidden_act", "") != "silu"
        or getattr(base.rotary_emb, "rope_type", "") not in _ROTATIONS
        or _slides(config)
        or model.num_parameters() > _MOST
    ):
        return None
    found = list[tuple[nn.Linear, ...]]()
    for layer in base.layers:
        attention, mlp = layer.self_attn, layer.mlp
        found += [
            (attention.q_proj, attention.k_proj, attention.v_proj),
            (attention.o_proj,),
            (mlp.gate_proj, mlp.up_proj),
            (mlp.down_proj,),
        ]
    found.append((model.lm_head,))
    plain = all(
        type(module) is nn.Linear
        and module.in_features % _WIDE == 0
        and module.weight.dtype in (torch.bfloat16, torch.float32)
        for modules in found
        for module in modules
    )
    return found if plain and type(base.embed_tokens) is nn.Embedding else None


def _slides(config: Any) -> bool:
    """Whether a layer attends to the last tokens only."""
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return any(kind != "full_attention" for kind in kinds)
    return getattr(config, "sliding_window", None) is not None


@torch.inference_mode()
def pack(model: Any, of: Sequence[Sequence[nn.Linear]]) -> Packed:
    """Pack a model's weights; takes half a second for a hundred million.

    Args:
        of: the result of `groups` for the model.
    """
    config, base = model.config, model.model
    heads = int(config.num_attention_heads)
    channels = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    products = [_product(modules) for modules in of]
    layers = list[Layer]()
    for number, layer in enumerate(base.layers):
        norms = layer.input_layernorm, layer.post_attention_layernorm
        first, second = (norm.weight.float() for norm in norms)
        layers.append(Layer((first, second), *products[4 * number : 4 * number + 4]))
    return Packed(
        embedding=base.embed_tokens.weight,
        layers=tuple(layers),
        gain=base.norm.weight.float(),
        head=products[-1],
        sizes=(heads, int(config.num_key_value_heads), channels),
        small=float(config.rms_norm_eps),
    )


@torch.inference_mode()
def updated(packed: Packed, of: Sequence[Sequence[nn.Linear]], updates: Updates) -> Packed:
    """The same weights with low-rank updates, which are packed; the weights themselves are shared."""
    products = [product for layer in packed.layers for product in layer[1:]]
    changed = [
        product._replace(update=_update(modules, updates))
        for product, modules in zip([*products, packed.head], of, strict=True)
    ]
    layers = tuple(
        Layer(layer.gains, *changed[4 * number : 4 * number + 4])
        for number, layer in enumerate(packed.layers)
    )
    return packed._replace(layers=layers, head=changed[-1])


def _product(modules: Sequence[nn.Linear]) -> Product:
    parts = [_in_4_bits(module.weight) for module in modules]
    bias = None
    if any(module.bias is not None for module in modules):
        bias = torch.cat([_bias(module) for module in modules])
    four = [part for part in parts if part is not None]
    if len(four) < len(parts):
        return _in_8_bits([module.weight for module in modules])._replace(bias=bias)
    numbers, scales = (torch.cat(x) for x in zip(*four, strict=True))
    kept = torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers, 1)
    return Product(kept, scales.transpose(0, 1).contiguous(), bias)


def _bias(module: nn.Linear) -> Float[Tensor, " o"]:
    return torch.zeros(module.out_features) if module.bias is None else module.bias.float()


def _in_4_bits(weight: Float[Tensor, "o i"]) -> tuple[Tensor, Tensor] | None:
    """Numbers from 0 to 15, with scales and zeros; None if the weights were not read from 4 bits."""
    rows, columns = weight.shape
    if rows % _WIDE or columns % _GROUP:
        return None
    numbers = torch.empty(rows, columns, dtype=torch.int32)
    scales = torch.empty(rows, columns // _GROUP, 2, dtype=torch.bfloat16)
    together = max(1, _CACHED // columns)
    for begin in range(0, rows, together):
        own = slice(begin, begin + together)
        grouped = weight[own].view(-1, columns // _GROUP, _GROUP)
        found = _in_steps(grouped.to(torch.float32, copy=True))
        if found is None:
            return None
        steps, least, step = found
        numbers[own] = steps.view(-1, columns)
        # The kernel subtracts 8 from every number first.
        scales[own, :, 0], scales[own, :, 1] = step, least + 8 * step
    return numbers, scales


def _in_steps(
    grouped: Float[Tensor, "o groups g"],
) -> tuple[Float[Tensor, "o groups g"], Float[Tensor, "o groups"], Float[Tensor, "o groups"]] | None:
    """Numbers from 0 to 15, the least of each group's weights, and the step between them.

    Args:
        grouped: changed.
    """
    # Both on their own take a tenth of the time of `aminmax` over such short rows.
    least, most = grouped.amin(2), grouped.amax(2)
    step = (most - least).div_(15)
    pace = step.clamp_min(torch.finfo(torch.float32).tiny).reciprocal_()
    scaled = grouped.sub_(least[:, :, None]).mul_(pace[:, :, None])
    steps = scaled.round()
    lowest, highest = torch.aminmax(scaled.sub_(steps))
    return (steps, least, step) if max(-lowest, highest) <= _NEAR else None


def _in_8_bits(weights: Sequence[Float[Tensor, "_ i"]]) -> Product:
    """The rows of several matrices, one after the other."""
    total = sum(len(weight) for weight in weights)
    numbers = torch.empty(total, weights[0].shape[1], dtype=torch.int8)
    scales = torch.empty(total, dtype=torch.bfloat16)
    at = 0
    for weight in (part for whole in weights for part in whole.split(_BLOCK)):
        part = slice(at, at := at + len(weight))
        exact = weight.float()
        scales[part] = exact.abs().amax(1).clamp_min_(torch.finfo(torch.float32).tiny) / 127
        # Divided by the scale as it is stored, rounded.
        numbers[part] = (exact / scales[part].float()[:, None]).round_().clamp_(-127, 127)
    return Product(numbers, scales)


def _update(modules: Sequence[nn.Linear], updates: Updates) -> tuple[Product, Product] | None:
    """A and B of all modules of a product; beside those of one module are zeros for the others."""
    given = [updates.get(module) for module in modules]
    ranks = [0 if pair is None else len(pair[0]) for pair in given]
    if not any(ranks):
        return None
    down = torch.zeros(-(-sum(ranks) // _WIDE) * _WIDE, modules[0].in_features)
    up = torch.zeros(sum(module.out_features for module in modules), len(down))
    row = column = 0
    for module, pair, rank in zip(modules, given, ranks, strict=True):
        if pair is not None:
            down[column : column + rank] = pair[0]
            up[row : row + module.out_features, column : column + rank] = pair[1]
        row, column = row + module.out_features, column + rank
    return _in_8_bits([down]), _in_8_bits([up])
