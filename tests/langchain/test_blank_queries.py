"""A blank query asks for what passes the filter, and for nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.chains.query_constructor.schema import AttributeInfo
from langchain_classic.retrievers.self_query.base import SelfQueryRetriever
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListChatModel
from langchain_core.structured_query import Comparator, Comparison, Operation, Operator, StructuredQuery
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_larimar import LarimarRetrievalQA, LarimarRetriever, LarimarStore, LarimarVectorStore
from langchain_larimar.documents import ScoredDocuments
from langchain_larimar.self_query import LarimarTranslator
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from tests.quick import QuickEncoder

FAKE = DeterministicFakeEmbedding(size=6)
BLANK = ["", " ", "\n\t ", "\u00a0\u2003"]


def documents(count: int) -> list[Document]:
    return [
        Document(f"entry {n}", id=f"d{n}", metadata={"n": n, "even": not n % 2}) for n in range(count)
    ]


@pytest.fixture(params=["ram", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LarimarVectorStore]:
    opened = LarimarVectorStore(FAKE, path=None if request.param == "ram" else tmp_path / "m.larimar")
    opened.add_documents(documents(12))
    yield opened
    opened.memory.close()


def retrieved(search_type: str, **more: Any) -> Callable[..., list[Document]]:
    def search(store: LarimarVectorStore, query: str, k: int, wanted: Any) -> list[Document]:
        options = {"k": k, "filter": wanted, **more}
        retriever = store.as_retriever(search_type=search_type, search_kwargs=options)
        found = retriever.invoke(query)
        assert asyncio.run(retriever.ainvoke(query)) == found
        return found

    return search


def recalled(store: LarimarVectorStore, query: str, k: int, wanted: Any) -> list[Document]:
    retriever = LarimarRetriever(memory=store.memory, k=k, where=wanted, score_threshold=None)
    found = retriever.invoke(query)
    assert asyncio.run(retriever.ainvoke(query)) == found
    assert isinstance(found, ScoredDocuments)
    assert found.scores == [1.0] * len(found)
    assert sum(segment.weight for segment in found.segments) == pytest.approx(float(bool(found)))
    return [d.model_copy(update={"id": str(d.id).partition("#")[0]}) for d in found]


SEARCHES: list[Callable[..., list[Document]]] = [
    lambda s, q, k, f: s.similarity_search(q, k, f),
    lambda s, q, k, f: s.similarity_search(q, k, f, hybrid=True),
    lambda s, q, k, f: [d for d, _ in s.similarity_search_with_score(q, k, f)],
    lambda s, q, k, f: [
        d for d, _ in s.similarity_search_with_relevance_scores(q, k, filter=f, score_threshold=0.9)
    ],
    lambda s, q, k, f: s.max_marginal_relevance_search(q, k, filter=f),
    lambda s, q, k, f: asyncio.run(s.asimilarity_search(q, k, filter=f)),
    lambda s, q, k, f: asyncio.run(s.amax_marginal_relevance_search(q, k, filter=f)),
    lambda s, q, k, f: [
        d for d, _ in asyncio.run(s.asimilarity_search_with_relevance_scores(q, k, filter=f))
    ],
    lambda s, q, k, f: s.search(q, "similarity", k=k, filter=f),
    retrieved("similarity"),
    retrieved("mmr", fetch_k=50),
    retrieved("similarity_score_threshold", score_threshold=0.5),
    recalled,
]


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("blank", BLANK)
def test_what_passes_the_filter_is_found(
    store: LarimarVectorStore, search: Callable[..., list[Document]], blank: str
) -> None:
    def found(k: int, wanted: Any) -> list[int]:
        return sorted(int(str(d.id)[1:]) for d in search(store, blank, k, wanted))

    assert found(20, {"even": True}) == [0, 2, 4, 6, 8, 10]
    assert found(20, {"n": {"$gte": 9}, "even": False}) == [9, 11]
    assert found(20, {"n": 99}) == []
    assert found(20, {}) == list(range(12))
    assert len(found(2, {"even": True})) == 2
    assert set(found(2, {"even": True})) <= {0, 2, 4, 6, 8, 10}
    with pytest.raises(InputError, match=r"In it, '\$no' is no operator"):
        found(2, {"n": {"$no": 1}})
    with pytest.raises(InputError, match="k=0"):
        found(0, {"even": True})


@pytest.mark.parametrize("k", [1, 4, 50])
def test_as_many_as_langchains_own_store_gives(store: LarimarVectorStore, k: int) -> None:
    reference = InMemoryVectorStore(FAKE)
    reference.add_documents(documents(12))
    even = {d.id for d in reference.similarity_search("", 50, filter=lambda d: d.metadata["even"])}
    assert {d.id for d in store.similarity_search("", 50, {"even": True})} == even
    assert len(store.similarity_search("", k)) == len(reference.similarity_search("", k))
    assert len(store.max_marginal_relevance_search(" ", k)) == min(k, 12)


def test_in_the_order_of_its_writing(store: LarimarVectorStore) -> None:
    assert store.similarity_search("", 3) == documents(3)
    assert store.similarity_search(" ", 2, {"even": True}) == documents(3)[::2]
    scored = store.similarity_search_with_score("", 2, {"even": True})
    assert [score for _, score in scored] == [1.0, 1.0]
    store.delete(["d0"])
    store.add_documents(documents(1))
    assert [d.id for d in store.similarity_search("", 50)] == [*(f"d{n}" for n in range(1, 12)), "d0"]


def test_nothing_of_another_namespace_passes(store: LarimarVectorStore) -> None:
    other = LarimarVectorStore(memory=store.memory, namespace="other")
    assert other.similarity_search("", 9, {"even": True}) == other.similarity_search("") == []
    other.add_texts(["theirs"], [{"even": True}], ids=["x"])
    assert [d.id for d in other.similarity_search("", 9, {"even": True})] == ["x"]
    assert "x" not in {d.id for d in store.similarity_search("", 50)}


def test_the_encoder_is_not_asked_what_a_blank_means(monkeypatch: pytest.MonkeyPatch) -> None:
    store = LarimarVectorStore(FAKE)
    store.add_documents(documents(3))
    monkeypatch.setattr(DeterministicFakeEmbedding, "embed_query", None)
    assert store.similarity_search("", 2, {"even": True}) == documents(3)[::2]
    assert len(store.max_marginal_relevance_search("", 2, filter={"even": True})) == 2


@pytest.mark.parametrize("k", [1, 3, 4, 9])
def test_of_longer_texts_the_first_segments(k: int) -> None:
    with Larimar.open(None, encoder=QuickEncoder()) as memory:
        long = " ".join(f"Sentence {n} of the long text says what number it is." for n in range(3))
        memory.write([long, long], ["a", "b"], [{"of": "a"}, {"of": "b"}])
        ids = [*(f"a#{n}" for n in range(3)), *(f"b#{n}" for n in range(3))][:k]
        retriever = LarimarRetriever(memory=memory, k=k)
        assert [d.id for d in retriever.invoke("", where={"of": {"$in": ["a", "b"]}})] == ids
        assert [d.id for d in LarimarVectorStore(memory=memory).similarity_search("", k)] == ids
        near = retriever.invoke("", where={"of": "b"}, neighbours=1)
        assert long.startswith(near[0].page_content)
        assert near[0].page_content.count("Sentence") == 2


async def test_without_a_filter_a_retriever_is_asked_nothing(store: LarimarVectorStore) -> None:
    retriever = LarimarRetriever(memory=store.memory)
    for blank in BLANK:
        with pytest.raises(InputError, match=r"The question cannot be answered\. It is empty"):
            retriever.invoke(blank)
        with pytest.raises(InputError, match="It is empty"):
            await retriever.ainvoke(blank)
        with pytest.raises(InputError, match="It is empty"):
            store.memory.read(blank, where={"even": True})
        with pytest.raises(InputError, match="It is empty"):
            store.memory.search(blank, where={"even": True})


def test_a_langgraph_store_lists_what_passes() -> None:
    with Larimar.open(None, encoder=QuickEncoder()) as memory:
        items = LarimarStore(memory)
        for n in range(4):
            items.put(("users", "ana"), str(n), {"text": f"Item {n}.", "even": not n % 2})
        listed = items.search(("users",), filter={"even": True})
        assert [item.key for item in listed] == ["0", "2"]
        for blank in BLANK:
            assert items.search(("users",), query=blank, filter={"even": True}) == listed


def test_a_model_is_asked_about_what_passes(store: LarimarVectorStore) -> None:
    qa = LarimarRetrievalQA.from_llm(FakeListChatModel(responses=["Six."]), memory=store.memory)
    output = qa.invoke(" ", where={"n": {"$lt": 2}})
    assert [d.metadata["n"] for d in output["source_documents"]] == [0, 1]
    assert output["result"] == "Six."


def query(text: str, filter: str, limit: str = "") -> str:
    return f'```json\n{{"query": "{text}", "filter": "{filter}"{limit}}}\n```'


FIELDS = [
    AttributeInfo(name="n", description="the entry's number", type="integer"),
    AttributeInfo(name="even", description="whether it is even", type="boolean"),
    AttributeInfo(name="day", description="when it was", type="date"),
]


def asking(store: LarimarVectorStore, said: str, **options: Any) -> SelfQueryRetriever:
    return SelfQueryRetriever.from_llm(
        FakeListChatModel(responses=[said]),
        store,
        "Numbered entries",
        FIELDS,
        structured_query_translator=LarimarTranslator(),
        enable_limit=True,
        **options,
    )


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ('gt(\\"n\\", 8)', [9, 10, 11]),
        ('and(gte(\\"n\\", 4), lt(\\"n\\", 8))', [4, 5, 6, 7]),
        ('or(eq(\\"n\\", 4), lte(\\"n\\", 1))', [0, 1, 4]),
        ('and(eq(\\"even\\", true), ne(\\"n\\", 0), not(gt(\\"n\\", 5)))', [2, 4]),
        ('in(\\"n\\", [1, 3, 99])', [1, 3]),
        ('nin(\\"n\\", [0, 1, 2, 3, 4, 5, 6, 7, 8])', [9, 10, 11]),
        ("NO_FILTER", list(range(12))),
    ],
)
@pytest.mark.parametrize("search_type", ["similarity", "mmr"])
@pytest.mark.parametrize("text", ["", " ", "entry"])
async def test_a_self_query_retriever(
    store: LarimarVectorStore, filter: str, found: list[int], search_type: str, text: str
) -> None:
    retriever = asking(store, query(text, filter), search_type=search_type, search_kwargs={"k": 20})
    given = retriever.invoke("Which entries are there?")
    assert sorted(d.metadata["n"] for d in given) == found
    assert [d.id for d in await retriever.ainvoke("Which entries are there?")] == [d.id for d in given]


def test_a_self_query_retriever_limits_and_compares_dates(store: LarimarVectorStore) -> None:
    limited = asking(store, query("", 'gt(\\"n\\", 2)', ', "limit": 3')).invoke("Name three.")
    assert [d.metadata["n"] for d in limited] == [3, 4, 5]
    store.add_texts(["old", "new"], [{"day": "2023-12-31"}, {"day": "2024-05-01"}])
    dated = asking(store, query("", 'gte(\\"day\\", \\"2024-01-01\\")')).invoke("What is new?")
    assert [d.page_content for d in dated] == ["new"]


def test_what_a_translator_makes() -> None:
    def compared(value: Any, by: Comparator = Comparator.EQ) -> Comparison:
        return Comparison(comparator=by, attribute="a", value=value)

    translator = LarimarTranslator()
    day = {"date": "2024-05-01", "type": "date"}
    moment = {"datetime": "2024-05-01T10:00:00", "type": "datetime"}
    for given, made in (
        (compared(day, Comparator.GT), {"a": {"$gt": "2024-05-01"}}),
        (compared(moment), {"a": {"$eq": "2024-05-01T10:00:00"}}),
        (compared([day, 3], Comparator.IN), {"a": {"$in": ["2024-05-01", 3]}}),
        (
            Operation(operator=Operator.NOT, arguments=[compared(1), compared(2)]),
            {"$not": {"$and": [{"a": {"$eq": 1}}, {"a": {"$eq": 2}}]}},
        ),
    ):
        asked = StructuredQuery(query="q", filter=given, limit=None)
        assert translator.visit_structured_query(asked) == ("q", {"filter": made})
    with pytest.raises(ValueError, match="disallowed comparator"):
        compared("x", Comparator.LIKE).accept(translator)
