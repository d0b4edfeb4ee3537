"""Segments as padded batches of tokens, and keys and values that have no positions yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from larimar_memory.latents.anatomy import Anatomy
from larimar_memory.latents.prefix import Lead, States, unrotate
from larimar_memory.models import caches


@dataclass(frozen=True, slots=True)
class Segments:
    """Tokens of b segments, each with a mark after it, padded on the right.

    Attributes:
        mask: true where there is a token.
    """

    tokens: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of consecutive segments, each window one text without gaps.

    Attributes:
        packed: the windows, one in each row.
        back: for every token of the segments, its place in its window's row; arbitrary for a place
            without a token.
    """

    packed: Segments
    back: Int[Tensor, "b t"]


def in_windows(segments: Segments, count: int) -> Windows:
    """Every `count` consecutive segments as one text; rows without tokens are skipped."""
    b, t = segments.tokens.shape
    tokens, mask = (x.reshape(b // count, -1) for x in (segments.tokens, segments.mask))
    width = int(mask.sum(1).max())
    # Tokens come first, in their order, and padding last: a window has no gaps.
    order = mask.int().argsort(dim=1, descending=True, stable=True)[:, :width]
    packed = Segments(tokens.gather(1, order), mask.gather(1, order))
    return Windows(packed, (mask.long().cumsum(1) - 1).clamp_min(0).reshape(b, t))


def pad(segments: Sequence[Sequence[int]], mark: int, device: torch.device) -> Segments:
    """Batch segments of any lengths, with a mark after each, except for empty ones."""
    length = max(len(s) for s in segments) + 1
    rows = [[*s, *([mark] * (length - len(s)))] for s in segments]
    counts = torch.tensor([len(s) + 1 if s else 0 for s in segments])
    mask = torch.arange(length)[None] < counts[:, None]
    return Segments(torch.tensor(rows).to(device), mask.to(device))


@torch.no_grad()
def read_lead(anatomy: Anatomy, tokens: Sequence[int]) -> Lead:
    """Keys and values of the lead, which stands in front of all segments, float32.

    If it has no start token, one is put first: without one, the first token would become the attention
    sink.
    """
    if not tokens or tokens[0] != anatomy.start:
        tokens = [anatomy.start, *tokens]
    ids = torch.tensor([list(tokens)], device=anatomy.model.device)
    cache = caches.left_by(anatomy.base(input_ids=ids, use_cache=True))
    keys = torch.stack([layer.keys for layer in cache.layers])
    values = torch.stack([layer.values[0] for layer in cache.layers])
    positions = torch.arange(len(tokens), device=anatomy.model.device)[None]
    return Lead(tuple(tokens), unrotate(anatomy, keys, positions)[:, 0], values.float())


@torch.no_grad()
def exact_states(anatomy: Anatomy, lead: Lead, segments: Segments, count: int = 1) -> States:
    """The plain decoder's own keys and values of segments, read after the lead.

    Those of the lead are left out. Padding is on the right and attention is causal, so padding changes
    nothing before it and needs no mask.

    Args:
        count: number of consecutive segments that are read as one text.
    """
    windows = in_windows(segments, count)
    b, t = windows.packed.tokens.shape
    first = len(lead.tokens)
    before = caches.given(anatomy.base, lead.cache(anatomy, b))
    read = anatomy.base(input_ids=windows.packed.tokens, **before, use_cache=True)
    cache = caches.left_by(read)
    keys = torch.stack([layer.keys[..., first:, :] for layer in cache.layers])
    values = torch.stack([layer.values[..., first:, :] for layer in cache.layers])
    positions = torch.arange(first, first + t, device=keys.device)[None]
    keys, values = (_of_segments(x, windows) for x in (unrotate(anatomy, keys, positions), values))
    return States(keys, values.float(), segments.mask)


def _of_segments(x: Float[Tensor, "l w g p c"], windows: Windows) -> Float[Tensor, "l b g t c"]:
    layers, count, heads, _, channels = x.shape
    back = windows.back.reshape(count, -1)
    x = x.gather(3, back[None, :, None, :, None].expand(layers, -1, heads, -1, channels))
    # A window's row has the places of its segments, one segment after the other.
    x = x.reshape(layers, count, heads, -1, windows.back.shape[1], channels).transpose(2, 3)
    return x.reshape(layers, -1, heads, windows.back.shape[1], channels)
