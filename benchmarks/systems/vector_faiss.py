"""RetrievalQA over FAISS."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.faiss_store import FaissStore
from benchmarks.systems.embeddings import OnceEmbeddings
from benchmarks.systems.retrieval_qa import RetrievalQASystem


class Faiss(RetrievalQASystem):
    """An exact index of L2 distances in RAM, saved whenever it changes."""

    store: FaissStore

    def open_store(self, embeddings: OnceEmbeddings) -> FaissStore:
        """A store with nothing in it."""
        return FaissStore(embeddings)

    def write(self, documents: Mapping[str, str]) -> None:
        super().write(documents)
        self.store.save(self.folder)

    def forget(self, id: str) -> None:
        super().forget(id)
        self.store.save(self.folder)
