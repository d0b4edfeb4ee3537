"""Latents in half a byte or one byte a number."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Float16, Int8

Bits = Literal[4, 8]


def quantise(
    z: Float[np.ndarray, "m dz"], bits: Bits
) -> tuple[Int8[np.ndarray, "m dz"], Float16[np.ndarray, " m"]]:
    """Round a latent to integers of so many bits, with one float16 scale a position.

    The scale is the position's largest magnitude over the largest integer, 7 or 127.
    """
    z = np.asarray(z, dtype=np.float32)
    top = 2 ** (bits - 1) - 1
    largest = np.abs(z).max(axis=1, initial=0.0)
    # Rounded up to float16's grid, so that the largest number never exceeds the top.
    scale = np.nextafter((largest / top).astype(np.float16), np.float16(np.inf))
    q = np.clip(np.rint(z / scale.astype(np.float32)[:, None]), -top, top)
    return q.astype(np.int8), scale


def dequantise(
    q: Int8[np.ndarray, "m dz"], scale: Float16[np.ndarray, " m"]
) -> Float[np.ndarray, "m dz"]:
    """The latent that was rounded, float32, off by half a scale at most in every number."""
    return q.astype(np.float32) * scale.astype(np.float32)[:, None]
