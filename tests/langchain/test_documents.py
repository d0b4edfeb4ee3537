"""A document is what it says and where that stands: the same for every question and every face."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_classic.retrievers import (
    ContextualCompressionRetriever,
    EnsembleRetriever,
    MergerRetriever,
    MultiQueryRetriever,
)
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.language_models import FakeListChatModel
from langchain_core.load import dumps, loads
from langchain_core.prompts import PromptTemplate
from langchain_core.retrievers import BaseRetriever

from langchain_larimar import LarimarRetrievalQA, LarimarRetriever, LarimarVectorStore, larimar_tools
from langchain_larimar.documents import PREFIX, UNTRUSTED, ScoredDocuments
from larimar_memory.larimar import Larimar
from tests.quick import QuickEncoder
from tests.tiny import tiny_decoder

PLACE = ("document_id", "index", "start", "end", "score", "weight")
OURS = [f"{PREFIX}{name}" for name in PLACE]
QUESTIONS = ["What is kept in the shed?", "Which tools are there?", "Where are the spades?"]
SHED = (
    "The shed by the gate holds three spades. A lamp with a green shade hangs above its narrow door. "
    "Nobody who lives in this house ever locks it at night."
)


@pytest.fixture
def memory() -> Iterator[Larimar]:
    decoder = tiny_decoder(max_position_embeddings=4096)
    with Larimar.open(None, encoder=QuickEncoder(), decoder=decoder, threshold=0.0) as opened:
        yield opened


@pytest.fixture
def retriever(memory: Larimar) -> LarimarRetriever:
    memory.write([SHED, "A single note.\n"], ["shed", "note"], [{"source": "garden"}] * 2)
    return LarimarRetriever(memory=memory, k=9)


def asking(retriever: BaseRetriever, **options: Any) -> MultiQueryRetriever:
    lines = "\n".join(QUESTIONS)
    llm = FakeListChatModel(responses=[lines])
    return MultiQueryRetriever.from_llm(retriever=retriever, llm=llm, **options)


@pytest.mark.parametrize("neighbours", [0, 1, 5])
@pytest.mark.parametrize("include_original", [False, True])
async def test_several_queries_find_each_document_once(
    retriever: LarimarRetriever, neighbours: int, include_original: bool
) -> None:
    own = retriever.model_copy(update={"neighbours": neighbours})
    many = asking(own, include_original=include_original)
    found = many.invoke("What is in the shed?")
    assert len(found) == len({document.id for document in found}) == 4
    again = await many.ainvoke("What is in the shed?")
    assert {d.id: d for d in again} == {d.id: d for d in found}


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_two_questions_recall_equal_documents(retriever: LarimarRetriever) -> None:
    first, *others = ({d.id: d for d in retriever.invoke(question)} for question in QUESTIONS)
    assert all(other == first for other in others)
    one, two = (retriever.invoke(question) for question in QUESTIONS[:2])
    assert isinstance(one, ScoredDocuments)
    assert isinstance(two, ScoredDocuments)
    assert one.scores != two.scores
    for document in first.values():
        assert loads(dumps(document), allowed_objects=[Document]) == document
        assert not {"score", "weight", *OURS[-2:]} & set(document.metadata)


def test_two_questions_of_a_real_encoder_recall_equal_documents(notes: Larimar) -> None:
    retriever = LarimarRetriever(memory=notes, k=4)
    asked = ["What is the pass key of the vault?", "Which pass key opens the vault?", "The vault's key"]
    lines = FakeListChatModel(responses=["\n".join(asked)])
    found = MultiQueryRetriever.from_llm(retriever=retriever, llm=lines).invoke("vault")
    assert len([d for d in found if "71432" in d.page_content]) == 1
    assert len(found) == len({d.id for d in found})


@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.9, 0.1]])
async def test_an_ensemble_of_retriever_and_store_gives_each_text_once(
    retriever: LarimarRetriever, weights: list[float]
) -> None:
    store = LarimarVectorStore(memory=retriever.memory)
    store.add_texts(["An entry.", "  Blanks around it. \n\n", "One. Two. Three.\n\nFour.\n"])
    retriever.memory.write(["The lighthouse\n\nIt stands on the cliff.  It is white.\n"], ["headed"])
    both = EnsembleRetriever(
        retrievers=[
            retriever.model_copy(update={"k": 30}),
            store.as_retriever(search_kwargs={"k": 30}),
            store.as_retriever(search_type="mmr", search_kwargs={"k": 30}),
        ],
        weights=[*weights, 0.1],
    )
    for found in (both.invoke(QUESTIONS[0]), await both.ainvoke(QUESTIONS[0])):
        contents = [document.page_content for document in found]
        assert len(contents) == len(set(contents)) == retriever.memory.stats("default").segments
        assert len({"".join(text.split()) for text in contents}) == len(contents)
    assert sorted(contents) == sorted(d.page_content for d in retriever.invoke(QUESTIONS[0], k=30))
    for document in store.similarity_search("lighthouse", k=30):
        assert store.get_by_ids([str(document.id)]) == [document]


def test_an_ensemble_by_an_entry_of_the_metadata(retriever: LarimarRetriever) -> None:
    by = EnsembleRetriever(
        retrievers=[retriever, retriever], weights=[0.5, 0.5], id_key="larimar_document_id"
    )
    assert {d.metadata["larimar_document_id"] for d in by.invoke(QUESTIONS[0])} == {"shed", "note"}
    merged = MergerRetriever(retrievers=[retriever, retriever]).invoke(QUESTIONS[0])
    assert [merged.count(document) for document in merged] == [2] * 8


def test_a_text_of_one_segment_comes_as_it_was_written(retriever: LarimarRetriever) -> None:
    note = next(d for d in retriever.invoke("note") if d.id == "note#0")
    assert note.page_content == "A single note.\n"
    assert (note.metadata["larimar_start"], note.metadata["larimar_end"]) == (0, 15)
    first = next(d for d in retriever.invoke("shed") if d.id == "shed#0")
    assert first.page_content == SHED[:40]


OWN = {
    **{name: f"own {name}" for name in PLACE},
    "id": "own id",
    "larimar": {"score": 1},
    "start": 312.5,
    "nested": {"score": [1, {"end": 2}]},
}


def test_every_face_leaves_the_users_own_entries_alone(memory: Larimar) -> None:
    memory.write([SHED], ["shed"], [OWN])
    retriever = LarimarRetriever(memory=memory, k=2)
    llm = FakeListChatModel(responses=["Three."])
    store = LarimarVectorStore(memory=memory)
    ask = {"name": "recall", "args": {"question": "shed"}, "id": "1", "type": "tool_call"}
    found = [
        *retriever.invoke("shed"),
        *LarimarRetrievalQA.from_llm(llm, memory=memory).invoke("shed")["source_documents"],
        *LarimarRetrievalQA.from_llm(memory=memory).invoke("shed", max_tokens=1)["source_documents"],
        *larimar_tools(memory, namespace="default")[1].invoke(ask).artifact,
        *store.similarity_search("shed"),
        *store.max_marginal_relevance_search("shed"),
        *store.get_by_ids(["shed", "shed#1"]),
    ]
    assert len(found) >= 8
    for document in found:
        assert {name: document.metadata[name] for name in OWN} == OWN
        assert not {"larimar_score", "larimar_weight"} & set(document.metadata)
    for where in ({"start": 312.5}, {"start": {"$gt": 312}}, {"score": "own score"}):
        assert retriever.invoke("shed", where=where)[0].metadata["start"] == 312.5
        assert store.similarity_search("shed", filter=where)[0].metadata["start"] == 312.5
    assert retriever.invoke("shed", where={"larimar_start": {"$exists": True}}) == []


def test_the_users_own_entry_of_our_name_stays(memory: Larimar) -> None:
    own = {name: f"own {name}" for name in OURS}
    memory.write([SHED], ["shed"], [own])
    for document in LarimarRetriever(memory=memory).invoke("shed", where={OURS[0]: own[OURS[0]]}):
        assert document.metadata == {**own, UNTRUSTED: True}
        assert str(document.id).startswith("shed#")


def test_a_tool_names_a_text_by_its_id_whatever_its_metadata_says(memory: Larimar) -> None:
    forged = {"document_id": "other", "larimar_document_id": "other"}
    memory.write([SHED], ["sh#ed"], [forged])
    recall, forget = larimar_tools(memory, namespace="default")[1:]
    text = recall.invoke({"question": "shed"})
    assert "[sh#ed] The shed" in text
    assert "other" not in text
    assert "Forgotten" in forget.invoke({"id": "sh#ed"})


def test_what_was_recalled_can_be_written_again(memory: Larimar) -> None:
    memory.write([SHED], ["shed"], [OWN])
    found = LarimarRetriever(memory=memory).invoke("shed")
    store = LarimarVectorStore(memory=memory, namespace="again")
    store.add_documents(found)
    assert {d.id: d for d in store.similarity_search("shed")} == {d.id: d for d in found}
    records = InMemoryRecordManager("larimar")
    records.create_schema()
    added = [index(found, records, store, key_encoder="sha256")["num_added"] for _ in range(2)]
    assert added == [3, 0]


async def test_question_answering_gives_scores_beside_its_documents(memory: Larimar) -> None:
    memory.write([SHED], ["shed"])
    llm = FakeListChatModel(responses=["Three."])
    for qa in (
        LarimarRetrievalQA.from_llm(llm, memory=memory, k=3),
        LarimarRetrievalQA.from_llm(llm, memory=memory, k=3, context_tokens=20),
        LarimarRetrievalQA.from_llm(memory=memory, k=3),
    ):
        options = {} if qa.llm else {"max_tokens": 1}
        outputs = [qa.invoke("shed", **options), await qa.ainvoke("shed", **options)]
        for chunk in qa.stream("shed", **options):
            outputs += [chunk] if "source_documents" in chunk else []
        assert len(outputs) == 3
        for output in outputs:
            sources = output["source_documents"]
            assert isinstance(sources, ScoredDocuments)
            assert sources == outputs[0]["source_documents"]
            assert len(sources.scores) == len(sources) > 0
            assert [s.id for s in sources.segments] == [d.id for d in sources]


def test_a_document_prompt_names_where_a_text_stands(memory: Larimar) -> None:
    memory.write([SHED], ["shed"], [{"start": "own"}])
    prompt = PromptTemplate.from_template(
        "{larimar_document_id} {larimar_start} {start}: {page_content}"
    )
    qa = LarimarRetrievalQA.from_llm(
        FakeListChatModel(responses=["Three."]), memory=memory, document_prompt=prompt
    )
    assert qa.invoke("shed")["result"] == "Three."


class Upper(BaseDocumentTransformer):
    """Writes documents in capitals."""

    def transform_documents(self, documents: Any, **_: Any) -> list[Document]:
        return [d.model_copy(update={"page_content": d.page_content.upper()}) for d in documents]


def test_documents_pass_through_a_compressor(retriever: LarimarRetriever) -> None:
    pipeline = DocumentCompressorPipeline(transformers=[Upper()])
    squeezed = ContextualCompressionRetriever(base_compressor=pipeline, base_retriever=retriever)
    assert len(asking(squeezed).invoke("shed")) == 4
    assert all(d.metadata["source"] == "garden" for d in squeezed.invoke("shed"))


class Plain(BaseRetriever):
    """Finds the same document for every question."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [Document("Found elsewhere.")]


def test_the_documents_of_another_retriever_have_no_scores() -> None:
    qa = LarimarRetrievalQA.from_llm(FakeListChatModel(responses=["Yes."]), retriever=Plain())
    sources = qa.invoke("shed")["source_documents"]
    assert sources == [Document("Found elsewhere.")]
    assert not isinstance(sources, ScoredDocuments)


def test_a_slice_keeps_its_scores(retriever: LarimarRetriever) -> None:
    found = retriever.invoke("shed")
    assert isinstance(found, ScoredDocuments)
    best = found[1:3]
    assert (list(best), best.scores) == (list(found)[1:3], found.scores[1:3])
    assert found[0] == next(iter(found))
