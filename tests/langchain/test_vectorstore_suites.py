"""LangChain's own suite for vector stores, in every place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from langchain_larimar import LarimarVectorStore
from larimar_memory.larimar import Larimar


class TestInRam(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[VectorStore]:
        store = LarimarVectorStore(self.get_embeddings())
        yield store
        store.memory.close()


class TestInAFile(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:
        store = LarimarVectorStore(self.get_embeddings(), path=tmp_path / "m.larimar")
        yield store
        store.memory.close()


class TestInADatabase(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, address: str) -> Iterator[VectorStore]:
        store = LarimarVectorStore(self.get_embeddings(), path=address)
        yield store
        store.memory.close()


class TestHybrid(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[VectorStore]:
        store = LarimarVectorStore(self.get_embeddings(), hybrid=True)
        yield store
        store.memory.close()


class TestBundledEncoder(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, memory: Larimar) -> VectorStore:
        return LarimarVectorStore(memory=memory, namespace="documents")
