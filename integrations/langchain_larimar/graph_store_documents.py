"""The documents of a memory that are items of a LangGraph store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from langchain_larimar.given_memory import lock_of
from langchain_larimar.graph_store_items import Entry, Namespace, expiry, stamp, to_namespace, to_space

if TYPE_CHECKING:
    import numpy as np

    from larimar_memory import Larimar

_FIRST_DEPTH = 1024


class Items:
    """Reads and writes items, one document each; safe for threads.

    Args:
        memory: the memory that keeps the items.
        purge: erase deleted items from the memory's files at once.
    """

    def __init__(self, memory: Larimar, *, purge: bool) -> None:
        self._memory = memory
        self._purge = purge
        # Replacing an item takes a read and a write.
        self._lock = lock_of(memory)

    def namespaces(self, prefix: Namespace = ()) -> list[Namespace]:
        """The namespaces at and beneath a prefix, sorted."""
        known = (to_namespace(space) for space in self._memory.store.namespaces())
        return sorted(ns for ns in known if ns is not None and ns[: len(prefix)] == prefix)

    def all(self, namespace: Namespace) -> Iterator[Entry]:
        """The items of a namespace, in the order they were first written."""
        for document in self._memory.documents(namespace=to_space(namespace)):
            entry = Entry.read(namespace, document.id, document.metadata)
            if entry is not None:
                yield entry

    def get(self, namespace: Namespace, key: str) -> Entry | None:
        """The item with that key, or None."""
        document = self._memory.store.document(to_space(namespace), key)
        return None if document is None else Entry.read(namespace, key, document.metadata)

    def nearest(
        self, namespace: Namespace, question: np.ndarray, count: int, wanted: Callable[[Entry], bool]
    ) -> list[tuple[Entry, float]]:
        """The wanted items whose best sentence is nearest, each with its cosine, best first.

        Args:
            question: a key of unit length.
            count: least number of items to find, unless there are fewer; more may be returned.
            wanted: whether an item is wanted.
        """
        space, depth = to_space(namespace), min(4 * count, _FIRST_DEPTH)
        while True:
            candidates = self._memory.search(question, depth, namespace=space)
            found = dict[str, tuple[Entry, float]]()
            for candidate in candidates:
                segment = candidate.segment
                entry = Entry.read(namespace, segment.document_id, segment.metadata)
                if entry is not None and entry.key not in found and wanted(entry):
                    found[entry.key] = entry, candidate.cosine
            if len(found) >= count or len(candidates) < depth:
                return list(found.values())
            depth *= 4

    def write(self, puts: Iterable[tuple[Entry, str]], now: datetime) -> None:
        """Write items with their indexed text; an existing, unexpired item keeps its time of creation.

        Each item is replaced as a whole. New items of a namespace follow the old ones, in order.
        """
        with self._lock:
            dated = [(self._dated(entry, now), text) for entry, text in puts]
            dated.sort(key=lambda put: put[0].namespace)
            for (namespace, indexed), run in groupby(dated, lambda p: (p[0].namespace, bool(p[1]))):
                self._write(to_space(namespace), list(run), indexed)

    def delete(self, places: Iterable[tuple[Namespace, str]]) -> None:
        """Delete items by namespace and key; those that are not there are skipped."""
        doomed = dict[Namespace, list[str]]()
        with self._lock:
            for namespace, key in places:
                if self._memory.store.document(to_space(namespace), key) is not None:
                    doomed.setdefault(namespace, []).append(key)
            for namespace, keys in doomed.items():
                self._memory.forget(ids=keys, namespace=to_space(namespace), purge=False)
            self._erase(len(doomed))

    def delete_expired(self, now: datetime) -> int:
        """Delete the items that have expired; returns how many."""
        over, count = {"expires_at": {"$lte": stamp(now)}}, 0
        with self._lock:
            for space in map(to_space, self.namespaces()):
                # Look first: any deletion, even of nothing, costs a large namespace its index file.
                if next(self._memory.documents(namespace=space, where=over), None) is not None:
                    count += self._memory.forget(where=over, namespace=space, purge=False)
            self._erase(count)
        return count

    def refresh(self, entries: Sequence[Entry], now: datetime) -> None:
        """Restart the time to live of items that have one."""
        for entry in entries:
            if entry.ttl is None:
                continue
            with self._lock:
                # Read it again: it may have been replaced since.
                known = self.get(entry.namespace, entry.key)
                if known is not None and known.ttl is not None:
                    fresh = replace(known, expires_at=expiry(now, known.ttl))
                    space = to_space(entry.namespace)
                    self._memory.store.set_metadata(space, entry.key, fresh.metadata())

    def _dated(self, entry: Entry, now: datetime) -> Entry:
        known = self.get(entry.namespace, entry.key)
        if known is None or known.expired(now):
            return entry
        return replace(entry, created_at=known.created_at)

    def _write(self, space: str, run: Sequence[tuple[Entry, str]], indexed: bool) -> None:
        if indexed:
            ids, texts = [entry.key for entry, _ in run], [text for _, text in run]
            metadatas = [entry.metadata() for entry, _ in run]
            self._memory.write(texts, ids, metadatas, namespace=space)
            return
        import numpy as np

        from larimar_memory.stores import Document, WriteBatch

        # Without text: a document without segments, which the store keeps and no search finds.
        keys = np.zeros((0, self._memory.encoder.dimension), dtype=np.float32)
        documents = [Document(entry.key, "", 0, entry.metadata()) for entry, _ in run]
        self._memory.store.write(space, [WriteBatch(d, [], keys, replace=True) for d in documents])

    def _erase(self, count: int) -> None:
        if count and self._purge:
            self._memory.purge()
