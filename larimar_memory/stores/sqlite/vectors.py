"""Nearest keys of one namespace: exact while small, usearch indexes beside the file when large.

An index is in parts, of which only the last is in RAM: writing takes the same RAM however much there
is, and forgetting makes one part anew. The others are opened by the first search, or by what is
forgotten of them. What no part covers is read from the rows again; rows after the last part are scanned
exactly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from larimar_memory.encoders.keys import cosines
from larimar_memory.stores.sqlite.parts import IndexFile, Part

log = logging.getLogger(__name__)

EXACT_LIMIT = 50_000
"""Rows up to which scanning all keys is as fast as an index, and exact."""

_TAIL_LIMIT = 4_096

LiveRows: TypeAlias = Callable[[int, int], Int[np.ndarray, " n"]]
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

    def ready(self, rows: Int[np.ndarray, " n"] | None = None) -> bool:
        """Open the parts that a search, or the removal of these rows, needs.

        Returns:
            Whether all could be opened. If not, the rows from the first on that could not are unknown,
            to be taken in again.
        """
        return self._open([part for part in self.parts if rows is None or part.holds_any(rows)])

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
        limit = _TAIL_LIMIT if self.parts else EXACT_LIMIT
        if self._count <= limit:
            return
        if not self.parts or self.parts[-1].full:
            after = self.parts[-1].covers if self.parts else 0
            self.parts.append(Part(self.dimension, after))
        self.parts[-1].add(self._rows[: self._count], self._keys[: self._count])
        self._clear_tail()

    def search(self, key: Float[np.ndarray, " d"], k: int) -> list[tuple[int, float]]:
        """Rows and cosines of the k nearest keys, best first, of parts that are `ready`."""
        found = [pair for part in self.parts for pair in part.search(key, k)]
        if self._count:
            scores = cosines(self._keys[: self._count], key)
            top = np.argpartition(-scores, min(k, self._count) - 1)[:k]
            found += [(int(self._rows[i]), float(scores[i])) for i in top]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:k]

    def remove(self, rows: Int[np.ndarray, " n"]) -> None:
        """Forget rows: they are not found again, and their keys are overwritten in RAM."""
        keep = ~np.isin(self._rows[: self._count], rows)
        kept = int(keep.sum())
        self._rows[:kept] = self._rows[: self._count][keep]
        self._keys[:kept] = self._keys[: self._count][keep]
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
