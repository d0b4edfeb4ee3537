"""Nearest keys, by namespace: exact while few, by an index beside the file when many.

An index is in parts, of which only the last is in RAM: writing takes the same RAM however many keys
there are, and forgetting makes only one part again. Rows that no part covers are read again; rows after
the last part are scanned exactly.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from larimar_memory.encoders.keys import largest
from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.base import Key, Keys, Rows
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.sqlite.connection import Database
from larimar_memory.stores.sqlite.files import enlist, index_folder, listed, unlink, unlisted
from larimar_memory.stores.sqlite.parts import IndexFile, Part, Probe
from larimar_memory.stores.sqlite.queries import (
    any_row,
    existing_rows,
    keys_after,
    live_rows,
    matrix_of,
    next_row,
)
from larimar_memory.system import forking

log = logging.getLogger(__name__)

EXACT_LIMIT = 20_000
"""Rows up to which scanning all keys is as fast as an index, and exact."""

_TAIL_LIMIT = 4_096
_POOL, _POOL_EACH = 6_144, 32
"""How many keys of an index have their cosine taken, those of the nearest signs: at least the first
number, and the second for each key that is wanted."""

AnyRow: TypeAlias = Callable[[int, int], bool]
"""A function that says whether a row exists now that is greater than the first number and at most the
second."""


class Vectors:
    """Keys of a namespace by row.

    Args:
        dimension: d.

    Attributes:
        last_row: the last that was added.
        parts: in the order of their rows; none is empty.
        damaged: files that are not what was written, found on opening.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.last_row = 0
        self.parts = list[Part]()
        self.damaged = list[IndexFile]()
        self._rows = np.empty(0, dtype=np.int64)
        self._keys = np.empty((0, dimension), dtype=np.float32)
        self._count = 0

    def open(self, files: Sequence[IndexFile], any_row: AnyRow) -> None:
        """Use the files that follow one another with no row in between.

        Args:
            files: in the order of their rows.
        """
        for file in files:
            if file.after < self.last_row or any_row(self.last_row, file.after):
                continue
            try:
                part = Part.held(file, self.dimension)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (ValueError, OSError) as error:
                log.warning("the index %s is damaged and will be made again: %s", file.path, error)
                self.damaged.append(file)
                continue
            self.parts.append(part)
            self.last_row = part.covers

    def append(self, rows: Rows, keys: Keys) -> None:
        """Add rows in ascending order; known ones are ignored."""
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
        """Rows and cosines of the k nearest keys, best first; parts may, though seldom, miss one."""
        found = self._search_parts(key, k) if self.parts else []
        if self._count:
            places, scores = largest(self._keys[: self._count], key, k)
            found += zip(self._rows[places].tolist(), scores.tolist(), strict=True)
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:k]

    def remove(self, rows: Rows) -> None:
        """Forget rows: they are not found again, and their keys are overwritten in RAM."""
        keep = ~np.isin(self._rows[: self._count], rows)
        kept = int(keep.sum())
        # The newest rows go most often; rows before the first one to go stay where they are.
        first = self._count if kept == self._count else int(np.argmin(keep))
        self._rows[first:kept] = self._rows[first : self._count][keep[first:]]
        self._keys[first:kept] = self._keys[first : self._count][keep[first:]]
        self._keys[kept : self._count] = 0
        self._count = kept
        for part in self.parts:
            part.remove(rows)
        self.parts = [part for part in self.parts if part.mapped or len(part)]

    def _search_parts(self, key: Key, k: int) -> list[tuple[int, float]]:
        probe = Probe(key)
        away = [probe.distances(part.signs) for part in self.parts]
        room = max(_POOL, _POOL_EACH * k)
        nearer = np.cumsum(sum(np.bincount(of, minlength=probe.farthest + 1) for of in away))
        limit = int(np.searchsorted(nearer, room))
        # Of keys at the same distance, the first: from a key of zeros, all are equally far.
        room -= int(nearer[limit - 1]) if limit else 0
        rows, scores = list[Rows](), list[np.ndarray]()
        for part, of in zip(self.parts, away, strict=True):
            last = np.flatnonzero(of == limit)[:room]
            room -= len(last)
            places = np.concatenate([np.flatnonzero(of < limit), last])
            rows.append(part.rows[places])
            scores.append(part.cosines(places, key))
        every, cosine = np.concatenate(rows), np.concatenate(scores)
        # Those that are surely not among the best are not sorted.
        least = np.partition(cosine, -k)[-k] if k < len(cosine) else -np.inf
        good = np.flatnonzero(cosine >= least)
        best = good[np.lexsort((every[good], -cosine[good]))[:k]]
        return list(zip(every[best].tolist(), cosine[best].tolist(), strict=True))

    def _clear_tail(self) -> None:
        self._count = 0
        self._rows = np.empty(0, dtype=np.int64)
        self._keys = np.empty((0, self.dimension), dtype=np.float32)


class Indexes:
    """Finds nearest keys; thread-safe.

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
            vectors, wanted = self._synced(db, space), k
            while True:
                found = vectors.search(key, wanted)
                there = existing_rows(db, space, [row for row, _ in found])
                kept = [pair for pair in found if pair[0] in there]
                if len(kept) >= k or len(found) < wanted:
                    break
                wanted *= 2
            if len(kept) < len(found) and not self._database.read_only:
                # A row that this connection does not see may also be newer than the moment it reads.
                newest = next_row(db) - 1
                gone = [row for row, _ in found if row not in there and row <= newest]
                vectors.remove(np.array(gone, dtype=np.int64))
            return kept[:k]

    def before_removal(self, db: sqlite3.Connection, space: int) -> None:
        """Open the files on disk while they are still listed, which a removal ends."""
        with self._lock:
            self._opened(db, space)

    def sync(self, db: sqlite3.Connection, space: int, rows: Rows, keys: Keys) -> None:
        """Add to the index what was written.

        Args:
            rows, keys: what this process wrote, which need not be read again.
        """
        with self._lock:
            vectors = self._opened(db, space)
            if not any_row(db, space, vectors.last_row, int(rows[0]) - 1):
                # Some rows may have been replaced already, in the same write or since.
                stay = np.isin(rows, live_rows(db, space, int(rows[0]) - 1, int(rows[-1])))
                self._take(space, vectors, rows[stay], keys[stay])
            self._synced(db, space)

    def forget(
        self, db: sqlite3.Connection, space: int, removed: list[int], delisted: list[Path]
    ) -> None:
        """Forget rows, in RAM and in the files, which are no longer listed."""
        with self._lock:
            if removed:
                self._opened(db, space).remove(np.array(removed, dtype=np.int64))
            unlink(delisted)

    def drop(self, space: int) -> None:
        """Drop a namespace that no longer exists."""
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
        """Delete every index file that is not listed, also of namespaces that no longer exist.

        Raises:
            MemoryFileError: if that is not possible now.
        """
        if self.folder is not None and unlisted(db, self.folder):
            # A writer of an index file holds the same lock, so no process will finish what is
            # unfinished.
            with self._database.writing() as db:
                unlink(unlisted(db, self.folder))

    def _opened(self, db: sqlite3.Connection, space: int) -> Vectors:
        if space not in self._vectors:
            vectors = Vectors(self._dimension)
            vectors.open(listed(db, self.folder, space), partial(any_row, db, space))
            self._vectors[space] = vectors
        return self._vectors[space]

    def _synced(self, db: sqlite3.Connection, space: int) -> Vectors:
        vectors = self._opened(db, space)
        while chunk := keys_after(db, space, vectors.last_row):
            self._take(space, vectors, *matrix_of(chunk, self._form))
        return vectors

    def _take(self, space: int, vectors: Vectors, rows: Rows, keys: Keys) -> None:
        vectors.append(rows, keys)
        if self._database.read_only:
            return
        vectors.index_tail()
        last = vectors.parts[-1] if vectors.parts else None
        full = last is not None and not last.mapped and last.full
        if last is not None and full and (file := self._save(space, last)) is not None:
            try:
                last.hold(file)
            except (ValueError, OSError) as error:
                # Another process has forgotten a row of it since. It is saved with the next rows.
                log.info("the index %s stays in RAM: %s", file.path, error)

    def _save(self, space: int, part: Part) -> IndexFile | None:
        """Write and list a part; None if that is not possible now, or nothing of it is left."""
        if self.folder is None:
            return None
        try:
            # No row of it can be deleted before it is listed.
            with self._database.writing() as db:
                part.keep(live_rows(db, space, part.after, part.covers))
                if not len(part):
                    return None
                file = part.write(self.folder, space)
                replaced = enlist(db, file)
        except MemoryFileError as error:
            log.warning("the index in %s cannot be saved, and is made again: %s", self.folder, error)
            return None
        unlink(replaced)
        return file
