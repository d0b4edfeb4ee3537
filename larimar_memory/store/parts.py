"""A part of a namespace's vector index: a usearch graph of up to `LIMIT` keys, and its file.

The file's name carries the rows it covers and a checksum of its bytes. It is a cache of what SQLite
holds, and is used where the memory file lists its name; see `listed`.
"""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from usearch.index import Index

LIMIT = 131_072
"""Keys after which a part is full: it is mapped from its file from then on, and a new one begins."""

FILLER_BASE = 1 << 62
"""What is held under this number or a higher one is noise in the place of what was removed."""

_FILLERS_EXPECTED = 64
_NAME = re.compile(r"(\d{1,19})-(\d{1,19})-(\d{1,19})-([0-9a-f]{9,24})\.usearch")


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of a namespace's index, as its name tells.

    Attributes:
        after, covers: the rows in it are greater than the one, and at most the other.
        checksum: of its bytes.
    """

    path: Path
    space: int
    after: int
    covers: int
    checksum: str


class Part:
    """Keys by row, in RAM until it is full.

    Args:
        after: the row that precedes those in it.

    Attributes:
        file: the file it is mapped from; None where it is in RAM.
    """

    def __init__(self, dimension: int, after: int) -> None:
        self.after = self.covers = after
        self.file: IndexFile | None = None
        self._index = _new_index(dimension)
        self._fillers = 0

    @classmethod
    def open(cls, file: IndexFile, dimension: int) -> Part:
        """A part as it lies in its file.

        Raises:
            ValueError, RuntimeError, OSError: if the file is not what was written.
        """
        if checksum_of(file.path) != file.checksum:
            raise ValueError("its checksum does not fit")
        part = cls(dimension, file.after)
        part.map(file)
        part.covers = file.covers
        part._fillers = int((np.asarray(part._index.keys) >= FILLER_BASE).sum())
        return part

    def __len__(self) -> int:
        return len(self._index) - self._fillers

    @property
    def full(self) -> bool:
        """Whether the next row begins a new part."""
        return len(self) >= LIMIT

    @property
    def mapped(self) -> bool:
        """Whether it lies in its file and takes up no RAM of its own."""
        return self.file is not None

    def add(self, rows: Int[np.ndarray, " n"], keys: Float[np.ndarray, "n d"]) -> None:
        """Take in rows in ascending order."""
        self._writable().add(rows.astype(np.uint64), keys)
        self.covers = int(rows[-1])

    def search(self, key: Float[np.ndarray, " d"], k: int) -> list[tuple[int, float]]:
        """Rows and cosines of the k nearest keys, nearly always all of them."""
        if not len(self):
            return []
        wanted = k + min(self._fillers, _FILLERS_EXPECTED)
        while True:
            matches = self._index.search(key, wanted)
            found = [
                (int(row), 1.0 - float(distance))
                for row, distance in zip(matches.keys, matches.distances, strict=True)
                if row < FILLER_BASE
            ]
            if len(found) >= min(k, len(self)) or len(matches) < wanted:
                return found[:k]
            wanted *= 2

    def remove(self, rows: Int[np.ndarray, " n"]) -> None:
        """Forget those rows that are in it, and be in RAM from then on."""
        rows = rows[(rows > self.after) & (rows <= self.covers)]
        if not len(rows):
            return
        held = rows[np.atleast_1d(self._index.contains(rows.astype(np.uint64)))].astype(np.uint64)
        if not len(held):
            return
        if self._fillers + len(held) > len(self) - len(held):
            self._make_anew(np.setdiff1d(self._rows(), held))
            return
        # usearch keeps a removed vector until its slot is used again: use it, with noise.
        index = self._writable()
        index.remove(held)
        noise = np.random.default_rng(self._fillers).standard_normal((len(held), index.ndim))
        names = FILLER_BASE + self._fillers + np.arange(len(held), dtype=np.uint64)
        index.add(names, noise.astype(np.float32))
        self._fillers += len(held)

    def keep(self, live: Int[np.ndarray, " n"]) -> None:
        """Forget all rows but these."""
        self.remove(np.setdiff1d(self._rows().astype(np.int64), live))

    def write(self, folder: Path, space: int) -> IndexFile:
        """Write a file that holds what it holds.

        Raises:
            OSError, RuntimeError: if it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{space}-{os.getpid()}-{id(self)}.tmp"
        try:
            # One whose file another process deleted is still mapped, and saved from there.
            self._index.save(str(temporary))
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            checksum = checksum_of(temporary)
            path = folder / f"{space}-{self.after}-{self.covers}-{checksum}.usearch"
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return IndexFile(path, space, self.after, self.covers, checksum)

    def map(self, file: IndexFile) -> None:
        """Let go of the RAM: read from this file, which holds what it holds."""
        self._index = open_index(file.path, self._index.ndim)
        self.file = file

    def _rows(self) -> np.ndarray:
        held = np.asarray(self._index.keys)
        return np.sort(held[held < FILLER_BASE])

    def _make_anew(self, rows: np.ndarray) -> None:
        index = _new_index(self._index.ndim)
        if len(rows):
            index.add(rows, np.asarray(self._index.get(rows)))
        self._index, self._fillers, self.file = index, 0, None

    def _writable(self) -> Index:
        if self.file is not None:
            # A mapped index cannot be changed. Its file may be gone, deleted by another process.
            self._index, self.file = self._index.copy(), None
        return self._index


def index_file(path: Path) -> IndexFile | None:
    """A file of an index by its name; None if it is no such name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    space, after, covers = (int(match[n]) for n in (1, 2, 3))
    return IndexFile(path, space, after, covers, match[4])


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


def _new_index(dimension: int) -> Index:
    return Index(ndim=dimension, metric="cos", dtype="f16")
