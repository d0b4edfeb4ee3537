"""Helpers for the laws of a store: what they write, and the texts of what a store finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from larimar_memory.stores.base import Document, Store, StoredSegment, WriteBatch
from larimar_memory.types import Metadata, Segment

DIMENSION = 8


def key_of(text: str) -> Float[np.ndarray, " d"]:
    """A unit vector that depends on the text alone."""
    raw = np.random.default_rng(list(text.encode())).standard_normal(DIMENSION)
    return np.asarray(raw / np.linalg.norm(raw), dtype=np.float32)


def batch(
    name: str,
    texts: Sequence[str],
    metadata: Metadata | None = None,
    *,
    first: int = 0,
    replace: bool = True,
    complete: bool = True,
    latents: Sequence[np.ndarray | None] | None = None,
) -> WriteBatch:
    """A batch of a document's segments, from index `first` on."""
    segments = [Segment(first + i, 10 * i, 10 * i + len(t), t) for i, t in enumerate(texts)]
    keys = np.array([key_of(t) for t in texts], dtype=np.float32).reshape(len(texts), DIMENSION)
    document = Document(name, f"hash of {texts}", 10 * len(texts), metadata or {}, complete)
    return WriteBatch(document, segments, keys, replace, latents)


def said(segments: Sequence[StoredSegment]) -> list[str]:
    """The texts of segments."""
    return [segment.text for segment in segments]


def found(store: Store, namespace: str, text: str, k: int = 3, **options: Any) -> list[str]:
    """Texts of the nearest segments, best first."""
    hits = store.nearest(namespace, key_of(text), k, **options)
    return said(store.fetch(namespace, [hit.row for hit in hits]))


def worded(store: Store, namespace: str, *terms: str, k: int = 9, **options: Any) -> list[str]:
    """Texts of the segments that hold some of the terms, best first."""
    hits = store.lexical(namespace, terms, k, **options)
    return said(store.fetch(namespace, [hit.row for hit in hits]))
