"""The local decoder as a LangChain chat model, its answers grounded in a memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import ConfigDict

from langchain_larimar.chat_decoder import UNUSABLE, ChatDecoder
from langchain_larimar.chat_messages import to_chat, to_end, to_question
from langchain_larimar.chat_options import SETTINGS, ChatOptions
from langchain_larimar.streams import off_loop, stripped
from larimar_memory.errors import InputError

if TYPE_CHECKING:
    from larimar_memory.answer import AnswerStream
    from larimar_memory.types import AnswerOptions, ReadOptions

_Stop: TypeAlias = list[str] | None
_Run: TypeAlias = CallbackManagerForLLMRun | None
_AsyncRun: TypeAlias = AsyncCallbackManagerForLLMRun | None


class ChatLarimar(ChatDecoder, ChatOptions, BaseChatModel):
    """A small local decoder as a chat model, which answers from a memory if it has one.

    The last human message is the question, and the memory is read with it alone. The messages before
    it also reach the decoder: in front of recalled text, or after recalled latents, which stand where
    every chat begins. If nothing is recalled for a question, the answer is "Not in memory." and no
    model is called, unless `fallback` is set.

    The `response_metadata` of an answer says what it rests on: `model_name` and `grounding`; if a
    memory was read, whether the answer is `in_memory`, and `sources`, the recalled segments that were
    given to the decoder, each with `document_id`, `index`, `start`, `end`, `score`, `text` and
    `metadata`; `confidence`, if it is known; and with `cite`, `citations`, as in `Answer.citations`.

    A call can override the settings of `ChatOptions`, as in `model.invoke(messages, k=2)`, and so can
    `model.bind(namespace="ana")`. A dump leaves `memory` and `decoder` out: set `memory` after
    loading. LangChain's cache keeps no answers from memory, because they change with it.

    Args:
        memory, decoder, model: as in `ChatDecoder`.
        grounding, k, namespace, where, hybrid, neighbours, score_threshold: as in `ChatOptions`.
        fallback, context_tokens, max_tokens, temperature, seed, style, cite, beams, around: as in
            `ChatOptions`.
        stop: texts at which an answer ends; they are not part of it.
        streaming: with True, callbacks also get every token of `invoke`; with False, `stream` gives
            each answer in one piece.

    Raises:
        InputError: if a field cannot be used, or the fields do not fit together.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    stop: list[str] | None = None
    streaming: bool | None = None

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.settle()
        if self.grounding is None:
            self.grounding = "none" if self.memory is None else "text"
        self.options({})
        if self.memory is not None or self.grounding != "none":
            if self.cache:
                raise InputError(
                    UNUSABLE,
                    "Answers from a memory change with it, and a cache would go on giving old ones.",
                    "Leave out the cache.",
                )
            self.cache = False

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Its settings can be dumped and loaded; neither memory nor decoder is part of them."""
        return True

    def get_token_ids(self, text: str) -> list[int]:
        """A text's tokens, as the decoder reads them."""
        decoder: Any = self.local()
        ids: list[int] = decoder.plain_tokens(text)
        return ids

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Tokens of a chat, without what is recalled; for `trim_messages(token_counter=model)`."""
        if tools:
            self.bind_tools(tools)
        chat = to_chat(messages)
        return len(self.local().chat_tokens(chat)) if chat else 0

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> NoReturn:
        """Not possible.

        Raises:
            InputError: always.
        """
        raise InputError(
            "ChatLarimar takes no tools, and no schema for its output.",
            "Its decoder is too small to write the calls that both need.",
            "Give the memory to a chat model that calls tools, with `larimar_tools(memory)`.",
        )

    def _generate(
        self, messages: list[BaseMessage], stop: _Stop = None, run_manager: _Run = None, **kwargs: Any
    ) -> ChatResult:
        return generate_from_stream(self._chunks(messages, stop, kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: _Stop = None,
        run_manager: _AsyncRun = None,
        **kwargs: Any,
    ) -> ChatResult:
        async with aclosing(off_loop(self._chunks(messages, stop, kwargs))) as chunks:
            return await agenerate_from_stream(chunks)

    def _stream(
        self, messages: list[BaseMessage], stop: _Stop = None, run_manager: _Run = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, stop, kwargs):
            if run_manager is not None:
                run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: _Stop = None,
        run_manager: _AsyncRun = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with aclosing(off_loop(self._chunks(messages, stop, kwargs))) as chunks:
            async for chunk in chunks:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                yield chunk

    def _chunks(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, overrides: dict[str, Any]
    ) -> Generator[ChatGenerationChunk, None, None]:
        started = time.perf_counter()
        asked, options = self.options(overrides)
        question, history = to_question(messages)
        stop = self.stop if stop is None else stop
        answer = self._answer(
            question, asked, replace(options, history=history, stop=stop or ()), started
        )
        for text in stripped(answer):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))
        remembering = options.grounding != "none"
        yield to_end(
            answer.result(), self.model_name, remembering=remembering, citing=bool(options.cite)
        )

    def _answer(
        self, question: str, asked: ReadOptions, options: AnswerOptions, started: float
    ) -> AnswerStream:
        if options.grounding == "none":
            from larimar_memory.answer import plain

            return plain(question, options, self.local(), started)
        return self.larimar().stream(question, reading=asked, options=options)

    @property
    def _llm_type(self) -> str:
        return "larimar"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model_name, "stop": self.stop, **self.settings(SETTINGS, {}, "")}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        kwargs = {"model": self.model_name, **kwargs}
        return super()._get_ls_params(stop=self.stop if stop is None else stop, **kwargs)
