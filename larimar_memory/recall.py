"""Find the segments a question addresses: keys and words, fused by reciprocal rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from larimar_memory.store.base import Store, Where
from larimar_memory.store.terms import query_terms

CANDIDATES = 40
"""Hits taken from each ranking before they are fused."""

RRF_CONSTANT = 10
"""c in 1 / (c + rank) (Cormack et al. 2009); with one list of 40 each, 10 beat 60 slightly."""

COMMON = 5_000
"""A word held by this many segments says little and costs much: it is left out of the search."""


def search(
    store: Store,
    namespace: str,
    question: str,
    key: Float[np.ndarray, " d"],
    k: int,
    *,
    where: Where | None = None,
    hybrid: bool = True,
) -> list[int]:
    """Rows of the k segments that best match, best first.

    Args:
        key: the question's key, unit length.
        hybrid: rank by words (BM25) as well as by key.
    """
    depth = max(k, CANDIDATES)
    rankings = [[hit.row for hit in store.nearest(namespace, key, depth, where)]]
    if hybrid:
        terms = query_terms(question)
        counts = store.document_frequency(namespace, terms, COMMON)
        rare = [t for t, n in zip(terms, counts, strict=True) if 0 < n < COMMON]
        rankings.append([hit.row for hit in store.lexical(namespace, rare, depth, where)])
    return fuse(rankings)[:k]


def fuse(rankings: Sequence[Sequence[int]], constant: int = RRF_CONSTANT) -> list[int]:
    """Reciprocal rank fusion: rows by the sum of 1 / (constant + rank); ties by first appearance."""
    scores = dict[int, float]()
    for ranking in rankings:
        for rank, row in enumerate(ranking, start=1):
            scores[row] = scores.get(row, 0.0) + 1.0 / (constant + rank)
    return sorted(scores, key=lambda row: -scores[row])
