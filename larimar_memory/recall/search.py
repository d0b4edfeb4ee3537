"""Find the segments a question addresses, by key and by words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from larimar_memory.recall.phrases import shared_phrases
from larimar_memory.stores.base import Span, Store, StoredSegment
from larimar_memory.text.segments import is_heading
from larimar_memory.text.words import query_terms
from larimar_memory.text.words import words as words_of
from larimar_memory.types import ReadOptions, RecalledSegment

CANDIDATES = 40
"""Hits taken from each search before they are fused."""

LEXICAL_WEIGHT = 0.3
"""What the best word match adds to a cosine.

A weighted sum of scores (Bruch et al. 2023, arXiv 2210.11934) rather than reciprocal ranks: on
XQuAD-en it put the right sentence first for .771 of the questions, against .748 with ranks and .696
with keys alone, and a lone exact match of a rare string is not outvoted by what merely looks alike.
"""

PHRASE_WEIGHT = 0.3
"""What a segment that holds the whole question word for word adds to a cosine.

On XQuAD-en it put the right sentence first for .778 of the questions, against .771 without, and it
tells apart sentences that share all of a question's words but not their order.
"""

RANKED = 3_000
"""Most segments that are ranked by a question's words, counted once for each word they hold.

The words that most segments hold say least and cost most, so it is the rarest that are searched. With
ten million tokens of prose around XQuAD-en's passages, the right sentence came first for .752 of 600
questions, as with all words of under 5,000 segments (.753), in 15 ms in place of 20.
"""


SAYING = 2 / 3
"""Share of a question's letters that say what is asked about; the others only ask.

With this, at the threshold for cosines: of 70 questions in Chinese, Japanese, Korean and Thai, to 10 or
20 notes each, words found 69 that had their note, and refused 66 whose note was taken out.
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment found, with its cosine to the question and the score it is ranked by.

    Attributes:
        covered: where the encoder could not read it or the question, and so the cosine says nothing:
            how much of what the question says it holds word for word, in [0, 1].
    """

    segment: StoredSegment
    cosine: float
    rank_score: float
    covered: float = 0.0

    @property
    def score(self) -> float:
        """How well it matches, in [0, 1]; comparable with the scope threshold."""
        return min(max(self.cosine, self.covered, 0.0), 1.0)


def search(
    store: Store,
    question: str,
    key: Float[np.ndarray, " d"],
    options: ReadOptions,
    *,
    probe: Float[np.ndarray, " d"] | None = None,
) -> list[Candidate]:
    """The k segments that match best, best first, whatever they score.

    Args:
        key: the question's key, unit length.
        options: of which `hybrid` also searches by words (BM25).
        probe: what the search goes by in place of the key; a cosine remains one to the question.
    """
    namespace, where, k, hybrid = options.namespace, options.where, options.k, options.hybrid
    aim = key if probe is None else probe
    depth, is_read = max(k, CANDIDATES), bool(key.any())
    rows, by_words, terms = list[int](), dict[int, float](), query_terms(question) if hybrid else []
    if is_read or not question:
        rows = [hit.row for hit in store.nearest(namespace, aim, depth, where)]
    if terms:
        hits = store.lexical(namespace, terms, depth, where, most=RANKED)
        by_words = {hit.row: hit.score for hit in hits}
    top = max(by_words.values(), default=0.0)
    # Where the encoder knew too little, "who has the" says nothing, and it is the rest that was asked.
    asked = terms if is_read else [term for term in terms if not term.isascii()] or terms
    segments = store.fetch(namespace, list(dict.fromkeys([*rows, *by_words])))
    phrases = [0.0] * len(segments)
    if hybrid:
        phrases = shared_phrases(question, [segment.text for segment in segments])
    found = list[Candidate]()
    for segment, phrase in zip(segments, phrases, strict=True):
        cosine, covered = float(segment.best_key @ key), 0.0
        if not (is_read and segment.best_key.any()):
            covered = _covered(asked, segment.text)
        words = by_words.get(segment.row, 0.0) / top if top > 0 else 0.0
        likeness = float(segment.best_key @ aim) + covered
        rank_score = likeness + LEXICAL_WEIGHT * words + PHRASE_WEIGHT * phrase
        found.append(Candidate(segment, cosine, rank_score, covered))
    found.sort(key=lambda c: (-c.rank_score, c.segment.row))
    return found[:k]


def _covered(terms: Sequence[str], text: str) -> float:
    """How much of what a question says a text holds, by the letters of its words; at most 1."""
    held, said = set(words_of(text)), SAYING * sum(map(len, terms))
    return min(sum(len(term) for term in terms if term in held) / said, 1.0) if said else 0.0


def contexts(
    store: Store, namespace: str, stored: Sequence[StoredSegment], reach: int
) -> list[list[StoredSegment]]:
    """Each segment with `reach` neighbours on either side, in the order of the text, with latents.

    A heading always comes with what follows it. One call of the store serves all.
    """
    onwards = [max(reach, 1) if is_heading(s.text) else reach for s in stored]
    spans = [
        Span(s.document_id, s.index - reach, s.index + more)
        for s, more in zip(stored, onwards, strict=True)
    ]
    found = store.spans(namespace, spans, latents=True)
    # A segment that was replaced since it was found stands alone: its neighbours are another text's.
    return [
        near if any(s.row == of.row for s in near) else [of]
        for of, near in zip(stored, found, strict=True)
    ]


def recalled(
    stored: StoredSegment, score: float, weight: float, around: Sequence[StoredSegment]
) -> RecalledSegment:
    """A stored segment as a readout holds it, with its context."""
    return RecalledSegment(
        id=f"{stored.document_id}#{stored.index}",
        document_id=stored.document_id,
        index=stored.index,
        text=stored.text,
        start=stored.start,
        end=stored.end,
        metadata=stored.metadata,
        score=score,
        weight=weight,
        before="".join(s.text for s in around if s.index < stored.index),
        after="".join(s.text for s in around if s.index > stored.index),
        latents=tuple(s.latent for s in around),
    )
