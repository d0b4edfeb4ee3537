"""Readouts placed in front of what a decoder reads: a key/value prefix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from larimar_memory.latents.anatomy import Anatomy, rotate
from larimar_memory.latents.states import Lead, States, new_cache


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys, rotated where they stand, and values of b prefixes; a lead stands first in them.

    Attributes:
        mask: true where there is a position; gaps are skipped in counting positions.
    """

    keys: Float[Tensor, "l b g p c"]
    values: Float[Tensor, "l b g p c"]
    mask: Bool[Tensor, "b p"]

    def cache(self) -> Any:
        """A new cache with the prefix in it; a decoder appends what it reads, so one serves one run."""
        return new_cache(self.keys, self.values)

    def positions(self, count: int) -> Int[Tensor, "b count"]:
        """Where the next `count` tokens stand: right after the last position that is not a gap."""
        steps = torch.arange(count, device=self.mask.device)
        return self.mask.sum(1, keepdim=True) + steps

    def covering(self, mask: Bool[Tensor, "b t"]) -> Int[Tensor, "b pt"]:
        """The attention mask over the prefix and t tokens after it."""
        return torch.cat([self.mask, mask], dim=1).long()


def place(anatomy: Anatomy, lead: Lead, states: States, *, count: int = 1, stride: int = 0) -> Prefix:
    """Put a lead and then the states' positions into a line, in the decoder's number format.

    With a stride, a segment begins at the same distance from what is read after the prefix
    however long it and its neighbours are: what stood n places after its beginning is always found
    n places further on, and a decoder need not learn every length on its own.

    Args:
        lead: what was read before the segments.
        states: b rows of positions; gaps are allowed anywhere.
        count: segments in a row, equally wide; of those without positions the row makes no use.
        stride: places from one segment's beginning to the next one's, and from the last one's to the
            first token read after the prefix; 0 leaves no places free.
    """
    b, p = states.mask.shape
    h = len(lead.tokens)
    joined = []
    for first, rest in ((lead.keys, states.keys), (lead.values, states.values)):
        front = first.to(rest)[:, None].expand(-1, b, -1, -1, -1)
        joined.append(torch.cat([front, rest], dim=3))
    mask = torch.nn.functional.pad(states.mask, (h, 0), value=True)
    positions = mask.long().cumsum(1) - 1
    if stride:
        # Only distances matter to rotated keys. Those who read count their places by the mask, so it is
        # the prefix that moves away, below zero where it must.
        number = torch.arange(p, device=mask.device)
        width = p // count
        ahead = (number // width - count) * stride + number % width
        used = states.mask.reshape(b, count, width).any(2).sum(1, keepdim=True)
        before = torch.arange(-h, 0, device=mask.device) - used * stride
        positions = mask.sum(1, keepdim=True) + torch.cat([before, ahead.expand(b, p)], 1)
    longest = int(mask.sum(1).max())
    if longest < mask.shape[1]:
        # Where a position stands is settled: gaps that no row needs would only be skipped by attention.
        order = mask.int().argsort(dim=1, descending=True, stable=True)[:, :longest]
        mask, positions = mask.gather(1, order), positions.gather(1, order)
        places = order[None, :, None, :, None].expand_as(joined[0][..., :longest, :])
        joined = [x.gather(3, places) for x in joined]
    keys = rotate(anatomy, joined[0], positions)
    return Prefix(keys.to(anatomy.dtype), joined[1].to(anatomy.dtype), mask)


def generation_inputs(prefix: Prefix, tokens: Int[Tensor, "b t"]) -> dict[str, Any]:
    """What `model.generate` is given so that it continues `tokens` with a prefix in front of them.

    `generate` takes token ids as all new, rather than as a repetition of what the cache holds, exactly
    when the attention mask is longer than they are; it counts positions by the mask's cumulated sum, so
    gaps in the prefix take up no place. No placeholder ids are needed, and none reach the streamer. The
    tokens must be new to the cache, and of one length: pad a batch on the left is not supported.
    """
    return {
        "inputs": tokens,
        "attention_mask": prefix.covering(torch.ones_like(tokens, dtype=torch.bool)),
        "past_key_values": prefix.cache(),
    }
