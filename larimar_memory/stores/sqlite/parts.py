"""A part of a namespace's vector index: a usearch graph of up to `LIMIT` keys, and its file.

The file's name carries the rows it covers and a checksum of its bytes. It is a cache of what SQLite
holds, and is used where the memory file lists its name; see `listed`. The file of a full part is held
from when it is listed, and usearch opens it at the first search or removal in it: that reads all of its
pages and makes a table of its keys, neither of which writing needs.
"""

from __future__ import annotations

import mmap
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from usearch.index import Index

from larimar_memory.stores.base import Key, Keys, Rows
from larimar_memory.system.files import place, unfinished

LIMIT = 131_072
"""Keys after which a part is full: it lies in its file from then on, and a new one begins."""

FILLER_BASE = 1 << 62
"""What is held under this number or a higher one is noise in the place of what was removed."""

_FILLERS_EXPECTED = 64
_OTHER_KEYS = "it is not an index of these keys"
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
        file: the file it lies in; None where it is in RAM.
    """

    def __init__(self, dimension: int, after: int) -> None:
        self.after = self.covers = after
        self.file: IndexFile | None = None
        self._dimension = dimension
        self._graph: Index | None = _new_index(dimension)
        self._bytes = memoryview(b"")
        self._length: int | None = None
        self._fillers = 0

    @classmethod
    def held(cls, file: IndexFile, dimension: int) -> Part:
        """A part as it lies in its file, which it holds and which usearch need not open yet.

        Raises:
            ValueError, RuntimeError, OSError: if the file is not what was written.
        """
        if checksum_of(file.path) != file.checksum:
            raise ValueError("its checksum does not fit")
        part = cls(dimension, file.after)
        part.hold(file)
        part.covers, part._length = file.covers, None
        return part

    def __len__(self) -> int:
        # Whether one that was just let go of is full is asked for, and is no reason to open it.
        return len(self._index) - self._fillers if self._length is None else self._length

    def holds_any(self, rows: Rows) -> bool:
        """Whether one of the rows is among those it covers."""
        return bool(((rows > self.after) & (rows <= self.covers)).any())

    def open(self) -> Index:
        """Let usearch open the file it lies in, once; returns what is searched.

        Raises:
            ValueError, RuntimeError: if usearch cannot.
        """
        if self._graph is None:
            graph = open_index(self._bytes, self._dimension)
            self._fillers = int((np.asarray(graph.keys) >= FILLER_BASE).sum())
            self._graph, self._length = graph, None
        return self._graph

    @property
    def full(self) -> bool:
        """Whether the next row begins a new part."""
        return len(self) >= LIMIT

    @property
    def mapped(self) -> bool:
        """Whether it lies in its file, and not in RAM."""
        return self.file is not None

    def add(self, rows: Rows, keys: Keys) -> None:
        """Take in rows in ascending order."""
        self._writable().add(rows.astype(np.uint64), keys)
        self.covers = int(rows[-1])

    def search(self, key: Key, k: int) -> list[tuple[int, float]]:
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

    def remove(self, rows: Rows) -> None:
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

    def keep(self, live: Rows) -> None:
        """Forget all rows but these."""
        self.remove(np.setdiff1d(self._rows().astype(np.int64), live))

    def write(self, folder: Path, space: int) -> IndexFile:
        """Write a file that holds what it holds.

        Raises:
            OSError, RuntimeError: if it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished(folder / str(space)) as temporary:
            # One whose file another process deleted is still mapped, and saved from there.
            self._index.save(str(temporary))
            checksum = checksum_of(temporary)
            path = folder / f"{space}-{self.after}-{self.covers}-{checksum}.usearch"
            place(temporary, path)
        return IndexFile(path, space, self.after, self.covers, checksum)

    def hold(self, file: IndexFile) -> None:
        """Let go of the RAM: keep this file, which holds what it holds, even where another deletes it.

        Raises:
            ValueError, OSError, RuntimeError: if it is not there, or not an index of such keys.
        """
        with file.path.open("rb") as opened:
            held = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        known = Index.metadata(held)
        if known is None or known["dimensions"] != self._dimension:
            raise ValueError(_OTHER_KEYS)
        self._length, self._graph = len(self), None
        self._bytes, self.file = held, file

    @property
    def _index(self) -> Index:
        return self.open()

    def _rows(self) -> np.ndarray:
        held = np.asarray(self._index.keys)
        return np.sort(held[held < FILLER_BASE])

    def _make_anew(self, rows: np.ndarray) -> None:
        index = _new_index(self._dimension)
        if len(rows):
            index.add(rows, np.asarray(self._index.get(rows)))
        self._take_up(index)
        self._fillers = 0

    def _writable(self) -> Index:
        if self.file is not None:
            # A mapped index cannot be changed. Its file may be gone, deleted by another process.
            self._take_up(self._index.copy())
        return self._index

    def _take_up(self, index: Index) -> None:
        # In this order: the graph reads the bytes for as long as there is one.
        self._graph, self.file = index, None
        self._bytes = memoryview(b"")


def index_file(path: Path) -> IndexFile | None:
    """A file of an index by its name; None if it is no such name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    space, after, covers = (int(match[n]) for n in (1, 2, 3))
    return IndexFile(path, space, after, covers, match[4])


def checksum_of(path: Path) -> str:
    """CRC-32 and length of a file's bytes: half a second a gigabyte, less than making the index."""
    checksum = length = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            checksum, length = zlib.crc32(chunk, checksum), length + len(chunk)
    return f"{checksum:08x}{length:x}"


def open_index(source: str | memoryview, dimension: int) -> Index:
    """An index as it lies in its file, or in the file's bytes, mapped and not to be changed.

    Raises:
        ValueError: if it holds no keys of that size.
    """
    index = Index.restore(source, view=True)
    if index is None or index.ndim != dimension:
        raise ValueError(_OTHER_KEYS)
    return index


def _new_index(dimension: int) -> Index:
    return Index(ndim=dimension, metric="cos", dtype="f16")
