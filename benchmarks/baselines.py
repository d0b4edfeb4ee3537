"""What Larimar is compared with: LangChain's documented way from texts to a vector store."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from larimar_memory.models import finding

PACKAGES = (
    "faiss-cpu",
    "langchain-core",
    "langchain-huggingface",
    "langchain-text-splitters",
    "sentence-transformers",
)

CHUNK_CHARS, OVERLAP_CHARS = 1000, 200


class LangChainPipeline:
    """Split with overlap, embed with sentence-transformers, index in FAISS; all as documented.

    Args:
        model: folder of the sentence encoder, the same that Larimar uses.
    """

    def __init__(self, model: Path) -> None:
        self._splitter = import_module("langchain_text_splitters").RecursiveCharacterTextSplitter(
            chunk_size=CHUNK_CHARS, chunk_overlap=OVERLAP_CHARS
        )
        self._embeddings = import_module("langchain_huggingface").HuggingFaceEmbeddings(
            model_name=str(model)
        )

    @classmethod
    def default(cls) -> LangChainPipeline:
        """With the model files of Larimar's default encoder."""
        return cls(finding.resolve(finding.DEFAULT_ENCODER))

    def write(self, texts: Sequence[str]) -> int:
        """Index the texts, in RAM; returns how many chunks they were cut into."""
        chunks = [chunk for text in texts for chunk in self._splitter.split_text(text)]
        store = import_module("benchmarks.faiss_store").FaissStore
        return len(store.from_texts(chunks, self._embeddings))
