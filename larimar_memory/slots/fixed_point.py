"""Weights and directions as integers, so that sums of their products are exact.

Integer sums do not depend on the order of writing, and what was added can be subtracted without a
trace. That makes forgetting and merging exact to the last bit, not only up to rounding.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from larimar_memory.slots.blend import normalised

BITS = 22
ONE = 1 << BITS
"""The integer that stands for 1."""

PRODUCT = float(ONE) * float(ONE)
"""The divisor of integer products."""

MAX_ROWS = 1 << (63 - 2 * BITS)
"""How many rows can be written so that their products surely fit 64 bits, all in one slot: 524,288."""

# This many products of 2^44 stay below 2^53, where float64 sums of integers are exact in any order.
_EXACT_ROWS = 1 << (53 - 2 * BITS)


def quantise_weights(weights: Float[np.ndarray, "n k"]) -> Int[np.ndarray, "n k"]:
    """Rows of weights as int32 multiples of 2^-22 that sum to exactly 1."""
    whole: np.ndarray = np.floor(weights * ONE).astype(np.int32)
    rows = np.arange(len(whole))
    whole[rows, weights.argmax(axis=1)] += (ONE - whole.sum(axis=1)).astype(np.int32)
    return whole


def quantise_directions(
    latents: Float[np.ndarray, "n c"],
) -> tuple[Int[np.ndarray, "n c"], Float[np.ndarray, " n"]]:
    """Latents as unit directions, in int32 multiples of 2^-22, and their float64 lengths.

    A latent of zeros has length 0 and no direction.
    """
    units, lengths = normalised(latents.astype(np.float64))
    return np.rint(units * ONE).astype(np.int32), lengths


def product(left: Int[np.ndarray, "n a"], right: Int[np.ndarray, "n b"]) -> Int[np.ndarray, "a b"]:
    """`left.T @ right` without rounding, int64, for matrices of this module."""
    total = np.zeros((left.shape[1], right.shape[1]), dtype=np.int64)
    for start in range(0, len(left), _EXACT_ROWS):
        rows = slice(start, start + _EXACT_ROWS)
        part = left[rows].astype(np.float64).T @ right[rows].astype(np.float64)
        total += part.astype(np.int64)
    return total
