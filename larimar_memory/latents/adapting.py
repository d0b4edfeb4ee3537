"""The answering adapter of a memory's decoder: where it is, and when it is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from larimar_memory.decoders.base import Decoder, takes_latents
from larimar_memory.errors import ModelError
from larimar_memory.latents.description import described
from larimar_memory.models.finding import DEFAULT_DECODER
from larimar_memory.models.loading import importing

if TYPE_CHECKING:
    from larimar_memory.latents.answering import AnsweringAdapter

LEAST = 0.05
"""The threshold of an answer by an adapter that refuses by itself. It weighs the read's probability
against what it reads, so that it is still asked below the threshold of a read: of held-out questions
whose answer was there, a tenth of those about prose and two fifths of those about dialogues have a
probability under .5, and one in fifty has one under .05."""

SHIPPED = {DEFAULT_DECODER: "smollm2-135m-instruct-answers"}
"""For each decoder, the folder under `bundles` that holds its answering adapter."""


class DecoderAdapter:
    """A decoder's answering adapter, loaded at the first call; a call gives None if there is none.

    Args:
        decoder: gives the decoder.
        adapter: as in `Larimar.open`.
        name: the decoder's name, by which the adapter that ships with the package is found.
    """

    def __init__(
        self, decoder: Callable[[], Decoder], adapter: bool | str | os.PathLike[str], name: str
    ) -> None:
        self._decoder = decoder
        self._folder = adapter_for(name) if adapter is True else Path(adapter) if adapter else None
        self._loaded: AnsweringAdapter | None = None

    @property
    def refuses(self) -> bool:
        """Whether it weighs a read's probability to refuse, by its description; nothing is loaded."""
        if self._folder is None:
            return False
        try:
            return described(self._folder).get("refusing") is not None
        except ModelError:
            # Loading it tells what is wrong.
            return False

    def __call__(self) -> AnsweringAdapter | None:
        """The adapter.

        Raises:
            ModelError: as `load_adapter`, or if the decoder cannot use one.
        """
        if self._folder is None:
            return None
        if self._loaded is None:
            decoder = self._decoder()
            if not takes_latents(decoder):
                raise ModelError(
                    f"The answering adapter in {self._folder} cannot be used.",
                    f"The decoder {decoder.name!r} does not show its projections.",
                    "Open the memory with adapter=False, or with a decoder of transformers.",
                )
            # Imported on first use: torch is not needed until a decoder answers.
            with importing():
                from larimar_memory.latents.answering import shared
            self._loaded = shared(self._folder, decoder)
        return self._loaded


def adapter_for(decoder: str) -> Path | None:
    """The folder of the answering adapter that ships for a decoder, or None."""
    name = SHIPPED.get(decoder)
    folder = Path(__file__).parent / "bundles" / str(name)
    return folder if name and folder.is_dir() else None
