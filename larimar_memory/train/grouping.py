"""Keys and values of several tokens as those of one virtual position."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from larimar_memory.latents.prefix import States


def grouped(states: States, size: int) -> tuple[Float[Tensor, "b p two l g c"], Bool[Tensor, "b p"]]:
    """Keys and values averaged over `size` consecutive positions, and which averages are of any."""
    exact = torch.stack([states.keys, states.values]).permute(2, 4, 0, 1, 3, 5)
    mask = states.mask
    if size == 1:
        return exact, mask
    missing = -mask.shape[1] % size
    exact = torch.nn.functional.pad(exact, (0, 0) * 4 + (0, missing))
    mask = torch.nn.functional.pad(mask, (0, missing))
    weight = mask.reshape(len(mask), -1, size).float()
    weight = weight / weight.sum(-1, keepdim=True).clamp_min(1)
    exact = exact.reshape(*weight.shape, *exact.shape[2:])
    return torch.einsum("bpsklgc,bps->bpklgc", exact, weight), mask[:, ::size]
