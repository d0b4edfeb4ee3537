"""Words that are alike without being the same, by the vectors of an encoder's table of coarse keys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from larimar_memory.encoders.base import Encoder, TokenizingEncoder, coarse_table
from larimar_memory.text.normal import normalised


def soft_words(encoder: Encoder, question: str, texts: Sequence[str]) -> Float[np.ndarray, " n"] | None:
    """How much of what a question says each text says in words that are alike, in [-1, 1].

    Returns:
        None where the encoder has no table.
    """
    table = coarse_table(encoder)
    if table is None or not isinstance(encoder, TokenizingEncoder):
        return None
    asked, *said = encoder.tokenize([*map(normalised, [question, *texts])]).ids
    return table.likeness(asked, said)
