"""Which errors in keys and values matter: a Fisher matrix for every layer and head.

To second order, a small error e in keys and values adds e^T F e / 2 to the decoder's cross-entropy,
with F the mean of the gradients' outer products (Amari, 1998). Regression that minimises it spends a
code's few numbers on what the decoder reads, and needs no pass back through the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.prefix import States
from larimar_memory.train.batches import Recital, recite_loss

_FLOOR = 0.01


def importance(codec: LatentCodec, batches: Sequence[Recital]) -> Float[Tensor, "n c c"]:
    """Square roots of F for the keys and the values of n layers and heads, in units of deviation.

    Gradients are taken at points between the exact keys and values and those that the codec makes: if
    everything is said rightly, there are no gradients, and if nothing is, they do not tell one error
    from another. A small share of the identity is added, since few segments do not show every error.
    """
    two, layers, heads, channels = codec.head.shape
    total = torch.zeros(two * layers * heads, channels, channels, device=codec.device)
    for batch in batches:
        exact, mask = grouped(codec, batch)
        exact = (exact - codec.head.mean) / codec.head.deviation
        with torch.no_grad():
            z, _ = codec.latents(batch.segments, batch.window)
            made = codec.head.unit(z)[:, : exact.shape[1]]
        generator = torch.Generator(codec.device).manual_seed(batch.seed)
        share = torch.rand(len(exact), 1, 1, 1, 1, 1, generator=generator, device=codec.device)
        unit = (exact + share * (made - exact)).requires_grad_()
        moved = unit * codec.head.deviation + codec.head.mean
        keys, values = moved.permute(2, 3, 0, 4, 1, 5)
        prefix = codec.placed(States(keys, values, mask), batch.count)
        (gradient,) = torch.autograd.grad(recite_loss(codec, prefix, batch), unit)
        rows = gradient[mask].reshape(-1, len(total), channels).transpose(0, 1)
        total += rows.transpose(1, 2) @ rows
    # Divided by the mean, so that weighted errors are as large as plain ones.
    total /= total.diagonal(dim1=1, dim2=2).mean().clamp_min(1e-30)
    total += _FLOOR * torch.eye(channels, device=codec.device)
    strengths, vectors = torch.linalg.eigh(total.double())
    half = vectors * strengths.clamp_min(0).sqrt()[:, None]
    out: Tensor = (half @ vectors.transpose(1, 2)).float()
    return out


def weighted(
    unit: Float[Tensor, "*p two l g c"], roots: Float[Tensor, "n c c"]
) -> Float[Tensor, "*p n c"]:
    """Keys and values, or errors in them, transformed so that all directions matter alike."""
    flat = unit.reshape(*unit.shape[:-4], len(roots), unit.shape[-1])
    out: Tensor = torch.einsum("...nc,ncd->...nd", flat, roots)
    return out


def grouped(
    codec: LatentCodec, batch: Recital
) -> tuple[Float[Tensor, "b p two l g c"], Bool[Tensor, "b p"]]:
    """A batch's exact keys and values, averaged over the tokens that share a virtual position.

    Returns:
        The averages, and a mask of those that cover at least one token.
    """
    states, size = codec.exact(batch.segments, batch.window), codec.config.tokens_per_key
    exact, mask = torch.stack([states.keys, states.values]).permute(2, 4, 0, 1, 3, 5), states.mask
    if size == 1:
        return exact, mask
    missing = -mask.shape[1] % size
    exact = torch.nn.functional.pad(exact, (0, 0) * 4 + (0, missing))
    mask = torch.nn.functional.pad(mask, (0, missing))
    weight = mask.reshape(len(mask), -1, size).float()
    weight = weight / weight.sum(-1, keepdim=True).clamp_min(1)
    exact = exact.reshape(*weight.shape, *exact.shape[2:])
    return torch.einsum("bpsklgc,bps->bpklgc", exact, weight), mask[:, ::size]
