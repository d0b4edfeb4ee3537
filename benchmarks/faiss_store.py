"""FAISS as a LangChain vector store: what `langchain_community.vectorstores.FAISS` did by default."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore


class FaissStore(VectorStore):
    """Chunks in RAM and an exact index of their L2 distances, in the same order.

    The package that LangChain documents for this is archived. This class gives its index the same
    vectors in the same order, so that it ranks the same.

    Args:
        embeddings: make the vectors of chunks and questions.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self._faiss, self._embed = import_module("faiss"), embeddings
        self._index: Any = None
        self._chunks = list[Document]()

    def __len__(self) -> int:
        return len(self._chunks)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed and add chunks; returns their ids."""
        texts = list(texts)
        ids = ids or [str(uuid4()) for _ in texts]
        if texts:
            vectors = np.array(self._embed.embed_documents(texts), dtype=np.float32)
            if self._index is None:
                self._index = self._faiss.IndexFlatL2(vectors.shape[1])
            self._index.add(vectors)
        self._chunks += [
            Document(text, metadata=metadata, id=id)
            for text, metadata, id in zip(texts, metadatas or [{} for _ in texts], ids, strict=True)
        ]
        return ids

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Take out the chunks of these ids; the others keep their order, as they do in the index."""
        gone = set(ids or ())
        rows = [row for row, chunk in enumerate(self._chunks) if chunk.id in gone]
        if rows:
            self._index.remove_ids(np.array(rows, dtype=np.int64))
            self._chunks = [chunk for chunk in self._chunks if chunk.id not in gone]
        return True

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The k nearest chunks, nearest first; fewer if there are fewer."""
        if not self._chunks:
            return []
        question = np.array([self._embed.embed_query(query)], dtype=np.float32)
        _, rows = self._index.search(question, min(k, len(self._chunks)))
        return [self._chunks[row] for row in rows[0]]

    def save(self, folder: Path) -> None:
        """Write the index and the chunks to a folder, over what was there."""
        if self._index is not None:
            self._faiss.write_index(self._index, str(folder / "index.faiss"))
        chunks = [[chunk.id, chunk.page_content, chunk.metadata] for chunk in self._chunks]
        (folder / "chunks.json").write_text(json.dumps(chunks), encoding="utf-8")

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> FaissStore:
        """A store that holds these chunks."""
        store = cls(embedding)
        store.add_texts(texts, metadatas, ids=ids)
        return store
