"""LangChain's RetrievalQA over a vector store, everything at its documented defaults."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from langchain_core.vectorstores import VectorStore

from benchmarks.baselines import CHUNK_CHARS, OVERLAP_CHARS
from benchmarks.session import Session
from benchmarks.systems.base import ANSWER_TOKENS, Piece, Reply
from benchmarks.systems.chat import DecoderChat
from benchmarks.systems.embeddings import OnceEmbeddings

_DOCUMENT = "document"
_BATCH = 4_000
"""Chunks given to a store at once; Chroma refuses many more."""


class RetrievalQASystem(ABC):
    """Chunks in a vector store; the chain "stuff" puts the four nearest into the prompt.

    Args:
        session: has the decoder and the embeddings.
        folder: where the store keeps its files.
    """

    def __init__(self, session: Session, folder: Path) -> None:
        self.folder = folder
        self._splitter = import_module("langchain_text_splitters").RecursiveCharacterTextSplitter(
            chunk_size=CHUNK_CHARS, chunk_overlap=OVERLAP_CHARS
        )
        self._chunks = dict[str, list[str]]()
        self.store: VectorStore = self.open_store(session.langchain_embeddings)
        self._chat = DecoderChat(decoder=session.decoder)
        with warnings.catch_warnings():
            # It is deprecated, and still what most people have.
            warnings.simplefilter("ignore")
            chains = import_module("langchain_classic.chains")
            self._chain: Any = chains.RetrievalQA.from_chain_type(
                llm=self._chat, retriever=self.store.as_retriever()
            )

    @abstractmethod
    def open_store(self, embeddings: OnceEmbeddings) -> VectorStore:
        """An empty store."""

    def write(self, documents: Mapping[str, str]) -> None:
        chunks, ids, metadatas = list[str](), list[str](), list[dict[str, str]]()
        for document, text in documents.items():
            pieces = self._splitter.split_text(text)
            self._chunks[document] = [f"{document}#{n}" for n in range(len(pieces))]
            chunks += pieces
            ids += self._chunks[document]
            metadatas += [{_DOCUMENT: document}] * len(pieces)
        for start in range(0, len(chunks), _BATCH):
            part = slice(start, start + _BATCH)
            self.store.add_texts(chunks[part], metadatas[part], ids=ids[part])

    def update(self, id: str, text: str) -> None:
        self._delete(id)
        self.write({id: text})

    def forget(self, id: str) -> None:
        self._delete(id)

    def read(self, question: str, k: int) -> list[Piece]:
        found = self.store.similarity_search(question, k=k)
        return [Piece(document.metadata[_DOCUMENT], document.page_content) for document in found]

    def ask(self, question: str, max_tokens: int = ANSWER_TOKENS, begin: str = "") -> Reply:
        self._chat.max_tokens, self._chat.begin, self._chat.reply = max_tokens, begin, None
        self._chat.started = started = time.perf_counter()
        text = self._chain.invoke({"query": question})["result"].strip()
        seconds = time.perf_counter() - started
        reply = self._chat.reply or Reply("", 0, seconds, seconds)
        return Reply(text, reply.prompt_tokens, reply.first_token, seconds)

    def close(self) -> None:
        self._chunks.clear()

    def _delete(self, id: str) -> None:
        ids = self._chunks.pop(id, [])
        if ids:
            self.store.delete(ids)
