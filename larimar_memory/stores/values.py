"""The values that a store takes and gives: documents, segments, keys, hits and counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from larimar_memory.types import Metadata, Segment

Rows: TypeAlias = Int[np.ndarray, " n"]
Key: TypeAlias = Float[np.ndarray, " d"]
Keys: TypeAlias = Float[np.ndarray, "n d"]
"""Keys have unit length and are float32."""

MakeKeys: TypeAlias = Callable[[Sequence[str]], Keys]
"""A function that makes a key of each text."""


@dataclass(frozen=True, slots=True)
class Document:
    """A written text.

    Attributes:
        id: the caller's name for it, unique within its namespace.
        content_hash: of text and segmentation; equal content is not written again.
        characters: length of the text.
        complete: False while its segments are still being committed.
        written_at: when it was last written, `YYYY-MM-DD HH:MM:SS` in UTC; None means now.
        segments: how many of its segments are committed, as a store counts them.
        episode: the episode that it belongs to, such as a conversation or a book, in the order of first
            writing; None if it belongs to none.
    """

    id: str
    content_hash: str
    characters: int
    metadata: Metadata = field(default_factory=dict)
    complete: bool = True
    written_at: str | None = field(default=None, compare=False)
    segments: int = field(default=0, compare=False)
    episode: str | None = None


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment as a store keeps it.

    Attributes:
        row: the store's own handle, never reused.
        key: the encoder's, unit length, float32, rounded to float16; None if a lazy store does not have
            it yet.
        latent: None if it has none, or if latents were not asked for.
        coarse: the key that a lazy store searches by, unit length, float32, rounded to int8; else None.
    """

    row: int
    document_id: str
    index: int
    start: int
    end: int
    text: str
    metadata: Metadata
    key: Key | None
    latent: np.ndarray | None = field(default=None, compare=False)
    coarse: Key | None = field(default=None, compare=False)

    @property
    def best_key(self) -> Key:
        """The encoder's key, or the coarse key if the store does not have the encoder's yet."""
        best = self.coarse if self.key is None else self.key
        if best is None:
            raise ValueError("a store gave a segment without any key")
        return best


class Episode(NamedTuple):
    """The name of an episode, and how many documents it has."""

    name: str
    documents: int


class KeptReceipts(NamedTuple):
    """The lines of receipts that a store keeps, in order.

    Attributes:
        added: how many were ever added: more than there are if some were taken away.
    """

    lines: list[str]
    added: int


@dataclass(frozen=True, slots=True)
class SearchedFile:
    """A file that was searched for pieces of what was erased.

    Attributes:
        size: in bytes.
        found: the pieces that are in it; None if it could not be read.
    """

    name: str
    size: int
    found: frozenset[bytes] | None


class Span(NamedTuple):
    """Segments of a document, by index: from `first` to `last`, both included; None is the end."""

    document_id: str
    first: int = 0
    last: int | None = None


def rarest(terms: Sequence[str], counts: Sequence[int], most: int) -> list[str]:
    """The rarest terms that together are in fewer than `most` segments, counted once for each term.

    Args:
        counts: how many segments hold each term; among equally rare terms, the first are kept.
    """
    kept = list[str]()
    for count, term in sorted(zip(counts, terms, strict=True), key=lambda pair: pair[0]):
        if 0 < count < most:
            kept.append(term)
            most -= count
    return kept


def speaker_of(metadata: Metadata) -> str:
    """Who said a text, by its document's metadata; "" if they do not say."""
    said = metadata.get("speaker")
    return said if isinstance(said, str) else ""


class Place(NamedTuple):
    """The place of a row's segment, and who said it.

    Attributes:
        at: its index in the document.
        speaker: by `speaker_of`.
        episode: of its document.
    """

    row: int
    document_id: str
    at: int
    speaker: str = ""
    episode: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A search result: a row and its cosine or BM25 score, higher is better."""

    row: int
    score: float


@dataclass(frozen=True, slots=True)
class WriteBatch:
    """Consecutive segments of one document with their keys, committed together.

    Attributes:
        keys: the keys that the store searches by: the encoder's, or coarse ones if the store is lazy.
        replace: drop what the document held before; True for its first batch.
        latents: one per segment, of any shape; None for one that is not made yet, or for all.
        fine: for a lazy store, the encoder's keys that are made already, one per segment.
    """

    document: Document
    segments: Sequence[Segment]
    keys: Keys
    replace: bool
    latents: Sequence[np.ndarray | None] | None = None
    fine: Sequence[Key | None] | None = None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Counts of a namespace, or of the whole store.

    Attributes:
        names: of its namespaces, sorted.
        keyed: segments that have the encoder's key.
    """

    names: tuple[str, ...]
    documents: int
    segments: int
    characters: int
    bytes_on_disk: int
    keyed: int = 0

    @property
    def namespaces(self) -> int:
        """How many namespaces hold documents."""
        return len(self.names)
