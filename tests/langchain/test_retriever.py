"""The retriever: LangChain's own suite, spans, scores, overrides, threads, dumps."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.load import dumps, loads
from langchain_core.runnables import RunnablePassthrough
from langchain_tests.integration_tests import RetrieversIntegrationTests

from langchain_larimar import LarimarRetrievalQA, LarimarRetriever
from langchain_larimar.retrievers import READ_OPTIONS, RecalledDocuments
from larimar_memory import answer
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError, LatentsUnavailableError
from larimar_memory.larimar import Larimar
from larimar_memory.latents.latent_memory import LatentMemory
from tests.latents.test_latent_memory import random_codec
from tests.tiny import tiny_decoder

from .conftest import OUT_OF_SCOPE, QUESTION, TEXTS, noted


@pytest.fixture(scope="module", params=["ram", "database"])
def notes(
    request: pytest.FixtureRequest, encoder: SentenceEncoder, decoder: TransformersDecoder
) -> Iterator[Larimar]:
    """What `notes` of all suites holds, in a database as well."""
    server = request.getfixturevalue("server") if request.param == "database" else None
    with noted(server and server.empty("larimar_notes"), encoder, decoder) as memory:
        yield memory


class TestStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _given(self, notes: Larimar) -> None:
        self.memory = notes

    @property
    def retriever_constructor(self) -> type[LarimarRetriever]:
        return LarimarRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"memory": self.memory}

    @property
    def retriever_query_example(self) -> str:
        return OUT_OF_SCOPE


@pytest.mark.parametrize("neighbours", [0, 1, 2])
def test_a_document_is_the_span_it_names(notes: Larimar, neighbours: int) -> None:
    found = LarimarRetriever(memory=notes, k=8, neighbours=neighbours).invoke(QUESTION)
    for document in found:
        place = document.metadata
        name = place["larimar_document_id"]
        text = notes.text(name)
        assert text == TEXTS[name]
        assert text[place["larimar_start"] : place["larimar_end"]] == document.page_content
        assert document.page_content == document.page_content.strip()
        assert document.id == f"{name}#{place['larimar_index']}"
        assert (place["topic"], place["start"]) == (name, "mine")


def test_best_first_with_scores_and_weights(notes: Larimar) -> None:
    found = LarimarRetriever(memory=notes, k=4).invoke(QUESTION)
    assert "71432" in found[0].page_content
    assert isinstance(found, RecalledDocuments)
    assert all(0 <= s.score <= 1 and 0 <= s.weight <= 1 for s in found.segments)
    assert found.scores == [s.score for s in found.segments]
    assert found.scores[0] == max(found.scores)
    assert [s.id for s in found.segments] == [d.id for d in found]
    assert len({d.id for d in found}) == 4


def test_a_threshold_drops_documents_and_the_memorys_own_drops_questions(notes: Larimar) -> None:
    every = LarimarRetriever(memory=notes, k=6).invoke(QUESTION)
    strict = LarimarRetriever(memory=notes, k=6, score_threshold=0.5).invoke(QUESTION)
    assert 0 < len(strict) < len(every) == 6
    assert isinstance(strict, RecalledDocuments)
    assert all(score >= 0.5 for score in strict.scores)
    own = LarimarRetriever(memory=notes, k=6, score_threshold=None)
    assert len(own.invoke(QUESTION)) == 6
    assert own.invoke(OUT_OF_SCOPE) == []


async def test_a_call_overrides_every_field(notes: Larimar) -> None:
    retriever = LarimarRetriever(memory=notes)
    given: dict[str, Any] = {
        "k": 1,
        "namespace": "default",
        "where": {"topic": "zoo"},
        "hybrid": False,
        "neighbours": 3,
        "explain": False,
        "score_threshold": 0.0,
        "grounding": "text",
        "since": None,
        "until": None,
        "as_of": "2026-05-03",
    }
    assert set(given) == set(READ_OPTIONS)
    (document,) = retriever.invoke(QUESTION, **given)
    assert document.page_content == TEXTS["zoo"]
    assert await retriever.ainvoke(QUESTION, **given) == [document]
    assert retriever.bind(**given).invoke(QUESTION) == [document]
    (other,) = await retriever.ainvoke(QUESTION, namespace="other")
    assert other.page_content == "The pass key of the vault is 99999."
    assert all(d.metadata["larimar_document_id"] != "other" for d in retriever.invoke(QUESTION, k=50))


def test_times_bound_what_is_found(notes: Larimar) -> None:
    said = [{"said_at": f"2026-0{month}-03T09:30:00Z"} for month in (1, 2, 3)]
    notes.write(["A tap.", "A tub.", "A sink."], ["1", "2", "3"], said, namespace="baths")
    retriever = LarimarRetriever(memory=notes, namespace="baths", since="2026-02-03")
    assert {d.page_content for d in retriever.invoke("Which?")} == {"A tub.", "A sink."}
    assert [d.page_content for d in retriever.invoke("Which?", until=date(2026, 2, 3))] == ["A tub."]
    assert [d.page_content for d in retriever.invoke("", as_of="2026-02-28")] == ["A tub."]
    with pytest.raises(InputError, match="since='soon'"):
        retriever.invoke("Which?", since="soon")


def test_documents_say_why_where_that_is_asked_for(notes: Larimar) -> None:
    retriever = LarimarRetriever(memory=notes, k=3)
    plain = retriever.invoke(QUESTION)
    assert all("larimar_why" not in document.metadata for document in plain)
    told = retriever.invoke(QUESTION, explain=True)
    assert isinstance(told, RecalledDocuments)
    assert told.readout.signs
    for document, segment, other in zip(told, told.segments, plain, strict=True):
        why = document.metadata.pop("larimar_why")
        assert segment.why is not None
        assert why == segment.why.to_dict() == json.loads(json.dumps(why, allow_nan=False))
        assert why["asked"] == QUESTION
        assert sum(part for _, part in why["features"].values()) == pytest.approx(why["rank_score"])
        assert document == other
    # Where only keys count, or nothing was asked, there are no features to tell of.
    for how in ({"hybrid": False}, {"where": {"topic": "zoo"}, "query": ""}):
        found = retriever.invoke(how.pop("query", QUESTION), explain=True, **how)
        assert found
        assert all("larimar_why" not in document.metadata for document in found)


async def test_explaining_holds_for_a_retriever_its_dump_and_answers(notes: Larimar) -> None:
    retriever = LarimarRetriever(memory=notes, explain=True)
    loaded = loads(
        dumps(retriever), allowed_objects=[LarimarRetriever], valid_namespaces=["langchain_larimar"]
    )
    loaded.memory = notes
    for made in (retriever, loaded):
        assert "larimar_why" in (await made.ainvoke(QUESTION))[0].metadata
        assert "larimar_why" not in made.invoke(QUESTION, explain=False)[0].metadata
    model = FakeListChatModel(responses=["71432"])
    for llm, explain in itertools.product([None, model], [True, False]):
        qa = LarimarRetrievalQA.from_llm(llm, memory=notes, explain=explain)
        for given in ({}, {"explain": not explain}):
            sources = qa.invoke(QUESTION, **given)["source_documents"]
            assert ("larimar_why" in sources[0].metadata) is given.get("explain", explain)


def test_an_own_entry_of_that_name_stays(encoder: SentenceEncoder) -> None:
    with Larimar.open(encoder=encoder) as memory:
        memory.write(["The pass key is 71432."], metadatas=[{"larimar_why": "mine"}])
        (found,) = LarimarRetriever(memory=memory, explain=True).invoke(QUESTION)
        assert found.metadata["larimar_why"] == "mine"


async def test_async_reads_leave_the_event_loop_free(
    notes: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, both = list[int](), threading.Barrier(2, timeout=30)
    read = Larimar.read

    def watched(self: Larimar, *args: Any, **kwargs: Any) -> Any:
        threads.append(threading.get_ident())
        both.wait()
        return read(self, *args, **kwargs)

    monkeypatch.setattr(Larimar, "read", watched)
    retriever = LarimarRetriever(memory=notes, k=1)
    first, second = await asyncio.gather(retriever.ainvoke(QUESTION), retriever.ainvoke(QUESTION))
    assert first == second
    assert threading.get_ident() not in threads


def test_callbacks_see_the_query_the_documents_and_what_read_them(notes: Larimar) -> None:
    class Watch(BaseCallbackHandler):
        def __init__(self) -> None:
            self.seen = list[Any]()

        def on_retriever_start(self, serialized: Any, query: str, **kwargs: Any) -> None:
            self.seen += [query, kwargs["metadata"]]

        def on_retriever_end(self, documents: Any, **kwargs: Any) -> None:
            self.seen.append(documents)

    watch = Watch()
    found = LarimarRetriever(memory=notes, k=2).invoke(QUESTION, {"callbacks": [watch]})
    query, metadata, documents = watch.seen
    assert (query, documents) == (QUESTION, found)
    assert metadata["ls_retriever_name"] == metadata["ls_vector_store_provider"] == "larimar"
    assert metadata["ls_embedding_model"] == notes.encoder.fingerprint


def test_in_a_chain(notes: Larimar) -> None:
    chain = RunnablePassthrough.assign(found=(lambda x: x["q"]) | LarimarRetriever(memory=notes, k=1))
    assert "71432" in chain.invoke({"q": QUESTION})["found"][0].page_content


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_a_dump_holds_the_settings_and_not_the_memory(notes: Larimar) -> None:
    retriever = LarimarRetriever(memory=notes, k=3, where={"topic": "ops"}, score_threshold=None)
    dumped = dumps(retriever)
    assert "71432" not in dumped
    assert "memory" not in retriever.model_dump()
    loaded = loads(dumped, allowed_objects=[LarimarRetriever], valid_namespaces=["langchain_larimar"])
    with pytest.raises(InputError, match="has no memory"):
        loaded.invoke(QUESTION)
    loaded.memory = notes
    assert loaded == retriever
    assert loaded.invoke(QUESTION) == retriever.invoke(QUESTION)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"k": 0}, "k=0"),
        ({"namespace": ""}, "namespace"),
        ({"score_threshold": 1.5}, "score_threshold=1.5"),
        ({"memory": "notes.larimar"}, "not a Larimar"),
    ],
)
def test_fields_that_cannot_be_used(notes: Larimar, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LarimarRetriever(**{"memory": notes, **fields})


def test_the_readout_is_there_for_a_chain_that_asks(notes: Larimar) -> None:
    found = LarimarRetriever(memory=notes, k=6).invoke(QUESTION)
    assert isinstance(found, RecalledDocuments)
    assert found.readout == replace(
        notes.read(QUESTION, 6, threshold=0.0), seconds=found.readout.seconds
    )
    strict = LarimarRetriever(memory=notes, k=6, score_threshold=0.5).invoke(QUESTION)
    assert isinstance(strict, RecalledDocuments)
    assert 0 < len(strict) < len(found)
    assert [segment.id for segment in strict.readout.segments] == [document.id for document in strict]
    assert all(segment.latents == (None,) for segment in strict.readout.segments)
    chain = LarimarRetriever(memory=notes, k=1) | (lambda found: found.readout.best_score)
    assert chain.invoke(QUESTION) == found.readout.best_score


@pytest.fixture
def bare(encoder: SentenceEncoder) -> Iterator[Larimar]:
    """A memory with a codec, whose one document was written without latents."""
    codec = random_codec(tiny_decoder(max_position_embeddings=512))
    with Larimar.open(None, encoder=encoder, decoder=codec.decoder) as memory:
        memory.write(["The pass key of the vault is 71432."], ["vault"])
        memory.latents = LatentMemory(memory.store, lambda: codec.decoder, codec)
        yield memory


def test_a_chain_conditions_a_decoder_of_its_own(bare: Larimar) -> None:
    bare.write_latents()
    found = LarimarRetriever(memory=bare, grounding="latent").invoke(QUESTION)
    assert isinstance(found, RecalledDocuments)
    conditioning = bare.latents.condition(found.readout)
    with conditioning.attached():
        assert conditioning.past_key_values().get_seq_length() >= conditioning.recalled > 0


async def test_grounding_in_latents_needs_a_latent_of_all_that_was_found(bare: Larimar) -> None:
    retriever = LarimarRetriever(memory=bare, grounding="latent")
    with pytest.raises(LatentsUnavailableError, match="1 of 1 recalled segments have no latent"):
        retriever.invoke(QUESTION)
    with pytest.raises(LatentsUnavailableError, match="1 of 1"):
        await retriever.ainvoke(QUESTION)
    assert len(retriever.invoke(QUESTION, grounding="text")) == 1
    assert retriever.invoke(QUESTION, namespace="empty") == []
    with pytest.raises(InputError, match="grounding='none'"):
        retriever.invoke(QUESTION, grounding="none")
    with pytest.raises(InputError, match="score_threshold=50"):
        retriever.invoke(QUESTION, score_threshold=50)
    bare.write_latents()
    assert retriever.invoke(QUESTION) == retriever.invoke(QUESTION, grounding="text")


async def test_the_retrievers_grounding_is_that_of_the_question_answering(
    bare: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare.write_latents()
    seen, start = list[str](), answer.start
    monkeypatch.setattr(answer, "start", lambda *a: seen.append(a[1].grounding) or start(*a))
    retriever = LarimarRetriever(memory=bare, grounding="latent", k=1)
    qa = LarimarRetrievalQA.from_llm(retriever=retriever)
    qa.invoke(QUESTION, max_tokens=1)
    qa.invoke(QUESTION, max_tokens=1, grounding="text")
    LarimarRetrievalQA.from_llm(memory=bare, grounding="latent").invoke(QUESTION, max_tokens=1)
    assert seen == ["latent", "text", "latent"]
    llm = FakeListChatModel(responses=["71432"])
    with pytest.raises(InputError, match="An llm reads text; latents control the memory's own decoder"):
        LarimarRetrievalQA.from_llm(llm, retriever=retriever)
    reads_text = LarimarRetrievalQA.from_llm(llm, memory=bare)
    with pytest.raises(InputError, match="An llm reads text"):
        await reads_text.ainvoke(QUESTION, grounding="latent")


async def test_arguments_that_a_call_does_not_know(notes: Larimar) -> None:
    retriever = LarimarRetriever(memory=notes)
    with pytest.raises(InputError, match="'filter'"):
        retriever.invoke(QUESTION, filter={})
    with pytest.raises(InputError, match="'top_k'"):
        await retriever.ainvoke(QUESTION, top_k=3)
    with pytest.raises(ValueError, match="top_k"):
        LarimarRetriever(memory=notes, top_k=3)
    with pytest.raises(InputError, match="question"):
        retriever.invoke(" ")
