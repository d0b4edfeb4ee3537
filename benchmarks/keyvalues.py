"""The decoder's own keys and values, stored in few bits a number: what latents are measured against.

Nothing is trained. A piece of text is read once, on its own, after what the decoder's chat says before
recalled passages. Its keys are stored un-rotated and rotated where they stand when they are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import BFloat16, Float, UInt8
from torch import Tensor

from larimar_memory.latents import LatentCodec, Prefix
from larimar_memory.latents.adapters import Adapters
from larimar_memory.latents.answering import AnsweringAdapter
from larimar_memory.latents.prefix import LatentReadout, States, place
from larimar_memory.latents.states import Segments, exact_states, read_lead
from larimar_memory.models import caches

_TOKENS = 32
"""Tokens of a channel of the keys that share a scale and a least number, at most."""

_WHOLE = 16
"""Bits of numbers that are not quantised but rounded to bf16."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Numbers as whole steps above the least of their group (the last axis).

    Attributes:
        planes: bytes that hold 4, 2 or 1 bits of several numbers each, the highest bits first.
        least, scale: of every group.
        shape: of the numbers.
    """

    planes: tuple[tuple[int, UInt8[Tensor, " n"]], ...]
    least: BFloat16[Tensor, "*groups 1"]
    scale: BFloat16[Tensor, "*groups 1"]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes, scales included."""
        parts = (*(plane for _, plane in self.planes), self.least, self.scale)
        return sum(part.nbytes for part in parts)

    def numbers(self) -> Float[Tensor, "*groups s"]:
        """The numbers, float32, off by half a step at most."""
        count, steps = math.prod(self.shape), torch.zeros((), dtype=torch.uint8)
        for width, plane in self.planes:
            shifts = torch.arange(8 - width, -1, -width, dtype=torch.uint8)
            part = (plane[:, None] >> shifts) & (2**width - 1)
            steps = (steps << width) | part.reshape(-1)[:count]
        return steps.reshape(self.shape).float().mul_(self.scale.float()).add_(self.least.float())


def packed(x: Float[Tensor, "*groups s"], bits: int) -> Packed:
    """Quantise numbers, each to one of 2**bits values between the least and the most of its group."""
    least = x.amin(-1, keepdim=True).bfloat16()
    # From the least as it is kept, rounded.
    scale = ((x.amax(-1, keepdim=True) - least.float()) / (2**bits - 1)).clamp_min(1e-8).bfloat16()
    steps = ((x - least.float()) / scale.float()).round().clamp(0, 2**bits - 1).byte().flatten()
    planes = list[tuple[int, Tensor]]()
    left = bits
    while left:
        width = next(w for w in (4, 2, 1) if w <= left)
        left -= width
        part = (steps >> left) & (2**width - 1)
        part = torch.nn.functional.pad(part, (0, -len(part) % (8 // width))).reshape(-1, 8 // width)
        shifts = torch.arange(8 - width, -1, -width, dtype=torch.uint8)
        planes.append((width, (part << shifts).sum(1).byte()))
    return Packed(tuple(planes), least, scale, tuple(x.shape))


@dataclass(frozen=True, slots=True)
class Stored:
    """Keys and values of a piece, as they lie in a store.

    Attributes:
        tokens: ids.
        keys, values: quantised, or in bf16.
    """

    tokens: tuple[int, ...]
    keys: Packed | BFloat16[Tensor, "l g t c"]
    values: Packed | BFloat16[Tensor, "l g t c"]

    @property
    def nbytes(self) -> int:
        """Bytes of all that a read needs; ids are made of the text, which is there anyway."""
        return self.keys.nbytes + self.values.nbytes


def stored(tokens: Sequence[int], states: States, bits: int) -> Stored:
    """What is kept of a piece: keys by channel, over tokens, and values by token, over a head.

    So the channels in which keys are large do not cost the others their steps (KIVI, arXiv 2402.02750).
    """
    keys, values, ids = states.keys[:, 0], states.values[:, 0], tuple(tokens)
    if bits == _WHOLE:
        return Stored(ids, keys.bfloat16(), values.bfloat16())
    groups = -(-len(ids) // _TOKENS)
    by_channel = keys.transpose(2, 3)
    missing = -len(ids) % groups
    # The last token again: it changes neither the least nor the most of its group.
    by_channel = torch.cat([by_channel, by_channel[..., -1:].expand(*by_channel.shape[:3], missing)], 3)
    by_channel = by_channel.unflatten(3, (groups, -1))
    return Stored(ids, packed(by_channel, bits), packed(values, bits))


def _read(held: Stored) -> tuple[Float[Tensor, "l g t c"], Float[Tensor, "l g t c"]]:
    keys, values = held.keys, held.values
    if isinstance(keys, Packed):
        read = keys.numbers().flatten(3)[..., : len(held.tokens)].transpose(2, 3)
    else:
        read = keys.float()
    return read, values.numbers() if isinstance(values, Packed) else values.float()


class Reading(LatentReadout):
    """A prefix of stored keys and values, read with the adapter that text is answered with.

    Attributes:
        first: as of the adapter: how it leans to a refusal.
    """

    def __init__(
        self, prefix: Prefix, lead: int, adapters: Adapters, first: Mapping[int, float]
    ) -> None:
        super().__init__(prefix, lead, adapters)
        self.first = first


class KeyValues:
    """Makes and places the keys and values of one decoder, with its answering adapter where it has one.

    Args:
        codec: of that decoder.
        adapter: on while texts are read and answers written, as it is with text in the prompt.
    """

    def __init__(self, codec: LatentCodec, adapter: AnsweringAdapter | None) -> None:
        self._anatomy = codec.anatomy
        self._adapters, self._first = Adapters((), 1), dict[int, float]()
        self._adapters.merge()
        if adapter is not None:
            self._adapters, self._first = adapter.adapters, dict(adapter.first)
        with self._adapters.attached():
            self._lead = read_lead(self._anatomy, codec.lead.tokens)

    @torch.no_grad()
    def states(self, tokens: Sequence[int]) -> States:
        """Keys, un-rotated, and values of one piece, float32."""
        ids = torch.tensor([list(tokens)])
        with self._adapters.attached():
            return exact_states(self._anatomy, self._lead, Segments(ids, torch.ones_like(ids).bool()))

    @torch.no_grad()
    def readout(self, pieces: Sequence[Stored], linked: int = 0) -> Reading:
        """What conditions the decoder on pieces, which stand side by side in the order given.

        Args:
            linked: tokens at the beginning of every piece but the first that are read again, seeing all
                that stands before them (LegoLink, arXiv 2410.15332).
        """
        keys, values = (torch.cat(x, 2)[:, None] for x in zip(*map(_read, pieces), strict=True))
        states = States(keys, values, torch.ones(1, keys.shape[3], dtype=torch.bool))
        prefix = place(self._anatomy, self._lead, states)
        if linked and len(pieces) > 1:
            self._link(prefix, pieces, linked)
        return self.reading(prefix)

    def reading(self, prefix: Prefix) -> Reading:
        """What conditions the decoder on a prefix, whatever it was made of."""
        return Reading(prefix, len(self._lead.tokens), self._adapters, self._first)

    def _link(self, prefix: Prefix, pieces: Sequence[Stored], linked: int) -> None:
        """Read the beginnings again, all at once, in place of what was stored of them."""
        starts = accumulate((len(piece.tokens) for piece in pieces), initial=len(self._lead.tokens))
        begun = [(at, piece.tokens[:linked]) for at, piece in zip(starts, pieces, strict=False)][1:]
        ids = torch.tensor([[token for _, tokens in begun for token in tokens]])
        at = torch.tensor([first + n for first, tokens in begun for n in range(len(tokens))])
        places = torch.arange(prefix.keys.shape[3])
        kept = (places < at[:, None]) & ~torch.isin(places, at)
        seen = torch.cat([kept, at <= at[:, None]], 1)
        cache, dtype = prefix.cache(), prefix.keys.dtype
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)
        with self._adapters.attached():
            self._anatomy.base(
                input_ids=ids,
                attention_mask=mask[None, None],
                position_ids=at[None],
                **caches.given(self._anatomy.base, cache),
            )
        for number, layer in enumerate(cache.layers):
            prefix.keys[number][:, :, at] = layer.keys[:, :, len(places) :]
            prefix.values[number][:, :, at] = layer.values[:, :, len(places) :]
