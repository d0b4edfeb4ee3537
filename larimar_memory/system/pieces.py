"""Look in the bytes of files for what was erased, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from larimar_memory.system.locked_files import reading

LEAST, LENGTH = 6, 16
"""Least and usual length of a piece, in bytes. Fewer than six are in any large file by chance."""

MOST = 1 << 18
"""The most pieces that are looked for. Of more, every second, fourth, ... is: a file is read once for
all."""

_CHUNK = 8 << 20
_PREFIX = np.uint64((1 << 8 * LEAST) - 1)
_BUCKETS = 22
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(64 - _BUCKETS)


class Pieces:
    """The bytes to look for, cut into pieces of `LENGTH`.

    Any remainder of 31 consecutive bytes or more of an added value holds a whole piece.

    Attributes:
        added: the number of different pieces into which values were cut; `len` says how many are looked
            for.
        too_short: the number of values with fewer than `LEAST` bytes, which are not looked for.
    """

    def __init__(self) -> None:
        self.added = self.too_short = 0
        self._held: dict[bytes, None] = {}
        self._every = 1

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._held)

    def add(self, value: bytes, ends: bool = False) -> None:
        """Add a value's pieces; the last piece ends with the value.

        Args:
            ends: only the pieces at its beginning, middle and end, as for numbers, which are kept or
                lost whole.
        """
        if len(value) < LEAST:
            self.too_short += 1
            return
        last = max(len(value) - LENGTH, 0)
        for start in (0, last // 2, last) if ends else (*range(0, last, LENGTH), last):
            piece = value[start : start + LENGTH]
            # Zeros and other repeated bytes are in every file.
            if piece in self._held or len(set(piece)) == 1:
                continue
            if self.added % self._every == 0:
                self._held[piece] = None
            self.added += 1
            if len(self._held) > MOST:
                self._held = dict.fromkeys(list(self._held)[::2])
                self._every *= 2

    def found_in(self, chunks: Iterable[bytes]) -> set[bytes]:
        """The pieces that some bytes contain.

        Args:
            chunks: of one sequence of bytes; pieces across two chunks are found, too.
        """
        found = set[bytes]()
        if not self._held:
            return found
        by_prefix = dict[int, list[bytes]]()
        for piece in self._held:
            by_prefix.setdefault(int.from_bytes(piece[:LEAST], "little"), []).append(piece)
        prefixes = np.sort(np.fromiter(by_prefix, dtype=np.uint64, count=len(by_prefix)))
        likely = np.zeros(1 << _BUCKETS, dtype=bool)
        likely[(prefixes * _SPREAD) >> _SHIFT] = True
        before = b""
        for chunk in chunks:
            text = before + chunk
            for start in _starts(text, prefixes, likely):
                prefix = int.from_bytes(text[start : start + LEAST], "little")
                found.update(piece for piece in by_prefix[prefix] if text.startswith(piece, start))
            before = text[-LENGTH + 1 :]
        return found


def chunks_of(path: Path) -> Iterator[bytes]:
    """A file's bytes in chunks; the file may be in use.

    Raises:
        OSError: if it cannot be read.
    """
    with reading(path) as file:
        yield from iter(partial(file.read, _CHUNK), b"")


def _starts(text: bytes, prefixes: np.ndarray, likely: np.ndarray) -> Iterator[int]:
    """The places in some bytes where one of the prefixes begins."""
    # No piece begins in the padding after the end.
    padded = text + bytes(15)
    for offset in range(8):
        words = np.frombuffer(padded, dtype="<u8", offset=offset, count=(len(padded) - offset) // 8)
        words = words & _PREFIX
        places = np.flatnonzero(likely[(words * _SPREAD) >> _SHIFT])
        at = np.minimum(np.searchsorted(prefixes, words[places]), len(prefixes) - 1)
        yield from (8 * places[prefixes[at] == words[places]] + offset).tolist()
