"""Find the segments a question addresses: candidates, their keys, features, ranks, the scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from larimar_memory.encoders.base import Encoder, keys_of
from larimar_memory.recall import features as feature
from larimar_memory.recall import ranking, scope
from larimar_memory.recall.candidates import DEPTH, Pool, candidates
from larimar_memory.recall.features import FEATURES, Known
from larimar_memory.recall.fine_keys import FineKeys
from larimar_memory.recall.neighbours import Near, Neighbourhood
from larimar_memory.recall.question import Asked, parts_of
from larimar_memory.recall.soft_words import soft_words
from larimar_memory.stores.base import Store, StoredSegment
from larimar_memory.types import ReadOptions, Why

RANKED = 64
"""Candidates that get the encoder's key and all features, where not more are asked for.

Among 1.2 million tokens of prose, the best 64 of coarse keys and words put the right sentence first for
.727 of 600 questions, as all segments did with the encoder's keys.
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment found, with its cosine to the question and the score it is ranked by.

    Attributes:
        covered: where the encoder could not read it or the question, and so the cosine says nothing:
            how much of what the question says it holds word for word, in [0, 1].
        why: what it was ranked by, feature by feature, where that was asked for.
    """

    segment: StoredSegment
    cosine: float
    rank_score: float
    covered: float = 0.0
    why: Why | None = field(default=None, compare=False, repr=False)

    @property
    def score(self) -> float:
        """How well it matches, in [0, 1]."""
        return min(max(self.cosine, self.covered, 0.0), 1.0)


class Found(NamedTuple):
    """Candidates, best first, and how likely it is that the answer is among them, in [0, 1]."""

    candidates: list[Candidate]
    probability: float
    signs: dict[str, float]


class Look(NamedTuple):
    """What is known of a question's candidates.

    Attributes:
        cosines: of each with the question, and how much of its words it covers, as in `Candidate`.
    """

    asked: Asked
    pool: Pool
    known: list[Known]
    cosines: list[tuple[float, float]]

    @property
    def kind(self) -> ranking.Kind:
        """The kind of text that they are of."""
        return ranking.kind_of([feature.speaker_of(one.segment) for one in self.known])


class Recall:
    """Reads a store; safe for threads.

    Attributes:
        fine_keys: what gives segments the encoder's keys.
    """

    def __init__(self, store: Store, encoder: Encoder, language: str) -> None:
        self.store, self.encoder, self.language = store, encoder, language
        self.fine_keys = FineKeys(store, encoder)

    def ask(
        self,
        question: str,
        key: Float[np.ndarray, " d"],
        options: ReadOptions,
        probe: Float[np.ndarray, " d"] | None = None,
    ) -> Found:
        """The k segments that match a question best, best first, whatever they score.

        Of a question of several parts, each part's best come first.

        Args:
            key: the question's key, unit length.
            options: of which `hybrid` also searches by words.
            probe: what the search goes by in place of the key; a cosine remains one to the question.
        """
        parts = parts_of(question) if options.hybrid and probe is None else []
        found = [self._one(question, key, options, probe)]
        if parts:
            keys = keys_of(self.encoder, parts, "question")
            found += [self._one(*asked, options, None) for asked in zip(parts, keys, strict=True)]
        best = max(found, key=lambda one: one.probability)
        return Found(_in_turn([one.candidates for one in found])[: options.k], *best[1:])

    def nearest(
        self,
        key: Float[np.ndarray, " d"],
        options: ReadOptions,
        probe: Float[np.ndarray, " d"] | None = None,
    ) -> list[Candidate]:
        """The k segments of largest cosine with a key; words do not count."""
        aim = key if probe is None else probe
        # More than are asked for: which of equal keys come first is not left to a search.
        depth, alone = max(options.k, DEPTH), replace(options, hybrid=False)
        pool = candidates(self.store, Asked(""), aim, alone, depth)
        rows = list(pool.by_key)[: max(options.k, RANKED)]
        kept = self.store.fetch(options.namespace, rows)
        found = [
            Candidate(segment, float(own @ key), float(own @ aim))
            for segment, own in _keyed(self.fine_keys.given(options.namespace, kept))
        ]
        return sorted(found, key=_order)[: options.k]

    def look(
        self,
        question: str,
        key: Float[np.ndarray, " d"],
        options: ReadOptions,
        probe: Float[np.ndarray, " d"] | None = None,
    ) -> Look:
        """What is known of the candidates of one question, before they are ranked; as in `ask`."""
        asked, aim = Asked(question, self.language), key if probe is None else probe
        pool = candidates(self.store, asked, aim, options, max(options.k, DEPTH))
        chosen, near = self._chosen(asked, aim, pool, options)
        known, cosines, is_read = list[Known](), list[tuple[float, float]](), bool(key.any())
        soft = soft_words(self.encoder, question, [s.text for s in chosen]) if options.hybrid else None
        late = _lateness(chosen)
        given = self.fine_keys.given(options.namespace, chosen)
        for n, (segment, own) in enumerate(_keyed(given)):
            readable = is_read and bool(own.any())
            words_count = options.hybrid and not readable
            covered = feature.covered(asked, segment.text, is_read) if words_count else 0.0
            cosines.append((float(own @ key), covered))
            likeness = float(own @ aim) + covered
            alike = None if soft is None else float(soft[n])
            known.append(Known(segment, likeness, near[n], alike, late[segment.document_id]))
        return Look(asked, pool, known, cosines)

    def _one(
        self,
        question: str,
        key: Float[np.ndarray, " d"],
        options: ReadOptions,
        probe: Float[np.ndarray, " d"] | None,
    ) -> Found:
        look = self.look(question, key, options, probe)
        if options.hybrid:
            return _ranked(look, options.explain)
        found = [
            Candidate(one.segment, cosine, one.cosine, covered)
            for one, (cosine, covered) in zip(look.known, look.cosines, strict=True)
        ]
        return Found(sorted(found, key=_order), max((c.score for c in found), default=0.0), {})

    def _chosen(
        self, asked: Asked, key: Float[np.ndarray, " d"], pool: Pool, options: ReadOptions
    ) -> tuple[list[StoredSegment], list[Near]]:
        """The candidates worth a closer look, and what is near them."""
        rows, most = list(dict.fromkeys([*pool.by_key, *pool.by_words])), max(options.k, RANKED)
        if not options.hybrid:
            segments = self.store.fetch(options.namespace, rows[:most])
            return segments, [Near()] * len(segments)
        rows = ranking.first(asked, pool, [row for row in rows if row in pool.places], most)
        near = dict(
            zip(rows, Neighbourhood(self.store, options.namespace, pool).of(rows, key), strict=True)
        )
        segments = self.store.fetch(options.namespace, rows)
        return segments, [near[segment.row] for segment in segments]


def _ranked(look: Look, explain: bool) -> Found:
    asked, pool, known, cosines = look
    table = feature.table(asked, pool, known)
    weights = ranking.weights(look.kind)
    scores = np.asarray(table @ weights.rank, dtype=np.float32)
    order = sorted(range(len(known)), key=lambda n: (-float(scores[n]), known[n].segment.row))
    by_key = {row: n for n, row in enumerate(pool.by_key, 1)}
    by_words = {row: n for n, row in enumerate(pool.by_words, 1)}
    found = list[Candidate]()
    for n in order:
        row = known[n].segment.row
        why = None
        if explain:
            parts = zip(FEATURES, table[n].tolist(), (table[n] * weights.rank).tolist(), strict=True)
            values = {name: (value, part) for name, value, part in parts}
            why = Why(values, by_key.get(row), by_words.get(row), asked.text)
        cosine, covered = cosines[n]
        found.append(Candidate(known[n].segment, cosine, float(scores[n]), covered, why))
    texts = [candidate.segment.text for candidate in found[: scope.FIRST]]
    signs = scope.signs(asked, pool, texts, table[order], scores[order])
    named = dict(zip(scope.SIGNS, map(float, signs), strict=True))
    return Found(found, scope.probability(signs, weights.scope, weights.scope_bias), named)


def _in_turn(lists: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """The best of each list, then the next of each; each segment once."""
    taken = dict[int, Candidate]()
    for n in range(max(map(len, lists), default=0)):
        for candidate in (found[n] for found in lists if n < len(found)):
            taken.setdefault(candidate.segment.row, candidate)
    return list(taken.values())


def _keyed(segments: Sequence[StoredSegment]) -> list[tuple[StoredSegment, Float[np.ndarray, " d"]]]:
    return [(segment, segment.best_key) for segment in segments]


def _lateness(segments: Sequence[StoredSegment]) -> dict[str, float]:
    """How late each document was said, or first written, among those found: from 0 to 1."""
    said = {s.document_id: (str(s.metadata.get("said_at", "")), s.row) for s in segments}
    order = sorted(said, key=said.__getitem__)
    return {name: n / max(len(order) - 1, 1) for n, name in enumerate(order)}


def _order(candidate: Candidate) -> tuple[float, int]:
    return -candidate.rank_score, candidate.segment.row
