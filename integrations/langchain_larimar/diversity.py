"""Choose entries that match a query and differ from one another."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from larimar_memory.encoders.keys import cosines


def marginal_relevance(
    relevance: Float[np.ndarray, " n"], keys: Float[np.ndarray, "n d"], k: int, lambda_mult: float
) -> list[int]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998): the indices of k entries, in order.

    The most relevant comes first; each next one has the largest
    `lambda_mult * relevance - (1 - lambda_mult) * its largest cosine with one chosen before`.

    Args:
        relevance: cosines with the query.
        keys: of unit length.
        k: how many to choose.
        lambda_mult: in [0, 1].
    """
    chosen, likeness = list[int](), np.full(len(keys), -np.inf)
    value = relevance.astype(np.float64)
    while len(chosen) < min(k, len(keys)):
        value[chosen] = -np.inf
        best = int(np.argmax(value))
        chosen.append(best)
        likeness = np.maximum(likeness, cosines(keys, keys[best]))
        value = lambda_mult * relevance - (1 - lambda_mult) * likeness
    return chosen
