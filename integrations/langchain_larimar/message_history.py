"""Where LangChain expects a conversation's memory: around a chain, in a classic chain, as a history."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import run_in_executor
from pydantic import ConfigDict, Field

from langchain_larimar.conversation import LarimarMemory
from langchain_larimar.convert import to_messages
from langchain_larimar.tokens import CountTokens
from larimar_memory.errors import InputError

if TYPE_CHECKING:
    from langchain_classic.base_memory import BaseMemory

    from larimar_memory import Larimar


class Remembering(RunnableSerializable[Any, Any]):
    """A chain that is given its history and whose turns are kept; made by `LarimarMemory.remembering`.

    Args:
        chain: takes a mapping with the history filled in.
        turns: the `LarimarMemory`.
        as_text: whether the history is text.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    chain: Runnable[Any, Any]
    turns: Any = Field(exclude=True)
    as_text: bool = False

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the chain and keep the turn."""
        return self._call_with_config(self._invoke, input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the chain and keep the turn, the memory's work off the event loop."""
        return await self._acall_with_config(self._ainvoke, input, config, **kwargs)

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Stream the chain and keep the turn at the end."""
        yield from self._transform_stream_with_config(iter([input]), self._stream, config, **kwargs)

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Stream the chain and keep the turn at the end, the memory's work off the event loop."""

        async def inputs() -> AsyncIterator[Any]:
            yield input

        chunks = self._atransform_stream_with_config(inputs(), self._astream, config, **kwargs)
        async for chunk in chunks:
            yield chunk

    def _invoke(self, input: Any, config: Any = None, **options: Any) -> Any:
        reply = self.chain.invoke(self._filled(input, config), config, **options)
        self._keep(input, reply, config)
        return reply

    async def _ainvoke(self, input: Any, config: Any = None, **options: Any) -> Any:
        filled = await run_in_executor(None, self._filled, input, config)
        reply = await self.chain.ainvoke(filled, config, **options)
        await run_in_executor(None, self._keep, input, reply, config)
        return reply

    def _stream(self, inputs: Iterator[Any], config: Any = None, **options: Any) -> Iterator[Any]:
        input, reply = next(inputs), None
        for chunk in self.chain.stream(self._filled(input, config), config, **options):
            reply = chunk if reply is None else reply + chunk
            yield chunk
        self._keep(input, reply, config)

    async def _astream(
        self, inputs: AsyncIterator[Any], config: Any = None, **options: Any
    ) -> AsyncIterator[Any]:
        input, reply = await anext(inputs), None
        filled = await run_in_executor(None, self._filled, input, config)
        async for chunk in self.chain.astream(filled, config, **options):
            reply = chunk if reply is None else reply + chunk
            yield chunk
        await run_in_executor(None, self._keep, input, reply, config)

    def _filled(self, given: Any, config: RunnableConfig) -> dict[str, Any]:
        turns: LarimarMemory = self.turns.at(config)
        said = turns.said(given)
        history = turns.load_text(said) if self.as_text else turns.load(said)
        fields = given if isinstance(given, Mapping) else {turns.input_key or "input": given}
        return {**fields, turns.memory_key: history}

    def _keep(self, given: Any, reply: Any, config: RunnableConfig) -> None:
        turns: LarimarMemory = self.turns.at(config)
        turns.save(turns.said(given), turns.replied(reply))


class LarimarChatMessageHistory(BaseChatMessageHistory):
    """A session's messages, as `RunnableWithMessageHistory` takes them.

    It hands out messages without recalling any; `LarimarMemory.remembering` does both. It keeps the
    text of human, AI and system messages, and leaves out those of tools.

    Args:
        memory: where messages are kept, together with those of `LarimarMemory`.
        session: whose conversation it is.
        limit: most messages to hand out, the latest ones; None is all of them.
        max_tokens: most tokens of them; of the message that is too long for what is left, the end is
            taken. None is any number.
        count_tokens: counts them, given a list of messages.

    Raises:
        InputError: if an argument cannot be used.
    """

    def __init__(
        self,
        memory: Larimar,
        session: str,
        *,
        limit: int | None = None,
        max_tokens: int | None = None,
        count_tokens: CountTokens = count_tokens_approximately,
    ) -> None:
        tokens = 0 if max_tokens is None else max_tokens
        self._turns = LarimarMemory(memory, session, window_tokens=tokens, count_tokens=count_tokens)
        self._limit, self._cut = limit, max_tokens is not None

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The messages, oldest first."""
        lines = self._turns.all_lines()
        lines = lines if self._limit is None else lines[max(0, len(lines) - self._limit) :]
        return to_messages(self._turns.cut(lines) if self._cut else lines)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Keep messages that have text."""
        self._turns.save_messages(messages)

    def clear(self) -> None:
        """Forget the session's messages, for good."""
        self._turns.clear()


def classic_memory(turns: LarimarMemory, return_messages: bool) -> BaseMemory:
    """See `LarimarMemory.as_classic`."""
    turns.namespace  # noqa: B018 - refuses to go on without a session
    memory: BaseMemory = _classic_class()(turns=turns, return_messages=return_messages)
    return memory


@cache
def _classic_class() -> Any:
    """The class, made when it is first wanted: langchain-classic is optional."""
    try:
        from langchain_classic.base_memory import BaseMemory
    except ImportError as error:
        raise InputError(
            "The classic memory cannot be made.",
            "The package langchain-classic is not installed.",
            "Install it with `pip install langchain-classic`.",
        ) from error

    class LarimarClassicMemory(BaseMemory):
        """A `LarimarMemory` as the memory of a classic chain."""

        turns: Any = Field(exclude=True)
        return_messages: bool = False

        @property
        def memory_variables(self) -> list[str]:
            return [self.turns.memory_key]

        def load_memory_variables(self, inputs: dict[str, Any]) -> dict[str, Any]:
            said = self.turns.said(inputs)
            loaded = self.turns.load(said) if self.return_messages else self.turns.load_text(said)
            return {self.turns.memory_key: loaded}

        def save_context(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
            self.turns.save(self.turns.said(inputs), self.turns.replied(outputs))

        def clear(self) -> None:
            self.turns.clear()

    return LarimarClassicMemory
