"""What a latent's position says of the next one, so that only the difference need be stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int, Int8, Int16

_UNIT = 128
_MOST = 255
_RIDGE = 100.0
"""Added to the sums of squares of counts: of some thousand positions, it hardly matters."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predicts the counts of steps at a position of a latent from those at the position before.

    It computes with whole numbers alone, as products in float64 that no order of adding changes: what
    one machine stored, every other reads.

    Attributes:
        weights: of the position before (rows) in the next (columns), in units of 1/128.
        order: all numbers, those first that differ least from what is predicted.
    """

    weights: Int16[np.ndarray, "dz dz"]
    order: Int16[np.ndarray, " dz"]

    def to_bytes(self) -> bytes:
        """What tells it from another, the same on every machine."""
        return self.weights.astype("<i2").tobytes() + self.order.astype("<i2").tobytes()

    @cached_property
    def _matrix(self) -> Float[np.ndarray, "dz dz"]:
        return self.weights.astype(np.float64)

    def next(self, counts: Int8[np.ndarray, "n dz"]) -> Int[np.ndarray, "n dz"]:
        """What is predicted after each position."""
        sums = counts.astype(np.float64) @ self._matrix
        found: Int[np.ndarray, "n dz"] = np.floor((sums + _UNIT // 2) / _UNIT).astype(np.int32)
        return found

    def differences(self, counts: Int8[np.ndarray, "m dz"]) -> Int8[np.ndarray, "m dz"]:
        """Each position less what is predicted, modulo 256, the first as it is; numbers in order."""
        out: np.ndarray = counts.copy()
        np.subtract(counts[1:], self.next(counts[:-1]), out=out[1:], casting="unsafe")
        found: np.ndarray = out[:, self.order]
        return found

    def sums(self, differences: Sequence[Int8[np.ndarray, "_ dz"]]) -> list[Int8[np.ndarray, "_ dz"]]:
        """The counts of latents of which `differences` were taken; all are read side by side."""
        order = sorted(range(len(differences)), key=lambda n: -len(differences[n]))
        counts = np.concatenate([differences[n] for n in order])[:, np.argsort(self.order)]
        lengths = np.array([len(differences[n]) for n in order])
        starts = np.cumsum(lengths) - lengths
        for at in range(1, int(lengths[0])):
            here = starts[: np.count_nonzero(lengths > at)] + at
            counts[here] = (counts[here] + self.next(counts[here - 1])).astype(np.int8)
        out = list(differences)
        for n, start, length in zip(order, starts, lengths, strict=True):
            out[n] = counts[start : start + length]
        return out


def fitted(latents: Sequence[Int8[np.ndarray, "_ dz"]]) -> Predictor:
    """The linear predictor of least squares, of latents' counts."""
    before = np.concatenate([z[:-1] for z in latents]).astype(np.float64)
    after = np.concatenate([z[1:] for z in latents]).astype(np.float64)
    squares = before.T @ before + _RIDGE * np.eye(before.shape[1])
    weights = np.rint(_UNIT * np.linalg.solve(squares, before.T @ after))
    weights = np.clip(weights, -_MOST, _MOST).astype(np.int16)
    left = after - np.rint(before @ weights / _UNIT)
    return Predictor(weights, np.argsort(left.std(axis=0), kind="stable").astype(np.int16))
