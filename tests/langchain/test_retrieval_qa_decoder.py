"""Question answering with the memory's own decoder: the same answers, streamed, and in threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_classic.memory import ConversationBufferMemory

from langchain_larimar import LarimarRetrievalQA
from larimar_memory.form.citing import unmarked
from larimar_memory.larimar import Larimar

from .conftest import OUT_OF_SCOPE, QUESTION


def test_the_memorys_own_decoder(notes: Larimar) -> None:
    qa = LarimarRetrievalQA.from_llm(memory=notes)
    output = qa.invoke(QUESTION, max_tokens=24)
    answer = notes.answer(QUESTION, max_tokens=24)
    assert "71432" in output["result"]
    assert output["result"] == answer.text
    assert [d.id for d in output["source_documents"]] == [s.id for s in answer.sources]
    begun = qa.invoke(QUESTION, max_tokens=8, begin="Of course: the pass key is")["result"]
    assert begun.startswith("Of course: the pass key is 71432")
    chunks = list(qa.stream(QUESTION, max_tokens=24))
    assert len(chunks) > 3
    assert reduce(add, chunks) == output


def test_sources_are_cited_and_the_conversation_keeps_no_marks(notes: Larimar) -> None:
    conversation = ConversationBufferMemory(memory_key="chat_history", return_messages=True)
    qa = LarimarRetrievalQA.from_llm(memory=notes, conversation=conversation)
    answer = notes.answer(QUESTION, max_tokens=24, cite=True)
    output = qa.invoke(QUESTION, max_tokens=24, cite=True)
    assert output["result"] == answer.text
    assert output["citations"] == [asdict(citation) for citation in answer.citations] != []
    assert output["confidence"] == answer.confidence
    kept = conversation.chat_memory.messages[-1].text
    assert kept == unmarked(answer.text, answer.citations) != answer.text
    plain = LarimarRetrievalQA.from_llm(memory=notes)
    assert set(plain.invoke(QUESTION, max_tokens=4)) == {"query", "source_documents", "result"}
    chunks = list(plain.stream(QUESTION, max_tokens=24, cite=True, style="full"))
    full = notes.answer(QUESTION, max_tokens=24, cite=True, style="full")
    assert reduce(add, chunks)["result"] == full.text


async def test_the_memorys_own_decoder_async(notes: Larimar) -> None:
    qa = LarimarRetrievalQA.from_llm(memory=notes).bind(max_tokens=8)
    expected = qa.invoke(QUESTION)

    async def streamed() -> Any:
        return reduce(add, [chunk async for chunk in qa.astream(QUESTION)])

    async for chunk in qa.astream(QUESTION):
        if "result" in chunk:
            break
    assert await asyncio.gather(streamed(), qa.ainvoke(QUESTION)) == [expected, expected]


async def test_the_decoder_works_off_the_event_loop(
    notes: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, stream = list[int](), Larimar.stream

    def watched(self: Larimar, *args: Any, **options: Any) -> Any:
        threads.append(threading.get_ident())
        return stream(self, *args, **options)

    monkeypatch.setattr(Larimar, "stream", watched)
    qa = LarimarRetrievalQA.from_llm(memory=notes)
    await qa.ainvoke(OUT_OF_SCOPE)
    async for _ in qa.astream(OUT_OF_SCOPE):
        pass
    assert len(threads) == 2
    assert threading.get_ident() not in threads


async def test_more_streams_than_threads_come_to_their_end(notes: Larimar) -> None:
    qa = LarimarRetrievalQA.from_llm(memory=notes).bind(max_tokens=2)
    expected = qa.invoke(QUESTION)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))

    async def streamed() -> Any:
        return reduce(add, [chunk async for chunk in qa.astream(QUESTION)])

    assert await asyncio.gather(*(streamed() for _ in range(4))) == [expected] * 4
