"""Latents of recalled passages as what stands in front of a decoder's prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.prefix import generation_inputs


class LatentReadout:
    """A key/value prefix and the adapters it is read with; for a `LatentDecoder`.

    Args:
        codec: makes the prefix; its decoder is the one that generates.
        groups: latents of each passage in the order of its text, the best passage first. The best is
            put last, nearest to the question, as in a prompt.

    Attributes:
        positions: places the prefix takes up, those of the chat before the passages included.
        recalled: those of the passages alone.

    Raises:
        InputError: if there are no latents, or they are not of this codec's size.
    """

    def __init__(
        self, codec: LatentCodec, groups: Sequence[Sequence[Float[np.ndarray, "_ dz"]]]
    ) -> None:
        self._prefix = codec.prefix([[z for group in reversed(groups) for z in group]])
        self.positions = int(self._prefix.mask.sum())
        self.recalled = self.positions - len(codec.lead.tokens)
        self.attached: Callable[[], AbstractContextManager[None]] = codec.adapters.attached
        """A block in which the adapters act on what this thread runs through the decoder."""

    def inputs(self, tokens: Int[Tensor, "1 t"]) -> dict[str, Any]:
        """What `model.generate` is called with; good for one generation, which fills the cache."""
        return generation_inputs(self._prefix, tokens)

    def past_key_values(self) -> Any:
        """The prefix as a new cache, for a generation loop of one's own inside `attached`."""
        return self._prefix.cache()
