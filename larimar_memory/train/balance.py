"""Scale the numbers of latents so that steps of one size suit all of them.

To second order, rounding a number to steps of size d adds s d^2 / 24 to the loss, with s the mean
square of the loss's gradient (Fisher information, as in `importance`). Some numbers of a latent matter
a thousand times as much as others. If each number had a code of its own, all should add the same loss,
and the best scale would be the square root of s. But one Huffman code serves most numbers of a latent,
and it loses by differences between them, so that a power below the square root is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from larimar_memory.latents.codec import LatentCodec
from larimar_memory.train.stages import Learner

_POWER = 0.3
"""Power of s: in measurements, latents of the same size kept more with it than with 0 or .5."""


def sensitivity(codec: LatentCodec, learner: Learner, batches: Sequence[Any]) -> Float[Tensor, " dz"]:
    """Mean squares, over labels, of the loss's gradients by each number of a latent; 0 without any."""
    total = torch.zeros(codec.config.dz, device=codec.device)
    made = list[Tensor]()

    def keep(_: nn.Module, __: object, out: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        z = out[0].detach().float().requires_grad_()
        made.append(z)
        return z, out[1]

    hook = codec.encoder.register_forward_hook(keep)
    try:
        for batch in batches:
            made.clear()
            loss = learner.loss(batch)
            if made:
                for gradient in torch.autograd.grad(loss, made, allow_unused=True):
                    if gradient is not None:
                        total += gradient.square().sum((0, 1))
    finally:
        hook.remove()
    found: Tensor = total / max(1, sum(batch.size for batch in batches))
    return found


@torch.no_grad()
def rescale(codec: LatentCodec, scale: Float[Tensor, " dz"]) -> None:
    """Multiply the numbers of all latents by their scales; keys and values made from them stay."""
    last = codec.encoder.last
    last.weight.mul_(scale[:, None])
    last.bias.mul_(scale)
    for module in (codec.head.enter, codec.head.linear):
        module.weight.div_(scale)


def balance(codec: LatentCodec, learner: Learner, batches: Sequence[Any]) -> None:
    """Scale a codec's latents by the cost of errors in them; their mean deviation hardly changes."""
    found = sensitivity(codec, learner, batches)
    if found.max() > 0:
        scale = found.clamp_min(found.max() * 1e-8).pow(_POWER)
        rescale(codec, scale / scale.log().mean().exp())
