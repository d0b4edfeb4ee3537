"""Maximal marginal relevance: as it is defined, and as LangChain chooses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from langchain_larimar import LarimarVectorStore
from langchain_larimar.diversity import marginal_relevance

from .entries import FAKE, Plane, documents, names


def check_mmr(
    chosen: list[int], query: np.ndarray, keys: np.ndarray, k: int, trade: float, error: float
) -> None:
    """Every choice has, as far as rounding goes, the largest value of those that were left."""
    unit_keys = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    relevance = unit_keys @ (query / np.linalg.norm(query))
    assert len(chosen) == len(set(chosen)) == min(k, len(keys))
    for step, choice in enumerate(chosen):
        before = chosen[:step]
        value = {
            n: relevance[n]
            if not before
            else trade * relevance[n] - (1 - trade) * max(unit_keys[n] @ unit_keys[b] for b in before)
            for n in range(len(keys))
            if n not in before
        }
        assert value[choice] >= max(value.values()) - error


vectors = st.lists(st.integers(-9, 9), min_size=3, max_size=3).filter(any)


@given(st.lists(vectors, min_size=1, max_size=12), vectors, st.integers(1, 13), st.floats(0, 1))
def test_marginal_relevance(drawn: list[list[int]], asked: list[int], k: int, trade: float) -> None:
    keys, query = np.array(drawn, dtype=np.float64), np.array(asked, dtype=np.float64)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    chosen = marginal_relevance(keys @ (query / np.linalg.norm(query)), keys, k, trade)
    check_mmr(chosen, query, keys, k, trade, 1e-12)


@given(st.lists(vectors, min_size=1, max_size=9), vectors, st.integers(1, 10), st.floats(0, 1))
def test_marginal_relevance_of_a_store(
    drawn: list[list[int]], asked: list[int], k: int, trade: float
) -> None:
    store, query = LarimarVectorStore(Plane()), " ".join(map(str, asked))
    store.add_texts([" ".join(map(str, v)) for v in drawn], ids=[str(n) for n in range(len(drawn))])
    keys, near = np.array(drawn, dtype=np.float64), np.array(asked, dtype=np.float64)
    for found in (
        store.max_marginal_relevance_search(query, k, lambda_mult=trade),
        store.max_marginal_relevance_search_by_vector(asked, k, lambda_mult=trade),
    ):
        check_mmr([int(str(d.id)) for d in found], near, keys, k, trade, 5e-3)
    store.memory.close()


@pytest.mark.parametrize("trade", [0.0, 0.3, 0.5, 1.0])
def test_the_same_choice_as_langchains(entries: LarimarVectorStore, trade: float) -> None:
    entries.add_documents(documents(30))
    vectors = FAKE.embed_documents([f"entry {n}" for n in range(30)])
    asked = FAKE.embed_query("a query")
    expected = maximal_marginal_relevance(np.array(asked), vectors, trade, k=8)
    found = entries.max_marginal_relevance_search("a query", 8, 30, trade)
    assert names(found) == [f"d{n}" for n in expected]
    assert entries.max_marginal_relevance_search_by_vector(asked, 8, 30, trade) == found
    near = names(entries.similarity_search("a query", k=10))
    assert set(names(entries.max_marginal_relevance_search("a query", 8, 10, trade))) < set(near)
    assert len(entries.max_marginal_relevance_search("a query", 25, 10, trade)) == 25
    even = entries.max_marginal_relevance_search("a query", 30, filter={"even": True})
    assert sorted(d.metadata["n"] for d in even) == list(range(0, 30, 2))
