"""Nearest keys of one namespace: exact while small, a usearch index beside the file when large.

The index is a cache of what SQLite holds. Its file name carries the last row it covers, the
namespace's generation and a checksum of its bytes, so that a stale or a damaged one is seen as such
and made again from the rows; rows after it are scanned exactly.
"""

from __future__ import annotations

import logging
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from usearch.index import Index

log = logging.getLogger(__name__)

EXACT_LIMIT = 50_000
"""Rows up to which scanning all keys is as fast as an index, and exact."""

_TAIL_LIMIT = 4_096
FILLER_BASE = 1 << 62
"""What is held under this number or a higher one is noise in the place of what was removed."""

_FILLERS_EXPECTED = 64
_FILE = re.compile(r"(\d+)-(\d+)-(\d+)(?:-([0-9a-f]+))?\.usearch")


class Vectors:
    """Keys of a namespace by row.

    Args:
        dimension: d.
        folder: where index files are kept.
        name: the namespace's own number; first part of the file name.
    """

    def __init__(self, dimension: int, folder: Path, name: int) -> None:
        self.dimension = dimension
        self.last_row = 0
        self._folder, self._name = folder, name
        self._rows = np.empty(0, dtype=np.int64)
        self._keys = np.empty((0, dimension), dtype=np.float32)
        self._count = 0
        self._index: Index | None = None
        self._view: Path | None = None
        self._changed = False
        self._fillers = 0

    def open(self, generation: int) -> None:
        """Map the index file of this generation if there is one; others are left for `save`."""
        for file in index_files(self._folder, self._name):
            if file.generation != generation or file.checksum is None:
                continue
            try:
                if checksum_of(file.path) != file.checksum:
                    raise ValueError("its checksum does not fit")
                index = open_index(file.path, self.dimension)
            except (RuntimeError, ValueError, OSError) as error:
                log.warning("the index %s is damaged and will be made again: %s", file.path, error)
                continue
            self._index, self._view, self.last_row = index, file.path, file.covers
            self._fillers = int((np.asarray(index.keys) >= FILLER_BASE).sum())
            return

    def append(self, rows: Int[np.ndarray, " n"], keys: Float[np.ndarray, "n d"]) -> None:
        """Take in rows in ascending order; those already known are passed over."""
        new = rows > self.last_row
        rows, keys = rows[new], keys[new]
        if not len(rows):
            return
        needed = self._count + len(rows)
        if needed > len(self._rows):
            capacity = max(needed, 2 * len(self._rows), 1024)
            grown_rows = np.empty(capacity, dtype=np.int64)
            grown_keys = np.empty((capacity, self.dimension), dtype=np.float32)
            grown_rows[: self._count] = self._rows[: self._count]
            grown_keys[: self._count] = self._keys[: self._count]
            self._rows, self._keys = grown_rows, grown_keys
        self._rows[self._count : needed] = rows
        self._keys[self._count : needed] = keys
        self._count = needed
        self.last_row = int(rows[-1])

    def index_tail(self) -> None:
        """Move the exactly scanned rows into the index, once there are enough of them."""
        limit = EXACT_LIMIT if self._index is None else _TAIL_LIMIT
        if self._count <= limit:
            return
        index = self._writable()
        index.add(self._rows[: self._count].astype(np.uint64), self._keys[: self._count])
        self._count = 0
        self._rows = np.empty(0, dtype=np.int64)
        self._keys = np.empty((0, self.dimension), dtype=np.float32)
        self._changed = True

    def search(self, key: Float[np.ndarray, " d"], k: int) -> list[tuple[int, float]]:
        """Rows and cosines of the k nearest keys, best first."""
        found = list[tuple[int, float]]()
        if self._index is not None and len(self._index):
            matches = self._index.search(key, k + min(self._fillers, _FILLERS_EXPECTED))
            found += [
                (int(row), 1.0 - float(distance))
                for row, distance in zip(matches.keys, matches.distances, strict=True)
                if row < FILLER_BASE
            ]
        if self._count:
            scores = self._keys[: self._count] @ key
            top = np.argpartition(-scores, min(k, self._count) - 1)[:k]
            found += [(int(self._rows[i]), float(scores[i])) for i in top]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:k]

    def remove(self, rows: Int[np.ndarray, " n"]) -> None:
        """Forget rows: they are not found again, and their keys are overwritten in memory."""
        keep = ~np.isin(self._rows[: self._count], rows)
        kept = int(keep.sum())
        self._rows[:kept] = self._rows[: self._count][keep]
        self._keys[:kept] = self._keys[: self._count][keep]
        self._keys[kept : self._count] = 0
        self._count = kept
        if self._index is not None:
            held = rows[np.atleast_1d(self._index.contains(rows.astype(np.uint64)))]
            if len(held):
                self._overwrite(held)

    def save(self, generation: int, live: Int[np.ndarray, " n"]) -> None:
        """Write the index under a temporary name, sync, rename, and delete older files.

        Args:
            live: rows that exist now; others, deleted by another process, are overwritten first.
        """
        if self._index is not None:
            gone = np.setdiff1d(np.asarray(self._index.keys), live.astype(np.uint64))
            gone = gone[gone < FILLER_BASE].astype(np.int64)
            if len(gone):
                self._overwrite(gone)
        target = self._view
        if self._index is not None and self._changed:
            covers = int(self._rows[0]) - 1 if self._count else self.last_row
            try:
                target = self._write(self._index, covers, generation)
                self._changed = False
            except (OSError, RuntimeError) as error:
                log.warning(
                    "the index in %s cannot be saved, and is made again: %s", self._folder, error
                )
        self.clear_files(target)

    def _write(self, index: Index, covers: int, generation: int) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f"{self._name}-{os.getpid()}-{id(self)}.tmp"
        try:
            index.save(str(temporary))
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            sealed = f"{self._name}-{covers}-{generation}-{checksum_of(temporary)}.usearch"
            os.replace(temporary, self._folder / sealed)
        finally:
            temporary.unlink(missing_ok=True)
        return self._folder / sealed

    def clear_files(self, kept: Path | None = None) -> None:
        """Delete the index files, save one that is to stay, and what others left unfinished."""
        # A process that was killed leaves a temporary file, which holds keys too.
        stale = [file.path for file in index_files(self._folder, self._name)]
        for path in [*stale, *self._folder.glob(f"{self._name}-*.tmp")]:
            if path != kept:
                path.unlink(missing_ok=True)

    def discard_files(self) -> None:
        """Delete the index files; what is in memory goes on and is saved at the next `save`."""
        if self._view is not None:
            self._writable()
            self._changed = True
        self.clear_files()

    def _writable(self) -> Index:
        index = self._index
        if index is None:
            index = Index(ndim=self.dimension, metric="cos", dtype="f16")
        elif self._view is not None:
            # A mapped index cannot be changed. Its file may be gone, deleted by another process.
            index = index.copy()
            self._view = None
        self._index = index
        return index

    def _overwrite(self, rows: Int[np.ndarray, " n"]) -> None:
        # usearch keeps a removed vector until its slot is used again: use it, with noise.
        index = self._writable()
        index.remove(rows.astype(np.uint64))
        noise = np.random.default_rng(self._fillers).standard_normal((len(rows), self.dimension))
        names = FILLER_BASE + self._fillers + np.arange(len(rows), dtype=np.uint64)
        index.add(names, noise.astype(np.float32))
        self._fillers += len(rows)
        self._changed = True


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of a namespace's index, as its name tells.

    Attributes:
        covers: the last row in it.
        checksum: of its bytes; None for one of a release that made none, which is not used.
    """

    path: Path
    space: int
    covers: int
    generation: int
    checksum: str | None


def index_files(folder: Path, space: int | None = None) -> list[IndexFile]:
    """The index files in a folder, of one namespace or of all."""
    found = list[IndexFile]()
    for path in sorted(folder.glob("*.usearch")):
        match = _FILE.fullmatch(path.name)
        if match and space in (None, int(match[1])):
            found.append(IndexFile(path, int(match[1]), int(match[2]), int(match[3]), match[4]))
    return found


def open_index(path: Path, dimension: int) -> Index:
    """An index as it lies in its file, mapped and not to be changed.

    Raises:
        ValueError: if it holds no keys of that size.
    """
    index = Index.restore(str(path), view=True)
    if index is None or index.ndim != dimension:
        raise ValueError("it is not an index of these keys")
    return index


def checksum_of(path: Path) -> str:
    """CRC-32 and length of a file's bytes: half a second a gigabyte, less than making the index."""
    checksum = length = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            checksum, length = zlib.crc32(chunk, checksum), length + len(chunk)
    return f"{checksum:08x}{length:x}"
