"""Words that are alike but not the same, by the vectors of an encoder's table of coarse keys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from larimar_memory.encoders.base import Encoder, coarse_table
from larimar_memory.recall.tokens import Tokens


def soft_words(
    encoder: Encoder, tokens: Tokens | None, question: str, texts: Sequence[str]
) -> Float[np.ndarray, " n"] | None:
    """How much of a question's meaning each text has, in the same or similar words, in [-1, 1].

    Args:
        tokens: of the encoder, if it tokenises.

    Returns:
        None if the encoder has no table.
    """
    table = coarse_table(encoder)
    if table is None or tokens is None:
        return None
    asked, *said = tokens.of([question, *texts]).ids
    return table.likeness(asked, said)
