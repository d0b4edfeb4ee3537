"""Candidates: the segments that a question's key and words bring back, before ranking."""

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
"""Hits of each search. The best are ranked; all of them show how the neighbours of those match."""

RANKED = 3_000
"""The most segments that are ranked by a question's words, each counted once for every word it holds.

The words that most segments hold say least and cost most, so the rarest are searched.
"""

SATURATION = 2.2
"""k1 + 1 of SQLite's BM25: the most that a word adds, as a multiple of its idf."""


@dataclass(frozen=True)
class Pool:
    """What a question's searches brought back.

    Attributes:
        by_key: cosines with the keys that the store searches by, by row, best first.
        by_words: BM25 scores by row, best first.
        counts: how many segments hold each of the question's words, counted up to `RANKED`.
        size: about how many segments the namespace has.
        places: the places of the segments found, by row.
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
        """The largest cosine that a row not found can have."""
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
        """A row's cosine with the key that the store searches by; `least_key` for a row not found."""
        return self.by_key.get(row, self.least_key)

    def idf(self, term: str) -> float:
        """How much a word says, by BM25; 0 for words that most segments hold.

        A word that no segment holds says as much as a word that one does: then not all that was asked
        is there. A name of a speaker that no segment holds says nothing, since speakers need not say
        their name.
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
        key: the key that the search goes by; if it is zeros, words alone count.
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
