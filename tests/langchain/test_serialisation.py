"""What of each face can be written down: of three the settings, and never what is remembered."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.load import dumpd, dumps, loads
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

import langchain_larimar
from langchain_larimar import (
    ChatLarimar,
    EmbeddingsEncoder,
    LarimarChatMessageHistory,
    LarimarEmbeddings,
    LarimarMemory,
    LarimarMiddleware,
    LarimarRetrievalQA,
    LarimarRetriever,
    LarimarStore,
    LarimarVectorStore,
    larimar_tools,
)
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar

pytestmark = pytest.mark.filterwarnings(
    "ignore:The function `loads` is in beta", "ignore::DeprecationWarning"
)

SECRET = "The alarm code is 4711."

FACES: dict[str, Callable[[Larimar], Any]] = {
    "ChatLarimar": lambda memory: ChatLarimar(memory=memory, k=2),
    "EmbeddingsEncoder": lambda memory: memory.encoder,
    "LarimarChatMessageHistory": lambda memory: LarimarChatMessageHistory(memory, "ana"),
    "LarimarEmbeddings": lambda memory: LarimarEmbeddings(memory.encoder),
    "LarimarMemory": lambda memory: LarimarMemory(memory, "ana"),
    "LarimarMiddleware": LarimarMiddleware,
    "LarimarRetrievalQA": lambda memory: LarimarRetrievalQA.from_llm(
        memory=memory, k=2, conversation=LarimarMemory(memory, "ana"), callbacks=[], tags=["a"]
    ),
    "LarimarRetriever": lambda memory: LarimarRetriever(memory=memory, k=2),
    "LarimarStore": LarimarStore,
    "LarimarVectorStore": lambda memory: LarimarVectorStore(memory=memory),
    "larimar_tools": lambda memory: larimar_tools(memory)[1],
    "LarimarMemory.remembering": lambda memory: LarimarMemory(memory, "ana").remembering(
        RunnableLambda(str)
    ),
    "LarimarMemory.as_classic": lambda memory: LarimarMemory(memory, "ana").as_classic(),
}
SETTINGS = {"ChatLarimar", "LarimarRetrievalQA", "LarimarRetriever"}
"""Faces that can be dumped and loaded; all others are dumped as a note that they cannot be."""

WITHOUT_MEMORY = {"EmbeddingsEncoder", "LarimarEmbeddings"}
"""Faces that hold no memory: pickle takes them where it takes what makes their vectors."""

CLASSES: Any = {
    "allowed_objects": [LarimarRetriever, LarimarRetrievalQA, PromptTemplate, RunnablePassthrough],
    "valid_namespaces": ["langchain_larimar"],
}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Larimar]:
    encoder = EmbeddingsEncoder(DeterministicFakeEmbedding(size=8))
    with Larimar.open(tmp_path / "hidden.larimar", encoder=encoder, threshold=0.0) as opened:
        opened.write([SECRET])
        LarimarMemory(opened, "ana").save(SECRET, "Noted.")
        yield opened


def test_every_face_is_here() -> None:
    named = {name for name in FACES if "." not in name}
    assert named == set(langchain_larimar.__all__)


@pytest.mark.parametrize("name", FACES)
def test_a_dump_never_holds_what_is_remembered(memory: Larimar, name: str) -> None:
    face = FACES[name](memory)
    dumped = dumps(face)
    assert json.loads(dumped)["type"] == ("constructor" if name in SETTINGS else "not_implemented")
    assert "4711" not in dumped
    assert "hidden.larimar" not in dumped
    if name not in SETTINGS:
        with pytest.raises(NotImplementedError, match="doesn't implement serialization"):
            loads(dumped, **CLASSES)


@pytest.mark.parametrize("name", FACES)
def test_an_open_memory_is_neither_pickled_nor_copied(memory: Larimar, name: str) -> None:
    face = FACES[name](memory)
    if name in WITHOUT_MEMORY:
        again = pickle.loads(pickle.dumps(face))
        assert type(again) is type(face)
        return
    # Made by a function, which pickle finds nowhere by name.
    made_inside = name in ("larimar_tools", "LarimarMemory.as_classic")
    expected: Any = (AttributeError, pickle.PicklingError) if made_inside else InputError
    refused = r"The memory cannot be pickled or copied\. It holds|Can't (get|pickle) local"
    with pytest.raises(expected, match=refused):
        pickle.dumps(face)


def test_the_memory_says_what_to_do(memory: Larimar) -> None:
    for use in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(
            InputError,
            match=r"The memory cannot be pickled or copied\. It holds an open file, or texts in RAM\. "
            r"Pass its path on, and open it with `Larimar\.open\(path\)` where it is needed\.",
        ):
            use(memory)


def test_a_loaded_retriever_works_once_it_has_a_memory(memory: Larimar) -> None:
    retriever = LarimarRetriever(memory=memory, k=3, where={"a": 1}, tags=["t"], metadata={"m": 1})
    bare = LarimarRetriever(**retriever.model_dump())
    assert bare.memory is None
    for again in (loads(dumps(retriever), **CLASSES), pickle.loads(pickle.dumps(bare)), bare):
        with pytest.raises(InputError, match="has no memory"):
            again.invoke("code")
        again.memory = memory
        assert again == retriever


def test_loaded_question_answering_works_once_it_has_a_memory(memory: Larimar) -> None:
    prompt = PromptTemplate.from_template("{context}\n{question}")
    made = LarimarRetrievalQA.from_llm(
        RunnablePassthrough(), prompt, memory=memory, k=2, context_tokens=300, document_separator="\n\n"
    )
    again = loads(dumps(made), **CLASSES)
    assert isinstance(again, LarimarRetrievalQA)
    assert (again.context_tokens, again.document_separator, again.retriever.k) == (300, "\n\n", 2)
    assert again.prompt == prompt
    assert again.count_tokens is made.count_tokens
    again.retriever.memory = memory
    given = again.retriever.invoke("code")
    assert given == made.retriever.invoke("code")
    own = LarimarRetrievalQA.from_llm(memory=memory, conversation=LarimarMemory(memory, "ana"))
    assert loads(dumps(own), **CLASSES).conversation is None


def test_ids_say_where_a_class_is_from() -> None:
    assert dumpd(LarimarRetriever())["id"] == ["langchain_larimar", "retrievers", "LarimarRetriever"]
    for face in (LarimarRetriever, LarimarRetrievalQA):
        assert face.is_lc_serializable()
        assert face.get_lc_namespace()[0] == "langchain_larimar"
    with pytest.raises(ValueError, match=r"not allowed|Trying to deserialize"):
        loads(dumps(LarimarRetriever()), allowed_objects="core")
