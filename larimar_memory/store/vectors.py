"""Nearest keys of one namespace: exact while small, usearch indexes beside the file when large.

An index is in parts, of which only the last is in RAM: writing takes the same RAM however much there
is, and forgetting makes one part anew. What no part of this state of the namespace covers is read from
the rows again; rows after the last part are scanned exactly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from larimar_memory.store.parts import Part, index_files

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
        folder: where index files are kept.
        name: the namespace's own number; first part of the file names.
    """

    def __init__(self, dimension: int, folder: Path, name: int) -> None:
        self.dimension = dimension
        self.last_row = 0
        self._folder, self._name = folder, name
        self._rows = np.empty(0, dtype=np.int64)
        self._keys = np.empty((0, dimension), dtype=np.float32)
        self._count = 0
        self._parts = list[Part]()

    def open(self, generation: int) -> None:
        """Map the index files of this generation that join; others are left for `save`."""
        for file in index_files(self._folder, self._name):
            usable = file.generation == generation and file.checksum is not None
            if not usable or file.after != self.last_row:
                continue
            try:
                part = Part.open(file, self.dimension)
            except (RuntimeError, ValueError, OSError) as error:
                log.warning("the index %s is damaged and will be made again: %s", file.path, error)
                continue
            self._parts.append(part)
            self.last_row = part.covers

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
        limit = _TAIL_LIMIT if self._parts else EXACT_LIMIT
        if self._count <= limit:
            return
        if not self._parts or self._parts[-1].full:
            after = self._parts[-1].covers if self._parts else 0
            self._parts.append(Part(self.dimension, self._folder, self._name, after))
        self._parts[-1].add(self._rows[: self._count], self._keys[: self._count])
        self._count = 0
        self._rows = np.empty(0, dtype=np.int64)
        self._keys = np.empty((0, self.dimension), dtype=np.float32)

    def search(self, key: Float[np.ndarray, " d"], k: int) -> list[tuple[int, float]]:
        """Rows and cosines of the k nearest keys, best first."""
        found = [pair for part in self._parts for pair in part.search(key, k)]
        if self._count:
            scores = self._keys[: self._count] @ key
            top = np.argpartition(-scores, min(k, self._count) - 1)[:k]
            found += [(int(self._rows[i]), float(scores[i])) for i in top]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:k]

    def remove(self, rows: Int[np.ndarray, " n"]) -> None:
        """Forget rows: they are not found again, and their keys are overwritten, in files too."""
        keep = ~np.isin(self._rows[: self._count], rows)
        kept = int(keep.sum())
        self._rows[:kept] = self._rows[: self._count][keep]
        self._keys[:kept] = self._keys[: self._count][keep]
        self._keys[kept : self._count] = 0
        self._count = kept
        for part in self._parts:
            part.remove(rows)

    @property
    def sealable(self) -> bool:
        """Whether the last part is full and in RAM."""
        return bool(self._parts) and self._parts[-1].full and not self._parts[-1].mapped

    def seal(self, generation: int, live: LiveRows) -> None:
        """Write the last part, and read it from its file from now on."""
        if self._saved(self._parts[-1], generation, live):
            self._parts[-1].map()

    def save(self, generation: int, live: LiveRows) -> None:
        """Write the parts that have changed, each under a temporary name, and delete other files."""
        for part in self._parts:
            self._saved(part, generation, live)
        self.clear_files()

    def _saved(self, part: Part, generation: int, live: LiveRows) -> bool:
        try:
            part.save(generation, live(part.after, part.covers))
        except (OSError, RuntimeError) as error:
            log.warning("the index in %s cannot be saved, and is made again: %s", self._folder, error)
            return False
        return True

    def clear_files(self, *, own: bool = False) -> None:
        """Delete the index files of no part, and what others left unfinished; `own`, those too."""
        kept = set() if own else {part.file.path for part in self._parts if part.file is not None}
        # A process that was killed leaves a temporary file, which holds keys too.
        stale = [file.path for file in index_files(self._folder, self._name)]
        for path in [*stale, *self._folder.glob(f"{self._name}-*.tmp")]:
            if path not in kept:
                path.unlink(missing_ok=True)
