"""The decoder of a chat model: that of its memory, one that was given, or one by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from langchain_larimar.given_memory import check_memory
from larimar_memory.errors import InputError
from larimar_memory.models.finding import DEFAULT_DECODER
from larimar_memory.system import forking

if TYPE_CHECKING:
    from larimar_memory import Larimar
    from larimar_memory.decoders.base import Decoder

UNUSABLE = "The chat model cannot be made."
_LOADING = forking.Lock()


class ChatDecoder(BaseModel):
    """The decoder of a chat model, and the memory that it may have.

    Args:
        memory: the memory to read, a `Larimar`, whose own decoder answers.
        decoder: without a memory, a loaded `Decoder`.
        model: without a memory and a decoder, the folder, wheel or hub name of one, which is loaded
            when first used; by default that of the bundled decoder.
    """

    # Any: the classes of both import torch, and this module must not.
    memory: Any = Field(default=None, exclude=True, repr=False)
    decoder: Any = Field(default=None, exclude=True, repr=False)
    model: str | None = None

    @property
    def model_name(self) -> str:
        """The name of the decoder that answers."""
        return self.model or DEFAULT_DECODER if self.memory is None else self.larimar().decoder_name

    def larimar(self) -> Larimar:
        """The memory that is read.

        Raises:
            InputError: if none was set, as after loading a dump.
        """
        what = "The chat model cannot answer from memory."
        if self.memory is None:
            raise InputError(
                what,
                "It has none; a chat model loaded from a dump starts without one.",
                'Set `model.memory` to an open Larimar, or use grounding="none".',
            )
        return check_memory(self.memory, what)

    def local(self) -> Decoder:
        """The decoder, loaded on first use.

        Raises:
            ModelError: if it cannot be loaded.
        """
        if self.memory is not None:
            return self.larimar().decoder
        with _LOADING:
            if self.decoder is None:
                from larimar_memory.decoders.transformers import TransformersDecoder

                self.decoder = TransformersDecoder.load(self.model_name)
            decoder: Decoder = self.decoder
            return decoder

    def settle(self) -> None:
        """Name the decoder.

        Raises:
            InputError: if what was given is not a decoder or memory, or if two decoders were given.
        """
        if self.memory is not None:
            name = check_memory(self.memory, UNUSABLE).decoder_name
            if self.decoder is not None or self.model not in (None, name):
                raise InputError(
                    UNUSABLE,
                    "A memory answers with its own decoder, and another one was given.",
                    "Leave it out, or open the memory with it: `Larimar.open(path, decoder=...)`.",
                )
        elif self.decoder is not None:
            from larimar_memory.decoders.base import check_decoder

            name = check_decoder(self.decoder, UNUSABLE).name
            if self.model not in (None, name):
                raise InputError(
                    UNUSABLE,
                    f"Its decoder is {name!r}, and its model was said to be {self.model!r}.",
                    "Give one of `decoder=` and `model=`.",
                )
        else:
            name = self.model or DEFAULT_DECODER
        self.model = name
