"""Latents as small integers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int8

_TOP = 127


def quantise(z: Float[np.ndarray, "m dz"], step: float) -> Int8[np.ndarray, "m dz"]:
    """The number of steps nearest to each number of a latent; 127 steps away from zero at most."""
    steps = np.rint(np.asarray(z, dtype=np.float32) / np.float32(step))
    q: np.ndarray = np.clip(steps, -_TOP, _TOP).astype(np.int8)
    return q


def dequantise(q: Int8[np.ndarray, "m dz"], step: float) -> Float[np.ndarray, "m dz"]:
    """The latent that was rounded, float32, off by half a step in a number unless it was cut off."""
    z: np.ndarray = q.astype(np.float32) * np.float32(step)
    return z
