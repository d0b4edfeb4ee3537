"""Sixteen callers at once, in two namespaces that never see each other.

For the faces whose own test files do not have such a test: the retriever, question answering, the
conversation memory in its three forms, and the embeddings.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda

from langchain_larimar import (
    EmbeddingsEncoder,
    LarimarChatMessageHistory,
    LarimarEmbeddings,
    LarimarMemory,
    LarimarRetrievalQA,
    LarimarRetriever,
)
from larimar_memory.larimar import Larimar
from tests.tiny import tiny_decoder

CALLERS, TURNS = 16, 3
SIDES = ("red", "blue")
FAKE = DeterministicFakeEmbedding(size=8)


def side_of(caller: int) -> str:
    return SIDES[caller % 2]


def other(side: str) -> str:
    return SIDES[1 - SIDES.index(side)]


@pytest.fixture(params=["ram", "file"])
def shared(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Larimar]:
    """A memory with a note in each of two namespaces, for which nothing is out of scope."""
    path = None if request.param == "ram" else tmp_path / "m.larimar"
    options: Any = {"encoder": EmbeddingsEncoder(FAKE), "decoder": tiny_decoder(), "threshold": 0.0}
    with Larimar.open(path, **options, busy_seconds=60.0) as memory:
        for side in SIDES:
            memory.write([f"The {side} note."], [side], [{"side": side}], namespace=side)
        yield memory


def together(work: Callable[[int], None]) -> None:
    """Do the work of all callers at once, each in a thread."""
    ready = threading.Barrier(CALLERS, timeout=60)

    def caller(n: int) -> None:
        ready.wait()
        for _ in range(TURNS):
            work(n)

    with ThreadPoolExecutor(CALLERS) as pool:
        for done in [pool.submit(caller, n) for n in range(CALLERS)]:
            done.result(timeout=300)


def writing(memory: Larimar, caller: int) -> None:
    """What a caller says to its side while the others read."""
    side = side_of(caller)
    memory.write([f"Caller {caller} is on the {side} side."], [f"{side} {caller}"], namespace=side)


def test_retriever(shared: Larimar) -> None:
    retriever = LarimarRetriever(memory=shared, k=50)

    def work(n: int) -> None:
        side = side_of(n)
        writing(shared, n)
        texts = [d.page_content for d in retriever.invoke("Who?", namespace=side)]
        assert f"Caller {n} is on the {side} side." in texts
        assert not any(other(side) in text for text in texts)

    together(work)
    for side in SIDES:
        assert len(retriever.invoke("Who?", namespace=side)) == 1 + CALLERS // 2


async def test_retriever_async(shared: Larimar) -> None:
    retriever = LarimarRetriever(memory=shared, k=50)

    async def read(n: int) -> list[str]:
        found = await retriever.ainvoke("Who?", namespace=side_of(n))
        return [d.page_content for d in found]

    assert await asyncio.gather(*map(read, range(CALLERS))) == [
        [f"The {side_of(n)} note."] for n in range(CALLERS)
    ]


def repeating() -> Any:
    """A model that replies with its prompt."""
    return RunnableLambda(lambda prompt: AIMessage("\n".join(m.text for m in prompt)))


def test_retrieval_qa(shared: Larimar) -> None:
    turns = LarimarMemory(shared, window=99, window_tokens=100_000)
    qa = LarimarRetrievalQA.from_llm(repeating(), memory=shared, k=50, conversation=turns)
    plain = LarimarRetrievalQA.from_llm(repeating(), memory=shared, k=50)

    def work(n: int) -> None:
        side = side_of(n)
        writing(shared, n)
        config: Any = {"configurable": {"session_id": f"{side} {n}"}}
        first = qa.invoke(f"Question of {n}?", config, namespace=side)["result"]
        chunks = plain.stream("Who?", namespace=side)
        for result in (first, reduce(add, chunks)["result"]):
            assert f"Caller {n} is on the {side} side." in result
            assert other(side) not in result
        for m in range(CALLERS):
            assert (f"Question of {m}?" in first) is (m == n)

    together(work)
    for n in range(CALLERS):
        lines = LarimarMemory(shared, f"{side_of(n)} {n}").all_lines()
        assert [line.text for line in lines[::2]] == [f"Question of {n}?"] * TURNS


async def test_retrieval_qa_async(shared: Larimar) -> None:
    with_model = LarimarRetrievalQA.from_llm(repeating(), memory=shared)
    with_decoder = LarimarRetrievalQA.from_llm(memory=shared).bind(max_tokens=2)

    async def ask(n: int) -> None:
        side = side_of(n)
        outputs = await asyncio.gather(
            with_model.ainvoke("Who?", namespace=side), with_decoder.ainvoke("Who?", namespace=side)
        )
        chunks = [chunk async for chunk in with_decoder.astream("Who?", namespace=side)]
        for output in (*outputs, reduce(add, chunks)):
            assert [d.page_content for d in output["source_documents"]] == [f"The {side} note."]
            assert other(side) not in output["result"]

    await asyncio.gather(*map(ask, range(CALLERS)))


def test_memory_of_turns(shared: Larimar) -> None:
    chain = LarimarMemory(shared, k=50).remembering(repeating_input())

    def work(n: int) -> None:
        side = side_of(n)
        turns = LarimarMemory(shared, side, k=50, window=0, recall_tokens=100_000)
        turns.save(f"Caller {n} is {side}.", f"Yes, {side}.")
        text = turns.load_text("Who?")
        assert side in text
        assert other(side) not in text
        chain.invoke(f"Go {side}.", {"configurable": {"session_id": side}})

    together(work)
    for side in SIDES:
        lines = LarimarMemory(shared, side).all_lines()
        assert len(lines) == CALLERS // 2 * TURNS * 4
        assert sorted(line.turn for line in lines) == sorted([*range(1, len(lines) // 2 + 1)] * 2)
        assert all(side in line.text and other(side) not in line.text for line in lines)


def repeating_input() -> Any:
    return RunnableLambda(lambda given: f"You said: {given['input']}")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_message_history_and_classic_memory(shared: Larimar) -> None:
    def work(n: int) -> None:
        side = side_of(n)
        history = LarimarChatMessageHistory(shared, side)
        history.add_messages([HumanMessage(f"{side} {n}"), AIMessage(f"{side} reply")])
        assert not any(other(side) in m.text for m in history.messages)
        classic = LarimarMemory(shared, f"classic {side}").as_classic()
        classic.save_context({"input": f"{side} {n}"}, {"output": f"{side} reply"})
        assert other(side) not in classic.load_memory_variables({"input": side})["history"]

    together(work)
    for side in SIDES:
        for session in (side, f"classic {side}"):
            texts = [m.text for m in LarimarChatMessageHistory(shared, session).messages]
            assert sorted(texts) == sorted(
                text
                for n in range(CALLERS)
                for text in (f"{side} {n}", f"{side} reply")
                if side_of(n) == side
                for _ in range(TURNS)
            )


def test_embeddings() -> None:
    embeddings = LarimarEmbeddings(EmbeddingsEncoder(FAKE))
    texts = [f"Text {n}." for n in range(CALLERS)]
    expected = embeddings.embed_documents(texts)

    def work(n: int) -> None:
        assert embeddings.embed_query(texts[n]) == expected[n]
        assert embeddings.embed_documents(texts) == expected

    together(work)
