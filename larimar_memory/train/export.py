"""A trained codec as a bundle, with the figures of its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from larimar_memory.latents.bundle import figures_of, save_bundle
from larimar_memory.latents.codec import LatentCodec
from larimar_memory.train.recipe import Recipe


def export(
    codec: LatentCodec,
    recipe: Recipe,
    folder: Path,
    checked: dict[str, Any] | None,
    tokens: int,
    seconds: float,
    start: Path | None = None,
) -> Path:
    """Write the codec to a folder that `load_bundle` reads; returns the folder.

    Args:
        start: the bundle that training went on from; its figures are kept as "before".
    """
    figures: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json"),
        "tokens": tokens,
        "seconds": round(seconds, 1),
        "checked": checked,
    }
    if start is not None:
        figures["before"] = figures_of(start)
    save_bundle(codec, folder, figures)
    return folder
