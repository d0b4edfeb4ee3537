"""The vector store under LangChain's indexing, as a retriever, and under many callers."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.load import dumps

from langchain_larimar import LarimarVectorStore
from larimar_memory.larimar import Larimar

from .entries import FAKE, documents


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_indexing_adds_skips_replaces_and_cleans_up(
    entries: LarimarVectorStore, asynchronous: bool
) -> None:
    records = InMemoryRecordManager("larimar")
    records.create_schema()

    async def run(given: list[Document], cleanup: Any) -> dict[str, int]:
        options: dict[str, Any] = {
            "cleanup": cleanup,
            "source_id_key": "source",
            "key_encoder": "sha256",
        }
        if asynchronous:
            result = await aindex(given, records, entries, **options)
        else:
            result = index(given, records, entries, **options)
        return {name.removeprefix("num_"): n for name, n in result.items() if n}

    def held() -> set[str]:
        return {d.page_content for d in entries.similarity_search("any", k=50)}

    a = [Document(f"a{n}", metadata={"source": "a"}) for n in range(3)]
    b = [Document(f"b{n}", metadata={"source": "b"}) for n in range(2)]
    assert await run([*a, *b], "incremental") == {"added": 5}
    assert await run([*a, *b], "incremental") == {"skipped": 5}
    changed = [a[0], a[1], Document("a2, changed", metadata={"source": "a"})]
    assert await run(changed, "incremental") == {"added": 1, "skipped": 2, "deleted": 1}
    assert held() == {"a0", "a1", "a2, changed", "b0", "b1"}
    assert await run(b, "full") == {"skipped": 2, "deleted": 3}
    assert held() == {"b0", "b1"}
    assert await run([], "full") == {"deleted": 2}
    assert held() == set()


def test_as_a_retriever(entries: LarimarVectorStore) -> None:
    entries.add_documents(documents(30))
    similar = entries.as_retriever(search_kwargs={"k": 3})
    assert similar.invoke("entry 7") == entries.similarity_search("entry 7", k=3)
    assert similar.invoke("entry 7", k=1, verbose=False) == documents(8)[7:]
    filtered = entries.as_retriever(search_kwargs={"filter": {"n": 4}})
    assert filtered.invoke("entry 7") == documents(5)[4:]
    near = entries.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.999}
    )
    assert near.invoke("entry 7") == documents(8)[7:]
    mmr = entries.as_retriever(search_type="mmr", search_kwargs={"k": 5, "fetch_k": 30})
    assert mmr.invoke("entry 7") == entries.max_marginal_relevance_search("entry 7", 5, 30)
    assert mmr.invoke("entry 7") != entries.similarity_search("entry 7", k=5)
    assert similar.tags == ["LarimarVectorStore", "DeterministicFakeEmbedding"]
    assert similar._get_ls_params()["ls_vector_store_provider"] == "LarimarVectorStore"
    assert "entry 7" not in dumps(similar)


async def test_async_methods_do_what_the_others_do() -> None:
    given = documents(20)
    store = await LarimarVectorStore.afrom_documents(given, FAKE)
    other = await LarimarVectorStore.afrom_texts(
        [d.page_content for d in given], FAKE, [d.metadata for d in given], ids=[d.id for d in given]
    )
    vector = FAKE.embed_query("query")
    for each in (store, other):
        assert await each.aget_by_ids(["d3"]) == given[3:4]
        found = await each.asimilarity_search("query", k=3, filter={"even": True})
        assert found == store.similarity_search("query", k=3, filter={"even": True})
        assert await each.asimilarity_search_by_vector(vector, k=3) == store.similarity_search(
            "query", k=3
        )
        scored = await each.asimilarity_search_with_relevance_scores("query", k=3)
        assert scored == store.similarity_search_with_score("query", k=3)
        diverse = await each.amax_marginal_relevance_search("query", k=3)
        assert diverse == await each.amax_marginal_relevance_search_by_vector(vector, k=3)
        assert diverse == store.max_marginal_relevance_search("query", k=3)
    assert await store.aadd_texts(["more"], ids=["m"]) == ["m"]
    assert await store.as_retriever().ainvoke("more", k=1) == [Document("more", id="m")]
    assert await store.adelete() is True
    assert store.similarity_search("query") == []
    for each in (store, other):
        each.memory.close()


async def test_async_methods_leave_the_event_loop_free(
    entries: LarimarVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, both = list[int](), threading.Barrier(2, timeout=30)

    def watch(name: str) -> None:
        method = getattr(Larimar, name)

        def watched(self: Larimar, *args: Any, **options: Any) -> Any:
            threads.append(threading.get_ident())
            both.wait()
            return method(self, *args, **options)

        monkeypatch.setattr(Larimar, name, watched)

    watch("write")
    watch("search")
    watch("forget")
    await asyncio.gather(entries.aadd_texts(["a"], ids=["1"]), entries.aadd_documents([Document("b")]))
    first, second = await asyncio.gather(
        entries.asimilarity_search("a", k=1), entries.amax_marginal_relevance_search("a", k=1)
    )
    assert first == second == [Document("a", id="1")]
    await asyncio.gather(entries.adelete(["1"]), entries.adelete(["2"]))
    assert len(threads) == 6
    assert threading.get_ident() not in threads


def test_sixteen_callers_at_once(entries: LarimarVectorStore) -> None:
    entries.add_documents(documents(10))
    together = threading.Barrier(16, timeout=60)

    def work(n: int) -> None:
        own = LarimarVectorStore(memory=entries.memory, namespace=f"tenant {n % 4}")
        together.wait()
        for turn in range(4):
            text, id = f"caller {n} turn {turn}", f"{n}-{turn}"
            document = Document(text, id=id, metadata={"n": n})
            assert own.add_documents([document]) == [id]
            assert own.similarity_search(text, k=1, filter={"n": n}) == [document]
            assert own.get_by_ids([id]) == [document]
            assert own.max_marginal_relevance_search(text, k=1, filter={"n": n}) == [document]
            assert entries.similarity_search("entry 3", k=1) == documents(4)[3:]
            assert own.delete([id], purge=turn == 3)
            assert own.get_by_ids([id]) == []

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(work, n) for n in range(16)]:
            done.result(timeout=120)
    assert entries.memory.stats().documents == 10
