"""Segments as padded token batches, and keys and values not yet placed anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from larimar_memory.latents.anatomy import Anatomy, unrotate


@dataclass(frozen=True, slots=True)
class Segments:
    """Tokens of b segments, each with its end mark, padded on the right.

    Attributes:
        mask: true where there is a token.
    """

    tokens: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]


@dataclass(frozen=True, slots=True)
class States:
    """Keys, un-rotated, and values of p positions in all l layers and g heads of a decoder.

    Attributes:
        mask: true where there is a position.
    """

    keys: Float[Tensor, "l b g p c"]
    values: Float[Tensor, "l b g p c"]
    mask: Bool[Tensor, "b p"]

    def side_by_side(self, count: int) -> States:
        """Every `count` consecutive rows become one row: their positions stand in a line."""
        mask = self.mask.reshape(len(self.mask) // count, -1)
        return States(_in_line(self.keys, count), _in_line(self.values, count), mask)


def _in_line(x: Float[Tensor, "l b g p c"], count: int) -> Float[Tensor, "l rows g line c"]:
    layers, b, heads, p, c = x.shape
    rows = x.reshape(layers, b // count, count, heads, p, c).transpose(2, 3)
    return rows.reshape(layers, b // count, heads, count * p, c)


def pad(segments: Sequence[Sequence[int]], end: int, device: torch.device) -> Segments:
    """Batch segments of any lengths, an end mark after each."""
    length = max(len(s) for s in segments) + 1
    rows = [[*s, *([end] * (length - len(s)))] for s in segments]
    counts = torch.tensor([len(s) + 1 for s in segments])
    mask = torch.arange(length)[None] < counts[:, None]
    return Segments(torch.tensor(rows).to(device), mask.to(device))


@torch.no_grad()
def exact_states(anatomy: Anatomy, segments: Segments) -> States:
    """The plain decoder's own keys and values of segments, each read on its own after a start token.

    The start token's are left out. Padding is on the right and attention is causal, so it changes
    nothing before it and needs no mask.
    """
    tokens = with_start(anatomy, segments.tokens)
    cache = anatomy.base(input_ids=tokens, use_cache=True).past_key_values
    keys = torch.stack([layer.keys for layer in cache.layers])[..., 1:, :]
    values = torch.stack([layer.values for layer in cache.layers])[..., 1:, :]
    positions = torch.arange(1, tokens.shape[1], device=tokens.device)[None]
    return States(unrotate(anatomy, keys, positions), values.float(), segments.mask)


@torch.no_grad()
def start_states(anatomy: Anatomy) -> tuple[Float[Tensor, "l g c"], Float[Tensor, "l g c"]]:
    """Keys and values of the start token at position 0, where rotation changes nothing, float32."""
    token = torch.tensor([[anatomy.start]], device=anatomy.device)
    cache = anatomy.base(input_ids=token, use_cache=True).past_key_values
    keys = torch.stack([layer.keys[0, :, 0] for layer in cache.layers])
    values = torch.stack([layer.values[0, :, 0] for layer in cache.layers])
    zero = torch.zeros(1, 1, dtype=torch.long, device=token.device)
    keys = unrotate(anatomy, keys[:, None, :, None], zero)[:, 0, :, 0]
    return keys, values.float()


def with_start(anatomy: Anatomy, tokens: Int[Tensor, "b t"]) -> Int[Tensor, "b t1"]:
    """Tokens with a start token in front of every row."""
    return torch.nn.functional.pad(tokens, (1, 0), value=anatomy.start)
