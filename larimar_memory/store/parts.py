"""A part of a namespace's vector index: a usearch graph of up to `LIMIT` keys, and its file.

The file's name carries the rows it covers, the namespace's generation and a checksum of its bytes, so
that a stale or a damaged one is seen as such. It is a cache of what SQLite holds.
"""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from usearch.index import Index

LIMIT = 131_072
"""Keys after which a part is full: it is mapped from its file from then on, and a new one begins."""

FILLER_BASE = 1 << 62
"""What is held under this number or a higher one is noise in the place of what was removed."""

_FILLERS_EXPECTED = 64
_NAME = re.compile(r"(\d+)-(\d+)-(\d+)-(\d+)-([0-9a-f]+)\.usearch")
_OF_SPACE = re.compile(r"(\d+)-.*\.usearch")


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of a namespace's index, as its name tells.

    Attributes:
        after, covers: the rows in it are greater than the one, and at most the other.
        checksum: of its bytes; None for one of an earlier release, which is not used.
    """

    path: Path
    space: int
    after: int
    covers: int
    generation: int
    checksum: str | None


class Part:
    """Keys by row, in RAM until it is full.

    Args:
        after: the row that precedes those in it.
    """

    def __init__(self, dimension: int, folder: Path, space: int, after: int) -> None:
        self.after = self.covers = after
        self._folder, self._space = folder, space
        self._index = Index(ndim=dimension, metric="cos", dtype="f16")
        self._mapped = False
        self._fillers = 0
        # The file that holds what the index holds; none once the index has changed.
        self.file: IndexFile | None = None

    @classmethod
    def open(cls, file: IndexFile, dimension: int) -> Part:
        """A part as it lies in its file.

        Raises:
            ValueError, RuntimeError, OSError: if the file is not what was written.
        """
        if checksum_of(file.path) != file.checksum:
            raise ValueError("its checksum does not fit")
        part = cls(dimension, file.path.parent, file.space, file.after)
        part._index = open_index(file.path, dimension)
        part._mapped, part.file, part.covers = True, file, file.covers
        part._fillers = int((np.asarray(part._index.keys) >= FILLER_BASE).sum())
        return part

    @property
    def full(self) -> bool:
        """Whether the next row begins a new part."""
        return len(self._index) >= LIMIT

    @property
    def mapped(self) -> bool:
        """Whether it lies in its file and takes up no RAM of its own."""
        return self._mapped

    def add(self, rows: Int[np.ndarray, " n"], keys: Float[np.ndarray, "n d"]) -> None:
        """Take in rows in ascending order."""
        self._writable().add(rows.astype(np.uint64), keys)
        self.covers = int(rows[-1])

    def search(self, key: Float[np.ndarray, " d"], k: int) -> list[tuple[int, float]]:
        """Rows and cosines of the k nearest keys, nearly always all of them."""
        if not len(self._index):
            return []
        matches = self._index.search(key, k + min(self._fillers, _FILLERS_EXPECTED))
        return [
            (int(row), 1.0 - float(distance))
            for row, distance in zip(matches.keys, matches.distances, strict=True)
            if row < FILLER_BASE
        ]

    def remove(self, rows: Int[np.ndarray, " n"]) -> None:
        """Forget those rows that are in it; a file that held one is deleted."""
        rows = rows[(rows > self.after) & (rows <= self.covers)]
        if not len(rows):
            return
        held = rows[np.atleast_1d(self._index.contains(rows.astype(np.uint64)))]
        if not len(held):
            return
        # usearch keeps a removed vector until its slot is used again: use it, with noise.
        index = self._writable()
        index.remove(held.astype(np.uint64))
        noise = np.random.default_rng(self._fillers).standard_normal((len(held), index.ndim))
        names = FILLER_BASE + self._fillers + np.arange(len(held), dtype=np.uint64)
        index.add(names, noise.astype(np.float32))
        self._fillers += len(held)

    def save(self, generation: int, live: Int[np.ndarray, " n"]) -> None:
        """See to it that a file of this generation holds what the index holds.

        Args:
            live: rows of its stretch that exist now; others, deleted by another process, go first.

        Raises:
            OSError, RuntimeError: if it cannot be written.
        """
        held = np.asarray(self._index.keys)
        self.remove(np.setdiff1d(held[held < FILLER_BASE].astype(np.int64), live))
        if self.file is None or not self.file.path.exists():
            self._write(generation)
        elif self.file.generation != generation:
            named = self._named(generation, str(self.file.checksum))
            os.replace(self.file.path, named.path)
            self.file = named

    def map(self) -> None:
        """Let go of the RAM: read from the file, which `save` has just written."""
        if self.file is not None and not self._mapped:
            self._index = open_index(self.file.path, self._index.ndim)
            self._mapped = True

    def _write(self, generation: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f"{self._space}-{os.getpid()}-{id(self)}.tmp"
        try:
            # One whose file another process deleted is still mapped, and saved from there.
            self._index.save(str(temporary))
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            named = self._named(generation, checksum_of(temporary))
            os.replace(temporary, named.path)
        finally:
            temporary.unlink(missing_ok=True)
        self.file = named

    def _named(self, generation: int, checksum: str) -> IndexFile:
        name = f"{self._space}-{self.after}-{self.covers}-{generation}-{checksum}.usearch"
        path = self._folder / name
        return IndexFile(path, self._space, self.after, self.covers, generation, checksum)

    def _writable(self) -> Index:
        if self._mapped:
            # A mapped index cannot be changed. Its file may be gone, deleted by another process.
            self._index = self._index.copy()
            self._mapped = False
        if self.file is not None:
            self.file.path.unlink(missing_ok=True)
            self.file = None
        return self._index


def index_files(folder: Path, space: int | None = None) -> list[IndexFile]:
    """The index files in a folder, of one namespace or of all, those of first rows first."""
    found = list[IndexFile]()
    for path in sorted(folder.glob("*.usearch")):
        of_space = _OF_SPACE.fullmatch(path.name)
        if of_space is None or space not in (None, int(of_space[1])):
            continue
        file = IndexFile(path, int(of_space[1]), 0, 0, 0, None)
        if match := _NAME.fullmatch(path.name):
            after, covers, generation = (int(match[n]) for n in (2, 3, 4))
            file = replace(file, after=after, covers=covers, generation=generation, checksum=match[5])
        found.append(file)
    return sorted(found, key=lambda file: (file.space, file.after, -file.covers))


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
