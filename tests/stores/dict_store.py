"""A store of dictionaries, made from the contract alone: what others are compared with."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from larimar_memory.stores import Document, Hit, Span, Store, StoredSegment, StoreStats, WriteBatch
from larimar_memory.stores.packing import pack, unpack
from larimar_memory.text.words import words
from tests.predicate import matches

Held = dict[str, tuple[Document, list[StoredSegment]]]
_K1, _B = 1.2, 0.75


class DictStore(Store):
    """Documents with their segments, by namespace and id; a change takes its place at once."""

    def __init__(self) -> None:
        self._spaces: dict[str, Held] = {}
        self._last = 0
        self._lock = threading.Lock()

    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        with self._lock:
            held, last = dict(self._of(namespace)), self._last
            for batch in batches:
                document = batch.document
                segments = [] if batch.replace else held.get(document.id, (None, []))[1]
                segments = [replace(s, metadata=document.metadata) for s in segments]
                latents = batch.latents or [None] * len(batch.segments)
                for s, key, latent in zip(batch.segments, batch.keys, latents, strict=True):
                    last += 1
                    kept = None if latent is None else unpack(pack(latent))
                    place = (document.id, s.index, s.start, s.end, s.text, document.metadata)
                    rounded = key.astype(np.float16).astype(np.float32)
                    segments.append(StoredSegment(last, *place, rounded, kept))
                held[document.id] = replace(document, segments=len(segments)), segments
            self._spaces[namespace], self._last = held, last

    def documents(
        self, namespace: str, where: Any = None, ids: Sequence[str] | None = None
    ) -> Iterator[Document]:
        matches(where, {})
        found = [document for document, _ in self._of(namespace).values()]
        return (d for d in found if (ids is None or d.id in ids) and matches(where, d.metadata))

    def spans(
        self, namespace: str, spans: Sequence[Span], latents: bool = False
    ) -> list[list[StoredSegment]]:
        held = list[list[StoredSegment]]()
        for id, first, last in spans:
            _, of = self._of(namespace).get(id, (None, []))
            held.append([s for s in of if first <= s.index and (last is None or s.index <= last)])
        return [self._shown(of, latents) for of in held]

    def nearest(self, namespace: str, key: np.ndarray, k: int, where: Any = None) -> list[Hit]:
        found = self._all(namespace, where)
        return _best([Hit(s.row, float(s.key @ key)) for s in found], k)

    def lexical(
        self, namespace: str, terms: Sequence[str], k: int, where: Any = None, most: int | None = None
    ) -> list[Hit]:
        said = {s.row: words(s.text) for s in self._all(namespace)}
        holding = {term: sum(term in of for of in said.values()) for term in terms}
        chosen, left = list[str](), math.inf if most is None else most
        for term in sorted(holding, key=lambda term: (holding[term], term)):
            if 0 < holding[term] < left:
                chosen.append(term)
                left -= holding[term]
        mean = sum(map(len, said.values())) / max(len(said), 1)
        hits = list[Hit]()
        for segment in self._all(namespace, where):
            of, score = said[segment.row], 0.0
            for term in chosen:
                idf = math.log((len(said) - holding[term] + 0.5) / (holding[term] + 0.5))
                shorter = _K1 * (1 - _B + _B * len(of) / mean)
                score += max(idf, 1e-6) * of.count(term) * (_K1 + 1) / (of.count(term) + shorter)
            hits += [Hit(segment.row, score)] if score > 0 else []
        return _best(hits, k)

    def fetch(self, namespace: str, rows: Sequence[int], latents: bool = False) -> list[StoredSegment]:
        held = {s.row: s for s in self._all(namespace)}
        return self._shown([held[row] for row in rows if row in held], latents)

    def attach(
        self,
        namespace: str,
        rows: Sequence[int],
        latents: Sequence[np.ndarray] | None = None,
        keys: np.ndarray | None = None,
        *,
        wait: bool = True,
    ) -> bool:
        given = {row: unpack(pack(z)) for row, z in zip(rows, latents or (), strict=bool(latents))}
        with self._lock:
            for _, segments in self._of(namespace).values():
                segments[:] = [replace(s, latent=given.get(s.row, s.latent)) for s in segments]
        return True

    def keys(self, namespace: str, after: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        found = sorted((s.row, s.key) for s in self._all(namespace) if s.row > after)
        if found:
            yield np.array([row for row, _ in found]), np.array([key for _, key in found])

    def delete(
        self,
        namespace: str,
        *,
        ids: Sequence[str] | None = None,
        where: Any = None,
        to_purge: bool = False,
    ) -> int:
        with self._lock:
            doomed = {document.id for document in self.documents(namespace, where, ids)}
            left = {id: held for id, held in self._of(namespace).items() if id not in doomed}
            self._spaces[namespace] = left
            return len(doomed)

    def purge(self) -> None:
        """Nothing is kept of what was deleted."""

    def stats(self, namespace: str | None = None) -> StoreStats:
        names = sorted(n for n in self._spaces if self._spaces[n] and namespace in (None, n))
        held = [document for name in names for document, _ in self._spaces[name].values()]
        segments, characters = sum(d.segments for d in held), sum(d.characters for d in held)
        return StoreStats(tuple(names), len(held), segments, characters, 0, segments)

    def _of(self, namespace: str) -> Held:
        return self._spaces.get(namespace, {})

    def _all(self, namespace: str, where: Any = None) -> list[StoredSegment]:
        matches(where, {})
        held = self._of(namespace).values()
        return [s for document, of in held if matches(where, document.metadata) for s in of]

    def _shown(self, segments: list[StoredSegment], latents: bool) -> list[StoredSegment]:
        return segments if latents else [replace(s, latent=None) for s in segments]


def _best(hits: list[Hit], k: int) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.row))[:k]
