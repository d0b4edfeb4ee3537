"""Scores of a candidate's neighbours: in its document, and in the documents beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from larimar_memory.encoders.keys import cosines, unit
from larimar_memory.recall.candidates import Pool
from larimar_memory.stores.base import Key, Store

REACH = 6
"""Segments on either side that count as around one: about a paragraph, or a turn in a conversation."""

TURNS = 2
"""Documents on either side, within an episode."""


@dataclass(frozen=True, slots=True)
class Near:
    """Scores of the text near a candidate: words as a share of the best, and cosines of search keys.

    Attributes:
        window: the cosine of the segment and those before and after it, as one text.
        paragraph: the same for all segments within `REACH`.
        next_words: mean over the segments before and after.
        around_words: sum over the segments within `REACH`, at most 2.
        turn_words, turn_key: best of the documents before and after, in its episode.
        turns_words: best of the documents within `TURNS`.
        turns_before: the documents before its own within `TURNS`, nearest first.
    """

    window: float = 0.0
    paragraph: float = 0.0
    next_words: float = 0.0
    around_words: float = 0.0
    turn_words: float = 0.0
    turn_key: float = 0.0
    turns_words: float = 0.0
    turns_before: Sequence[str] = ()


class Neighbourhood:
    """Scores the text near candidates.

    Of other documents it knows only segments that the searches brought back. Any other segment has few
    or no words of the question, and at most the cosine of the last one found.
    """

    def __init__(self, store: Store, namespace: str, pool: Pool) -> None:
        self._store, self._namespace, self._pool = store, namespace, pool
        self._of_document = defaultdict[str, dict[int, float]](dict)
        self._words, self._keys = dict[str, float](), dict[str, float]()
        for row, place in pool.places.items():
            name, words = place.document_id, pool.words(row)
            self._of_document[name][place.at] = words
            self._words[name] = max(self._words.get(name, 0.0), words)
            self._keys[name] = max(self._keys.get(name, pool.least_key), pool.key(row))

    def of(self, rows: Sequence[int], key: Float[np.ndarray, " d"]) -> list[Near]:
        """The scores of the text near each of the rows.

        Args:
            key: the question's key.
        """
        places = self._pool.places
        # Documents of no episode have no neighbours, so their segments need not be counted.
        names = list(dict.fromkeys(p.document_id for p in map(places.get, rows) if p and p.episode))
        beside = self._store.beside(self._namespace, names, TURNS)
        turns = {name: [of.id for of in near] for name, near in zip(names, beside, strict=True)}
        around = self._store.keys_near(self._namespace, rows, REACH)
        windows = _cosines(key, [[own for step, own in near if abs(step) <= 1] for near in around])
        paragraphs = _cosines(key, [[own for _, own in near] for near in around])
        return [
            self._near(row, turns.get(places[row].document_id, []), window, paragraph)
            for row, window, paragraph in zip(rows, windows, paragraphs, strict=True)
        ]

    def _near(self, row: int, turns: Sequence[str], window: float, paragraph: float) -> Near:
        place, least = self._pool.places[row], self._pool.least_key
        held = self._of_document[place.document_id]
        around = [words for at, words in held.items() if 0 < abs(at - place.at) <= REACH]
        own = turns.index(place.document_id) if place.document_id in turns else 0
        beside = [name for n, name in enumerate(turns) if abs(n - own) == 1]
        near = [name for n, name in enumerate(turns) if n != own]
        return Near(
            window,
            paragraph,
            next_words=(held.get(place.at - 1, 0.0) + held.get(place.at + 1, 0.0)) / 2,
            around_words=min(sum(around, 0.0), 2.0),
            turn_words=max((self._words.get(name, 0.0) for name in beside), default=0.0),
            turn_key=max((self._keys.get(name, least) for name in beside), default=least),
            turns_words=max((self._words.get(name, 0.0) for name in near), default=0.0),
            turns_before=turns[:own][::-1],
        )


def _cosines(key: Float[np.ndarray, " d"], groups: Sequence[Sequence[Key]]) -> Sequence[float]:
    """A key's cosine with the sum of each group of keys; 0 for an empty group."""
    nothing = np.zeros_like(key)
    sums = np.array([np.sum(group, axis=0) if group else nothing for group in groups], np.float32)
    return [float(cosine) for cosine in cosines(unit(sums.reshape(-1, len(key))), key)]
