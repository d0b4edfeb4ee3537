"""Start training from an earlier bundle's weights, as far as the sizes allow."""

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
    """Give a codec a bundle's weights: all of them if the sizes are equal.

    If n of the bundle's positions become one that is n times as wide, the codec begins with their
    latents side by side and the mean of their keys and values. A codec of any other size takes only the
    adapters: reading one code helps to learn to read another.

    Raises:
        InputError: if the bundle's adapters have another rank.
        ModelError: if there is no bundle for the codec's decoder.
    """
    begun = load_bundle(folder, codec.decoder)
    wanted = codec.config
    # The weights depend neither on the step of storing nor on the length of a piece.
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
    """Mix the weights that `start_from` takes from a bundle into a codec's own, by a share in [0, 1].

    Raises:
        InputError, ModelError: as in `start_from`.
    """
    learnt = {name: x.clone() for name, x in codec.state_dict().items()}
    start_from(codec, folder)
    codec.load_state_dict(
        {name: torch.lerp(learnt[name], x, share) for name, x in codec.state_dict().items()}
    )


def merged(weights: Mapping[str, Tensor], n: int) -> dict[str, Tensor]:
    """Weights of the codec that makes one position from every n of another codec's."""
    out = dict(weights)
    out["encoder.map.weight"] = torch.block_diag(*[weights["encoder.map.weight"]] * n)
    out["encoder.map.bias"] = weights["encoder.map.bias"].repeat(n)
    for name in ("head.enter.weight", "head.linear.weight"):
        out[name] = weights[name].repeat(1, n) / n
    return out


def _merged(found: LatentConfig, wanted: LatentConfig) -> int:
    """How many positions of the found code become one of the wanted code; 0 if they do not."""
    n = wanted.ratio // found.ratio
    sizes = {"ratio": n * found.ratio, "dz": n * found.dz}
    mergeable = n > 1 and found.spread == 1 and found.squeeze == 0
    return n if mergeable and found.model_copy(update=sizes) == wanted else 0
