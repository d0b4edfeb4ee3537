"""How many documents a search can name, by which argument, and how long a query may be."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListChatModel
from pydantic import ValidationError

from langchain_larimar import (
    ChatLarimar,
    LarimarRetrievalQA,
    LarimarRetriever,
    LarimarStore,
    LarimarVectorStore,
    larimar_tools,
)
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from tests.growth import growth
from tests.quick import QuickEncoder

COUNT = 30
FAKE = DeterministicFakeEmbedding(size=6)
MANY = (COUNT, 1_001, 2_000, 10**9, 10**30, np.int64(2_000))
WRONG: tuple[Any, ...] = (0, -3, True, 2.5, "3", np.float32(3))


@pytest.fixture
def store() -> Iterator[LarimarVectorStore]:
    opened = LarimarVectorStore(FAKE)
    opened.add_documents([Document(f"entry {n}", id=f"d{n}", metadata={"n": n}) for n in range(COUNT)])
    yield opened
    opened.memory.close()


@pytest.mark.parametrize("k", MANY)
async def test_more_than_there_is_finds_all(store: LarimarVectorStore, k: Any) -> None:
    vector = FAKE.embed_query("entry")
    retrievers = [
        store.as_retriever(search_type=kind, search_kwargs={"k": k, **more})
        for kind, more in (
            ("similarity", {}),
            ("mmr", {}),
            ("mmr", {"fetch_k": 10**12}),
            ("similarity_score_threshold", {"score_threshold": 0.0}),
        )
    ]
    for found in (
        store.similarity_search("entry", k),
        store.similarity_search("entry", k, hybrid=True),
        store.similarity_search_with_score("entry", k),
        store.similarity_search_by_vector(vector, k),
        store.max_marginal_relevance_search("entry", k),
        store.max_marginal_relevance_search_by_vector(vector, k),
        await store.asimilarity_search("entry", k),
        store.similarity_search("", k, {"n": {"$gte": 0}}),
        LarimarRetriever(memory=store.memory, k=k).invoke("entry"),
        LarimarRetriever(memory=store.memory).invoke("entry", k=k),
        LarimarRetriever(memory=store.memory, k=k, where={}).invoke(""),
        *[retriever.invoke("entry") for retriever in retrievers],
    ):
        assert len(found) == COUNT
    assert len(store.similarity_search("entry", k, {"n": {"$lt": 4}})) == 4


@pytest.mark.parametrize("fetch_k", [1, 20, *MANY])
def test_as_many_as_wanted_are_chosen_of_any_number(store: LarimarVectorStore, fetch_k: Any) -> None:
    found = store.max_marginal_relevance_search("entry 7", 3, fetch_k)
    assert len(found) == 3
    assert found[0].id == "d7"
    retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 3, "fetch_k": fetch_k})
    assert retriever.invoke("entry 7") == found
    vector = FAKE.embed_query("entry 7")
    assert store.max_marginal_relevance_search_by_vector(vector, 3, fetch_k) == found


def test_what_is_for_another_search_changes_nothing(store: LarimarVectorStore) -> None:
    more: dict[str, Any] = {"fetch_k": 2_000, "lambda_mult": 0.25}
    expected = store.similarity_search("entry 7", 3)
    vector = FAKE.embed_query("entry 7")
    assert store.similarity_search("entry 7", 3, **more) == expected
    assert [d for d, _ in store.similarity_search_with_score("entry 7", 3, **more)] == expected
    assert store.similarity_search_by_vector(vector, 3, **more) == expected
    scored = store.similarity_search_with_relevance_scores("entry 7", 3, **more)
    assert [d for d, _ in scored] == expected
    assert store.as_retriever(search_kwargs={"k": 3, **more}).invoke("entry 7") == expected
    with pytest.raises(InputError, match="cannot search with 'nprobe'"):
        store.similarity_search("entry 7", 3, nprobe=1, **more)


@pytest.mark.parametrize("wrong", WRONG)
def test_an_error_names_the_argument_that_was_given(store: LarimarVectorStore, wrong: Any) -> None:
    vector = FAKE.embed_query("entry")
    for search in (
        lambda: store.similarity_search("entry", wrong),
        lambda: store.similarity_search("", wrong),
        lambda: store.max_marginal_relevance_search("entry", wrong),
        lambda: store.max_marginal_relevance_search_by_vector(vector, wrong),
        lambda: LarimarRetriever(memory=store.memory).invoke("entry", k=wrong),
    ):
        with pytest.raises(InputError) as refused:
            search()
        assert f"cannot be read with k={wrong!r}. k is the number of" in str(refused.value)
    for search in (
        lambda: store.max_marginal_relevance_search("entry", 3, wrong),
        lambda: store.max_marginal_relevance_search("", 3, wrong),
        lambda: store.max_marginal_relevance_search_by_vector(vector, 3, wrong),
    ):
        with pytest.raises(InputError) as refused:
            search()
        assert f"with fetch_k={wrong!r}. fetch_k is the number of segments to choose" in str(
            refused.value
        )


def test_settings_count_in_whole_numbers(store: LarimarVectorStore) -> None:
    assert LarimarRetriever(memory=store.memory, k=np.int32(3)).k == 3
    assert ChatLarimar(memory=store.memory, k=np.int64(3)).k == 3
    for face in (LarimarRetriever, ChatLarimar):
        for wrong in (True, 0, np.int64(-1)):
            with pytest.raises((InputError, ValidationError), match="k"):
                face(memory=store.memory, k=wrong)


def test_other_faces_take_any_number() -> None:
    with Larimar.open(None, encoder=QuickEncoder(), threshold=0.0) as memory:
        memory.write([f"Keeper {n} sat down." for n in range(COUNT)])
        llm = FakeListChatModel(responses=["Yes."])
        recall = larimar_tools(memory, namespace="default", k=10**9)[1]
        ask = {"name": "recall", "args": {"question": "Who?"}, "id": "1", "type": "tool_call"}
        assert len(recall.invoke(ask).artifact) == COUNT
        qa = LarimarRetrievalQA.from_llm(llm, memory=memory, k=5_000)
        assert len(qa.invoke("Who sat down?")["source_documents"]) == COUNT
        assert len(qa.invoke("Who sat down?", k=10**9)["source_documents"]) == COUNT
        items = LarimarStore(memory)
        for n in range(COUNT):
            items.put(("a",), str(n), {"text": f"Keeper {n}."})
        for limit in (5_000, 10**9, np.int64(5_000)):
            assert len(items.search(("a",), query="Who?", limit=limit)) == COUNT
        with pytest.raises(InputError, match=r"cannot be read with limit=.*from 0 to 1,000,000,000"):
            items.search(("a",), query="Who?", limit=10**9 + 1)


LONG = {
    "one word": "the " * 25_000,
    "few words": "and so on by the lamp " * 4_500,
    "words that differ": " ".join(f"w{n}" for n in range(17_000)),
    "one letter": "x" * 100_000,
}


@pytest.mark.parametrize("name", LONG)
async def test_the_time_of_a_query_grows_with_its_length_alone(
    store: LarimarVectorStore, name: str
) -> None:
    query = LONG[name]
    store.add_texts([query, query[: len(query) // 2], *("the lamp and so on " * 4_000,) * 20])
    found = [
        store.similarity_search(query, 1),
        await store.asimilarity_search(query, 1),
        store.similarity_search_with_score(query, 1)[0][:1],
        store.max_marginal_relevance_search(query, 1),
        LarimarRetriever(memory=store.memory, k=1, hybrid=False).invoke(query),
    ]
    assert all(documents[0].page_content == query for documents in found)
    assert len(LarimarRetriever(memory=store.memory).invoke(query)) == 5
    for hybrid in (False, True):
        search = partial(store.similarity_search, k=5, hybrid=hybrid)
        assert growth(lambda n, search=search: search(query[:n]), 25_000, 100_000) < 10
