"""The vector indexes of a memory file, one per namespace, kept in step with its rows."""

from __future__ import annotations

import logging
import sqlite3
import threading
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.sqlite.connection import Database
from larimar_memory.stores.sqlite.failures import called
from larimar_memory.stores.sqlite.listed import delist, enlist, index_folder, listed, unlink, unlisted
from larimar_memory.stores.sqlite.parts import IndexFile, Part
from larimar_memory.stores.sqlite.queries import (
    existing_rows,
    keys_after,
    live_rows,
    matrix_of,
    next_row,
)
from larimar_memory.stores.sqlite.vectors import Vectors

log = logging.getLogger(__name__)


class Indexes:
    """Finds nearest keys; safe for threads.

    Args:
        database: the memory. A file that is read-only gets no index files, and loses none; a memory in
            RAM has none.
        dimension: d.
    """

    def __init__(self, database: Database, dimension: int) -> None:
        self._database, self._dimension = database, dimension
        self.folder = None if database.path is None else index_folder(database.path)
        self._vectors: dict[int, Vectors] = {}
        self._lock = threading.RLock()

    def nearest(
        self, db: sqlite3.Connection, space: int, key: Float[np.ndarray, " d"], k: int
    ) -> list[tuple[int, float]]:
        """Rows that exist, and their cosines, of the k nearest keys of a namespace, best first."""
        with self._lock:
            vectors, wanted = self._ready(db, space), k
            while True:
                found = vectors.search(key, wanted)
                there = existing_rows(db, [row for row, _ in found])
                kept = [pair for pair in found if pair[0] in there]
                if len(kept) >= k or len(found) < wanted:
                    break
                wanted *= 2
            if len(kept) < len(found) and not self._database.read_only:
                # What this connection does not see may also be newer than the moment it reads.
                newest = next_row(db) - 1
                gone = [row for row, _ in found if row not in there and row <= newest]
                vectors.remove(np.array(gone, dtype=np.int64))
            return kept[:k]

    def before_removal(self, db: sqlite3.Connection, space: int) -> None:
        """Hold what is on disk while it is listed, which a removal ends."""
        with self._lock:
            self._opened(db, space)

    def delist(self, db: sqlite3.Connection, space: int, removed: list[int]) -> list[Path]:
        """Strike off, inside the transaction that removes rows, the files that may hold one of them."""
        return [] if self.folder is None else delist(db, self.folder, space, removed)

    def after_write(
        self, db: sqlite3.Connection, space: int, removed: list[int], delisted: list[Path]
    ) -> None:
        """Take in what was written, and forget the rows it took the place of."""
        with self._lock:
            self._remove(db, space, removed, delisted)
            self._synced(db, space)

    def after_delete(
        self,
        db: sqlite3.Connection,
        space: int,
        removed: list[int],
        delisted: list[Path],
        *,
        gone: bool,
    ) -> None:
        """Forget rows, in memory and in the files; `gone` where the namespace is no more."""
        with self._lock:
            self._remove(db, space, removed, delisted)
            if gone:
                self._vectors.pop(space, None)

    def save(self, db: sqlite3.Connection) -> None:
        """Write the parts that no listed file holds, and clear the others."""
        try:
            with self._lock:
                for space, vectors in self._vectors.items():
                    unlink(file.path for file in vectors.damaged)
                    files = self._listed(db, space)
                    held = {(file.after, file.covers) for file in files if file.path.exists()}
                    for part in vectors.parts:
                        if (part.after, part.covers) not in held:
                            self._save(space, part)
            self.clear(db)
        except OSError as error:
            log.warning("old files in %s stay: %s", self.folder, error)

    def clear(self, db: sqlite3.Connection) -> None:
        """Delete whatever index file is not listed, also of a namespace that is no more.

        Raises:
            MemoryFileError: if that is not possible now.
        """
        if self.folder is not None and unlisted(db, self.folder):
            # Who writes an index file holds the same lock: what is unfinished now, nobody finishes.
            with self._database.writing() as db:
                unlink(unlisted(db, self.folder))

    def _listed(self, db: sqlite3.Connection, space: int) -> list[IndexFile]:
        return [] if self.folder is None else listed(db, self.folder, space)

    def _opened(self, db: sqlite3.Connection, space: int) -> Vectors:
        if space not in self._vectors:
            vectors = Vectors(self._dimension)
            vectors.open(self._listed(db, space), partial(live_rows, db, space))
            self._vectors[space] = vectors
        return self._vectors[space]

    def _remove(
        self, db: sqlite3.Connection, space: int, removed: list[int], delisted: list[Path]
    ) -> None:
        if removed:
            self._opened(db, space).remove(np.array(removed, dtype=np.int64))
        unlink(delisted)

    def _synced(self, db: sqlite3.Connection, space: int) -> Vectors:
        vectors = self._opened(db, space)
        while chunk := keys_after(db, space, vectors.last_row):
            vectors.append(*matrix_of(chunk, self._dimension))
            if self._database.read_only:
                continue
            vectors.index_tail()
            last = vectors.parts[-1] if vectors.parts else None
            if last is not None and not last.mapped and last.full:
                file = self._save(space, last)
                if file is not None:
                    _let_go(last, file)
        return vectors

    def _ready(self, db: sqlite3.Connection, space: int) -> Vectors:
        vectors = self._synced(db, space)
        if not vectors.ready():
            vectors = self._synced(db, space)
            if not vectors.ready():
                raise MemoryFileError(
                    f"The index of the memory {called(self._database.path)} cannot be opened.",
                    f"What was just made again in {self.folder} cannot be opened either.",
                    "Free some RAM, or see whether the disk is sound, and ask again.",
                )
        return vectors

    def _save(self, space: int, part: Part) -> IndexFile | None:
        """Write and list a part; None where that is not possible now, or nothing of it is left."""
        if self.folder is None:
            return None
        try:
            # Nobody deletes a row of it before it is listed.
            with self._database.writing() as db:
                part.keep(live_rows(db, space, part.after, part.covers))
                if not len(part):
                    return None
                file = part.write(self.folder, space)
                replaced = enlist(db, file)
        except (MemoryFileError, RuntimeError) as error:
            log.warning("the index in %s cannot be saved, and is made again: %s", self.folder, error)
            return None
        unlink(replaced)
        return file


def _let_go(part: Part, file: IndexFile) -> None:
    """Leave a part in the file it was saved to, or keep it in RAM where that is gone already."""
    try:
        part.hold(file)
    except (RuntimeError, ValueError, OSError) as error:
        # Another process has forgotten a row of it since. It is saved again with the next rows.
        log.info("the index %s stays in RAM: %s", file.path, error)
