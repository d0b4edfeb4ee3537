"""The vector store: LangChain's in-memory store as a reference, and daily use."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_larimar import EmbeddingsEncoder, LarimarEmbeddings, LarimarRetriever, LarimarVectorStore
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import EncoderMismatchError, InputError
from larimar_memory.larimar import Larimar

from .conftest import QUESTION, TEXTS
from .entries import FAKE, LONG, Plane, documents, names


def test_an_entry_comes_back_whole_and_equal(entries: LarimarVectorStore) -> None:
    given = [
        Document(LONG, id="long", metadata={"score": 3, "source": "a", "nested": {"list": [1, None]}}),
        Document("  blanks around it \n\n", id="blanks"),
        Document("A heading\n\n", id="heading"),
        Document("日本語 🙂 e\u0301", id="日本", metadata={"ключ": "значение"}),
    ]
    assert entries.add_documents(given) == names(given)
    assert entries.get_by_ids(["heading", "absent", "long", "heading", "blanks", "日本"]) == [
        given[2],
        given[0],
        given[1],
        given[3],
    ]
    for document in given:
        assert entries.similarity_search(document.page_content, k=1) == [document]
    assert len(entries.similarity_search("none of these", k=9)) == 4
    assert entries.memory.stats().segments == 4


def test_an_entry_that_the_memory_updates_stays_one(entries: LarimarVectorStore) -> None:
    entries.add_documents([Document(LONG, id="long", metadata={"source": "a"})])
    entries.memory.update("long", LONG + "The end.")
    told = Document(LONG + "The end.", id="long", metadata={"source": "a"})
    assert entries.similarity_search(LONG, k=9) == entries.get_by_ids(["long"]) == [told]


def test_what_a_caller_does_with_a_document_stays_with_the_caller(entries: LarimarVectorStore) -> None:
    (given,) = documents(1)
    entries.add_documents([given])
    given.metadata["tags"].append("after")
    for found in (*entries.similarity_search("entry 0"), *entries.get_by_ids(["d0"])):
        assert found.metadata == documents(1)[0].metadata
        found.metadata["tags"].append("mine")
        found.metadata["n"] = "mine"
    assert entries.get_by_ids(["d0"]) == entries.similarity_search("entry 0") == documents(1)


def test_ids(entries: LarimarVectorStore) -> None:
    first = entries.add_texts(["same", "same"])
    assert len({*first, *entries.add_texts(["same"])}) == 3
    assert len(entries.similarity_search("same", k=9)) == 3
    entries.delete()
    assert entries.add_documents([Document("a", id="own"), Document("b")], ids=None)[0] == "own"
    assert entries.add_documents([Document("a", id="own")], ids=["other"]) == ["other"]
    assert entries.add_texts(["a", "b"], [{"v": 1}, None], ids=["x", "x"]) == ["x", "x"]  # type: ignore[list-item]
    assert entries.get_by_ids(["x"]) == [Document("b", id="x")]
    assert entries.add_texts(iter(["c"]), ids=["y"]) == ["y"]
    assert entries.add_texts([]) == entries.add_documents([]) == entries.get_by_ids([]) == []


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


def test_filters(entries: LarimarVectorStore) -> None:
    entries.add_documents(documents(12))
    late = {"n": {"$gte": 6}, "even": True}
    for found in (
        entries.similarity_search("entry", k=12, filter=late),
        entries.similarity_search("entry", 12, late),
        [d for d, _ in entries.similarity_search_with_score("entry", k=12, filter=late)],
        [d for d, _ in entries.similarity_search_with_relevance_scores("entry", k=12, filter=late)],
        entries.similarity_search_by_vector(FAKE.embed_query("entry"), k=12, filter=late),
        entries.max_marginal_relevance_search("entry", k=12, filter=late),
        entries.max_marginal_relevance_search_by_vector([1.0] * 6, k=12, filter=late),
    ):
        assert sorted(d.metadata["n"] for d in found) == [6, 8, 10]
    with pytest.raises(InputError, match=r"The metadata filter cannot be used\. In it, '\$no'"):
        entries.similarity_search("entry", filter={"n": {"$no": 1}})
    assert entries.delete(filter={"n": {"$lt": 10}}) is True
    assert entries.delete(["d10"], filter={"even": False}) is True
    assert sorted(d.metadata["n"] for d in entries.similarity_search("entry", k=12)) == [10, 11]


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


def test_namespaces_never_meet(entries: LarimarVectorStore) -> None:
    ana = LarimarVectorStore(memory=entries.memory, namespace="ana")
    ben = LarimarVectorStore(memory=entries.memory, namespace="ben")
    ana.add_texts(["secret of ana"], [{"of": "ana"}], ids=["1"])
    ben.add_texts(["secret of ben", "another"], [{"of": "ben"}, {}], ids=["1", "2"])
    for own, text, others in ((ana, "secret of ana", 1), (ben, "secret of ben", 2)):
        assert own.get_by_ids(["1"])[0].page_content == text
        found = own.similarity_search("secret", k=9)
        assert len(found) == len(own.max_marginal_relevance_search("secret", k=9)) == others
        assert text in [d.page_content for d in found]
    assert entries.similarity_search("secret") == entries.get_by_ids(["1"]) == []
    ana.delete(["1", "2"])
    entries.delete()
    assert len(ben.get_by_ids(["1", "2"])) == 2
    ben.delete()
    assert ben.similarity_search("secret") == []


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
