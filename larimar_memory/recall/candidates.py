"""Candidates: what a question's key and words bring back, before anything is ranked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from larimar_memory.recall.question import Asked
from larimar_memory.stores.base import Place, Store, rarest
from larimar_memory.text.words import query_terms
from larimar_memory.types import ReadOptions

DEPTH = 300
"""Hits of each search. The best are ranked; all say how the neighbours of those match."""

RANKED = 3_000
"""Most segments that are ranked by a question's words, counted once for each word they hold.

The words that most segments hold say least and cost most, so it is the rarest that are searched.
"""

SATURATION = 2.2
"""k1 + 1 of SQLite's BM25: what a word adds tends towards its idf times so much."""


@dataclass(frozen=True)
class Pool:
    """What a question's searches brought back.

    Attributes:
        by_key: cosines with what the store searches by, by row, best first.
        by_words: BM25 scores by row, best first.
        counts: how many segments hold each of the question's words, counted up to `RANKED`.
        size: about how many segments there are.
        places: where the segments found stand, by row.
    """

    by_key: dict[int, float]
    by_words: dict[int, float]
    counts: dict[str, int] = field(default_factory=dict)
    size: int = 0
    places: dict[int, Place] = field(default_factory=dict)

    @cached_property
    def top_words(self) -> float:
        """The best BM25 score."""
        return max(self.by_words.values(), default=0.0)

    @cached_property
    def least_key(self) -> float:
        """A cosine that those not found do not exceed."""
        return min(self.by_key.values(), default=0.0)

    @cached_property
    def speakers(self) -> frozenset[str]:
        """The words of the names of those who spoke."""
        names = {place.speaker for place in self.places.values()}
        return frozenset(word for name in names for word in query_terms(name))

    def words(self, row: int) -> float:
        """A row's BM25 score as a share of the best."""
        return self.by_words.get(row, 0.0) / self.top_words if self.top_words > 0 else 0.0

    def key(self, row: int) -> float:
        """A row's cosine with what the store searches by, at most that of the last one found."""
        return self.by_key.get(row, self.least_key)

    def idf(self, term: str) -> float:
        """How much a word says, as BM25 has it; 0 for those that most segments hold.

        A word that none holds says as much as one that one does: not all of what was asked. Where it
        names one who spoke, it says nothing: they need not say their name.
        """
        count = max(self.counts.get(term, 0), 1)
        if term in self.speakers and not self.counts.get(term, 0):
            return 0.0
        if count >= RANKED:
            return 0.0
        return math.log1p(max(self.size - count + 0.5, 0.0) / (count + 0.5))


def candidates(
    store: Store, asked: Asked, key: Float[np.ndarray, " d"], options: ReadOptions, depth: int
) -> Pool:
    """Search by key and by words.

    Args:
        key: what the search goes by; of zeros, words alone count.
    """
    namespace, where = options.namespace, options.where
    by_key, by_words, counts = dict[int, float](), dict[int, float](), dict[str, int]()
    if key.any():
        by_key = {hit.row: hit.score for hit in store.nearest(namespace, key, depth, where)}
    if asked.words:
        found = store.frequencies(namespace, asked.words, RANKED)
        counts = dict(zip(asked.words, found, strict=True))
        terms = rarest(asked.terms, [counts[term] for term in asked.terms], RANKED)
        hits = store.lexical(namespace, terms, depth, where)
        by_words = {hit.row: hit.score for hit in hits}
    places = store.places(namespace, list(dict.fromkeys([*by_key, *by_words])))
    size = store.size(namespace) if counts else 0
    return Pool(by_key, by_words, counts, size, {place.row: place for place in places})
