"""The store contract: the methods that a store implements, and the methods derived from them.

A store implements the 11 abstract methods of `Store`. All others have defaults built on these, which a
store overrides to be quicker or atomic. `larimar_memory.testing.StoreLaws` tests a store:

    class BucketStore(Store):
        def __init__(self, bucket):
            self._bucket = bucket

        def documents(self, namespace, where=None, ids=None):
            for entry in self._bucket.list(namespace):  # in the order of their first writing
                if (ids is None or entry.id in ids) and self._satisfies(where, entry.metadata):
                    yield Document(entry.id, entry.hash, entry.characters, entry.metadata, ...)

        ...  # write, spans, nearest, lexical, fetch, attach, keys, delete, purge, stats

    class TestBucketStore(StoreLaws):
        @pytest.fixture
        def store(self, tmp_path):
            return BucketStore(open_bucket(tmp_path))

    memory = Larimar.open(store=BucketStore(bucket))
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice

import numpy as np
from typing_extensions import Unpack

from larimar_memory.errors import InputError, MemoryFileError
from larimar_memory.stores.options import PageOptions
from larimar_memory.stores.values import Document as Document
from larimar_memory.stores.values import Episode as Episode
from larimar_memory.stores.values import Hit as Hit
from larimar_memory.stores.values import KeptReceipts as KeptReceipts
from larimar_memory.stores.values import Key as Key
from larimar_memory.stores.values import Keys as Keys
from larimar_memory.stores.values import MakeKeys as MakeKeys
from larimar_memory.stores.values import Place as Place
from larimar_memory.stores.values import Rows as Rows
from larimar_memory.stores.values import SearchedFile as SearchedFile
from larimar_memory.stores.values import Span as Span
from larimar_memory.stores.values import StoredSegment as StoredSegment
from larimar_memory.stores.values import StoreStats as StoreStats
from larimar_memory.stores.values import WriteBatch as WriteBatch
from larimar_memory.stores.values import rarest as rarest
from larimar_memory.stores.values import speaker_of as speaker_of
from larimar_memory.system.pieces import Pieces
from larimar_memory.types import Metadata
from larimar_memory.types import Where as Where


class Store(ABC):
    """Segments with keys, grouped in documents, separated by namespace; thread-safe.

    Nothing given for one namespace can be seen, counted or changed from another. A namespace exists
    while it holds a document. A method that takes `where` raises InputError for a filter that cannot be
    used.
    """

    @abstractmethod
    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        """Commit the batches in one transaction: none exists before it returns, all survive afterwards.

        Raises:
            InputError: if a latent is of a type or shape that cannot be stored.
        """

    @abstractmethod
    def documents(
        self, namespace: str, where: Where | None = None, ids: Sequence[str] | None = None
    ) -> Iterator[Document]:
        """The documents of a namespace, in the order they were first written.

        Args:
            ids: only these; unknown ones are ignored.
        """

    @abstractmethod
    def spans(
        self, namespace: str, spans: Sequence[Span], latents: bool = False
    ) -> list[list[StoredSegment]]:
        """The segments of each span, in the order of the text; spans may overlap."""

    @abstractmethod
    def nearest(self, namespace: str, key: Key, k: int, where: Where | None = None) -> list[Hit]:
        """The k rows of largest cosine with `key`, best first."""

    @abstractmethod
    def lexical(
        self,
        namespace: str,
        terms: Sequence[str],
        k: int,
        where: Where | None = None,
        most: int | None = None,
    ) -> list[Hit]:
        """The k rows of largest BM25 score over `terms` (any of them), best first.

        Args:
            terms: words made by `text.words.words`, as the words of the texts are.
            most: rank fewer segments than this, each counted once for every term it holds: the rarest
                terms are searched, and terms that no longer fit are ignored.
        """

    @abstractmethod
    def fetch(self, namespace: str, rows: Sequence[int], latents: bool = False) -> list[StoredSegment]:
        """The segments of those rows, in that order; missing ones are left out."""

    @abstractmethod
    def attach(
        self,
        namespace: str,
        rows: Sequence[int],
        latents: Sequence[np.ndarray] | None = None,
        keys: Keys | None = None,
        *,
        wait: bool = True,
    ) -> bool:
        """Give segments latents, the encoder's keys, or both; rows that are gone are ignored.

        Args:
            keys: one per row; ignored by a store that is not lazy, which has them already.
            wait: False never waits for another writer, thread or process, nor for the disk: a power cut
                may undo the call.

        Returns:
            Whether it was done. False only with `wait=False`: if another writer is active, or the store
            is read-only.
        """

    @abstractmethod
    def keys(self, namespace: str, after: int = 0) -> Iterator[tuple[Rows, Keys]]:
        """Rows above `after` with the keys that the store searches by, ascending, in chunks.

        Nothing is held between chunks: only inside `snapshot` are they all of one moment.
        """

    @abstractmethod
    def delete(
        self,
        namespace: str,
        *,
        ids: Sequence[str] | None = None,
        where: Where | None = None,
        to_purge: bool = False,
    ) -> int:
        """Delete documents by id or by filter, all of the namespace if neither; returns how many.

        Args:
            to_purge: note that `purge` follows: if it is interrupted, the next process to open the
                store for writing does it.
        """

    @abstractmethod
    def purge(self) -> None:
        """Erase every trace of deleted content.

        Raises:
            MemoryBusyError: if another reader or writer keeps it from finishing.
        """

    @abstractmethod
    def stats(self, namespace: str | None = None) -> StoreStats:
        """Counts for a namespace, or for all."""

    # --- derived ---

    encoder: str | None = None
    """Fingerprint of the encoder that made the keys, if the store keeps it: a memory opened on the
    store then refuses any other encoder."""

    dimension: int | None = None
    """How many numbers a key has, if the store says so."""

    place: str | None = None
    """The store's name in errors and counts: a path, or an address without its password."""

    lazy: bool = False
    """Whether the store searches by coarse keys, and is given fine keys later."""

    def identity(self) -> Hashable:
        """A value that only stores over the same memory share; by default, unique to this store."""
        return id(self)

    def lacking(self, namespace: str, after: int, count: int) -> list[int]:
        """The next rows above `after`, ascending, at most `count`, that lack the encoder's key."""
        return []

    def frequencies(self, namespace: str, terms: Sequence[str], most: int | None = None) -> list[int]:
        """How many segments hold each of the terms; counting stops at `most`."""
        limit = self.stats(namespace).segments if most is None else most
        return [len(self.lexical(namespace, [term], limit)) for term in terms]

    def document(self, namespace: str, document_id: str) -> Document | None:
        """The document of that id, or None."""
        return next(iter(self.documents(namespace, ids=[document_id])), None)

    def page(self, namespace: str, count: int, **which: Unpack[PageOptions]) -> list[Document]:
        """The next `count` documents, in the order of first writing.

        Args:
            which: options of `PageOptions` that select documents; by default all.
        """
        held = list(self.documents(namespace))[:: -1 if which.get("newest") else 1]
        at = next((n for n, document in enumerate(held, 1) if document.id == which.get("after")), 0)
        sought, episode = _lower(which.get("matching", "")), which.get("episode")
        where, passing = which.get("where"), set[str]()
        if where is not None:
            passing = {document.id for document in self.documents(namespace, where)}
        fitting = (
            document
            for document in held[at:]
            if (episode is None or document.episode == episode)
            and (where is None or document.id in passing)
            and sought in _lower(document.id)
        )
        return list(islice(fitting, count))

    def episodes(self, namespace: str, count: int, after: str | None = None) -> list[Episode]:
        """The next `count` episodes of a namespace, sorted by name, after the name `after`."""
        held = Counter(d.episode for d in self.documents(namespace) if d.episode is not None)
        names = sorted(name for name in held if after is None or name > after)
        return [Episode(name, held[name]) for name in names[:count]]

    def latest(self, namespace: str, count: int) -> list[Document]:
        """The `count` documents with text that were first written last, newest first."""
        held = (document for document in self.documents(namespace) if document.characters)
        return list(deque(held, count))[::-1]

    def around(self, namespace: str, document_id: str, reach: int) -> list[Document]:
        """A document with text, and up to `reach` neighbours with text on each side, by first writing.

        Returns:
            An empty list if there is no such document.
        """
        held = [document for document in self.documents(namespace) if document.characters]
        at = next((n for n, document in enumerate(held) if document.id == document_id), None)
        return [] if at is None else held[max(at - reach, 0) : at + reach + 1]

    def size(self, namespace: str) -> int:
        """How many segments a namespace holds, exactly or nearly."""
        return self.stats(namespace).segments

    def places(self, namespace: str, rows: Sequence[int]) -> list[Place]:
        """The places of the segments of those rows, in any order; missing ones are left out."""
        found = self.fetch(namespace, rows)
        names = list(dict.fromkeys(s.document_id for s in found))
        episodes = {d.id: d.episode for d in self.documents(namespace, ids=names)}
        return [
            Place(s.row, s.document_id, s.index, speaker_of(s.metadata), episodes.get(s.document_id))
            for s in found
        ]

    def keys_near(self, namespace: str, rows: Sequence[int], reach: int) -> list[list[tuple[int, Key]]]:
        """For each row, the offset and key of each segment within `reach` of it in its document.

        The keys are those that the store searches by. The list of a row that is gone is empty.
        """
        held = {s.row: s for s in self.fetch(namespace, rows)}
        spans = [Span(s.document_id, s.index - reach, s.index + reach) for s in held.values()]
        near = dict(zip(held, self.spans(namespace, spans), strict=True))
        return [
            [
                (s.index - held[row].index, key)
                for s in near.get(row, [])
                if (key := s.coarse if self.lazy else s.key) is not None
            ]
            for row in rows
        ]

    def beside(self, namespace: str, document_ids: Sequence[str], reach: int) -> list[list[Document]]:
        """For each document, those with text of its episode, up to `reach` before and after it.

        Returns:
            Lists in the order of first writing, the document itself included; only itself if it has no
            episode, an empty list if there is no such document.
        """
        held = {d.id: d for d in self.documents(namespace)} if document_ids else {}
        found = list[list[Document]]()
        for asked in document_ids:
            document = held.get(asked)
            if document is None or document.episode is None:
                found.append([] if document is None else [document])
                continue
            near = [
                other
                for other in held.values()
                if other.episode == document.episode and (other.characters or other is document)
            ]
            at = near.index(document)
            found.append(near[max(at - reach, 0) : at + reach + 1])
        return found

    def segments(
        self, namespace: str, document_id: str, first: int = 0, last: int | None = None
    ) -> list[StoredSegment]:
        """The segments of a document whose index lies in [first, last], in order; by default all."""
        (found,) = self.spans(namespace, [Span(document_id, first, last)])
        return found

    def set_metadata(self, namespace: str, document_id: str, metadata: Metadata) -> None:
        """Replace a document's metadata, leaving its segments.

        This default is not atomic: it may undo what is written to the document meanwhile.
        """
        if (known := self.document(namespace, document_id)) is not None:
            changed, nothing = replace(known, metadata=metadata), np.empty((0, 0), dtype=np.float32)
            self.write(namespace, [WriteBatch(changed, [], nothing, replace=False)])

    def namespaces(self) -> list[str]:
        """Names of the namespaces that hold documents, sorted."""
        return list(self.stats().names)

    def generation(self, namespace: str) -> int:
        """A number that changes when rows are deleted.

        This default is a hash of all rows, so it changes when rows are written, too; a store that
        counts its deletions overrides it.
        """
        made = hashlib.blake2b(digest_size=7)
        for rows, _ in self.keys(namespace):
            made.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
        return int.from_bytes(made.digest(), "little")

    def damaged(self, what: str, why: str) -> MemoryFileError:
        """The error for stored content that is not what was written.

        Args:
            what: the content, in words that a reader of the error knows.
            why: how the damage is known.
        """
        name = "" if self.place is None else f" {self.place}"
        return MemoryFileError(
            f"The memory{name} is damaged.",
            f"What is stored for {what} is not what was written: {why}.",
            "Write it again, or restore a backup.",
        )

    @property
    def keeps_receipts(self) -> bool:
        """Whether the store keeps receipts: a store that does overrides `add_receipts`."""
        return type(self).add_receipts is not Store.add_receipts

    def receipts(self) -> KeptReceipts:
        """The lines that `add_receipts` was given, in order."""
        return KeptReceipts([], 0)

    def add_receipts(self, make: Callable[[str | None], Sequence[str]]) -> None:
        """Add lines to the receipts for good, in one transaction in which no other process adds any.

        Args:
            make: returns the lines that follow the last line, given that line, or None if there is
                none.

        Raises:
            InputError: if the store keeps no receipts, as by default.
        """
        raise InputError(
            "There can be no receipt of what is forgotten.",
            f"A {type(self).__name__} keeps none.",
            "Forget without one, or use a memory in a file.",
        )

    def search_files(self, pieces: Pieces) -> list[SearchedFile] | None:
        """Look for pieces in every byte of the files that the store writes, temporary ones included.

        Pieces that the store itself writes, such as in the names of its tables, are not reported.

        Returns:
            An empty list for a store without files; None if they cannot be searched, as by default.
        """
        return None

    def snapshot(self) -> AbstractContextManager[None]:
        """A context in which this thread reads one moment of the store, if the store can hold one."""
        return nullcontext()

    def clear(self) -> None:  # noqa: B027 - a store that leaves nothing has nothing to clear
        """Delete what an interrupted process left beside the store, which costs next to nothing."""

    def close(self) -> None:  # noqa: B027 - a store that holds nothing has nothing to release
        """Release what the store holds; it cannot be used afterwards."""


def _lower(text: str) -> str:
    """The text with ASCII letters in lower case, as databases do it."""
    return "".join(char.lower() if char.isascii() else char for char in text)
