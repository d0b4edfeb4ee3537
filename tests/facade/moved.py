"""Memories as the laws of moving draw them, and all that a store keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from larimar_memory import exchange
from larimar_memory.stores import Document, SQLiteStore, Store, WriteBatch, pouring
from larimar_memory.testing.writes import DIMENSION, key_of
from larimar_memory.types import Segment
from tests.damage import contents
from tests.stores.test_laws import open_file


@dataclass(frozen=True)
class Held:
    """A document as the laws draw it: texts, each with the seed of a latent and whether it is keyed."""

    segments: tuple[tuple[str, int | None, bool], ...]
    metadata: dict[str, Any]
    complete: bool
    written_at: str
    episode: str | None

    def put(self, store: Store, space: str, name: str) -> None:
        pieces = [text for text, _, _ in self.segments]
        latents = [
            None
            if seed is None
            else np.random.default_rng(seed).integers(-9, 9, (2, seed % 4), np.int8)
            for _, seed, _ in self.segments
        ]
        said = [(text, seed) for text, seed, _ in self.segments]
        document = Document(
            name, f"{said}", len(pieces), self.metadata, self.complete, self.written_at, 0, self.episode
        )
        keys = np.array([*map(key_of, pieces)], dtype=np.float32).reshape(-1, DIMENSION)
        fine = [key_of(f"{text}!") if keyed else None for text, _, keyed in self.segments]
        cut = [Segment(i, i, i + len(t), t) for i, t in enumerate(pieces)]
        store.write(
            space, [WriteBatch(document, cut, keys, True, latents, fine if store.lazy else None)]
        )


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
documents = st.builds(
    Held,
    st.lists(st.tuples(text, st.none() | st.integers(0, 99), st.booleans()), max_size=5).map(tuple),
    st.dictionaries(text, st.none() | st.booleans() | st.integers() | text, max_size=2),
    st.booleans(),
    st.datetimes().map(lambda at: at.strftime("%Y-%m-%d %H:%M:%S")),
    st.none() | st.sampled_from(["trip", "é"]),
)
names = st.tuples(st.sampled_from(["n", "  m"]), st.sampled_from(["d", "e", "f", "ü\u2028"]))
memories = st.dictionaries(names, documents, max_size=5)


@contextmanager
def small(segments: int) -> Iterator[None]:
    """So few segments are committed at once."""
    before, pouring.BATCH_SEGMENTS = pouring.BATCH_SEGMENTS, segments
    try:
        yield
    finally:
        pouring.BATCH_SEGMENTS = before


def made(held: dict[tuple[str, str], Held], lazy: bool, prefix: str = "") -> SQLiteStore:
    store = open_file(None, lazy=lazy)
    for (space, name), document in held.items():
        document.put(store, space, prefix + name)
    return store


def exported(store: Store, folder: Path) -> dict[str, bytes]:
    """All that a store keeps, in bytes, with the order of its documents."""
    assert store.encoder is not None
    exchange.export(store, folder, encoder=store.encoder, dimension=store.dimension or 0)
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def unordered(store: Store) -> dict[Any, Any]:
    """All that a store keeps, but for the order of its documents."""
    found = contents(_Told(store))  # type: ignore[arg-type]
    for space, name in found:
        document = store.document(space, name)
        assert document is not None
        coarse = [None if s.coarse is None else s.coarse.tobytes() for s in store.segments(space, name)]
        found[space, name] += (document.episode, coarse)
    return found


class _Told:
    """Shows segments without a fine key with one of no numbers, as `contents` wants one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def spans(self, *asked: Any, **options: Any) -> list[list[Any]]:
        none = np.zeros(0)
        held = self._store.spans(*asked, **options)
        return [[replace(s, key=none if s.key is None else s.key) for s in of] for of in held]


def generations(store: Store) -> dict[str, int]:
    return {space: store.generation(space) for space in store.namespaces()}
