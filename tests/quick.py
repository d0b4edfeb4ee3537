"""Encoders that hash: keys without a model, in microseconds; and a store that only counts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from larimar_memory.encoders.base import Kind, TokenBatch
from larimar_memory.encoders.coarse import CoarseTable
from larimar_memory.encoders.keys import unit
from larimar_memory.larimar import Larimar
from larimar_memory.stores import Document, SQLiteStore, WriteBatch


class QuickEncoder:
    """Keys of 16 numbers that follow from the text's hash; equal texts have equal keys."""

    dimension, fingerprint = 16, "quick"

    def encode(self, texts: Sequence[str], kind: Kind = "segment") -> np.ndarray:
        hashes = [hashlib.blake2b(text.strip().encode(), digest_size=16).digest() for text in texts]
        return unit(np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, 16) - 127.5)


class QuickTokens(QuickEncoder):
    """The same keys in two steps, as the sentence encoder makes them."""

    def tokenize(self, texts: Sequence[str]) -> TokenBatch:
        return TokenBatch([[ord(char) for char in text] for text in texts], special=0)

    def encode_tokens(self, batch: TokenBatch) -> np.ndarray:
        return super().encode(["".join(map(chr, ids)) for ids in batch.ids])

    def encode(self, texts: Sequence[str], kind: Kind = "segment") -> np.ndarray:
        return self.encode_tokens(self.tokenize(texts))


class QuickCoarse(QuickTokens):
    """With a table of coarse keys: random vectors of characters.

    Attributes:
        forwards: texts whose keys were made without the table.
    """

    fingerprint = "quick-coarse"
    coarse: CoarseTable | None = None

    def __init__(self) -> None:
        self.forwards, draw = 0, np.random.default_rng(0)
        vectors = draw.integers(-127, 128, (0x20000, 16), dtype=np.int8)
        self.coarse = CoarseTable(
            vectors, np.ones(len(vectors), np.float32), np.ones(16, np.float32), self.fingerprint
        )

    def encode_tokens(self, batch: TokenBatch) -> np.ndarray:
        self.forwards += len(batch.ids)
        return super().encode_tokens(batch)


class CountingStore(SQLiteStore):
    """Keeps a hash of the segments it is given, and nothing of them."""

    def __init__(self) -> None:
        super().__init__(None, encoder=QuickEncoder.fingerprint, dimension=QuickEncoder.dimension)
        self.characters = self.done = 0
        self.hash = hashlib.blake2b()

    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        for batch in batches:
            for segment in batch.segments:
                self.characters += segment.end - segment.start
                self.hash.update(segment.text.encode())
            self.done += batch.document.complete

    def document(self, namespace: str, document_id: str) -> Document | None:
        return None


def contents(memory: Larimar, namespace: str = "default") -> list[Any]:
    """All that a namespace holds, but for row numbers."""
    held = list[Any]()
    for document in memory.documents(namespace=namespace):
        found = memory.store.segments(namespace, document.id)
        spans = [(s.index, s.start, s.end, s.text, s.key.tobytes()) for s in found]
        held.append((document, document.segments, spans))
    return held
