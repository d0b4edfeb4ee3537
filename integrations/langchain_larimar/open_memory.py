"""Open a memory with the encoder that LangChain `Embeddings` call for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from langchain_larimar.embeddings import LarimarEmbeddings
from langchain_larimar.embeddings_encoder import EmbeddingsEncoder
from langchain_larimar.given_memory import check_memory
from larimar_memory.encoders.base import Encoder
from larimar_memory.errors import EncoderMismatchError, InputError

if TYPE_CHECKING:
    from larimar_memory import Larimar


def open_memory(
    embeddings: Embeddings | None, memory: Larimar | None, path: str | os.PathLike[str] | None
) -> Larimar:
    """The memory that was given, or the one in a file, or a new one in RAM.

    A memory that is opened here is searched by vector, so it is eager.

    Args:
        embeddings: make its keys; by default its own encoder does, or the bundled one.
        memory: an open memory.
        path: a file, made if it does not exist.

    Raises:
        InputError: if an argument cannot be used.
        EncoderMismatchError: if the memory was written with another encoder.
    """
    from larimar_memory import Larimar

    if memory is None:
        if embeddings is None:
            return Larimar.open(path, keys="eager")
        encoder = _to_encoder(embeddings)
        if isinstance(encoder, EmbeddingsEncoder):
            # What its cosines mean is unknown, so nothing counts as out of scope.
            return Larimar.open(path, encoder=encoder, threshold=0.0, keys="eager")
        return Larimar.open(path, encoder=encoder, keys="eager")
    check_memory(memory, "The memory cannot be used.", "It")
    if path is not None:
        raise InputError(
            "The memory cannot be opened.",
            "Both an open memory and a path were given.",
            "Give one of them.",
        )
    if embeddings is not None and _to_encoder(embeddings).fingerprint != memory.encoder.fingerprint:
        raise EncoderMismatchError(
            "The memory cannot be used with these embeddings.",
            "It was opened with another encoder, and their keys cannot be compared.",
            "Leave the embeddings out, or open it with `encoder=EmbeddingsEncoder(embeddings)`.",
        )
    return memory


def _to_encoder(embeddings: Embeddings) -> Encoder:
    """The encoder that makes the same keys as the embeddings."""
    if isinstance(embeddings, LarimarEmbeddings):
        return embeddings.encoder
    return EmbeddingsEncoder(embeddings)


def to_embeddings(encoder: Encoder) -> Embeddings:
    """A memory's encoder as embeddings: the original ones, if it was made from some."""
    if isinstance(encoder, EmbeddingsEncoder):
        return encoder.embeddings
    return LarimarEmbeddings(encoder)
