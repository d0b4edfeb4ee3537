"""What the neighbours of a candidate score: within its document, and in the documents beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from larimar_memory.recall.candidates import Pool
from larimar_memory.stores.base import Store, StoredSegment

REACH = 8
"""Segments on either side that are around one: about a paragraph, or a turn of a conversation."""

TURNS = 2
"""Documents on either side, within an episode."""


@dataclass(frozen=True, slots=True)
class Near:
    """Scores of what is near a candidate: its words' share of the best, and its search keys' cosine.

    Attributes:
        next_words, next_key: of the segments before and after, their means.
        around_words, around_key: of those within `REACH`: the sum, at most 2, and the best.
        turn_words, turn_key: the best in the documents before and after, in its episode.
        turns_words: the best in those within `TURNS`.
    """

    next_words: float
    next_key: float
    around_words: float
    around_key: float
    turn_words: float = 0.0
    turn_key: float = 0.0
    turns_words: float = 0.0


class Neighbourhood:
    """Knows how the segments near candidates score, of those that the searches brought back.

    What was not brought back has no words of the question, or few, and at most the last one's cosine.
    """

    def __init__(self, store: Store, namespace: str, pool: Pool) -> None:
        self._store, self._namespace, self._pool = store, namespace, pool
        self._rows = {(place.document_id, place.at): row for row, place in pool.places.items()}
        self._of_document = defaultdict[str, list[int]](list)
        for row, place in pool.places.items():
            self._of_document[place.document_id].append(row)

    def of(self, segments: Sequence[StoredSegment]) -> list[Near]:
        """What is near each of the segments."""
        names = list(dict.fromkeys(segment.document_id for segment in segments))
        beside = self._store.beside(self._namespace, names, TURNS)
        turns = {
            name: [document.id for document in near] for name, near in zip(names, beside, strict=True)
        }
        return [self._near(segment, turns[segment.document_id]) for segment in segments]

    def _near(self, segment: StoredSegment, turns: Sequence[str]) -> Near:
        pool, name, at = self._pool, segment.document_id, segment.index
        sides = [self._rows.get((name, at + step)) for step in (-1, 1)]
        around = [
            row
            for row in self._of_document[name]
            if row != segment.row and abs(pool.places[row].at - at) <= REACH
        ]
        place = turns.index(name) if name in turns else 0
        steps = {turn: abs(n - place) for n, turn in enumerate(turns) if n != place}
        rows = [(steps[turn], row) for turn in steps for row in self._of_document.get(turn, ())]
        first = [row for step, row in rows if step == 1]
        least = pool.least_key
        return Near(
            next_words=sum(pool.words(row) for row in sides if row is not None) / 2,
            next_key=sum(least if row is None else pool.key(row) for row in sides) / 2,
            around_words=min(sum(map(pool.words, around)), 2.0),
            around_key=max(map(pool.key, around), default=least),
            turn_words=max(map(pool.words, first), default=0.0),
            turn_key=max(map(pool.key, first), default=least),
            turns_words=max((pool.words(row) for _, row in rows), default=0.0),
        )
