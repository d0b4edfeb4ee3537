"""RetrievalQA over Chroma."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from langchain_core.vectorstores import VectorStore

from benchmarks.systems.embeddings import OnceEmbeddings
from benchmarks.systems.retrieval_qa import RetrievalQASystem


class Chroma(RetrievalQASystem):
    """A collection in a folder, searched through Chroma's HNSW index."""

    def open_store(self, embeddings: OnceEmbeddings) -> VectorStore:
        """A store with nothing in it."""
        chromadb = import_module("chromadb")
        self._client = chromadb.PersistentClient(
            path=str(self.folder), settings=chromadb.Settings(anonymized_telemetry=False)
        )
        store = import_module("langchain_chroma").Chroma
        return cast(VectorStore, store(client=self._client, embedding_function=embeddings))

    def close(self) -> None:
        super().close()
        self._client.close()
