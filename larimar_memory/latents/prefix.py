"""Keys and values of latents, and the prefix they make in front of what a decoder reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from larimar_memory.decoders.weighing import Weighing
from larimar_memory.latents.adapters import Adapters, Joined
from larimar_memory.latents.anatomy import Anatomy
from larimar_memory.models import caches


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

    def cut(self, most: int) -> States:
        """Rows in pieces of `most` positions, each a row; the pieces of a row follow one another."""
        width = -(-self.mask.shape[1] // most) * most
        missing = width - self.mask.shape[1]
        keys, values = (
            _cut(nn.functional.pad(x, (0, 0, 0, missing)), most) for x in (self.keys, self.values)
        )
        mask = nn.functional.pad(self.mask, (0, missing)).reshape(-1, most)
        return States(keys, values, mask)

    def gaps_first(self, count: int) -> States:
        """Of every `count` consecutive rows, those without any position before the others."""
        used = self.mask.any(1).reshape(-1, count)
        order = used.int().argsort(dim=1, stable=True)
        first = torch.arange(0, len(self.mask), count, device=order.device)
        rows = (first[:, None] + order).flatten()
        return States(self.keys[:, rows], self.values[:, rows], self.mask[rows])


def _cut(x: Float[Tensor, "l b g p c"], most: int) -> Float[Tensor, "l rows g most c"]:
    layers, b, heads, p, c = x.shape
    pieces = x.reshape(layers, b, heads, p // most, most, c).transpose(2, 3)
    return pieces.reshape(layers, -1, heads, most, c)


def _in_line(x: Float[Tensor, "l b g p c"], count: int) -> Float[Tensor, "l rows g line c"]:
    layers, b, heads, p, c = x.shape
    rows = x.reshape(layers, b // count, count, heads, p, c).transpose(2, 3)
    return rows.reshape(layers, b // count, heads, count * p, c)


@dataclass(frozen=True, slots=True)
class Lead:
    """What a decoder has read before the first segment, in all l layers and g heads.

    Attributes:
        tokens: ids of the h tokens, a start token first.
        keys: un-rotated.
    """

    tokens: tuple[int, ...]
    keys: Float[Tensor, "l g h c"]
    values: Float[Tensor, "l g h c"]

    def cache(self, anatomy: Anatomy, b: int) -> Any:
        """A new cache in which b rows have read the lead."""
        positions = torch.arange(len(self.tokens), device=self.keys.device)[None]
        keys = rotate(anatomy, self.keys[:, None], positions).to(anatomy.model.dtype)
        values = self.values[:, None].to(anatomy.model.dtype)
        rows = (-1, b, -1, -1, -1)
        return new_cache(keys.expand(rows), values.expand(rows))


def new_cache(keys: Float[Tensor, "l b g p c"], values: Float[Tensor, "l b g p c"]) -> Any:
    """A cache that holds these and to which a decoder appends what it reads: one serves one run."""
    from transformers import DynamicCache

    cache = DynamicCache()
    for layer, (k, v) in enumerate(zip(keys, values, strict=True)):
        cache.update(k, v, layer)
    return cache


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
    return Prefix(keys.to(anatomy.model.dtype), joined[1].to(anatomy.model.dtype), mask)


def read_after(model: Any, prefix: Prefix, inputs: Int[Tensor, "b t"], **options: bool) -> Any:
    """What the model without its head makes of tokens that follow a prefix; padding is on the right.

    Args:
        options: of the model's `forward`, such as `output_hidden_states`.
    """
    return model.model(
        input_ids=inputs,
        **caches.given(model.model, prefix.cache()),
        attention_mask=prefix.covering(torch.ones_like(inputs, dtype=torch.bool)),
        position_ids=prefix.positions(inputs.shape[1]),
        use_cache=True,
        **options,
    )


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


class LatentReadout:
    """A key/value prefix and the adapters it is read with; for a `LatentDecoder`.

    Args:
        prefix: of one row; its decoder is the one that generates.
        lead: positions of the chat before the passages.
        adapters: that act while it is attached.
        first: what is added to logits where the first token is chosen, by its id.
        weighing: how the answer is chosen among several; None if it is written token by token.

    Attributes:
        attached: makes a block in which the adapters act on what this thread runs through the decoder.
        positions: places the prefix takes up, those of the chat before the passages included.
        recalled: those of the passages alone.
    """

    def __init__(
        self,
        prefix: Prefix,
        lead: int,
        adapters: Adapters | Joined,
        first: Mapping[int, float] | None = None,
        weighing: Weighing | None = None,
    ) -> None:
        self._prefix, self.adapters, self.first = prefix, adapters, first or {}
        self.weighing = weighing
        self.attached = adapters.attached
        self.positions = int(prefix.mask.sum())
        self.recalled = self.positions - lead

    def inputs(self, tokens: Int[Tensor, "1 t"]) -> dict[str, Any]:
        """What `model.generate` is called with; good for one generation, which fills the cache."""
        return generation_inputs(self._prefix, tokens)

    def past_key_values(self) -> Any:
        """The prefix as a new cache, for a generation loop of one's own inside `attached`."""
        return self._prefix.cache()


def angles(
    anatomy: Anatomy, positions: Int[Tensor, "b p"]
) -> tuple[Float[Tensor, "b p c"], Float[Tensor, "b p c"]]:
    """Cosines and sines by which the decoder rotates keys at these positions, float32."""
    like = torch.zeros(1, dtype=torch.float32, device=positions.device)
    cosine, sine = anatomy.base.rotary_emb(like, positions)
    return cosine, sine


def rotate(
    anatomy: Anatomy, keys: Float[Tensor, "l b g p c"], positions: Int[Tensor, "#b p"]
) -> Float[Tensor, "l b g p c"]:
    """Keys of l layers and g heads as they are when they stand at `positions` (RoPE), float32."""
    cosine, sine = (a[:, None] for a in angles(anatomy, positions))
    return _turned(keys.float(), cosine, sine)


def unrotate(
    anatomy: Anatomy, keys: Float[Tensor, "l b g p c"], positions: Int[Tensor, "#b p"]
) -> Float[Tensor, "l b g p c"]:
    """The inverse of `rotate`, also where the model scales its angles' cosines and sines."""
    cosine, sine = (a[:, None] for a in angles(anatomy, positions))
    return _turned(keys.float(), cosine, -sine) / (cosine.square() + sine.square())


def _turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Pairs of channels, half of all apart, turned by angles."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    out = x * cosine
    # In place: a readout of thousands of positions takes as long as its numbers are gone over.
    out[..., :half].addcmul_(second, sine[..., :half], value=-1)
    out[..., half:].addcmul_(first, sine[..., half:])
    return out
