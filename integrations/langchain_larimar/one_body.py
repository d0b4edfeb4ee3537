"""A chain whose invoke, ainvoke, stream and astream run one body."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, TypeAlias, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import run_in_executor
from langchain_core.runnables.utils import Input, Output
from pydantic import ConfigDict

from langchain_larimar.streams import off_loop

Config: TypeAlias = RunnableConfig | None
Result = TypeVar("Result")


@dataclass(frozen=True)
class Way:
    """How a body does its work.

    Args:
        waits: whether it runs on an event loop: work goes to a thread, and models are called by their
            async methods. Otherwise nothing is awaited, and everything is done at once.
        by_piece: whether a model's output comes piece by piece, instead of as a whole.
    """

    waits: bool
    by_piece: bool

    async def work(self, function: Callable[..., Result], *args: Any) -> Result:
        """The result of a function."""
        return await run_in_executor(None, function, *args) if self.waits else function(*args)

    async def invoke(self, runnable: Runnable[Any, Result], *args: Any, **kwargs: Any) -> Result:
        """The result of a Runnable."""
        if self.waits:
            return await runnable.ainvoke(*args, **kwargs)
        return runnable.invoke(*args, **kwargs)

    async def run(
        self, runnable: Runnable[Any, Result], *args: Any, **kwargs: Any
    ) -> AsyncGenerator[Result, None]:
        """The pieces that a Runnable streams, or the one that it returns."""
        if not self.by_piece:
            yield await self.invoke(runnable, *args, **kwargs)
        elif self.waits:
            async for piece in runnable.astream(*args, **kwargs):
                yield piece
        else:
            for piece in runnable.stream(*args, **kwargs):
                yield piece

    async def each(self, pieces: Generator[str, None, None]) -> AsyncGenerator[str, None]:
        """The pieces of a text, or the one that they add up to."""
        if not self.by_piece:
            yield await self.work("".join, pieces)
        elif self.waits:
            async with aclosing(off_loop(pieces)) as made:
                async for piece in made:
                    yield piece
        else:
            for piece in pieces:
                yield piece


class OneBody(RunnableSerializable[Input, Output]):
    """A chain that defines its work once, in `body`; what that yields adds up to the output."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def body(
        self, way: Way, given: Input, config: RunnableConfig, options: dict[str, Any]
    ) -> AsyncGenerator[Output, None]:
        """The chain's work, as an async generator that awaits only the methods of a `Way`.

        Args:
            way: does the work.
            given: the input.
            config: the config for whatever runs inside.
            options: keyword arguments of the call.
        """
        raise NotImplementedError

    def configured(self, config: Config) -> Config:
        """The config of a call, with what the chain itself adds."""
        return config

    def invoke(self, input: Input, config: Config = None, **kwargs: Any) -> Output:
        """Run to the end."""
        return self._call_with_config(self._invoke, input, self.configured(config), **kwargs)

    async def ainvoke(self, input: Input, config: Config = None, **kwargs: Any) -> Output:
        """Run to the end, with the work off the event loop."""
        config = self.configured(config)
        return await self._acall_with_config(self._ainvoke, input, config, **kwargs)

    def stream(self, input: Input, config: Config = None, **kwargs: Any) -> Iterator[Output]:
        """Run piece by piece."""
        config = self.configured(config)
        yield from self._transform_stream_with_config(iter([input]), self._stream, config, **kwargs)

    async def astream(
        self, input: Input, config: Config = None, **kwargs: Any
    ) -> AsyncIterator[Output]:
        """Run piece by piece, with the work off the event loop."""

        async def inputs() -> AsyncIterator[Input]:
            yield input

        config = self.configured(config)
        chunks = self._atransform_stream_with_config(inputs(), self._astream, config, **kwargs)
        async for chunk in chunks:
            yield chunk

    def _invoke(self, given: Input, config: Any = None, **options: Any) -> Output:
        return reduce(add, _at_once(self.body(Way(False, False), given, config, options)))

    async def _ainvoke(self, given: Input, config: Any = None, **options: Any) -> Output:
        chunks = self.body(Way(True, False), given, config, options)
        return reduce(add, [chunk async for chunk in chunks])

    def _stream(self, inputs: Iterator[Input], config: Any = None, **options: Any) -> Iterator[Output]:
        yield from _at_once(self.body(Way(False, True), next(inputs), config, options))

    async def _astream(
        self, inputs: AsyncIterator[Input], config: Any = None, **options: Any
    ) -> AsyncIterator[Output]:
        given = await anext(inputs)
        async with aclosing(self.body(Way(True, True), given, config, options)) as chunks:
            async for chunk in chunks:
                yield chunk


def _at_once(pieces: AsyncGenerator[Result, None]) -> Generator[Result, None, None]:
    """The pieces of an async generator that never waits, without an event loop."""
    try:
        with suppress(StopAsyncIteration):
            while True:
                yield _done(pieces.__anext__())
    finally:
        _done(pieces.aclose())


def _done(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that never waits, and so ends in its first step."""
    try:
        work.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise RuntimeError("It waits for something, and there is no event loop.")
