"""LangChain's HuggingFaceEmbeddings, one for all stores of a run."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

from langchain_core.embeddings import Embeddings

from larimar_memory.models import finding


class OnceEmbeddings(Embeddings):
    """`HuggingFaceEmbeddings` with its defaults, that embeds a text it knows no second time.

    Two stores over the same chunks would otherwise wait twice for the same numbers. The seconds that
    this saves are counted, and belong to the time of whoever was spared them.

    Attributes:
        saved: seconds so far.
    """

    def __init__(self) -> None:
        self._model: Any = import_module("langchain_huggingface").HuggingFaceEmbeddings(
            model_name=str(finding.resolve(finding.DEFAULT_ENCODER))
        )
        self._known = dict[str, tuple[list[float], float]]()
        self.saved = 0.0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of chunks."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self.saved += sum(self._known[text][1] for text in texts if text in self._known)
        started = time.perf_counter()
        vectors = self._model.embed_documents(new) if new else []
        each = (time.perf_counter() - started) / max(1, sum(map(len, new)))
        for text, vector in zip(new, vectors, strict=True):
            self._known[text] = vector, each * len(text)
        return [self._known[text][0] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question, made anew each time."""
        vector: list[float] = self._model.embed_query(text)
        return vector

    def clear(self) -> None:
        """Forget the vectors."""
        self._known.clear()
