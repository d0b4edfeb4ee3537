"""Where training begins: at an earlier bundle's weights, as far as the sizes allow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from larimar_memory.errors import InputError
from larimar_memory.latents.bundle import load_bundle
from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.config import LatentConfig


def start_from(codec: LatentCodec, folder: Path) -> None:
    """Give a codec a bundle's weights: all of them where the sizes are equal.

    A code in which n of the bundle's positions become one, n times as wide, begins with the latents of
    those side by side and the mean of their keys and values. A code of any other size takes the
    adapters only: who reads can learn from who read other codes.

    Raises:
        InputError: if the bundle's adapters are of another rank.
        ModelError: if there is no bundle for the codec's decoder.
    """
    begun = load_bundle(folder, codec.decoder)
    wanted = codec.config
    # Neither the step of storing nor the length of a piece is in the weights.
    found = begun.config.model_copy(update={"step": wanted.step, "limit": wanted.limit})
    weights = {name: x.float() for name, x in begun.state_dict().items()}
    if found.rank != wanted.rank:
        raise InputError(
            f"Training cannot start from {folder}.",
            f"Its adapters are of rank {found.rank}, and the recipe's of rank {wanted.rank}.",
            "Give the recipe that rank, or start from nothing.",
        )
    if found == wanted:
        codec.load_state_dict(weights)
    elif n := _merged(found, wanted):
        codec.load_state_dict(merged(weights, n))
    else:
        codec.adapters.load_state_dict(begun.adapters.state_dict())


@torch.no_grad()
def mix_in(codec: LatentCodec, folder: Path, share: float) -> None:
    """Mix what `start_from` gives of a bundle into a codec's weights, as so much of each.

    Raises:
        InputError, ModelError: as in `start_from`.
    """
    learnt = {name: x.clone() for name, x in codec.state_dict().items()}
    start_from(codec, folder)
    codec.load_state_dict(
        {name: torch.lerp(learnt[name], x, share) for name, x in codec.state_dict().items()}
    )


def merged(weights: Mapping[str, Tensor], n: int) -> dict[str, Tensor]:
    """Weights of the codec that makes one position of every n of another codec's."""
    out = dict(weights)
    out["encoder.map.weight"] = torch.block_diag(*[weights["encoder.map.weight"]] * n)
    out["encoder.map.bias"] = weights["encoder.map.bias"].repeat(n)
    for name in ("head.enter.weight", "head.linear.weight"):
        out[name] = weights[name].repeat(1, n) / n
    return out


def _merged(found: LatentConfig, wanted: LatentConfig) -> int:
    """How many positions of the found code become one of the wanted; 0 if it is no such code."""
    n = wanted.ratio // found.ratio
    sizes = {"ratio": n * found.ratio, "dz": n * found.dz}
    mergeable = n > 1 and found.spread == 1 and found.squeeze == 0
    return n if mergeable and found.model_copy(update=sizes) == wanted else 0
