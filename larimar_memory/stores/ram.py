"""A store in RAM: for short-lived memories, and the reference that others are compared with."""

from __future__ import annotations

import itertools
import math
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from larimar_memory.encoders.keys import cosines
from larimar_memory.stores.base import (
    Document,
    Hit,
    Store,
    StoredSegment,
    StoreStats,
    Where,
    WriteBatch,
)
from larimar_memory.stores.filters import matches
from larimar_memory.stores.packing import pack, unpack
from larimar_memory.stores.sqlite.rows import latent_blobs, now
from larimar_memory.text.words import words
from larimar_memory.types import Metadata

_K1, _B = 1.2, 0.75


@dataclass
class _Namespace:
    documents: dict[str, Document] = field(default_factory=dict)
    rows: dict[int, StoredSegment] = field(default_factory=dict)
    by_document: dict[str, list[int]] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)
    postings: dict[str, dict[int, int]] = field(default_factory=dict)
    latents: dict[int, np.ndarray] = field(default_factory=dict)
    matrix: tuple[np.ndarray, np.ndarray] | None = None
    generation: int = -1

    def drop(self, document_id: str) -> None:
        for row in self.by_document.pop(document_id, []):
            segment = self.rows.pop(row)
            del self.lengths[row]
            for term in set(words(segment.text)):
                holders = self.postings[term]
                del holders[row]
                if not holders:
                    del self.postings[term]
            self.latents.pop(row, None)
        self.matrix = None

    def keys(self) -> tuple[np.ndarray, np.ndarray]:
        if self.matrix is None:
            rows = np.fromiter(self.rows, dtype=np.int64, count=len(self.rows))
            self.matrix = rows, np.array([s.key for s in self.rows.values()], dtype=np.float32)
        return self.matrix


class RamStore(Store):
    """The contract over dictionaries and one matrix of keys."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._namespaces: dict[str, _Namespace] = {}
        self._next_row = 1
        self._generations = itertools.count()

    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        with self._lock:
            space = self._namespaces.setdefault(namespace, _Namespace())
            if space.generation < 0 or any(batch.replace for batch in batches):
                space.generation = next(self._generations)
            for batch in batches:
                name = batch.document.id
                if batch.replace:
                    space.drop(name)
                written = batch.document.written_at or now()
                space.documents[name] = replace(batch.document, written_at=written)
                owned = space.by_document.setdefault(name, [])
                blobs = list(latent_blobs(batch))
                for n, (segment, key) in enumerate(zip(batch.segments, batch.keys, strict=True)):
                    row, self._next_row = self._next_row, self._next_row + 1
                    space.rows[row] = StoredSegment(
                        row,
                        name,
                        segment.index,
                        segment.start,
                        segment.end,
                        segment.text,
                        batch.document.metadata,
                        np.asarray(key, dtype=np.float16).astype(np.float32),
                    )
                    counts = Counter(words(segment.text))
                    space.lengths[row] = counts.total()
                    for term, count in counts.items():
                        space.postings.setdefault(term, {})[row] = count
                    if (blob := blobs[n]) is not None:
                        space.latents[row] = unpack(blob)
                    owned.append(row)
                space.matrix = None

    def document(self, namespace: str, document_id: str) -> Document | None:
        with self._lock:
            return self._space(namespace).documents.get(document_id)

    def documents(self, namespace: str, where: Where | None = None) -> Iterator[Document]:
        with self._lock:
            found = list(self._space(namespace).documents.values())
        return iter([d for d in found if matches(where, d.metadata)])

    def segment_count(self, namespace: str, document_id: str) -> int:
        with self._lock:
            return len(self._space(namespace).by_document.get(document_id, []))

    def set_metadata(self, namespace: str, document_id: str, metadata: Metadata) -> None:
        with self._lock:
            space = self._space(namespace)
            document = space.documents.get(document_id)
            if document is None:
                return
            space.documents[document_id] = replace(document, metadata=metadata)
            for row in space.by_document[document_id]:
                space.rows[row] = replace(space.rows[row], metadata=metadata)

    def nearest(
        self, namespace: str, key: Float[np.ndarray, " d"], k: int, where: Where | None = None
    ) -> list[Hit]:
        with self._lock:
            space = self._space(namespace)
            if not space.rows:
                return []
            rows, keys = space.keys()
            scores, allowed = cosines(keys, key), len(rows)
            if where:
                held = np.array([matches(where, s.metadata) for s in space.rows.values()])
                scores, allowed = np.where(held, scores, -np.inf), int(held.sum())
        best = np.argsort(-scores, kind="stable")[: min(k, allowed)]
        return [Hit(int(rows[i]), float(scores[i])) for i in best]

    def lexical(
        self, namespace: str, terms: Sequence[str], k: int, where: Where | None = None
    ) -> list[Hit]:
        with self._lock:
            space = self._space(namespace)
            total = len(space.lengths)
            if not total:
                return []
            mean = sum(space.lengths.values()) / total
            scores = dict[int, float]()
            for term in terms:
                holders = space.postings.get(term, {})
                idf = math.log((total - len(holders) + 0.5) / (len(holders) + 0.5))
                for row, n in holders.items():
                    length = space.lengths[row] / mean if mean else 0.0
                    weight = n * (_K1 + 1) / (n + _K1 * (1 - _B + _B * length))
                    scores[row] = scores.get(row, 0.0) + max(idf, 1e-6) * weight
            kept = [(s, r) for r, s in scores.items() if matches(where, space.rows[r].metadata)]
        kept.sort(key=lambda pair: (-pair[0], pair[1]))
        return [Hit(row, score) for score, row in kept[:k]]

    def document_frequency(self, namespace: str, terms: Sequence[str], cap: int) -> list[int]:
        with self._lock:
            postings = self._space(namespace).postings
            return [min(cap, len(postings.get(term, ()))) for term in terms]

    def fetch(self, namespace: str, rows: Sequence[int]) -> list[StoredSegment]:
        with self._lock:
            space = self._space(namespace)
            return [space.rows[row] for row in rows if row in space.rows]

    def latents(self, namespace: str, rows: Sequence[int]) -> list[np.ndarray | None]:
        with self._lock:
            held = self._space(namespace).latents
            return [held.get(row) for row in rows]

    def set_latents(self, namespace: str, rows: Sequence[int], latents: Sequence[np.ndarray]) -> None:
        values = [unpack(pack(latent)) for latent in latents]
        with self._lock:
            space = self._space(namespace)
            for row, value in zip(rows, values, strict=True):
                if row in space.rows:
                    space.latents[row] = value

    def keys(
        self, namespace: str, after: int = 0
    ) -> Iterator[tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n d"]]]:
        with self._lock:
            space = self._space(namespace)
            rows, keys = space.keys() if space.rows else (np.empty(0, np.int64), np.empty((0, 0)))
        new = rows > after
        return iter([(rows[new], keys[new])] if new.any() else [])

    def generation(self, namespace: str) -> int:
        with self._lock:
            return self._space(namespace).generation

    def neighbours(
        self, namespace: str, document_id: str, first: int, last: int
    ) -> list[StoredSegment]:
        with self._lock:
            space = self._space(namespace)
            owned = [space.rows[row] for row in space.by_document.get(document_id, [])]
        return sorted((s for s in owned if first <= s.index <= last), key=lambda s: s.index)

    def delete(
        self,
        namespace: str,
        *,
        ids: Sequence[str] | None = None,
        where: Where | None = None,
        to_purge: bool = False,
    ) -> int:
        with self._lock:
            space = self._space(namespace)
            wanted = None if ids is None else set(ids)
            doomed = [
                d.id
                for d in space.documents.values()
                if (wanted is None or d.id in wanted) and matches(where, d.metadata)
            ]
            space.generation = next(self._generations)
            for name in doomed:
                space.drop(name)
                del space.documents[name]
            if not space.documents:
                self._namespaces.pop(namespace, None)
            return len(doomed)

    def purge(self) -> None:
        """Nothing to do: deleted values are not kept anywhere."""

    def namespaces(self) -> list[str]:
        with self._lock:
            return sorted(name for name, s in self._namespaces.items() if s.documents)

    def stats(self, namespace: str | None = None) -> StoreStats:
        with self._lock:
            names = self.namespaces() if namespace is None else [namespace]
            spaces = [self._space(name) for name in names]
            return StoreStats(
                namespaces=sum(bool(s.documents) for s in spaces),
                documents=sum(len(s.documents) for s in spaces),
                segments=sum(len(s.rows) for s in spaces),
                characters=sum(d.characters for s in spaces for d in s.documents.values()),
                bytes_on_disk=0,
            )

    def close(self) -> None:
        with self._lock:
            self._namespaces.clear()

    def _space(self, namespace: str) -> _Namespace:
        return self._namespaces.get(namespace) or _Namespace()
