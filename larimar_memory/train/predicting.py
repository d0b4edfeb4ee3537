"""Fit how a codec's latents are stored: what predicts each position from the one before."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int8

from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.stored import UNIT, Predictor, quantise
from larimar_memory.train.sampling import SampleSource

_WINDOW = 6
"""Consecutive segments that are read as one text, about as many as a memory's window has."""
_SHORTEST = 4
_MOST = 255
_RIDGE = 100.0
"""Added to the sums of squares of counts: of some thousand positions, it hardly matters."""


def predict(codec: LatentCodec, source: SampleSource, rng: random.Random, positions: int) -> None:
    """Give a codec a predictor of its latents, fitted on so many positions of text."""
    found, total = list[np.ndarray](), 0
    while total < positions:
        latents, _ = window(codec, source, rng)
        found += [quantise(z, codec.config.step) for z in latents]
        total += sum(map(len, latents))
    codec.predictor = fitted(found)


def window(
    codec: LatentCodec, source: SampleSource, rng: random.Random
) -> tuple[list[Float[np.ndarray, "_ dz"]], int]:
    """The latents of some consecutive segments, read as a memory reads them, and their tokens."""
    longest = codec.config.limit
    drawn = source.consecutive(rng, _WINDOW, min(_SHORTEST, longest), longest)
    (latents,) = codec.encode_tokens([[sample.tokens for sample in drawn]])
    return latents, sum(len(sample.tokens) for sample in drawn)


def fitted(latents: Sequence[Int8[np.ndarray, "_ dz"]]) -> Predictor:
    """The linear predictor of least squares, of latents' counts."""
    before = np.concatenate([z[:-1] for z in latents]).astype(np.float64)
    after = np.concatenate([z[1:] for z in latents]).astype(np.float64)
    squares = before.T @ before + _RIDGE * np.eye(before.shape[1])
    weights = np.rint(UNIT * np.linalg.solve(squares, before.T @ after))
    weights = np.clip(weights, -_MOST, _MOST).astype(np.int16)
    left = after - np.rint(before @ weights / UNIT)
    return Predictor(weights, np.argsort(left.std(axis=0), kind="stable").astype(np.int16))
