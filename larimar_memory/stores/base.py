"""The store contract. Every implementation passes the same laws (`tests/test_store_laws.py`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from larimar_memory.errors import InputError
from larimar_memory.types import Metadata, Segment
from larimar_memory.types import Where as Where


@dataclass(frozen=True, slots=True)
class Document:
    """A written text.

    Attributes:
        id: the caller's name for it, unique within its namespace.
        content_hash: of text and segmentation; equal content is not written again.
        characters: length of the text.
        complete: False while its segments are still being committed.
        written_at: when it was last written, `YYYY-MM-DD HH:MM:SS` in UTC; None says now.
    """

    id: str
    content_hash: str
    characters: int
    metadata: Metadata = field(default_factory=dict)
    complete: bool = True
    written_at: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment as it is kept. `row` is the store's own handle, never reused."""

    row: int
    document_id: str
    index: int
    start: int
    end: int
    text: str
    metadata: Metadata
    key: Float[np.ndarray, " d"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A search result: a row and its cosine or BM25 score, higher is better."""

    row: int
    score: float


@dataclass(frozen=True, slots=True)
class WriteBatch:
    """Consecutive segments of one document with their keys, committed together.

    Attributes:
        replace: drop what the document held before; True for its first batch.
        latents: one per segment, of any shape, or None where it is, or all are, not made yet.
    """

    document: Document
    segments: Sequence[Segment]
    keys: Float[np.ndarray, "n d"]
    replace: bool
    latents: Sequence[np.ndarray | None] | None = None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What a namespace, or the whole store, holds."""

    namespaces: int
    documents: int
    segments: int
    characters: int
    bytes_on_disk: int


class Store(ABC):
    """Segments with keys, grouped in documents, separated by namespace; thread-safe.

    Nothing given for one namespace can be seen, counted or changed from another.
    """

    @abstractmethod
    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        """Commit the batches in one transaction: after return they survive, before it none exist."""

    @abstractmethod
    def document(self, namespace: str, document_id: str) -> Document | None:
        """The document of that id, or None."""

    @abstractmethod
    def documents(self, namespace: str, where: Where | None = None) -> Iterator[Document]:
        """The documents of a namespace, in the order they were first written."""

    @abstractmethod
    def segment_count(self, namespace: str, document_id: str) -> int:
        """Segments committed for a document, 0 if there is none."""

    @abstractmethod
    def set_metadata(self, namespace: str, document_id: str, metadata: Metadata) -> None:
        """Replace a document's metadata, leaving its segments."""

    @abstractmethod
    def nearest(
        self, namespace: str, key: Float[np.ndarray, " d"], k: int, where: Where | None = None
    ) -> list[Hit]:
        """The k rows of largest cosine with `key`, best first."""

    @abstractmethod
    def lexical(
        self, namespace: str, terms: Sequence[str], k: int, where: Where | None = None
    ) -> list[Hit]:
        """The k rows of largest BM25 score over `terms` (any of them), best first."""

    @abstractmethod
    def document_frequency(self, namespace: str, terms: Sequence[str], cap: int) -> list[int]:
        """Number of segments that hold each term, counted no further than `cap`."""

    @abstractmethod
    def fetch(self, namespace: str, rows: Sequence[int]) -> list[StoredSegment]:
        """The segments of those rows, in that order, missing ones left out."""

    @abstractmethod
    def latents(self, namespace: str, rows: Sequence[int]) -> list[np.ndarray | None]:
        """The latents of those rows, in that order; None for a row without one."""

    @abstractmethod
    def set_latents(self, namespace: str, rows: Sequence[int], latents: Sequence[np.ndarray]) -> None:
        """Give segments their latents; rows that are gone are passed over."""

    @abstractmethod
    def keys(
        self, namespace: str, after: int = 0
    ) -> Iterator[tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n d"]]]:
        """Rows above `after` with their keys, ascending, in chunks.

        Nothing is held between chunks: one moment sees them all only inside `snapshot`.
        """

    @abstractmethod
    def generation(self, namespace: str) -> int:
        """A number that changes whenever rows are deleted."""

    @abstractmethod
    def neighbours(
        self, namespace: str, document_id: str, first: int, last: int
    ) -> list[StoredSegment]:
        """The segments of a document whose index lies in [first, last], in order."""

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
            to_purge: `purge` follows; where that is interrupted, the next to open the store for writing
                does it.
        """

    @abstractmethod
    def purge(self) -> None:
        """Erase every trace of deleted content from the store's files.

        Raises:
            MemoryBusyError: if another reader or writer keeps it from its end.
        """

    def clear(self) -> None:  # noqa: B027 - a store that leaves nothing has nothing to clear
        """Delete what an interrupted process left beside the store, which costs next to nothing."""

    @abstractmethod
    def namespaces(self) -> list[str]:
        """Names of the namespaces that hold documents."""

    @abstractmethod
    def stats(self, namespace: str | None = None) -> StoreStats:
        """Counts for a namespace, or for all."""

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What this thread reads meanwhile is one moment's, whatever others write."""
        yield

    @abstractmethod
    def close(self) -> None:
        """Release files; the store cannot be used afterwards."""


def check_store(given: Any, path: object = None) -> Store:
    """A store, or a sentence that says why it cannot be used.

    Args:
        path: what was named beside it; there must be none.

    Raises:
        InputError: if it is none.
    """
    what = "The memory cannot be opened."
    if not isinstance(given, Store):
        raise InputError(
            what,
            f"Its store is a {type(given).__name__}, not a Store.",
            "Give what keeps the contract `larimar_memory.Store`.",
        )
    if path is not None:
        raise InputError(what, "Both a store and a path were given.", "Give one of them.")
    return given
