"""LangMem's memory tools over LangGraph's store in RAM, as an agent would call them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from langchain_core.embeddings import Embeddings
from langgraph.store.memory import InMemoryStore

_NAMESPACE = ("memories", "{conversation}")


class LangMem:
    """Texts as memories of their own, each with a vector; no language model.

    An agent's model would choose what to remember. Here every text is remembered, word for word. The
    tools and the store have their defaults: a memory is embedded as the JSON that the store keeps.

    Args:
        embeddings: make the vectors of memories and questions.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        langmem: Any = import_module("langmem")
        dims = len(embeddings.embed_query("."))
        store = InMemoryStore(index={"dims": dims, "embed": embeddings})
        self._manage = langmem.create_manage_memory_tool(_NAMESPACE, store=store)
        self._search = langmem.create_search_memory_tool(_NAMESPACE, store=store)
        self._ids = dict[str, str]()

    def write(self, namespace: str, texts: Mapping[str, str]) -> None:
        """Remember texts, by id, one call of the tool for each."""
        for id, text in texts.items():
            told: str = self._manage.invoke({"content": text}, _within(namespace))
            # The tool names the memory only in what it tells the agent: "created memory KEY".
            self._ids[told.rpartition(" ")[2]] = id

    def search(self, namespace: str, question: str, k: int) -> list[tuple[str, str]]:
        """The ids and texts of the k memories that are nearest, nearest first."""
        told: str = self._search.invoke({"query": question, "limit": k}, _within(namespace))
        return [(self._ids[item["key"]], item["value"]["content"]) for item in json.loads(told)]


def _within(namespace: str) -> dict[str, dict[str, str]]:
    return {"configurable": {"conversation": namespace}}
