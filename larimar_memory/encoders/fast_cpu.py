"""Changes that make an encoder faster on CPU, by a third in bf16, without changing what it computes.

Weights are laid out once for oneDNN's bf16 kernels; `nn.Linear` lays them out at every call. Attention
over sentence-length inputs is two batched matrix products, which for 20 to 80 tokens is faster than the
tiled kernel that `scaled_dot_product_attention` picks. Between the two products, plain exponentials
take a tenth of the time of a softmax over such short rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import BFloat16
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from larimar_memory.encoders.flat import ATTENTION, Alike

_ROWS = 2048
_LEAST, _MOST = 1e-20, 1e30
"""A sum of exponentials between these has not suffered from the range of bf16, which is float32's."""


def short_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    groups: Sequence[Alike] = (),
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention as two matrix products: (b, heads, t, c) each in, (b, t, heads, c) out.

    Takes the exponentials of the raw scores, and divides by their sum after the second product. If the
    sum of any row is too large or too small for that, all rows get a softmax instead.

    Args:
        groups: of texts in one sequence, each of which attends to itself; see `flat`.
    """
    if groups:
        return _by_group(module, query, key, value, scaling, groups), None
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    scores = torch.matmul(query, key.transpose(-1, -2) * scale)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.exp()
    total = weights.sum(-1, keepdim=True, dtype=torch.float32)
    least, most = torch.aminmax(total)
    if not (least > _LEAST and most < _MOST):
        return torch.matmul(scores.softmax(-1), value).transpose(1, 2), None
    return (torch.matmul(weights, value) / total).to(value.dtype).transpose(1, 2), None


def _by_group(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    groups: Sequence[Alike],
) -> Tensor:
    rows = [x[0].transpose(0, 1) for x in (query, key, value)]
    out = torch.empty_like(rows[0])
    for places, mask, bias in groups:
        if bias is None:
            start = int(places[0, 0])
            whole = slice(start, start + mask.numel())
            q, k, v = (x[whole].unflatten(0, mask.shape).transpose(1, 2) for x in rows)
            out[whole] = short_attention(module, q, k, v, None, scaling)[0].flatten(0, 1)
        else:
            q, k, v = (x[places].transpose(1, 2) for x in rows)
            there = mask.bool()
            out[places[there]] = short_attention(module, q, k, v, bias, scaling)[0][there]
    return out[None]


class PackedLinear(nn.Module):
    """A frozen bf16 linear layer whose weight is stored in oneDNN's own layout."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: BFloat16[Tensor, "*rows i"]) -> BFloat16[Tensor, "*rows o"]:
        """The same product as the layer it replaces."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "none")
        return out


def supported() -> bool:
    """Whether torch has the two oneDNN operators, and this CPU the instructions they need for bf16."""
    can = torch.cpu.get_capabilities()
    wide = all(can.get(f"avx512_{part}") for part in ("bw", "vl", "dq"))
    return (
        (wide or bool(can.get("avx_ne_convert")))
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def pack(model: nn.Module) -> int:
    """Replace every bf16 `nn.Linear` inside `model` in place; returns how many were replaced."""
    replaced = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child.weight.dtype is torch.bfloat16:
                setattr(parent, name, PackedLinear(child))
                replaced += 1
    return replaced


AttentionInterface.register(ATTENTION, short_attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)
