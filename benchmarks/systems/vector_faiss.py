"""RetrievalQA over FAISS."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from langchain_core.vectorstores import VectorStore

from benchmarks.systems.embeddings import OnceEmbeddings
from benchmarks.systems.retrieval_qa import RetrievalQASystem


class Faiss(RetrievalQASystem):
    """An exact index of L2 distances in RAM, saved whenever it changes."""

    def open_store(self, embeddings: OnceEmbeddings) -> VectorStore:
        """A store with nothing in it."""
        index = import_module("faiss").IndexFlatL2(len(embeddings.embed_query("dimension")))
        docstore = import_module("langchain_community.docstore.in_memory").InMemoryDocstore()
        store = import_module("langchain_community.vectorstores").FAISS
        return cast(VectorStore, store(embeddings, index, docstore, {}))

    def write(self, documents: Mapping[str, str]) -> None:
        super().write(documents)
        self._save()

    def forget(self, id: str) -> None:
        super().forget(id)
        self._save()

    def _save(self) -> None:
        cast(Any, self.store).save_local(str(self.folder))
