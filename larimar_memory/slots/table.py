"""The items of a fixed-slot memory, with what was added for each, so that it can be subtracted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int


class Table:
    """Items by id in the order of writing, each with its integer weights, direction and length.

    Args:
        slots: K, integers in a row of weights.
        latent: C, integers in a direction.
    """

    def __init__(self, slots: int, latent: int) -> None:
        self._rows: dict[str, int] = {}
        self._names: list[str] = []
        self._columns: tuple[np.ndarray, ...] = (
            np.zeros((0, slots), dtype=np.int32),
            np.zeros((0, latent), dtype=np.int32),
            np.zeros(0),
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, id: str) -> bool:
        return id in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def take(
        self, ids: Sequence[str]
    ) -> tuple[Int[np.ndarray, "n k"], Int[np.ndarray, "n c"], Float[np.ndarray, " n"]]:
        """Weights, directions and lengths of these items, as copies."""
        at = np.array([self._rows[id] for id in ids], dtype=np.int64)
        weights, directions, lengths = (column[at] for column in self._columns)
        return weights, directions, lengths

    def add(
        self,
        ids: Sequence[str],
        weights: Int[np.ndarray, "n k"],
        directions: Int[np.ndarray, "n c"],
        lengths: Float[np.ndarray, " n"],
    ) -> None:
        """Append items whose ids are new."""
        first, last = len(self._rows), len(self._rows) + len(ids)
        allocated = len(self._columns[0])
        if last > allocated:
            more = max(last, 2 * allocated, 16) - first
            self._columns = tuple(
                np.concatenate([old[:first], np.zeros((more, *old.shape[1:]), old.dtype)])
                for old in self._columns
            )
        for column, values in zip(self._columns, (weights, directions, lengths), strict=True):
            column[first:last] = values
        self._rows.update(zip(ids, range(first, last), strict=True))
        self._names += ids

    def drop(self, ids: Sequence[str]) -> None:
        """Remove items; the values of the last row fill each gap."""
        for id in ids:
            row, last = self._rows.pop(id), len(self._rows)
            moved = self._names.pop()
            if row != last:
                self._rows[moved], self._names[row] = row, moved
            for column in self._columns:
                column[row] = column[last]
                column[last] = 0
