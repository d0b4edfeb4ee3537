"""Calls of the chat model: streamed, asynchronous, many at once, with callbacks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from langchain_larimar import ChatLarimar
from larimar_memory.larimar import Larimar

from .conftest import OUT_OF_SCOPE, longest_block
from .vaults import CHAT, GROUNDINGS, QUESTION, local


class Tokens(BaseCallbackHandler):
    """Keeps the tokens that callbacks are told of."""

    def __init__(self) -> None:
        self.seen = list[str]()

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.seen.append(str(token))


@pytest.mark.parametrize("grounding", GROUNDINGS)
def test_the_pieces_add_up(vault: Larimar, grounding: str) -> None:
    model = local(vault, grounding, max_tokens=6)
    whole = model.invoke(CHAT)
    chunks = list(model.stream(CHAT))
    together = reduce(add, chunks)
    assert len(chunks) > 3
    assert together.content == "".join(str(chunk.content) for chunk in chunks) == whole.content
    assert together.usage_metadata == whole.usage_metadata
    assert together.response_metadata == whole.response_metadata
    assert [bool(chunk.usage_metadata) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [chunk.chunk_position for chunk in chunks[-2:]] == [None, "last"]


def test_many_callers(vault: Larimar) -> None:
    model = ChatLarimar(memory=vault, max_tokens=1)
    text, latent = ([(name, how) for name in ("default", "other")] for how in GROUNDINGS[:2])
    calls = text * 6 + latent * 2

    def ask(call: tuple[str, str]) -> Any:
        answer = model.invoke(QUESTION, namespace=call[0], grounding=call[1])
        return answer.content, answer.usage_metadata, answer.response_metadata

    alone = {call: ask(call) for call in text + latent}
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, calls)) == [alone[call] for call in calls]


async def test_async_is_the_same(vault: Larimar) -> None:
    model = ChatLarimar(memory=vault, max_tokens=4)
    expected = model.invoke(CHAT)
    streamed = reduce(add, [chunk async for chunk in model.astream(CHAT)])
    for answer in (await model.ainvoke(CHAT), streamed):
        assert answer.content == expected.content
        assert answer.usage_metadata == expected.usage_metadata
        assert answer.response_metadata == expected.response_metadata


async def test_the_event_loop_is_kept_free(vault: Larimar, slow: dict[str, set[int]]) -> None:
    model = ChatLarimar(memory=vault)

    async def streamed() -> None:
        async for _ in model.astream(OUT_OF_SCOPE):
            pass

    assert await longest_block(model.ainvoke(OUT_OF_SCOPE)) < 0.5
    assert await longest_block(streamed()) < 0.5
    assert len(slow["read"]) >= 1
    assert threading.get_ident() not in slow["read"]


async def test_more_streams_than_threads_come_to_their_end(vault: Larimar) -> None:
    model = ChatLarimar(memory=vault, max_tokens=1)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    expected = (await model.ainvoke(QUESTION)).content
    answers = await asyncio.gather(*(model.ainvoke(QUESTION) for _ in range(4)))
    assert [answer.content for answer in answers] == [expected] * 4


async def test_who_leaves_early_stops_the_decoder(vault: Larimar) -> None:
    model = local(vault, "none", max_tokens=1000)
    pieces = model.stream("Tell me a long story.")
    next(pieces)
    pieces.close()
    chunks = model.astream("Tell me a long story.")
    await anext(chunks)
    await chunks.aclose()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(model.ainvoke("Tell me a long story."), 0.5)
    # The decoder answers one at a time: this waits for those that go on.
    answer = await asyncio.wait_for(model.ainvoke("Hello", max_tokens=1), 30)
    assert answer.usage_metadata["output_tokens"] == 1


def test_callbacks_are_told_of_tokens(vault: Larimar) -> None:
    model = ChatLarimar(memory=vault, max_tokens=5)
    streaming = ChatLarimar(memory=vault, max_tokens=5, streaming=True)
    quiet, told, loud = Tokens(), Tokens(), Tokens()
    answer = model.invoke(QUESTION, {"callbacks": [quiet]}).text
    assert reduce(add, model.stream(QUESTION, {"callbacks": [told]})).text == answer
    assert streaming.invoke(QUESTION, {"callbacks": [loud]}).text == answer
    assert quiet.seen == []
    assert len(told.seen) > 3
    assert "".join(told.seen) == answer
    assert loud.seen == told.seen


def test_an_answer_ends_where_it_is_told(vault: Larimar) -> None:
    model = ChatLarimar(memory=vault, max_tokens=5, style="full")
    assert model.invoke(QUESTION).text == "The pass key of the"
    assert model.invoke(QUESTION, stop=["key of"]).text == "The pass"
    stopped = ChatLarimar(memory=vault, max_tokens=5, style="full", stop=["key of"])
    assert reduce(add, stopped.stream(QUESTION)).text == "The pass"
    assert stopped.invoke(QUESTION, stop=["nowhere"]).text == "The pass key of the"
    assert stopped._get_ls_params()["ls_stop"] == ["key of"]
