"""A memory's encoder as embeddings, with LangChain's own suites, and embeddings as an encoder."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_larimar import EmbeddingsEncoder, LarimarEmbeddings
from larimar_memory.encoders.base import Encoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError, ModelError
from larimar_memory.larimar import Larimar
from larimar_memory.testing import EncoderLaws

from .conftest import QUESTION, TEXTS


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[LarimarEmbeddings]:
        return LarimarEmbeddings


class TestIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[LarimarEmbeddings]:
        return LarimarEmbeddings


class TestLaws(EncoderLaws):
    def encoder(self) -> EmbeddingsEncoder:
        return EmbeddingsEncoder(DeterministicFakeEmbedding(size=6))


class Given(Embeddings):
    """Returns what it was made with, whatever the texts."""

    def __init__(self, *answers: Any, **attributes: Any) -> None:
        self.answers: Iterator[Any] = iter(answers)
        vars(self).update(attributes)

    def embed_documents(self, texts: list[str]) -> Any:
        return next(self.answers)

    def embed_query(self, text: str) -> Any:
        return next(self.answers, [1.0, 0.0])


def test_vectors_are_the_keys_of_the_memory(notes: Larimar) -> None:
    embeddings = LarimarEmbeddings(notes.encoder)
    assert embeddings.model == notes.encoder.fingerprint
    texts = list(TEXTS.values())
    np.testing.assert_array_equal(embeddings.embed_documents(texts), notes.encoder.encode(texts))
    (asked,) = notes.encoder.encode([QUESTION], kind="question")
    np.testing.assert_array_equal(embeddings.embed_query(QUESTION), asked)
    np.testing.assert_allclose(np.linalg.norm(embeddings.embed_documents(texts), axis=1), 1, atol=1e-3)
    assert embeddings.embed_documents([]) == []
    assert len(embeddings.embed_query("half a pair: \ud83d")) == notes.encoder.dimension


def test_in_another_vector_store(encoder: SentenceEncoder) -> None:
    store = InMemoryVectorStore(LarimarEmbeddings(encoder))
    store.add_texts(list(TEXTS.values()))
    assert store.similarity_search(QUESTION, k=1)[0].page_content == TEXTS["ops"]


def test_the_encoder_is_loaded_once_and_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = list[str]()

    def load(name: str) -> EmbeddingsEncoder:
        loaded.append(name)
        time.sleep(0.05)
        return EmbeddingsEncoder(DeterministicFakeEmbedding(size=3))

    monkeypatch.setattr(SentenceEncoder, "load", load)
    embeddings = LarimarEmbeddings("a folder")
    assert embeddings.model == "a folder"
    assert loaded == []
    with ThreadPoolExecutor(16) as pool:
        vectors = list(pool.map(embeddings.embed_query, ["same"] * 16))
    assert loaded == ["a folder"]
    assert vectors == [vectors[0]] * 16


async def test_async_calls_leave_the_event_loop_free(
    encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, both = list[int](), threading.Barrier(2, timeout=30)
    encode = SentenceEncoder.encode_tokens

    def watched(self: SentenceEncoder, *args: Any) -> Any:
        threads.append(threading.get_ident())
        both.wait()
        return encode(self, *args)

    monkeypatch.setattr(SentenceEncoder, "encode_tokens", watched)
    embeddings = LarimarEmbeddings(encoder)
    query, (document,) = await asyncio.gather(
        embeddings.aembed_query("text"), embeddings.aembed_documents(["text"])
    )
    assert query == document
    assert len(threads) == 2
    assert threading.get_ident() not in threads


def test_embeddings_that_cannot_be_made() -> None:
    with pytest.raises(InputError, match=r"Their encoder is a int\. Pass the encoder of a memory"):
        LarimarEmbeddings(3)  # type: ignore[arg-type]
    absent = LarimarEmbeddings("no-such/encoder")
    with pytest.raises(ModelError, match="no-such/encoder"):
        absent.embed_query("text")


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=5))
def test_keys_are_the_vectors_at_unit_length(drawn: list[list[float]]) -> None:
    encoder = EmbeddingsEncoder(Given([1.0, 2.0, 3.0], drawn))
    assert isinstance(encoder, Encoder)
    assert encoder.dimension == 3
    keys = encoder.encode(["text"] * len(drawn))
    assert keys.dtype == np.float32
    for key, vector in zip(keys, np.array(drawn), strict=True):
        length = np.linalg.norm(vector)
        np.testing.assert_allclose(key, vector / length if length > 0 else 0 * vector, atol=1e-6)


def test_segments_and_questions() -> None:
    fake = DeterministicFakeEmbedding(size=6)
    encoder = EmbeddingsEncoder(fake)
    keys = encoder.encode([" one\n", "two"])
    np.testing.assert_array_equal(encoder.encode(["one ", "two"], kind="question"), keys)
    expected = np.array(fake.embed_query("one"))
    np.testing.assert_allclose(keys[0], expected / np.linalg.norm(expected), atol=1e-6)


def test_a_fingerprint_identifies_the_model() -> None:
    def fingerprint(**attributes: Any) -> str:
        return EmbeddingsEncoder(Given(**attributes)).fingerprint

    class Another(Given):
        pass

    plain = fingerprint()
    assert plain == fingerprint(client=object(), model=None, api_key="secret")
    others = {
        fingerprint(model="a"),
        fingerprint(model="b"),
        fingerprint(model_name="a"),
        EmbeddingsEncoder(Another()).fingerprint,
        EmbeddingsEncoder(Given([1.0, 2.0, 3.0])).fingerprint,
        EmbeddingsEncoder(Given(), fingerprint="mine").fingerprint,
        plain,
    }
    assert len(others) == 7
    assert "mine" in others
    cached = CacheBackedEmbeddings(Given(model="a"), InMemoryByteStore())
    assert EmbeddingsEncoder(cached).fingerprint == fingerprint(model="a")


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        (
            "text",
            None,
            r"Given returned what is no list of vectors of one length\. Use Embeddings that",
        ),
        ([], None, r"returned numbers of shape \(1, 0\) for a list of 1"),
        ([[1.0]], None, r"returned numbers of shape \(1, 1, 1\) for a list of 1"),
        ([float("nan"), 1.0], None, r"returned NaN or infinity\."),
        ([1.0, 2.0], [[1.0, 2.0]], r"returned numbers of shape \(1, 2\) for a list of 2"),
        ([1.0, 2.0], [[1.0], [2.0]], r"returned 1 numbers a text, and 2 at first\."),
        ([1.0, 2.0], [[1.0, 2.0], [1.0]], r"returned what is no list of vectors of one length\."),
        ([1.0, 2.0], [[1.0, 2.0], [1.0, float("inf")]], r"returned NaN or infinity\."),
        ([1.0, 2.0], None, r"returned numbers of shape \(\) for a list of 2"),
    ],
)
def test_what_are_no_vectors(first: Any, then: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EmbeddingsEncoder(Given(first, then)).encode(["a", "b"])
