"""The encoder of a memory as LangChain `Embeddings`."""

from __future__ import annotations

import os

from langchain_core.embeddings import Embeddings

from larimar_memory.encoders.base import Encoder, keys_of
from larimar_memory.errors import InputError
from larimar_memory.models.finding import DEFAULT_ENCODER
from larimar_memory.system import forking
from larimar_memory.validate import sound

_LOADING = forking.Lock()


class LarimarEmbeddings(Embeddings):
    """Vectors of unit length, made by the encoder of a memory; nothing leaves the machine.

    Args:
        encoder: a loaded encoder, such as `memory.encoder`, or the folder, wheel or hub name of one,
            which is loaded for the first vector.

    Raises:
        InputError: if it is neither.
    """

    def __init__(self, encoder: Encoder | str | os.PathLike[str] = DEFAULT_ENCODER) -> None:
        if not isinstance(encoder, (Encoder, str, os.PathLike)):
            raise InputError(
                "The embeddings cannot be made.",
                f"Their encoder is a {type(encoder).__name__}.",
                "Pass the encoder of a memory, `memory.encoder`, or the name or folder of one.",
            )
        self._encoder = encoder

    @property
    def model(self) -> str:
        """The encoder's name, or the fingerprint of a loaded encoder."""
        encoder = self._encoder
        return encoder.fingerprint if isinstance(encoder, Encoder) else os.fspath(encoder)

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded on first use.

        Raises:
            ModelError: if it cannot be loaded.
        """
        with _LOADING:
            if not isinstance(self._encoder, Encoder):
                from larimar_memory.encoders.sentence import SentenceEncoder

                self._encoder = SentenceEncoder.load(os.fspath(self._encoder))
            return self._encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector of d numbers for each text, as the memory keys its segments."""
        vectors: list[list[float]] = keys_of(self.encoder, [*map(sound, texts)]).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """A vector of d numbers, as the memory keys a question."""
        vector: list[float] = keys_of(self.encoder, [sound(text)], "question")[0].tolist()
        return vector
