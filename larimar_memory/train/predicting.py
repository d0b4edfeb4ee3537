"""Fit how a codec's latents are stored: what predicts each position from the one before."""

from __future__ import annotations

import random

import numpy as np

from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.predictor import fitted
from larimar_memory.latents.stored import quantise
from larimar_memory.train.sampling import SampleSource

_WINDOW = 6
"""Consecutive segments that are read as one text, about as many as a memory's window has."""
_SHORTEST = 4


def predict(codec: LatentCodec, source: SampleSource, rng: random.Random, positions: int) -> None:
    """Give a codec a predictor of its latents, fitted on so many positions of text."""
    found, total = list[np.ndarray](), 0
    while total < positions:
        window = source.consecutive(
            rng, _WINDOW, min(_SHORTEST, codec.config.limit), codec.config.limit
        )
        (latents,) = codec.encode_tokens([[sample.tokens for sample in window]])
        found += [quantise(z, codec.config.step) for z in latents]
        total += sum(map(len, latents))
    codec.predictor = fitted(found)
