"""A part of a namespace's vector index: up to `LIMIT` keys in short form, and its file.

Of each key it has the row, one bit per number for the sign, and one byte per number. A search compares
all signs, which is quick, and then the bytes of the nearest keys only.

The file holds the rows (int64, ascending), the signs (a column of uint64 for every 64 numbers), and the
bytes (int8, n x d). Its name carries the rows it covers and a checksum. It is a cache of what SQLite
holds, and is used if the memory file lists its name; see `listed`. A full part is read from its file.
"""

from __future__ import annotations

import mmap
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt64

from larimar_memory.encoders.keys import coded, products
from larimar_memory.stores.base import Key, Keys, Rows
from larimar_memory.system.files import place, unfinished

LIMIT = 131_072
"""How many keys make a part full: from then on it is in its file, and a new part begins."""

_CHUNK = 32_768
"""How many keys' signs are compared at once: few enough to stay in the processor's cache."""

_CODED = 512
_LEVELS = 3
_NAME = re.compile(r"(\d{1,19})-(\d{1,19})-(\d{1,19})-([0-9a-f]{9,24})\.keys")


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of a namespace's index, described by its name.

    Attributes:
        after, covers: its rows are greater than `after`, and at most `covers`.
        checksum: of its bytes.
    """

    path: Path
    space: int
    after: int
    covers: int
    checksum: str


class Probe:
    """The key of a search, in the form in which signs are compared with it.

    Signs of its large numbers weigh more than those of its small ones, 3 against 0. Of the exact 40
    best of 400,000 sentences, 99.8% are among the 6,144 that are then nearest; with equal weights, 96%
    are.

    Attributes:
        farthest: the largest distance that is possible.
    """

    def __init__(self, key: Key) -> None:
        size = np.abs(key)
        usual = float(np.quantile(size, 0.95)) or 1.0
        level = np.minimum(np.rint(size * (_LEVELS / usual)), _LEVELS).astype(np.uint8)
        self.signs = _signs(np.array([key > 0, level & 1 > 0, level & 2 > 0])).T
        self.farthest = _LEVELS * len(key)

    def distances(self, signs: UInt64[np.ndarray, "w n"]) -> Int[np.ndarray, " n"]:
        """The distances of keys by their signs; small is near."""
        count = signs.shape[1]
        found = np.zeros(count, dtype=np.uint16 if self.farthest < 2**16 else np.uint32)
        for first in range(0, count, _CHUNK):
            part = found[first : first + _CHUNK]
            differ, masked = np.empty((2, len(part)), dtype=np.uint64)
            ones, twos = np.empty((2, len(part)), dtype=np.uint8)
            for column, own, *masks in zip(signs[:, first : first + _CHUNK], *self.signs, strict=True):
                np.bitwise_xor(column, own, out=differ)
                for mask, bits in zip(masks, (ones, twos), strict=True):
                    np.bitwise_and(differ, mask, out=masked)
                    np.bitwise_count(masked, out=bits)
                # At most 3 for each of 64 bits: that fits a byte.
                twos += twos
                ones += twos
                part += ones
        return found


class Part:
    """Keys by row, in RAM until the part is full.

    Args:
        after: the row that precedes those in it.

    Attributes:
        file: the file it is in; None if it is in RAM.
        rows, signs, codes: what the part holds, n of each.
    """

    def __init__(self, dimension: int, after: int) -> None:
        self.after = self.covers = after
        self.file: IndexFile | None = None
        self._dimension, self._count = dimension, 0
        self._put(*_none(dimension))

    @classmethod
    def held(cls, file: IndexFile, dimension: int) -> Part:
        """The part that a file holds.

        Raises:
            ValueError, OSError: if the file is not what was written.
        """
        if checksum_of(file.path) != file.checksum:
            raise ValueError("its checksum does not fit")
        part = cls(dimension, file.after)
        part.hold(file)
        return part

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> Rows:
        return self._rows[: self._count]

    @property
    def signs(self) -> UInt64[np.ndarray, "w n"]:
        return self._signs[:, : self._count]

    @property
    def codes(self) -> Int[np.ndarray, "n d"]:
        return self._codes[: self._count]

    @property
    def full(self) -> bool:
        """Whether the next row begins a new part."""
        return len(self) >= LIMIT

    @property
    def mapped(self) -> bool:
        """Whether it is in its file, and not in RAM."""
        return self.file is not None

    def add(self, rows: Rows, keys: Keys) -> None:
        """Add rows in ascending order."""
        needed = self._count + len(rows)
        if self.mapped or needed > len(self._rows):
            # Room for twice as many each time, so that little is copied, but no more than the part will
            # hold.
            self._move(max(needed, min(2 * needed, LIMIT)))
        for first in range(0, len(rows), _CODED):
            at = self._count + first
            some = keys[first : first + _CODED]
            self._signs[:, at : at + len(some)] = _signs(some)
            self._codes[at : at + len(some)] = coded(some)
        self._rows[self._count : needed] = rows
        self._count, self.covers = needed, int(rows[-1])

    def cosines(self, places: Rows, key: Key) -> Float[np.ndarray, " n"]:
        """Cosines of a key with keys in some places; those of equal keys may differ by a rounding."""
        found = np.zeros(len(places), dtype=np.float32)
        room = np.empty((min(_CODED, len(places)), self._dimension), dtype=np.float32)
        for first in range(0, len(places), _CODED):
            codes = self._codes[places[first : first + _CODED]]
            # Into the same memory each time: fresh memory takes as long as the sums.
            some = room[: len(codes)]
            np.copyto(some, codes)
            lengths = np.sqrt(np.einsum("nd,nd->n", some, some))
            found[first : first + _CODED] = products(some, key) / np.maximum(lengths, 1.0)
        return found

    def remove(self, rows: Rows) -> None:
        """Forget those rows; a part that held any of them is in RAM from then on."""
        rows = rows[(rows > self.after) & (rows <= self.covers)]
        if len(rows):
            self.keep(np.setdiff1d(self.rows, rows, assume_unique=True))

    def keep(self, live: Rows) -> None:
        """Forget all rows but these."""
        stay = np.isin(self.rows, live)
        if stay.all():
            return
        if self.mapped:
            self._move(len(self))
        # Keys before the first one to go stay where they are.
        first, had, self._count = int(np.argmin(stay)), len(self), int(stay.sum())
        for held in (self._rows, self._signs.T, self._codes):
            held[first : self._count] = held[first:had][stay[first:]]
            held[self._count : had] = 0

    def write(self, folder: Path, space: int) -> IndexFile:
        """Write the part to a file.

        Raises:
            OSError: if it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished(folder / str(space)) as temporary:
            with temporary.open("wb") as file:
                for numbers in (self.rows, *self.signs, self.codes):
                    file.write(np.ascontiguousarray(numbers).data)
            checksum = checksum_of(temporary)
            path = folder / f"{space}-{self.after}-{self.covers}-{checksum}.keys"
            place(temporary, path)
        return IndexFile(path, space, self.after, self.covers, checksum)

    def hold(self, file: IndexFile) -> None:
        """Free the RAM: use this file of the same content, even if another process deletes it.

        Raises:
            ValueError, OSError: if the file is not there, or does not hold such keys.
        """
        with file.path.open("rb") as opened:
            held = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        words = _words(self._dimension)
        count, over = divmod(len(held), 8 + 8 * words + self._dimension)
        numbers = np.frombuffer(held, dtype="<i8", count=count)
        known = numbers.astype(np.int64)
        if over or known[0] <= file.after or known[-1] > file.covers or (np.diff(known) <= 0).any():
            raise ValueError("it is not an index of these keys")
        signs = np.frombuffer(held, dtype="<u8", count=words * count, offset=8 * count)
        codes = np.frombuffer(held, dtype="i1", offset=8 * (1 + words) * count)
        signs, codes = signs.reshape(words, count), codes.reshape(count, self._dimension)
        self._put(numbers, signs, codes)
        self._count, self.file, self.covers = count, file, file.covers

    def _move(self, capacity: int) -> None:
        """Move the part to RAM, with room for so many keys."""
        room = _none(self._dimension, capacity)
        room[0][: self._count], room[1][:, : self._count] = self.rows, self.signs
        room[2][: self._count] = self.codes
        self._put(*room)

    def _put(self, rows: np.ndarray, signs: np.ndarray, codes: np.ndarray) -> None:
        self._rows, self._signs, self._codes, self.file = rows, signs, codes, None


def index_file(path: Path) -> IndexFile | None:
    """The index file that a name describes; None for any other name."""
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


def _none(dimension: int, room: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.empty(room, dtype="<i8"),
        np.empty((_words(dimension), room), dtype="<u8"),
        np.empty((room, dimension), dtype="i1"),
    )


def _words(dimension: int) -> int:
    """How many words of 64 signs a key has."""
    return -(-dimension // 64)


def _signs(keys: Keys) -> UInt64[np.ndarray, "w n"]:
    """One bit per number, set if it is positive."""
    packed = np.packbits(keys > 0, axis=1)
    filled = np.zeros((len(keys), 8 * _words(keys.shape[1])), dtype=np.uint8)
    filled[:, : packed.shape[1]] = packed
    signs: np.ndarray = filled.view("<u8").T
    return signs


def _bits(chosen: np.ndarray) -> UInt64[np.ndarray, " w"]:
    return _signs(chosen[None])[:, 0]
