"""Nearest keys, by namespace: exact while few, usearch indexes beside the file when many.

An index is in parts, of which only the last is in RAM: writing takes the same RAM however much there
is, and forgetting makes one part anew. The others are opened by the first search, or by what is
forgotten of them. What no part covers is read from the rows again; rows after the last part are scanned
exactly.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from larimar_memory.encoders.keys import cosines
from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.base import Key, Keys, Rows
from larimar_memory.stores.sqlite.connection import Database
from larimar_memory.stores.sqlite.decoding import KeyForm
from larimar_memory.stores.sqlite.failures import called
from larimar_memory.stores.sqlite.files import enlist, index_folder, listed, unlink, unlisted
from larimar_memory.stores.sqlite.parts import IndexFile, Part
from larimar_memory.stores.sqlite.queries import (
    existing_rows,
    keys_after,
    live_rows,
    matrix_of,
    next_row,
)
from larimar_memory.system import forking

log = logging.getLogger(__name__)

EXACT_LIMIT = 50_000
"""Rows up to which scanning all keys is as fast as an index, and exact."""

_TAIL_LIMIT = 4_096

LiveRows: TypeAlias = Callable[[int, int], Rows]
"""Gives the rows that exist now, greater than the one number and at most the other."""


class Vectors:
    """Keys of a namespace by row.

    Args:
        dimension: d.

    Attributes:
        last_row: the last that was taken in.
        parts: those of first rows first; none is empty.
        damaged: files that were to be opened, and are not what was written.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.last_row = 0
        self.parts = list[Part]()
        self.damaged = list[IndexFile]()
        self._rows = np.empty(0, dtype=np.int64)
        self._keys = np.empty((0, dimension), dtype=np.float32)
        self._count = 0

    def open(self, files: Sequence[IndexFile], live: LiveRows) -> None:
        """Hold the files between which no row is.

        Args:
            files: those of first rows first.
        """
        for file in files:
            if file.after < self.last_row or len(live(self.last_row, file.after)):
                continue
            try:
                part = Part.held(file, self.dimension)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (RuntimeError, ValueError, OSError) as error:
                self._note_damage(file, error)
                continue
            self.parts.append(part)
            self.last_row = part.covers
        # The next rows are added to it.
        self._open(self.parts[-1:])

    def ready(self, rows: Rows | None = None) -> bool:
        """Open the parts that a search, or the removal of these rows, needs.

        Returns:
            Whether all could be opened. If not, the rows from the first on that could not are unknown,
            to be taken in again.
        """
        return self._open([part for part in self.parts if rows is None or part.holds_any(rows)])

    def append(self, rows: Rows, keys: Keys) -> None:
        """Take in rows in ascending order; those already known are passed over."""
        new = rows > self.last_row
        rows, keys = rows[new], keys[new]
        if not len(rows):
            return
        needed = self._count + len(rows)
        if needed > len(self._rows):
            capacity = max(needed, 2 * len(self._rows), 1024)
            self._rows.resize(capacity, refcheck=False)
            self._keys.resize((capacity, self.dimension), refcheck=False)
        self._rows[self._count : needed] = rows
        self._keys[self._count : needed] = keys
        self._count = needed
        self.last_row = int(rows[-1])

    def index_tail(self) -> None:
        """Move the exactly scanned rows into the index, once there are enough of them."""
        limit = _TAIL_LIMIT if self.parts else EXACT_LIMIT
        if self._count <= limit:
            return
        if not self.parts or self.parts[-1].full:
            after = self.parts[-1].covers if self.parts else 0
            self.parts.append(Part(self.dimension, after))
        self.parts[-1].add(self._rows[: self._count], self._keys[: self._count])
        self._clear_tail()

    def search(self, key: Key, k: int) -> list[tuple[int, float]]:
        """Rows and cosines of the k nearest keys, best first, of parts that are `ready`."""
        found = [pair for part in self.parts for pair in part.search(key, k)]
        if self._count:
            scores = cosines(self._keys[: self._count], key)
            top = np.argpartition(-scores, min(k, self._count) - 1)[:k]
            found += [(int(self._rows[i]), float(scores[i])) for i in top]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:k]

    def remove(self, rows: Rows) -> None:
        """Forget rows: they are not found again, and their keys are overwritten in RAM."""
        keep = ~np.isin(self._rows[: self._count], rows)
        kept = int(keep.sum())
        # What was written last goes most often: nothing in front of it moves.
        first = self._count if kept == self._count else int(np.argmin(keep))
        self._rows[first:kept] = self._rows[first : self._count][keep[first:]]
        self._keys[first:kept] = self._keys[first : self._count][keep[first:]]
        self._keys[kept : self._count] = 0
        self._count = kept
        self.ready(rows)
        for part in self.parts:
            part.remove(rows)
        self.parts = [part for part in self.parts if part.mapped or len(part)]

    def _open(self, parts: Sequence[Part]) -> bool:
        for part in parts:
            try:
                part.open()
            except (RuntimeError, ValueError) as error:
                if part.file is not None:
                    self._note_damage(part.file, error)
                self.parts = self.parts[: self.parts.index(part)]
                self.last_row = self.parts[-1].covers if self.parts else 0
                self._clear_tail()
                self._open(self.parts[-1:])
                return False
        return True

    def _clear_tail(self) -> None:
        self._count = 0
        self._rows = np.empty(0, dtype=np.int64)
        self._keys = np.empty((0, self.dimension), dtype=np.float32)

    def _note_damage(self, file: IndexFile, error: Exception) -> None:
        log.warning("the index %s is damaged and will be made again: %s", file.path, error)
        self.damaged.append(file)


class Indexes:
    """Finds nearest keys; safe for threads.

    Args:
        database: the memory. A file that is read-only gets no index files, and loses none; a memory in
            RAM has none.
        form: of the keys in its rows.
    """

    def __init__(self, database: Database, form: KeyForm) -> None:
        self._database, self._form, self._dimension = database, form, form.dimension
        self.folder = None if database.path is None else index_folder(database.path)
        self._vectors: dict[int, Vectors] = {}
        self._lock = forking.Lock()

    def nearest(self, db: sqlite3.Connection, space: int, key: Key, k: int) -> list[tuple[int, float]]:
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

    def sync(self, db: sqlite3.Connection, space: int) -> None:
        """Take in what was written."""
        with self._lock:
            self._synced(db, space)

    def forget(
        self, db: sqlite3.Connection, space: int, removed: list[int], delisted: list[Path]
    ) -> None:
        """Forget rows, in memory and in the files, which are not listed any more."""
        with self._lock:
            if removed:
                self._opened(db, space).remove(np.array(removed, dtype=np.int64))
            unlink(delisted)

    def drop(self, space: int) -> None:
        """Let go of a namespace that is no more."""
        with self._lock:
            self._vectors.pop(space, None)

    def save(self, db: sqlite3.Connection) -> None:
        """Write the parts that no listed file holds, and clear the others."""
        try:
            with self._lock:
                for space, vectors in self._vectors.items():
                    unlink(file.path for file in vectors.damaged)
                    files = listed(db, self.folder, space)
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

    def _opened(self, db: sqlite3.Connection, space: int) -> Vectors:
        if space not in self._vectors:
            vectors = Vectors(self._dimension)
            vectors.open(listed(db, self.folder, space), partial(live_rows, db, space))
            self._vectors[space] = vectors
        return self._vectors[space]

    def _synced(self, db: sqlite3.Connection, space: int) -> Vectors:
        vectors = self._opened(db, space)
        while chunk := keys_after(db, space, vectors.last_row):
            vectors.append(*matrix_of(chunk, self._form))
            if self._database.read_only:
                continue
            vectors.index_tail()
            last = vectors.parts[-1] if vectors.parts else None
            full = last is not None and not last.mapped and last.full
            if last is not None and full and (file := self._save(space, last)) is not None:
                try:
                    last.hold(file)
                except (RuntimeError, ValueError, OSError) as error:
                    # Another process has forgotten a row of it since. It is saved with the next rows.
                    log.info("the index %s stays in RAM: %s", file.path, error)
        return vectors

    def _ready(self, db: sqlite3.Connection, space: int) -> Vectors:
        for _ in range(2):
            # What cannot be opened is made again, once.
            vectors = self._synced(db, space)
            if vectors.ready():
                return vectors
        raise MemoryFileError(
            f"The index of the memory {called(self._database.path)} cannot be opened.",
            f"What was just made again in {self.folder} cannot be opened either.",
            "Free some RAM, or see whether the disk is sound, and ask again.",
        )

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
