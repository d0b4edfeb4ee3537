"""Address weights over fixed reference keys (arXiv 2403.11901, Eq. 7 and Appendix E)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

ALPHA = 1e-3
"""Kernel width; at this value nearly all weight lies on the nearest slot."""


def address(
    query: Float[np.ndarray, " d"],
    reference: Float[np.ndarray, "k d"],
    alpha: float = ALPHA,
) -> Float[np.ndarray, " k"]:
    """Weights `w_k = softmax_k(-||q - R_k||^2 / (2 alpha sigma^2))`, float64.

    sigma is the distance to the nearest row. At distance zero the limit is taken: the weight is shared
    equally by the rows that equal the query. Weights are non-negative and sum to 1.

    Args:
        query: q, the key of the question.
        reference: R, the reference keys; k may be 0, then so is the result's length.
        alpha: positive kernel width.
    """
    if not len(reference):
        return np.zeros(0)
    scale = max(float(np.abs(reference).max()), float(np.abs(query).max())) or 1.0
    difference = (reference.astype(np.float64) - query.astype(np.float64)) / scale
    squared = np.einsum("kd,kd->k", difference, difference)
    nearest = squared.min()
    if nearest == 0.0:
        weights = (squared == 0.0).astype(np.float64)
    else:
        weights = np.exp((1.0 - squared / nearest) / (2.0 * alpha))
    return np.asarray(weights / weights.sum())
