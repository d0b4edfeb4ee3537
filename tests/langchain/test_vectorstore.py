"""The vector store: LangChain's own suite, its in-memory store as a reference, and daily use."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.load import dumps
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from langchain_larimar import EmbeddingsEncoder, LarimarEmbeddings, LarimarRetriever, LarimarVectorStore
from langchain_larimar.diversity import marginal_relevance
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import EncoderMismatchError, InputError
from larimar_memory.larimar import Larimar

from .conftest import PLACES, QUESTION, TEXTS, place

FAKE = DeterministicFakeEmbedding(size=6)
LONG = "The pass key of the vault is 71432. " + "Lentils are served on Fridays.\n\n" * 200


class Plane(Embeddings):
    """A text is the numbers it consists of."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        numbers = text.split() if text != "dimension" else ["1", "0", "0"]
        return [float(number) for number in numbers]


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


@pytest.fixture(params=PLACES)
def store(request: pytest.FixtureRequest) -> Iterator[LarimarVectorStore]:
    opened = LarimarVectorStore(FAKE, path=place(request))
    yield opened
    opened.memory.close()


def documents(count: int) -> list[Document]:
    return [
        Document(f"entry {n}", id=f"d{n}", metadata={"n": n, "even": n % 2 == 0, "tags": ["x", n]})
        for n in range(count)
    ]


def names(found: list[Document]) -> list[str | None]:
    return [document.id for document in found]


def test_an_entry_comes_back_whole_and_equal(store: LarimarVectorStore) -> None:
    given = [
        Document(LONG, id="long", metadata={"score": 3, "source": "a", "nested": {"list": [1, None]}}),
        Document("  blanks around it \n\n", id="blanks"),
        Document("A heading\n\n", id="heading"),
        Document("日本語 🙂 e\u0301", id="日本", metadata={"ключ": "значение"}),
    ]
    assert store.add_documents(given) == names(given)
    assert store.get_by_ids(["heading", "absent", "long", "heading", "blanks", "日本"]) == [
        given[2],
        given[0],
        given[1],
        given[3],
    ]
    for document in given:
        assert store.similarity_search(document.page_content, k=1) == [document]
    assert len(store.similarity_search("none of these", k=9)) == 4
    assert store.memory.stats().segments == 4


def test_an_entry_that_the_memory_updates_stays_one(store: LarimarVectorStore) -> None:
    store.add_documents([Document(LONG, id="long", metadata={"source": "a"})])
    store.memory.update("long", LONG + "The end.")
    told = Document(LONG + "The end.", id="long", metadata={"source": "a"})
    assert store.similarity_search(LONG, k=9) == store.get_by_ids(["long"]) == [told]


def test_what_a_caller_does_with_a_document_stays_with_the_caller(store: LarimarVectorStore) -> None:
    (given,) = documents(1)
    store.add_documents([given])
    given.metadata["tags"].append("after")
    for found in (*store.similarity_search("entry 0"), *store.get_by_ids(["d0"])):
        assert found.metadata == documents(1)[0].metadata
        found.metadata["tags"].append("mine")
        found.metadata["n"] = "mine"
    assert store.get_by_ids(["d0"]) == store.similarity_search("entry 0") == documents(1)


def test_ids(store: LarimarVectorStore) -> None:
    first = store.add_texts(["same", "same"])
    assert len({*first, *store.add_texts(["same"])}) == 3
    assert len(store.similarity_search("same", k=9)) == 3
    store.delete()
    assert store.add_documents([Document("a", id="own"), Document("b")], ids=None)[0] == "own"
    assert store.add_documents([Document("a", id="own")], ids=["other"]) == ["other"]
    assert store.add_texts(["a", "b"], [{"v": 1}, None], ids=["x", "x"]) == ["x", "x"]  # type: ignore[list-item]
    assert store.get_by_ids(["x"]) == [Document("b", id="x")]
    assert store.add_texts(iter(["c"]), ids=["y"]) == ["y"]
    assert store.add_texts([]) == store.add_documents([]) == store.get_by_ids([]) == []


@given(st.lists(st.text("abc ", min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=9))
def test_the_same_as_langchains_own_store(texts: list[str]) -> None:
    named = [f"d{n}" for n in range(len(texts))]
    store, reference = LarimarVectorStore(FAKE), InMemoryVectorStore(FAKE)
    for each in (store, reference):
        each.add_texts([text.strip() for text in texts], ids=named)
    vector = FAKE.embed_query("abc")
    cosines = {d.id: score for d, score in reference.similarity_search_with_score("abc", k=20)}
    for k in (1, 3, 20):
        scored = store.similarity_search_with_score("abc", k)
        expected = sorted(cosines.values(), reverse=True)[:k]
        found = [cosines[d.id] for d, _ in scored]
        np.testing.assert_allclose(found, expected, atol=2e-3)
        np.testing.assert_allclose([s for _, s in scored], np.clip(found, 0, 1), atol=2e-3)
        assert store.similarity_search("abc", k) == [d for d, _ in scored]
        assert store.similarity_search_by_vector(vector, k) == [d for d, _ in scored]
    store.memory.close()


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
def test_the_same_choice_as_langchains(store: LarimarVectorStore, trade: float) -> None:
    store.add_documents(documents(30))
    vectors = FAKE.embed_documents([f"entry {n}" for n in range(30)])
    asked = FAKE.embed_query("a query")
    expected = maximal_marginal_relevance(np.array(asked), vectors, trade, k=8)
    found = store.max_marginal_relevance_search("a query", 8, 30, trade)
    assert names(found) == [f"d{n}" for n in expected]
    assert store.max_marginal_relevance_search_by_vector(asked, 8, 30, trade) == found
    near = names(store.similarity_search("a query", k=10))
    assert set(names(store.max_marginal_relevance_search("a query", 8, 10, trade))) < set(near)
    assert len(store.max_marginal_relevance_search("a query", 25, 10, trade)) == 25
    even = store.max_marginal_relevance_search("a query", 30, filter={"even": True})
    assert sorted(d.metadata["n"] for d in even) == list(range(0, 30, 2))


def test_scores_lie_between_0_and_1() -> None:
    store = LarimarVectorStore(Plane())
    store.add_texts(["5 0 0", "-5 0 0", "0 1 0", "3 4 0", "0 0 0"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scored = store.similarity_search_with_relevance_scores("2 0 0", k=9)
    assert [d.page_content for d, _ in scored] == ["5 0 0", "3 4 0", "0 1 0", "0 0 0", "-5 0 0"]
    assert [s for _, s in scored] == pytest.approx([1, 0.6, 0, 0, 0], abs=1e-3)
    assert all(0 <= s <= 1 for _, s in scored)
    assert scored == store.similarity_search_with_score("2 0 0", k=9)
    strict = store.similarity_search_with_relevance_scores("2 0 0", k=9, score_threshold=0.5)
    assert [d.page_content for d, _ in strict] == ["5 0 0", "3 4 0"]
    store.memory.close()


def test_filters(store: LarimarVectorStore) -> None:
    store.add_documents(documents(12))
    late = {"n": {"$gte": 6}, "even": True}
    for found in (
        store.similarity_search("entry", k=12, filter=late),
        store.similarity_search("entry", 12, late),
        [d for d, _ in store.similarity_search_with_score("entry", k=12, filter=late)],
        [d for d, _ in store.similarity_search_with_relevance_scores("entry", k=12, filter=late)],
        store.similarity_search_by_vector(FAKE.embed_query("entry"), k=12, filter=late),
        store.max_marginal_relevance_search("entry", k=12, filter=late),
        store.max_marginal_relevance_search_by_vector([1.0] * 6, k=12, filter=late),
    ):
        assert sorted(d.metadata["n"] for d in found) == [6, 8, 10]
    with pytest.raises(InputError, match=r"The metadata filter cannot be used\. In it, '\$no'"):
        store.similarity_search("entry", filter={"n": {"$no": 1}})
    assert store.delete(filter={"n": {"$lt": 10}}) is True
    assert store.delete(["d10"], filter={"even": False}) is True
    assert sorted(d.metadata["n"] for d in store.similarity_search("entry", k=12)) == [10, 11]


def test_hybrid_counts_words(memory: Larimar) -> None:
    plain = LarimarVectorStore(memory=memory)
    codes = [f"The code of part {n} is QX-{n * 7919 % 10000:04d}-ZK." for n in range(60)]
    plain.add_texts(codes, ids=[str(n) for n in range(60)])
    asked = f"QX-{41 * 7919 % 10000:04d}-ZK"
    hybrid = LarimarVectorStore(memory=memory, hybrid=True)
    assert names(hybrid.similarity_search(asked, k=1)) == ["41"]
    assert plain.similarity_search(asked, k=5, hybrid=True) == hybrid.similarity_search(asked, k=5)
    by_vector = hybrid.similarity_search_by_vector(plain.embeddings.embed_query(asked), k=60)
    assert plain.similarity_search(asked, k=60) == by_vector
    assert hybrid.similarity_search(asked, k=60, hybrid=False) == by_vector
    scores = [score for _, score in plain.similarity_search_with_score(asked, k=60)]
    assert scores == sorted(scores, reverse=True)


def test_namespaces_never_meet(store: LarimarVectorStore) -> None:
    ana = LarimarVectorStore(memory=store.memory, namespace="ana")
    ben = LarimarVectorStore(memory=store.memory, namespace="ben")
    ana.add_texts(["secret of ana"], [{"of": "ana"}], ids=["1"])
    ben.add_texts(["secret of ben", "another"], [{"of": "ben"}, {}], ids=["1", "2"])
    for own, text, others in ((ana, "secret of ana", 1), (ben, "secret of ben", 2)):
        assert own.get_by_ids(["1"])[0].page_content == text
        found = own.similarity_search("secret", k=9)
        assert len(found) == len(own.max_marginal_relevance_search("secret", k=9)) == others
        assert text in [d.page_content for d in found]
    assert store.similarity_search("secret") == store.get_by_ids(["1"]) == []
    ana.delete(["1", "2"])
    store.delete()
    assert len(ben.get_by_ids(["1", "2"])) == 2
    ben.delete()
    assert ben.similarity_search("secret") == []


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_indexing_adds_skips_replaces_and_cleans_up(
    store: LarimarVectorStore, asynchronous: bool
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
            result = await aindex(given, records, store, **options)
        else:
            result = index(given, records, store, **options)
        return {name.removeprefix("num_"): n for name, n in result.items() if n}

    def held() -> set[str]:
        return {d.page_content for d in store.similarity_search("any", k=50)}

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


def test_as_a_retriever(store: LarimarVectorStore) -> None:
    store.add_documents(documents(30))
    similar = store.as_retriever(search_kwargs={"k": 3})
    assert similar.invoke("entry 7") == store.similarity_search("entry 7", k=3)
    assert similar.invoke("entry 7", k=1, verbose=False) == documents(8)[7:]
    filtered = store.as_retriever(search_kwargs={"filter": {"n": 4}})
    assert filtered.invoke("entry 7") == documents(5)[4:]
    near = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.999}
    )
    assert near.invoke("entry 7") == documents(8)[7:]
    mmr = store.as_retriever(search_type="mmr", search_kwargs={"k": 5, "fetch_k": 30})
    assert mmr.invoke("entry 7") == store.max_marginal_relevance_search("entry 7", 5, 30)
    assert mmr.invoke("entry 7") != store.similarity_search("entry 7", k=5)
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
    store: LarimarVectorStore, monkeypatch: pytest.MonkeyPatch
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
    await asyncio.gather(store.aadd_texts(["a"], ids=["1"]), store.aadd_documents([Document("b")]))
    first, second = await asyncio.gather(
        store.asimilarity_search("a", k=1), store.amax_marginal_relevance_search("a", k=1)
    )
    assert first == second == [Document("a", id="1")]
    await asyncio.gather(store.adelete(["1"]), store.adelete(["2"]))
    assert len(threads) == 6
    assert threading.get_ident() not in threads


def test_sixteen_callers_at_once(store: LarimarVectorStore) -> None:
    store.add_documents(documents(10))
    together = threading.Barrier(16, timeout=60)

    def work(n: int) -> None:
        own = LarimarVectorStore(memory=store.memory, namespace=f"tenant {n % 4}")
        together.wait()
        for turn in range(4):
            text, id = f"caller {n} turn {turn}", f"{n}-{turn}"
            document = Document(text, id=id, metadata={"n": n})
            assert own.add_documents([document]) == [id]
            assert own.similarity_search(text, k=1, filter={"n": n}) == [document]
            assert own.get_by_ids([id]) == [document]
            assert own.max_marginal_relevance_search(text, k=1, filter={"n": n}) == [document]
            assert store.similarity_search("entry 3", k=1) == documents(4)[3:]
            assert own.delete([id], purge=turn == 3)
            assert own.get_by_ids([id]) == []

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(work, n) for n in range(16)]:
            done.result(timeout=120)
    assert store.memory.stats().documents == 10


def test_a_file_is_opened_again(tmp_path: Path, encoder: SentenceEncoder) -> None:
    path = tmp_path / "m.larimar"
    first = LarimarVectorStore.from_documents(documents(9), FAKE, path=path, namespace="n")
    found = first.similarity_search("entry 5", k=4)
    first.delete(["d0"])
    first.memory.close()
    again = LarimarVectorStore(DeterministicFakeEmbedding(size=6), path=str(path), namespace="n")
    assert names(again.get_by_ids(["d0", "d1"])) == ["d1"]
    assert again.similarity_search("entry 5", k=1) == found[:1] == documents(6)[5:]
    again.memory.close()
    for other in (DeterministicFakeEmbedding(size=7), LarimarEmbeddings(encoder)):
        with pytest.raises(EncoderMismatchError, match=r"It was written with encoder .* \(6 numbers"):
            LarimarVectorStore(other, path=path)


def test_whose_vectors(notes: Larimar, encoder: SentenceEncoder) -> None:
    store = LarimarVectorStore.from_texts(["one", "two"], LarimarEmbeddings(encoder))
    assert store.memory.encoder is encoder
    assert store.memory.threshold > 0
    foreign = LarimarVectorStore(FAKE)
    assert foreign.embeddings is FAKE
    assert foreign.memory.threshold == 0
    shared = LarimarVectorStore(memory=foreign.memory)
    assert shared.embeddings is FAKE
    assert LarimarVectorStore(FAKE, memory=foreign.memory).memory is foreign.memory
    own = LarimarVectorStore(memory=notes).embeddings
    assert isinstance(own, LarimarEmbeddings)
    assert own.encoder is encoder
    store.memory.close()
    foreign.memory.close()


def test_without_an_embedding_the_bundled_encoder_is_used() -> None:
    store = LarimarVectorStore.from_documents([Document(text, id=id) for id, text in TEXTS.items()])
    assert store.similarity_search(QUESTION, k=1) == [Document(TEXTS["ops"], id="ops")]
    assert store.similarity_search("Which animals eat bamboo?", k=1)[0].id == "zoo"
    store.memory.close()


def test_whole_entries_for_the_other_faces(memory: Larimar) -> None:
    LarimarVectorStore(memory=memory).add_texts([LONG], [{"source": "a"}], ids=["long"])
    (found,) = LarimarRetriever(memory=memory, neighbours=2).invoke(QUESTION)
    assert found.page_content == LONG
    assert found.metadata["source"] == "a"


def test_texts_written_otherwise_are_found_by_segment(notes: Larimar) -> None:
    store = LarimarVectorStore(memory=notes)
    found = store.similarity_search(QUESTION, k=20)
    (best, *_) = [d for d in found if "71432" in d.page_content]
    assert best == found[0]
    assert best.id is not None
    assert best.id.startswith("ops#")
    assert best.metadata == {"topic": "ops", "start": "mine"}
    assert len(set(names(found))) == len(found) == notes.stats("default").segments
    assert store.get_by_ids(["zoo"])[0].page_content == TEXTS["zoo"]
    assert store.get_by_ids([best.id, "ops#99", "nobody#0", "#0"]) == [best]
    before = notes.stats("default").segments
    with pytest.raises(InputError, match=rf"'{best.id}' cannot be deleted\. It is a segment of"):
        store.delete(["zoo", best.id])
    assert notes.stats("default").segments == before
    assert store.delete(["ops#99"])


def test_an_id_may_look_like_a_segments(notes: Larimar) -> None:
    store = LarimarVectorStore(memory=notes)
    store.add_texts(["An entry of its own."], ids=["ops#0"])
    assert store.get_by_ids(["ops#0"])[0].page_content == "An entry of its own."
    assert store.delete(["ops#0"])
    assert store.get_by_ids(["ops#0"])[0].page_content != "An entry of its own."


def test_blank_texts_are_passed_over() -> None:
    pages = [Document("One."), Document(" \n"), Document("Three.", metadata={"page": 3}), Document("")]
    store = LarimarVectorStore.from_documents(pages, FAKE)
    assert sorted(d.page_content for d in store.similarity_search("One.", k=9)) == ["One.", "Three."]
    ids = store.add_texts(["", "Five."], [{"page": 4}, {"page": 5}], ids=["4", "5"])
    assert ids == ["5"]
    assert store.get_by_ids(["4", "5"]) == [Document("Five.", id="5", metadata={"page": 5})]
    with pytest.raises(InputError, match="There are 2 texts and 1 for ids"):
        store.add_texts(["", "Five."], ids=["5"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": "m.larimar"}, r"The memory cannot be used\. It is a str, not a Larimar\. Open one"),
        ({"memory": True, "path": "m"}, "Both an open memory and a path were given"),
        ({"memory": True, "embedding": FAKE}, "It was opened with another encoder, and their keys"),
        ({"embedding": print}, r"It was given a builtin_function_or_method, not LangChain Embeddings"),
        ({"memory": True, "namespace": ""}, "'' cannot be a namespace"),
    ],
)
def test_stores_that_cannot_be_made(notes: Larimar, options: dict[str, Any], message: str) -> None:
    given = {name: notes if value is True else value for name, value in options.items()}
    with pytest.raises((InputError, EncoderMismatchError), match=message):
        LarimarVectorStore(**given)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda s: s.similarity_search("q", k=0), "k=0"),
        (lambda s: s.max_marginal_relevance_search("q", k=0), "k=0"),
        (lambda s: s.max_marginal_relevance_search("q", lambda_mult=2), r"lambda_mult=2\. It lies"),
        (lambda s: s.similarity_search_by_vector([1.0]), r"It is of shape \(1,\)"),
        (lambda s: s.similarity_search_by_vector("q"), "It is a str, not numbers"),
        (lambda s: s.max_marginal_relevance_search_by_vector([1.0]), r"It is of shape \(1,\)"),
        (lambda s: s.similarity_search("q", top_k=3), r"cannot search with 'top_k'\. It knows no"),
        (lambda s: s.similarity_search_with_score("q", where={}), "cannot search with 'where'"),
        (lambda s: s.similarity_search_by_vector([1.0], hybrid=True), "cannot search with 'hybrid'"),
        (lambda s: s.max_marginal_relevance_search("q", x=1), "cannot search with 'x'"),
        (lambda s: s.max_marginal_relevance_search_by_vector([1.0], x=1), "cannot search with 'x'"),
        (lambda s: s.delete(where={"n": 1}), r"cannot delete with 'where'\..*Leave it out"),
        (lambda s: s.add_texts(["a"], upsert=True), "cannot add texts with 'upsert'"),
        (lambda s: s.add_texts(["a", "b"], ids=["1"]), "There are 2 texts and 1 for ids"),
        (lambda s: s.add_texts(["a", "b"], [{}]), "There are 2 texts and 1 for metadatas"),
        (lambda s: s.add_texts(["a", 2]), r"Text 2 cannot be written\. It is"),
        (lambda s: s.add_texts(["a"], [{"when": object()}]), "The metadata of text 1 cannot be kept"),
    ],
)
def test_what_a_store_refuses_changes_nothing(use: Any, message: str) -> None:
    store = LarimarVectorStore(FAKE)
    store.add_documents(documents(2))
    with pytest.raises(InputError, match=message):
        use(store)
    assert store.memory.stats().documents == 2
    store.memory.close()


def test_the_encoder_of_a_memory_opened_by_hand(tmp_path: Path) -> None:
    with Larimar.open(tmp_path / "m", encoder=EmbeddingsEncoder(FAKE), threshold=0.2) as memory:
        store = LarimarVectorStore(FAKE, memory=memory)
        store.add_documents(documents(3))
        assert store.similarity_search("entry 1", k=1) == documents(2)[1:]
        assert memory.read("entry 1", k=1, hybrid=False).in_scope
