"""An encoder that hashes: keys without a model, in microseconds; and a store that only counts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from larimar_memory.encoders.keys import unit
from larimar_memory.encoders.sentence import SentenceEncoder, TokenBatch
from larimar_memory.larimar import Larimar
from larimar_memory.stores import Document, SQLiteStore, WriteBatch


class QuickEncoder:
    """Keys of 16 numbers that follow from the text's hash; equal texts have equal keys.

    Args:
        threads: tokenise in a thread ahead of encoding, as the sentence encoder does.
    """

    dimension, fingerprint = 16, "quick"

    def __init__(self, threads: bool = True) -> None:
        self.threads = threads

    def tokenize(self, texts: Sequence[str]) -> TokenBatch:
        hashes = (hashlib.blake2b(t.strip().encode(), digest_size=16).digest() for t in texts)
        return TokenBatch([list(h) for h in hashes], special=0)

    def encode_tokens(self, batch: TokenBatch) -> np.ndarray:
        return unit(np.array(batch.ids, dtype=np.float32).reshape(-1, 16) - 127.5)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return self.encode_tokens(self.tokenize(texts))

    encode_questions = encode

    def encode_stream(self, batches: Iterable[Sequence[str]]) -> Iterator[tuple[np.ndarray, int]]:
        if self.threads:
            yield from SentenceEncoder.encode_stream(self, batches)  # type: ignore[arg-type]
        else:
            for batch in batches:
                yield self.encode(batch), 0


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
