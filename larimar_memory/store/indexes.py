"""The vector indexes of a memory file, one per namespace, kept in step with its rows."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from larimar_memory.store.rows import (
    CHUNK,
    existing_rows,
    generation_of,
    keys_after,
    live_rows,
    matrix_of,
)
from larimar_memory.store.vectors import Vectors


def index_folder(path: Path) -> Path:
    """Where the index files of a memory file are."""
    return path.with_name(f"{path.name}-vectors")


class Indexes:
    """Finds nearest keys; safe for threads.

    Args:
        path: the memory file.
        dimension: d.
        read_only: make no index files, nor what would become one.
    """

    def __init__(self, path: Path, dimension: int, *, read_only: bool) -> None:
        self._folder, self._dimension, self._read_only = index_folder(path), dimension, read_only
        self._vectors: dict[int, Vectors] = {}
        self._lock = threading.RLock()

    def nearest(
        self, db: sqlite3.Connection, space: int, key: Float[np.ndarray, " d"], k: int
    ) -> list[tuple[int, float]]:
        """Rows that exist, and their cosines, of the k nearest keys of a namespace, best first."""
        with self._lock:
            vectors = self._synced(db, space)
            while True:
                found = vectors.search(key, k)
                gone = {row for row, _ in found} - existing_rows(db, [row for row, _ in found])
                if not gone:
                    return found
                vectors.remove(np.array(sorted(gone), dtype=np.int64))

    def before_removal(self, db: sqlite3.Connection, space: int) -> None:
        """Map what is on disk while it is of the namespace's present state, which a removal ends."""
        with self._lock:
            self._opened(db, space)

    def after_write(self, db: sqlite3.Connection, space: int, removed: list[int]) -> None:
        """Take in what was written, and forget the rows it took the place of."""
        with self._lock:
            if removed:
                self._remove(self._opened(db, space), removed)
            self._synced(db, space)

    def after_delete(
        self, db: sqlite3.Connection, space: int, removed: list[int], *, gone: bool
    ) -> None:
        """Forget rows, in memory and in the files; `gone` where the namespace is no more."""
        with self._lock:
            vectors = self._opened(db, space)
            self._remove(vectors, removed)
            if gone:
                vectors.clear_files(own=True)
                del self._vectors[space]

    def save(self, db: sqlite3.Connection) -> None:
        """Write the indexes that have changed."""
        with self._lock:
            for space, vectors in self._vectors.items():
                with self._unchanged(db, space, vectors) as generation:
                    vectors.save(generation, partial(live_rows, db, space))

    def _opened(self, db: sqlite3.Connection, space: int) -> Vectors:
        if space not in self._vectors:
            self._vectors[space] = Vectors(self._dimension, self._folder, space)
            self._vectors[space].open(generation_of(db, space))
        return self._vectors[space]

    def _remove(self, vectors: Vectors, removed: list[int]) -> None:
        vectors.remove(np.array(removed, dtype=np.int64))
        vectors.clear_files()

    def _synced(self, db: sqlite3.Connection, space: int) -> Vectors:
        vectors = self._opened(db, space)
        rows = keys_after(db, space, vectors.last_row)
        while chunk := rows.fetchmany(CHUNK):
            vectors.append(*matrix_of(chunk))
            if self._read_only:
                continue
            vectors.index_tail()
            if vectors.sealable:
                with self._unchanged(db, space, vectors) as generation:
                    vectors.seal(generation, partial(live_rows, db, space))
        return vectors

    @contextmanager
    def _unchanged(self, db: sqlite3.Connection, space: int, vectors: Vectors) -> Iterator[int]:
        """The generation that files are written for, which what others delete meanwhile makes stale."""
        generation = generation_of(db, space)
        yield generation
        if generation_of(db, space) != generation:
            vectors.clear_files(own=True)
