"""A memory opened without its encoder: to look into it and to forget from it no model is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float

from larimar_memory.errors import InputError


class NoEncoder:
    """Stands for an encoder that is not loaded: what needs keys of new texts is refused.

    Args:
        fingerprint, dimension: of the encoder that the memory was written with.
    """

    def __init__(self, fingerprint: str, dimension: int) -> None:
        self.fingerprint = fingerprint
        self.dimension = dimension

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Raise InputError."""
        raise InputError(
            "The memory cannot be written or searched.",
            "It was opened without an encoder.",
            "Open it without encoder=None.",
        )

    def encode_questions(self, questions: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Raise InputError."""
        return self.encode(questions)

    def encode_stream(
        self, batches: Iterable[Sequence[str]]
    ) -> Iterator[tuple[Float[np.ndarray, "n d"], int]]:
        """Raise InputError once there is a batch."""
        for batch in batches:
            yield self.encode(batch), 0
