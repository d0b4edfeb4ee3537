"""Question answering over a memory: what RetrievalQA did, with sources, scores and streamed tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableSerializable
from langchain_core.runnables.config import run_in_executor
from langchain_core.runnables.utils import AddableDict
from pydantic import ConfigDict, SkipValidation

from langchain_larimar.convert import to_documents
from langchain_larimar.prompts import Call, check_prompt, fill_prompt, fitting, read_call
from langchain_larimar.retrievers import READ_OPTIONS, LarimarRetriever
from langchain_larimar.streams import off_loop, stripped
from larimar_memory.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Self

    from larimar_memory import Larimar
    from larimar_memory.answering import AnswerStream

Question: TypeAlias = str | dict[str, Any]
Output: TypeAlias = dict[str, Any]


class LarimarRetrievalQA(RunnableSerializable[Question, Output]):
    """Answer questions from a memory; made by `from_llm` or `from_chain_type`.

    Takes a question, or `{"query": question, "chat_history": [messages]}`, and returns `{"query",
    "result", "source_documents"}`. A question that nothing is recalled for gets the result "Not in
    memory." and no documents, and no model is called.

    Streams dictionaries that add up to the whole output: first the query, then the documents, then the
    result in pieces. Keyword arguments of a call, or of `.bind(...)`, override the retriever's fields
    (`k`, `namespace`, `where`, ...); the others go to the model (`max_tokens`, `stop`, ...).

    Args:
        retriever: finds the documents.
        llm: a LangChain model; None is the memory's own decoder, which reads all segments of a question
            in scope and takes no chat history.
        prompt: a template with `context` and `question`, and `chat_history` if that is to be used.
        return_source_documents: whether the output holds the documents that the model was given.
        context_chars: most characters of recalled text given to the LangChain model.
        input_key, output_key: names of the question and of the answer.

    Raises:
        InputError: if they do not go together.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    retriever: BaseRetriever
    llm: Runnable[Any, Any] | None = None
    # pydantic would make a new prompt of this generic class, which is abstract.
    prompt: SkipValidation[BasePromptTemplate[Any] | None] = None
    return_source_documents: bool = True
    context_chars: int = 8000
    input_key: str = "query"
    output_key: str = "result"

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        if self.llm is None and (self.prompt or not isinstance(self.retriever, LarimarRetriever)):
            raise InputError(
                "The question answering cannot be made.",
                "Without an llm the memory's own decoder answers, with its own prompt and retriever.",
                "Give an llm, or leave out the prompt and use a LarimarRetriever.",
            )
        if self.prompt is not None:
            check_prompt(self.prompt)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Its settings can be dumped and loaded; the memory is not part of them."""
        return True

    @classmethod
    def from_llm(
        cls,
        llm: Runnable[Any, Any] | None = None,
        *,
        memory: Larimar | None = None,
        retriever: BaseRetriever | None = None,
        prompt: BasePromptTemplate[Any] | None = None,
        **options: Any,
    ) -> Self:
        """Answer from a memory, or from what a retriever finds.

        Args:
            llm: a LangChain chat model or LLM; without one, the memory's own decoder answers.
            memory: the memory to read; its own threshold decides which questions it can answer.
            retriever: instead of `memory`, a retriever with its settings. A `LarimarRetriever` drops
                nothing unless it has a `score_threshold`, so that every question is answered.
            prompt: a template with `context` and `question`.
            options: other fields of this class and, where `memory` is given, of the retriever.

        Raises:
            InputError: if not exactly one of `memory` and `retriever` is given, or they do not fit.
        """
        if (memory is None) == (retriever is None):
            raise InputError(
                "The question answering cannot be made.",
                "It reads either a memory or a retriever.",
                "Give one of `memory=` and `retriever=`.",
            )
        if retriever is None:
            read = {name: options.pop(name) for name in READ_OPTIONS if name in options}
            retriever = LarimarRetriever(memory=memory, **{"score_threshold": None, **read})
        return cls(retriever=retriever, llm=llm, prompt=prompt, **options)

    @classmethod
    def from_chain_type(
        cls,
        llm: Runnable[Any, Any] | None = None,
        chain_type: str = "stuff",
        chain_type_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """As `from_llm`, with the arguments of `RetrievalQA.from_chain_type`.

        Args:
            llm: as in `from_llm`.
            chain_type: "stuff", where all that is recalled goes into one prompt.
            chain_type_kwargs: may hold the `prompt`.
            options: as in `from_llm`.

        Raises:
            InputError: for another chain type.
        """
        if chain_type != "stuff":
            raise InputError(
                f"There is no chain type {chain_type!r}.",
                "What is recalled is short, and all of it goes into one prompt.",
                'Use "stuff", the default.',
            )
        return cls.from_llm(llm, **{**(chain_type_kwargs or {}), **options})

    def invoke(self, input: Question, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        """Answer one question."""
        return self._call_with_config(self._invoke, input, config, **kwargs)

    async def ainvoke(
        self, input: Question, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Output:
        """Answer one question, the work off the event loop."""
        return await self._acall_with_config(self._ainvoke, input, config, **kwargs)

    def stream(
        self, input: Question, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Output]:
        """Answer one question piece by piece."""
        yield from self._transform_stream_with_config(iter([input]), self._stream, config, **kwargs)

    async def astream(
        self, input: Question, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Output]:
        """Answer one question piece by piece, the work off the event loop."""

        async def inputs() -> AsyncIterator[Question]:
            yield input

        chunks = self._atransform_stream_with_config(inputs(), self._astream, config, **kwargs)
        async for chunk in chunks:
            yield chunk

    def _invoke(self, input: Question, config: Any = None, **options: Any) -> Output:
        call = self._call(input, options)
        if self.llm is None:
            answer = self._answer(call).result()
            return self._output(call, to_documents(answer.sources), answer.text)
        found = fitting(self.retriever.invoke(call.query, config, **call.read), self.context_chars)
        model, prompt = self._model(call, found)
        return self._output(call, found, model.invoke(prompt, config))

    async def _ainvoke(self, input: Question, config: Any = None, **options: Any) -> Output:
        call = self._call(input, options)
        if self.llm is None:
            answer = await run_in_executor(None, lambda: self._answer(call).result())
            return self._output(call, to_documents(answer.sources), answer.text)
        found = fitting(
            await self.retriever.ainvoke(call.query, config, **call.read), self.context_chars
        )
        model, prompt = self._model(call, found)
        return self._output(call, found, await model.ainvoke(prompt, config))

    def _stream(
        self, inputs: Iterator[Question], config: Any = None, **options: Any
    ) -> Iterator[Output]:
        call = self._call(next(inputs), options)
        yield AddableDict({self.input_key: call.query})
        if self.llm is None:
            answer = self._answer(call)
            found = to_documents(answer.sources)
            pieces: Iterator[str] = stripped(answer)
        else:
            found = fitting(self.retriever.invoke(call.query, config, **call.read), self.context_chars)
            model, prompt = self._model(call, found)
            pieces = model.stream(prompt, config)
        if self.return_source_documents:
            yield AddableDict(source_documents=found)
        for piece in pieces:
            yield AddableDict({self.output_key: piece})

    async def _astream(
        self, inputs: AsyncIterator[Question], config: Any = None, **options: Any
    ) -> AsyncIterator[Output]:
        call = self._call(await anext(inputs), options)
        yield AddableDict({self.input_key: call.query})
        if self.llm is None:
            answer = await run_in_executor(None, self._answer, call)
            found = to_documents(answer.sources)
            pieces: AsyncIterator[str] = off_loop(stripped(answer))
        else:
            read = await self.retriever.ainvoke(call.query, config, **call.read)
            found = fitting(read, self.context_chars)
            model, prompt = self._model(call, found)
            pieces = model.astream(prompt, config)
        if self.return_source_documents:
            yield AddableDict(source_documents=found)
        async for piece in pieces:
            yield AddableDict({self.output_key: piece})

    def _call(self, given: Question, options: dict[str, Any]) -> Call:
        return read_call(given, options, self.input_key, self.llm, self.prompt)

    def _answer(self, call: Call) -> AnswerStream:
        retriever = cast(LarimarRetriever, self.retriever)
        options = retriever.read_options(call.read)
        return retriever.larimar().stream(call.query, **options, **call.model)

    def _model(self, call: Call, found: list[Document]) -> tuple[Runnable[Any, str], Any]:
        if self.llm is None or not found:
            from larimar_memory.answering import NOT_IN_MEMORY

            return RunnableLambda(lambda _: NOT_IN_MEMORY, name="NotInMemory"), call.query
        model = self.llm.bind(**call.model) if call.model else self.llm
        return model | StrOutputParser(), fill_prompt(self.prompt, call.query, found, call.history)

    def _output(self, call: Call, found: list[Document], text: str) -> Output:
        sources = {"source_documents": found} if self.return_source_documents else {}
        return {self.input_key: call.query, self.output_key: text, **sources}
