"""The ranking of releases before this one, to be measured beside today's.

Every segment has the encoder's key. The best by cosine and the best by BM25 are ranked by the cosine,
.3 of the BM25 score as a share of the best, and .3 of the longest phrase shared with the question as a
share of it. What it did where the encoder cannot read a text is left out: none such is measured. The
search by words is today's, which finds stems, and that one did not: of BEAM's conversations 11 to 20 it
had recall at 10 and MRR of .474 and .424 then, and has .495 and .426 so.
"""

from __future__ import annotations

from larimar_memory.encoders.base import keys_of
from larimar_memory.larimar import Larimar
from larimar_memory.recall.phrases import shared_phrases
from larimar_memory.stores.base import StoredSegment
from larimar_memory.text.words import query_terms, words

CANDIDATES = 40
"""Hits taken from each search before they are fused."""

LEXICAL_WEIGHT = PHRASE_WEIGHT = 0.3
"""What the best word match, and what a segment that holds the whole question, add to a cosine."""

MOST = 3_000
"""Most segments that are ranked by a question's words, counted once for each word they hold."""


def search(memory: Larimar, question: str, k: int, namespace: str = "default") -> list[StoredSegment]:
    """The k segments that the previous ranking put first.

    Args:
        memory: opened with keys="eager".
    """
    store, depth = memory.store, max(k, CANDIDATES)
    key = keys_of(memory.encoder, [question], "question")[0]
    hits = store.lexical(namespace, query_terms(question), depth, most=MOST)
    by_words = {hit.row: hit.score for hit in hits}
    top = max(by_words.values(), default=0.0)
    rows = [hit.row for hit in store.nearest(namespace, key, depth)]
    segments = store.fetch(namespace, list(dict.fromkeys([*rows, *by_words])))
    phrases = shared_phrases(words(question), [words(segment.text) for segment in segments])
    ranked = list[tuple[float, int, StoredSegment]]()
    for segment, phrase in zip(segments, phrases, strict=True):
        matched = by_words.get(segment.row, 0.0) / top if top > 0 else 0.0
        score = float(segment.best_key @ key) + LEXICAL_WEIGHT * matched + PHRASE_WEIGHT * phrase
        ranked.append((-score, segment.row, segment))
    return [segment for *_, segment in sorted(ranked, key=lambda one: one[:2])[:k]]
