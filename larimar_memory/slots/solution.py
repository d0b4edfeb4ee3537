"""The matrix M solved for, and which items a readout from it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from larimar_memory.slots.fixed_point import ONE


@dataclass(frozen=True, slots=True)
class Solution:
    """M with what it was solved from; the same bits for the same items, in whatever order they came.

    Attributes:
        ids: all items, sorted, so that rounding in sums over them does not depend on their order.
        weights: W, the address weights of each item.
        lengths: of the items' latents.
        factor: lower Cholesky factor of A + lambda I (K x K), float64.
        memory: M.
    """

    ids: list[str]
    weights: Float[np.ndarray, "n k"]
    lengths: Float[np.ndarray, " n"]
    factor: torch.Tensor
    memory: Float[np.ndarray, "k c"]

    def coefficients(self, weights: Float[np.ndarray, "q k"]) -> Float[np.ndarray, "q n"]:
        """`c = W (A + lambda I)^-1 w` for each query: its readout is `sum_n c_n u_n`."""
        queries = torch.from_numpy(np.ascontiguousarray(weights.T))
        solved: np.ndarray = torch.cholesky_solve(queries, self.factor).numpy()
        return np.asarray((self.weights @ solved).T)


def solve(
    ids: list[str],
    weights: Int[np.ndarray, "n k"],
    lengths: Float[np.ndarray, " n"],
    gram: Float[np.ndarray, "k k"],
    cross: Float[np.ndarray, "k c"],
    penalty: float,
) -> Solution:
    """`M = (A + lambda I)^-1 B` by Cholesky, float64.

    Args:
        gram: A.
        cross: B.
        penalty: lambda, positive.
    """
    normal = torch.from_numpy(gram)
    normal.diagonal().add_(penalty)
    factor = torch.linalg.cholesky(normal)
    memory: np.ndarray = torch.cholesky_solve(torch.from_numpy(cross), factor).numpy()
    return Solution(ids, weights / ONE, lengths, factor, memory)
