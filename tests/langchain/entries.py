"""Entries of vector stores."""

from __future__ import annotations

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

FAKE = DeterministicFakeEmbedding(size=6)
LONG = "The pass key of the vault is 71432. " + "Lentils are served on Fridays.\n\n" * 200


def documents(count: int) -> list[Document]:
    """So many entries, with metadata of every kind."""
    return [
        Document(f"entry {n}", id=f"d{n}", metadata={"n": n, "even": n % 2 == 0, "tags": ["x", n]})
        for n in range(count)
    ]


def names(found: list[Document]) -> list[str | None]:
    """Their ids."""
    return [document.id for document in found]


class Plane(Embeddings):
    """A text is the numbers it consists of."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        numbers = text.split() if text != "dimension" else ["1", "0", "0"]
        return [float(number) for number in numbers]
