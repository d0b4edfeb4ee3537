"""The event loop is free while any face does its work off it.

The memory's encoder, store and decoder here go on only once the event loop has turned since they were
asked: a face that works on the loop, or that waits on it for a thread, is caught, however fast the
work or slow the machine.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import cycle
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda

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
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.larimar import Larimar
from larimar_memory.stores import Store
from tests.tiny import tiny_decoder

from .conftest import Context, ScriptedChat

PATIENCE = 60.0
"""Seconds to wait for the event loop to turn, on however slow a machine."""


class Gate:
    """Lets work go on once the event loop has turned, and keeps the names of what waited in vain."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        self.loop, self.patience = loop, patience
        self.passed, self.stopped = list[str](), list[str]()

    def watch(self, owner: Any, *names: str) -> None:
        """Put the gate before methods of an object."""
        for name in names:
            setattr(owner, name, self._watched(name, getattr(owner, name)))

    def _watched(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            turned = threading.Event()
            self.loop.call_soon_threadsafe(turned.set)
            # Once it has been in vain, there is no need to be patient again.
            waited = turned.wait(0.0 if self.stopped else self.patience)
            (self.passed if waited else self.stopped).append(name)
            return method(*args, **kwargs)

        return watched


def gated(patience: float) -> tuple[Larimar, Gate]:
    """A memory that holds a note and two turns of Ana's, with the gate before all of its work."""
    encoder = EmbeddingsEncoder(DeterministicFakeEmbedding(size=8))
    memory = Larimar.open(encoder=encoder, decoder=tiny_decoder(), threshold=0.0)
    memory.write(["The alarm code is 4711."], ["note"])
    LarimarMemory(memory, "ana").save("Hello.", "Hello.")
    LarimarMemory(memory, "ana").save("I keep parrots.", "Lively.")
    gate = Gate(asyncio.get_running_loop(), patience)
    gate.watch(encoder, "encode")
    gate.watch(memory.store, *(set(Store.__abstractmethods__) - {"close"}))
    gate.watch(memory.decoder, "generate")
    return memory, gate


@pytest.fixture
async def gate() -> AsyncIterator[tuple[Larimar, Gate]]:
    memory, gate = gated(PATIENCE)
    yield memory, gate
    memory.close()


def chat() -> ScriptedChat:
    return ScriptedChat(messages=cycle(["It is 4711."]))


async def drained(stream: AsyncIterator[Any]) -> None:
    assert [item async for item in stream]


async def retriever(memory: Larimar) -> None:
    face = LarimarRetriever(memory=memory)
    assert await face.ainvoke("code")
    assert await face.abatch(["code", "alarm"])
    await drained(face.astream("code"))


async def vector_store(memory: Larimar) -> None:
    face, vector = LarimarVectorStore(memory=memory), [1.0] * 8
    await face.aadd_texts(["one"], ids=["1"])
    await face.aadd_documents([Document("two", id="2")])
    assert len(await face.aget_by_ids(["1", "2"])) == 2
    assert await face.asimilarity_search("one")
    assert await face.asimilarity_search_with_score("one")
    assert await face.asimilarity_search_with_relevance_scores("one")
    assert await face.asimilarity_search_by_vector(vector)
    assert await face.amax_marginal_relevance_search("one")
    assert await face.amax_marginal_relevance_search_by_vector(vector)
    assert await face.as_retriever().ainvoke("one")
    assert await face.adelete(["1"])


async def memory_of_turns(memory: Larimar) -> None:
    face = LarimarMemory(memory, "ana", window=1)
    assert await face.aload("parrots")
    await face.asave("one", "two")
    assert await face.as_runnable().ainvoke({"input": "one"})
    chain = face.remembering(RunnableLambda(lambda _: AIMessage("three")))
    assert await chain.ainvoke("one")
    await drained(chain.astream("two"))
    classic = face.as_classic()
    assert await classic.aload_memory_variables({"input": "one"})
    await classic.asave_context({"input": "one"}, {"output": "two"})
    await classic.aclear()
    await face.aclear()


async def history(memory: Larimar) -> None:
    face = LarimarChatMessageHistory(memory, "ana")
    assert await face.aget_messages()
    await face.aadd_messages([HumanMessage("one")])
    await face.aclear()


async def retrieval_qa(memory: Larimar) -> None:
    for llm in (chat(), None):
        face = LarimarRetrievalQA.from_llm(
            llm, memory=memory, conversation=LarimarMemory(memory, "ana")
        )
        options = {} if llm else {"max_tokens": 2}
        assert (await face.ainvoke("What is the code?", **options))["source_documents"]
        await drained(face.astream("What is the code?", **options))


async def store(memory: Larimar) -> None:
    face = LarimarStore(memory)
    await face.aput(("a", "b"), "k", {"text": "one"})
    assert await face.aget(("a", "b"), "k")
    assert await face.asearch(("a",), query="one")
    assert await face.alist_namespaces()
    await face.adelete(("a", "b"), "k")
    await face.asweep_ttl()


async def middleware(memory: Larimar) -> None:
    agent: Any = create_agent(chat(), middleware=[LarimarMiddleware(memory)], context_schema=Context)
    given: Any = {"messages": [("human", "Do I keep parrots?")]}
    assert await agent.ainvoke(given, context=Context("ana"))
    await drained(agent.astream(given, context=Context("ana"), stream_mode="messages"))


async def tools(memory: Larimar) -> None:
    remember, recall, forget = larimar_tools(memory, namespace="default")
    assert await remember.ainvoke({"text": "one"})
    assert await recall.ainvoke({"question": "one"})
    assert await forget.ainvoke({"id": "note"})


async def embeddings(memory: Larimar) -> None:
    face = LarimarEmbeddings(memory.encoder)
    assert await face.aembed_query("one")
    assert await face.aembed_documents(["one", "two"])


async def chat_model(memory: Larimar) -> None:
    face = ChatLarimar(memory=memory, max_tokens=2)
    assert (await face.ainvoke("What is the code?")).response_metadata["in_memory"]
    await drained(face.astream("What is the code?"))


FACES: dict[str, Callable[[Larimar], Awaitable[None]]] = {
    "ChatLarimar": chat_model,
    "LarimarChatMessageHistory": history,
    "LarimarEmbeddings": embeddings,
    "LarimarMemory": memory_of_turns,
    "LarimarMiddleware": middleware,
    "LarimarRetrievalQA": retrieval_qa,
    "LarimarRetriever": retriever,
    "LarimarStore": store,
    "LarimarVectorStore": vector_store,
    "larimar_tools": tools,
}
ELSEWHERE = {"EmbeddingsEncoder": "it has no async methods"}


def test_every_face_is_here() -> None:
    assert set(langchain_larimar.__all__) - set(ELSEWHERE) == set(FACES)


@pytest.mark.parametrize("name", FACES)
async def test_the_event_loop_turns_while_a_face_works(gate: tuple[Larimar, Gate], name: str) -> None:
    memory, watching = gate
    await FACES[name](memory)
    assert watching.stopped == []
    if name != "LarimarEmbeddings":
        assert set(watching.passed) & set(Store.__abstractmethods__)
    assert "encode" in watching.passed


class OnTheLoop(LarimarRetriever):
    """A retriever that works on the event loop."""

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any, **kwargs: Any) -> Any:
        return self._read(query, kwargs)


class WaitsOnTheLoop(LarimarRetriever):
    """A retriever whose work is done in a thread that the event loop waits for."""

    async def ainvoke(self, input: str, *args: Any, **kwargs: Any) -> list[Document]:
        found = list[Document]()
        worker = threading.Thread(target=lambda: found.extend(self.invoke(input)))
        worker.start()
        worker.join()
        return found


@pytest.mark.parametrize("blocking", [OnTheLoop, WaitsOnTheLoop])
async def test_a_face_that_holds_the_event_loop_up_is_caught(blocking: type[LarimarRetriever]) -> None:
    memory, watching = gated(patience=0.05)
    assert await blocking(memory=memory).ainvoke("code")
    assert watching.stopped
    assert watching.passed == []
    memory.close()


async def test_the_decoder_is_watched(gate: tuple[Larimar, Gate]) -> None:
    memory, watching = gate
    assert isinstance(memory.decoder, TransformersDecoder)
    await LarimarRetrievalQA.from_llm(memory=memory).ainvoke("What is the code?", max_tokens=1)
    assert "generate" in watching.passed
