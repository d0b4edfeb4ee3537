"""One body in four ways: the same output, pieces as they come, and no step after one that failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableLambda

from langchain_larimar.one_body import OneBody, Way, _at_once

from .conftest import HOW

STEPS = list[str]()


class Spelt(OneBody[str, list[str]]):
    """Spells a word, and notes what it did."""

    letters: Runnable[str, str]

    async def body(
        self, way: Way, given: str, config: RunnableConfig, options: dict[str, Any]
    ) -> AsyncGenerator[list[str], None]:
        word = await way.work(str.upper, given)
        yield [word]
        async for letter in way.run(self.letters, word, config):
            STEPS.append(letter)
            yield [letter]
        async for letter in way.each(iter_of(word)):
            yield [letter]
        STEPS.append("end")


def iter_of(word: str) -> Any:
    yield from word


def letters(words: Any) -> Any:
    for word in words:
        yield from word


async def aletters(words: Any) -> Any:
    async for word in words:
        for letter in word:
            yield letter


@pytest.fixture
def spelt() -> Spelt:
    STEPS.clear()
    return Spelt(letters=RunnableGenerator(letters, aletters))


async def chunks(face: Spelt, how: str) -> list[list[str]]:
    if how == "invoke":
        return [face.invoke("abc")]
    if how == "ainvoke":
        return [await face.ainvoke("abc")]
    if how == "stream":
        return list(face.stream("abc"))
    return [chunk async for chunk in face.astream("abc")]


@pytest.mark.parametrize("how", HOW)
async def test_a_body_says_the_same_in_every_way(spelt: Spelt, how: str) -> None:
    # Also where a loop is running that the synchronous methods know nothing of.
    found = await chunks(spelt, how)
    letters = ["A", "B", "C"] if "stream" in how else ["ABC"]
    assert [item for chunk in found for item in chunk] == ["ABC", *letters, *letters]
    assert len(found) == (7 if "stream" in how else 1)
    assert [*letters, "end"] == STEPS


async def test_what_is_left_early_does_no_more(spelt: Spelt) -> None:
    stream = spelt.stream("abc")
    assert [next(stream), next(stream)] == [["ABC"], ["A"]]
    stream.close()
    assert STEPS == ["A"]
    pieces = spelt.astream("abc")
    assert [await anext(pieces), await anext(pieces)] == [["ABC"], ["A"]]
    await pieces.aclose()
    assert STEPS == ["A", "A"]


@pytest.mark.parametrize("how", HOW)
async def test_what_fails_ends_it(how: str) -> None:
    def fail(_: str) -> str:
        raise KeyError("gone")

    STEPS.clear()
    with pytest.raises(KeyError, match="gone"):
        await chunks(Spelt(letters=RunnableLambda(fail)), how)
    assert STEPS == []


def test_what_waits_is_not_done_at_once() -> None:
    async def waiting() -> AsyncGenerator[int, None]:
        await asyncio.sleep(0)
        yield 1

    with pytest.raises(RuntimeError):
        list(_at_once(waiting()))
