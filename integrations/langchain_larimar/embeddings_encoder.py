"""LangChain `Embeddings` as the encoder of a memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from langchain_core.embeddings import Embeddings

from larimar_memory.encoders.base import Kind
from larimar_memory.encoders.keys import unit
from larimar_memory.errors import InputError

_NAMED_BY = ("model", "model_name", "model_id", "model_path", "repo_id", "deployment")


class EmbeddingsEncoder:
    """Keys made by `Embeddings`, for `Larimar.open(path, encoder=EmbeddingsEncoder(embeddings))`.

    What a cosine means differs between models: give `Larimar.open` a `threshold` that fits this one.

    Args:
        embeddings: makes the vectors; it is called once at the start, to learn their length.
        fingerprint: names the model, so that a memory is not opened with another. By default it follows
            from the class's name, the object's own name of its model (`model`, `model_name` and the
            like) and d; give one if two models would look the same.

    Attributes:
        embeddings: as given.
        fingerprint: names the model.
        dimension: d, numbers in a key.

    Raises:
        InputError: if it is not an `Embeddings`, or does not return vectors.
    """

    def __init__(self, embeddings: Embeddings, *, fingerprint: str | None = None) -> None:
        if not isinstance(embeddings, Embeddings):
            raise InputError(
                "The encoder cannot be made.",
                f"It was given a {type(embeddings).__name__}, not LangChain Embeddings.",
                "Pass an object whose class derives from langchain_core.embeddings.Embeddings.",
            )
        self.embeddings = embeddings
        self.dimension = self._matrix([embeddings.embed_query("dimension")], 1).shape[1]
        self.fingerprint = fingerprint or _fingerprint(embeddings, self.dimension)

    def encode(self, texts: Sequence[str], kind: Kind = "segment") -> Float[np.ndarray, "n d"]:
        """Keys of unit length, float32; blanks at the ends of texts do not count."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        stripped = [text.strip() for text in texts]
        if kind == "segment":
            vectors = self.embeddings.embed_documents(stripped)
        else:
            vectors = [self.embeddings.embed_query(text) for text in stripped]
        matrix = self._matrix(vectors, len(texts))
        if matrix.shape[1] != self.dimension:
            raise self._unusable(f"{matrix.shape[1]} numbers a text, and {self.dimension} at first")
        return unit(matrix)

    def _matrix(self, vectors: Any, count: int) -> Float[np.ndarray, "n d"]:
        try:
            matrix = np.array(vectors, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise self._unusable("what is no list of vectors of one length") from error
        if matrix.ndim != 2 or len(matrix) != count or not matrix.size:
            raise self._unusable(f"numbers of shape {matrix.shape} for a list of {count}")
        if not np.isfinite(matrix).all():
            raise self._unusable("NaN or infinity")
        return matrix

    def _unusable(self, what: str) -> InputError:
        return InputError(
            "The embeddings cannot be used as keys.",
            f"{type(self.embeddings).__name__} returned {what}.",
            "Use Embeddings that give every text a vector of one length, of finite numbers.",
        )


def _fingerprint(embeddings: Embeddings, dimension: int) -> str:
    # Neither a cache around the class nor a move of it to another package changes the vectors.
    inner = getattr(embeddings, "underlying_embeddings", embeddings)
    said = {name: getattr(inner, name, None) for name in _NAMED_BY}
    named = {name: value for name, value in said.items() if isinstance(value, str)}
    identity = json.dumps([type(inner).__name__, named, dimension], sort_keys=True)
    return hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=16).hexdigest()
