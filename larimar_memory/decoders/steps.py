"""Tokens through packed weights, one at a time: functions of tensors, without modules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias
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


Attend: TypeAlias = Callable[
    [int, "Float[Tensor, 'n heads c']", "Float[Tensor, 'n groups c']", "Float[Tensor, 'n groups c']"],
    "Float[Tensor, 'n hc']",
]
"""What queries, keys and values of n new tokens read in the layer of this number."""


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
        self._packed, self._first = packed, int(mask.sum())
        self._at = self._first
        # Rows are never read before they are written; memory that is not reached costs nothing.
        _, groups, channels = packed.sizes
        self._cache = torch.empty(len(packed.layers), 2, 1, groups, self._at + room, channels)
        _copy(cache, mask, self._cache)
        self._angles = _angles(model, self._at, room, channels)

    def __call__(self, token: int) -> Float[Tensor, " v"]:
        """Read a token; returns the logits of the next one."""
        packed, at = self._packed, self._at
        self._at += 1
        new = self._cache[..., at, :].flatten(0, 1).unbind()
        held = self._cache[..., : at + 1, :].flatten(0, 1).unbind()
        heads, groups, channels = packed.sizes

        def attend(number: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            new[2 * number].copy_(keys)
            new[2 * number + 1].copy_(values)
            return functional.scaled_dot_product_attention(
                # Queries that share keys are rows of one product.
                queries.reshape(1, groups, heads // groups, channels),
                held[2 * number],
                held[2 * number + 1],
            ).view(1, -1)

        x = packed.embedding[token][None].to(torch.float32, copy=True)
        return _through(packed, x, self._angles[at - self._first], attend)[0]


class Rows:
    """Several generations from one prompt, which is held once; each row holds what it wrote.

    Args:
        packed, model, cache, mask, room: those of `Steps`.
        most: the most rows.
    """

    def __init__(
        self, packed: Packed, model: Any, cache: Any, mask: Int[Tensor, "1 t"], room: int, most: int
    ) -> None:
        self._packed, self._written = packed, 0
        _, groups, channels = packed.sizes
        before = int(mask.sum())
        read = torch.empty(len(packed.layers), 2, 1, groups, before, channels)
        _copy(cache, mask, read)
        self._read = read.squeeze(2)
        self._own = torch.empty(len(packed.layers), 2, most, groups, room, channels)
        self._angles = _angles(model, before, room, channels)

    def __call__(self, tokens: list[int], parents: list[int]) -> Float[Tensor, "n v"]:
        """Read a token for each row; returns the logits of those that come next.

        Args:
            parents: for each token, the number of the row that it follows.
        """
        packed, at, n = self._packed, self._written, len(tokens)
        self._written += 1
        heads, groups, channels = packed.sizes
        share = heads // groups
        if at:
            self._own[:, :, :n, :, :at] = self._own[:, :, parents, :, :at]
        before = self._read.shape[3]

        def attend(number: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            own, (shared_keys, shared_values) = self._own[number, :, :n], self._read[number]
            own[0, :, :, at], own[1, :, :, at] = keys, values
            own_keys, own_values = own[..., : at + 1, :]
            by_row = queries.reshape(n, groups, share, channels)
            by_group = by_row.transpose(0, 1).reshape(groups, n * share, channels)
            scores = torch.cat(
                [
                    by_group @ shared_keys.transpose(1, 2),
                    (by_row @ own_keys.transpose(2, 3)).transpose(0, 1).reshape(groups, n * share, -1),
                ],
                dim=-1,
            )
            weights = scores.mul_(channels**-0.5).softmax(-1)
            seen = (weights[..., :before] @ shared_values).view(groups, n, share, channels)
            written = weights[..., before:].view(groups, n, share, at + 1).transpose(0, 1) @ own_values
            read: Tensor = (seen.transpose(0, 1) + written).reshape(n, -1)
            return read

        x = packed.embedding[tokens].float()
        return _through(packed, x, self._angles[at], attend)


def _copy(cache: Any, mask: Int[Tensor, "1 t"], to: Float[Tensor, "l 2 1 g room c"]) -> None:
    """Keep the cache's positions, without gaps, as float32."""
    there = mask[0].bool()
    whole, count = bool(there.all()), int(there.sum())
    for held, layer in zip(to, cache.layers, strict=True):
        for kept, read in zip(held, (layer.keys, layer.values), strict=True):
            # Keys keep the rotation of their place, so gaps between them can be left out.
            kept[:, :, :count] = read if whole else read[:, :, there]


def _angles(model: Any, first: int, room: int, channels: int) -> Sequence[tuple[Tensor, Tensor]]:
    """Cosines and sines of each place from the first on."""
    places = torch.arange(first, first + room)[None]
    cosine, sine = model.model.rotary_emb(torch.zeros(1), places)
    cosine, sine = (angle.view(room, 1, 2, channels // 2) for angle in (cosine, sine))
    # Half of the channels is turned the other way.
    sine = torch.cat([-sine[:, :, :1], sine[:, :, 1:]], dim=2)
    return tuple(zip(cosine.unbind(), sine.unbind(), strict=True))


def _through(
    packed: Packed, x: Float[Tensor, "n h"], angles: tuple[Tensor, Tensor], attend: Attend
) -> Float[Tensor, "n v"]:
    """All layers and the head, for tokens at the same place of their rows; `x` is changed."""
    heads, groups, channels = packed.sizes
    rotated, all_heads, half = heads + groups, heads + 2 * groups, channels // 2
    cosine, sine = angles
    n = len(x)
    for number, (gains, attention, out, gate_up, down) in enumerate(packed.layers):
        y = attention.times(_normed(x, gains[0], packed.small)).view(n, all_heads, 2, half)
        turned = y[:, :rotated]
        turned = torch.addcmul(turned * cosine, turned.flip(2), sine).view(n, rotated, channels)
        values = y[:, rotated:].reshape(n, groups, channels)
        seen = attend(number, turned[:, :heads], turned[:, heads:], values)
        x += out.times(seen.bfloat16())
        gate, up = gate_up.times(_normed(x, gains[1], packed.small)).chunk(2, dim=1)
        x += down.times(functional.silu(gate).mul_(up).bfloat16())
    return packed.head.times(_normed(x, packed.gain, packed.small))


def _normed(
    x: Float[Tensor, "n h"], gain: Float[Tensor, " h"], small: float
) -> BFloat16[Tensor, "n h"]:
    if len(x) > 1:
        return functional.rms_norm(x, gain.shape, gain, small).bfloat16()
    row = x[0]
    scale = 1 / math.sqrt(torch.dot(row, row).item() / len(row) + small)
    return (x * gain).mul_(scale).bfloat16()
