"""LangChain faces of a Larimar memory.

from langchain_larimar import LarimarRetrievalQA
from larimar_memory import Larimar

qa = LarimarRetrievalQA.from_llm(memory=Larimar.open("notes.larimar"))
print(qa.invoke("What is the pass key?")["result"])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_larimar.chat_models import ChatLarimar
    from langchain_larimar.conversation import LarimarMemory
    from langchain_larimar.embeddings import LarimarEmbeddings
    from langchain_larimar.embeddings_encoder import EmbeddingsEncoder
    from langchain_larimar.graph_store import LarimarStore
    from langchain_larimar.message_history import LarimarChatMessageHistory
    from langchain_larimar.middleware import LarimarMiddleware
    from langchain_larimar.retrieval_qa import LarimarRetrievalQA
    from langchain_larimar.retrievers import LarimarRetriever
    from langchain_larimar.tools import larimar_tools
    from langchain_larimar.vectorstores import LarimarVectorStore

# Names are imported when first used, so that importing this package alone loads no model library.
_MODULES = {
    "ChatLarimar": "langchain_larimar.chat_models",
    "EmbeddingsEncoder": "langchain_larimar.embeddings_encoder",
    "LarimarChatMessageHistory": "langchain_larimar.message_history",
    "LarimarEmbeddings": "langchain_larimar.embeddings",
    "LarimarMemory": "langchain_larimar.conversation",
    "LarimarMiddleware": "langchain_larimar.middleware",
    "LarimarRetrievalQA": "langchain_larimar.retrieval_qa",
    "LarimarRetriever": "langchain_larimar.retrievers",
    "LarimarStore": "langchain_larimar.graph_store",
    "LarimarVectorStore": "langchain_larimar.vectorstores",
    "larimar_tools": "langchain_larimar.tools",
}

__all__ = [
    "ChatLarimar",
    "EmbeddingsEncoder",
    "LarimarChatMessageHistory",
    "LarimarEmbeddings",
    "LarimarMemory",
    "LarimarMiddleware",
    "LarimarRetrievalQA",
    "LarimarRetriever",
    "LarimarStore",
    "LarimarVectorStore",
    "larimar_tools",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
