"""One token at a time through packed weights: a function of tensors, without modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import BFloat16, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from larimar_memory.decoders.packed import Packed, Updates, groups, pack, updated


class Packing:
    """The weights that a model's steps multiply by, packed when they are first needed."""

    def __init__(self) -> None:
        self._of: list[tuple[nn.Linear, ...]] | None = None
        self._stamp: tuple[Any, ...] = ()
        self._plain: Packed | None = None
        self._updated = WeakKeyDictionary[Any, tuple[Updates, Packed]]()

    def fits(self, model: Any) -> bool:
        """Whether the model can be packed, on this machine and in its present state."""
        self._of = groups(model)
        return self._of is not None

    def packed(self, model: Any, adapters: Any = None, updates: Updates | None = None) -> Packed:
        """The model's weights with the updates of adapters, which are packed once and kept with them.

        Args:
            model: one that `fits`; it is packed again if its weights have changed.
        """
        of: Sequence[tuple[nn.Linear, ...]] = self._of or ()
        stamp = tuple(_stamp(tensor) for tensor in model.parameters())
        if self._plain is None or stamp != self._stamp:
            self._plain, self._stamp = pack(model, of), stamp
            self._updated.clear()
        if not updates:
            return self._plain
        held = self._updated.get(adapters)
        if held is None or held[0] is not updates:
            held = self._updated[adapters] = updates, updated(self._plain, of, updates)
        return held[1]


def _stamp(tensor: Tensor) -> tuple[int, int]:
    """A value that changes when the tensor is written to, as far as torch counts that."""
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


class Steps:
    """One generation: a cache of fixed size holds what was read, with room for what is written.

    Args:
        packed: the weights of the model.
        model: the one that read the prompt.
        cache: the one that it left, of one row.
        mask: over the cache's contents, 1 where there is a position.
        room: the most tokens to step over.
    """

    def __init__(
        self, packed: Packed, model: Any, cache: Any, mask: Int[Tensor, "1 t"], room: int
    ) -> None:
        _, groups, channels = packed.sizes
        there = mask[0].bool()
        whole = bool(there.all())
        self._packed, self._first = packed, int(there.sum())
        self._at = self._first
        # Rows are never read before they are written; memory that is not reached costs nothing.
        self._cache = torch.empty(len(packed.layers), 2, 1, groups, self._at + room, channels)
        for held, layer in zip(self._cache, cache.layers, strict=True):
            for kept, read in zip(held, (layer.keys, layer.values), strict=True):
                # Keys keep the rotation of their place, so gaps between them can be left out.
                kept[:, :, : self._at] = read if whole else read[:, :, there]
        places = torch.arange(self._at, self._at + room)[None]
        cosine, sine = model.model.rotary_emb(torch.zeros(1), places)
        cosine, sine = (angle.view(room, 1, 2, channels // 2) for angle in (cosine, sine))
        # Half of the channels is turned the other way.
        sine = torch.cat([-sine[:, :, :1], sine[:, :, 1:]], dim=2)
        self._angles = tuple(zip(cosine.unbind(), sine.unbind(), strict=True))

    def __call__(self, token: int) -> Float[Tensor, " v"]:
        """Read a token; returns the logits of the next one."""
        packed, at = self._packed, self._at
        self._at += 1
        heads, groups, channels = packed.sizes
        rotated, all_heads, half = heads + groups, heads + 2 * groups, channels // 2
        cosine, sine = self._angles[at - self._first]
        new = self._cache[..., at, :].flatten(0, 1).unbind()
        held = self._cache[..., : at + 1, :].flatten(0, 1).unbind()
        x = packed.embedding[token][None].to(torch.float32, copy=True)
        for number, (gains, attention, out, gate_up, down) in enumerate(packed.layers):
            y = attention.times(_normed(x, gains[0], packed.small)).view(all_heads, 2, half)
            turned = y[:rotated]
            turned = torch.addcmul(turned * cosine, turned.flip(1), sine).view(1, rotated, channels)
            new[2 * number].copy_(turned[:, heads:])
            new[2 * number + 1].copy_(y[rotated:].view(1, groups, channels))
            seen = functional.scaled_dot_product_attention(
                # Queries that share keys are rows of one product.
                turned[:, :heads].view(1, groups, heads // groups, channels),
                held[2 * number],
                held[2 * number + 1],
            )
            x += out.times(seen.view(1, -1).bfloat16())
            gate, up = gate_up.times(_normed(x, gains[1], packed.small)).chunk(2, dim=1)
            x += down.times(functional.silu(gate).mul_(up).bfloat16())
        return packed.head.times(_normed(x, packed.gain, packed.small))[0]


def _normed(
    x: Float[Tensor, "1 h"], gain: Float[Tensor, " h"], small: float
) -> BFloat16[Tensor, "1 h"]:
    row = x[0]
    scale = 1 / math.sqrt(torch.dot(row, row).item() / len(row) + small)
    return (x * gain).mul_(scale).bfloat16()
