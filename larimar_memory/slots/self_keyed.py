"""Larimar's own scheme, for comparison: addresses are made of the latents themselves.

Section 3 of arXiv 2403.11901 (and the generative pseudo-inverse memory it builds on): an episode Z is
written at `W0 = Z M0^+` as `M = W0^+ Z`, and a query z is read at `w = z M^+` as `w M`. The read is a
projection of the query on what was written: a question comes back as a question, without the parts that
no written latent has. See `SlotMemory` for the scheme that this package uses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from larimar_memory.slots.blend import matrix

_CUTOFF = 1e-6


def safe_pinv(values: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "b a"]:
    """The Moore-Penrose inverse by singular values, float64: finite for every finite matrix.

    Singular values below 1e-6 of the largest count as zero. The paper's code iterates Newton steps
    from a fixed start instead, which diverges for large latents.
    """
    exact = values.astype(np.float64)
    scale = float(np.abs(exact).max(initial=0.0))
    if scale == 0.0:
        return np.zeros(exact.T.shape)
    return np.asarray(np.linalg.pinv(exact / scale, rcond=_CUTOFF) / scale)


class SelfKeyedMemory:
    """The memory M (K x C) of one episode.

    Args:
        slots: K.
        latent: C.
        prior: M0; by default the identity, with which the paper's code begins.
    """

    def __init__(self, slots: int, latent: int, prior: Float[np.ndarray, "k c"] | None = None) -> None:
        self.prior = np.eye(slots, latent) if prior is None else prior.astype(np.float64)
        self.contents = np.zeros((slots, latent))
        self._gram = np.zeros((slots, slots))
        self._cross = np.zeros((slots, latent))
        self._inverse_prior = safe_pinv(self.prior)

    def write(self, latents: Any) -> None:
        """Write an episode of (n, C) latents, replacing the one before."""
        rows = matrix(latents, "latents", self.contents.shape[1]).astype(np.float64)
        weights = rows @ self._inverse_prior
        self._gram = weights.T @ weights
        self._cross = weights.T @ rows
        self.contents = safe_pinv(weights) @ rows

    def forget(self, latent: Any) -> None:
        """Remove a written latent (C,): what it added to `W0^T W0` and `W0^T Z` is subtracted.

        If `W0^T W0` has an inverse, this is the paper's sequential update with a factor of -1. If it
        has none, that update would leave M unchanged, since its error term is zero.
        """
        row = matrix(latent[None], "latents", self.contents.shape[1]).astype(np.float64)
        weights = row @ self._inverse_prior
        self._gram = self._gram - weights.T @ weights
        self._cross = self._cross - weights.T @ row
        self.contents = safe_pinv(self._gram) @ self._cross

    def read(self, queries: Any) -> Float[np.ndarray, "q c"]:
        """Readouts of (q, C) queries, float64."""
        rows = matrix(queries, "queries", self.contents.shape[1]).astype(np.float64)
        return np.asarray(rows @ safe_pinv(self.contents) @ self.contents)
