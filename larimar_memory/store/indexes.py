"""The vector indexes of a memory file, one per namespace, kept in step with its rows."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import numpy as np
from jaxtyping import Float

from larimar_memory.store.rows import CHUNK, existing_rows, generation_of, keys_after, matrix_of
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

    def after_write(self, db: sqlite3.Connection, space: int, removed: list[int]) -> None:
        """Take in what was written, and forget the rows it took the place of."""
        with self._lock:
            if removed:
                vectors = self._opened(db, space)
                vectors.remove(np.array(removed, dtype=np.int64))
                vectors.discard_files()
            self._synced(db, space)

    def after_delete(
        self, db: sqlite3.Connection, space: int, removed: list[int], *, gone: bool
    ) -> None:
        """Forget rows, in memory and in the files; `gone` where the namespace is no more."""
        with self._lock:
            vectors = self._opened(db, space)
            vectors.remove(np.array(removed, dtype=np.int64))
            vectors.discard_files()
            if gone:
                del self._vectors[space]

    def save(self, db: sqlite3.Connection) -> None:
        """Write the indexes that have changed."""
        with self._lock:
            for space, vectors in self._vectors.items():
                # The generation first: what another process deletes meanwhile makes the file stale.
                generation = generation_of(db, space)
                live = db.execute("SELECT id FROM segments WHERE namespace_id = ?", (space,))
                vectors.save(generation, np.fromiter((row for (row,) in live), dtype=np.int64))
                if generation_of(db, space) != generation:
                    vectors.clear_files()

    def _opened(self, db: sqlite3.Connection, space: int) -> Vectors:
        if space not in self._vectors:
            self._vectors[space] = Vectors(self._dimension, self._folder, space)
            self._vectors[space].open(generation_of(db, space))
        return self._vectors[space]

    def _synced(self, db: sqlite3.Connection, space: int) -> Vectors:
        vectors = self._opened(db, space)
        rows = keys_after(db, space, vectors.last_row)
        while chunk := rows.fetchmany(CHUNK):
            vectors.append(*matrix_of(chunk))
            if not self._read_only:
                vectors.index_tail()
        return vectors
