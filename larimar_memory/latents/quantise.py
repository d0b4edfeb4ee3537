"""Latents in one byte a number."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float16, Int8

_TOP = 127


def to_int8(z: Float[np.ndarray, "m dz"]) -> tuple[Int8[np.ndarray, "m dz"], Float16[np.ndarray, " m"]]:
    """Round a latent to int8, with one float16 scale a position, its largest magnitude over 127."""
    z = np.asarray(z, dtype=np.float32)
    largest = np.abs(z).max(axis=1, initial=0.0)
    # Rounded up to float16's grid, so that the largest number never exceeds 127.
    scale = np.nextafter((largest / _TOP).astype(np.float16), np.float16(np.inf))
    q = np.clip(np.rint(z / scale.astype(np.float32)[:, None]), -_TOP, _TOP)
    return q.astype(np.int8), scale


def from_int8(
    q: Int8[np.ndarray, "m dz"], scale: Float16[np.ndarray, " m"]
) -> Float[np.ndarray, "m dz"]:
    """The latent that was rounded, float32, off by half a scale at most in every number."""
    return q.astype(np.float32) * scale.astype(np.float32)[:, None]
