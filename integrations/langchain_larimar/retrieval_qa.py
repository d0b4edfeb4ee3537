"""Question answering over a memory, in place of RetrievalQA: sources, scores and streamed tokens."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from langchain_core.callbacks import StdOutCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import ensure_config, merge_configs
from langchain_core.runnables.utils import AddableDict
from pydantic import ConfigDict, Field, SkipValidation

from langchain_larimar.convert import to_history
from langchain_larimar.documents import ScoredDocuments, to_documents
from langchain_larimar.one_body import OneBody, Way
from langchain_larimar.qa_call import Call, inner_fields, read_call
from langchain_larimar.qa_conversation import check_conversation, earlier, is_conversation, keep
from langchain_larimar.qa_prompt import check_prompt, fill_prompt, has_place
from langchain_larimar.retrievers import READ_OPTIONS, LarimarRetriever
from langchain_larimar.streams import stripped
from langchain_larimar.tokens import CountTokens, fitting, speaker, written
from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.errors import InputError
from larimar_memory.form.citing import unmarked

if TYPE_CHECKING:
    from typing_extensions import Self

    from larimar_memory import Larimar
    from larimar_memory.answer import AnswerStream

Question: TypeAlias = str | dict[str, Any]
Output: TypeAlias = dict[str, Any]

_CONTEXT_TOKENS = 2000


class LarimarRetrievalQA(OneBody[Question, Output]):
    """Answers questions from a memory; made by `from_llm` or `from_chain_type`.

    Takes a question, or `{"query": question, "chat_history": [messages]}`, and returns `{"query",
    "result", "source_documents"}`. If nothing is recalled for a question, the result is "Not in
    memory.", there are no documents, and no model is called.

    Streams dictionaries that add up to the whole output: first the query, then the documents, then the
    result in pieces. Keyword arguments of a call, or of `.bind(...)`, override the retriever's fields
    (`k`, `namespace`, `grounding`, ...); `return_only_outputs` leaves the query out; the others go to
    the model (`max_tokens`, `stop`, ...). With `cite`, an answer of the memory's own decoder comes with
    `citations` and `confidence`, as `Larimar.answer` has them.

    With a conversation, what was said before reaches the prompt, and every complete turn is kept. The
    documents are found with the question alone: it must name what it asks about.

    Args:
        retriever: finds the documents.
        llm: a LangChain model; None is the memory's own decoder, which reads all segments of a question
            in scope.
        prompt: a template with `context` and `question`, and optionally `chat_history`.
        document_prompt: a template with `page_content` and entries of the metadata, for each document
            in the prompt; by default, the document's text alone.
        document_separator: stands between documents.
        conversation: a `LarimarMemory`, or the memory of a classic chain.
        return_source_documents: whether the output has the documents that the model was given; those
            of a memory come as a list that also has their `scores`.
        context_tokens: most tokens of recalled text in the prompt; by default 2,000, and 1,024 for the
            memory's own decoder, which counts them itself.
        count_tokens: counts tokens, given a list of messages.
        input_key, output_key: names of the question and of the answer.
        callbacks, tags, metadata: added to those of every call.
        verbose: whether to print what runs.

    Raises:
        InputError: if the arguments do not fit together.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    retriever: BaseRetriever
    llm: Runnable[Any, Any] | None = None
    # Without it, pydantic would try to make a new prompt of this generic class, which is abstract.
    prompt: SkipValidation[BasePromptTemplate[Any] | None] = None
    document_prompt: SkipValidation[BasePromptTemplate[Any] | None] = None
    document_separator: str = "\n"
    conversation: Any = Field(default=None, exclude=True, repr=False)
    return_source_documents: bool = True
    context_tokens: int | None = None
    count_tokens: SkipValidation[CountTokens] = Field(
        default=count_tokens_approximately, exclude=True, repr=False
    )
    input_key: str = "query"
    output_key: str = "result"
    callbacks: Any = Field(default=None, exclude=True, repr=False)
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    verbose: bool = False

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        own = self.prompt is None and self.document_prompt is None and self.document_separator == "\n"
        if self.llm is None and not (own and isinstance(self.retriever, LarimarRetriever)):
            raise InputError(
                "The question answering cannot be made.",
                "Without an llm the memory's own decoder answers, with its own prompt and retriever.",
                "Give an llm, or leave out the prompts and use a LarimarRetriever.",
            )
        self._check_grounding({})
        if self.prompt is not None:
            check_prompt(self.prompt)
        if self.conversation is not None:
            check_conversation(self.conversation)
            if not has_place(self.prompt):
                raise InputError(
                    "The question answering cannot be made.",
                    "It has a conversation, and its prompt has no place for one.",
                    "Put chat_history into the prompt.",
                )

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Its settings can be dumped and loaded; the memory is not part of them."""
        return True

    @classmethod
    def from_llm(
        cls,
        llm: Runnable[Any, Any] | None = None,
        prompt: BasePromptTemplate[Any] | None = None,
        *,
        memory: Larimar | Any | None = None,
        retriever: BaseRetriever | None = None,
        llm_chain_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Answer from a memory, or from what a retriever finds.

        Args:
            llm: a LangChain chat model or LLM; without one, the memory's own decoder answers.
            prompt: a template with `context` and `question`.
            memory: the memory to read; its own threshold decides which questions it can answer. With a
                `retriever`, it is a conversation instead, as in RetrievalQA.
            retriever: instead of `memory`, a retriever with its settings. A `LarimarRetriever` drops
                nothing unless it has a `score_threshold`, so that every question is answered.
            llm_chain_kwargs: as `chain_type_kwargs` in `from_chain_type`.
            options: other fields of this class and, if `memory` is given, of the retriever.

        Raises:
            InputError: if not exactly one of `memory` and `retriever` is given, or they do not fit.
        """
        options = {**inner_fields(llm_chain_kwargs), **options}
        if prompt is not None:
            options["prompt"] = prompt
        if retriever is not None and is_conversation(memory):
            options, memory = {"conversation": memory, **options}, None
        if (memory is None) == (retriever is None):
            raise InputError(
                "The question answering cannot be made.",
                "It reads either a memory or a retriever.",
                "Give one of `memory=` and `retriever=`.",
            )
        if retriever is None:
            read = {name: options.pop(name) for name in READ_OPTIONS if name in options}
            retriever = LarimarRetriever(memory=memory, **{"score_threshold": None, **read})
        return cls(retriever=retriever, llm=llm, **options)

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
            chain_type: "stuff", which puts everything that is recalled into one prompt.
            chain_type_kwargs: may hold `prompt`, `document_prompt`, `document_separator`, `callbacks`,
                `verbose`, and a conversation as `memory`.
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
        return cls.from_llm(llm, **{**inner_fields(chain_type_kwargs), **options})

    async def body(
        self, way: Way, given: Question, config: RunnableConfig, options: dict[str, Any]
    ) -> AsyncGenerator[Output, None]:
        """Answer one question: read, fit to the prompt, call the model, and keep the complete turn."""
        call = await way.work(self._call, given, options, config)
        if not call.only_outputs:
            yield AddableDict({self.input_key: call.query})
        answer: AnswerStream | None = None
        if self.llm is None:
            sources, stream = await way.work(self._answer, call)
            found: list[Document] = sources
            pieces, answer = way.each(stripped(stream)), stream
        else:
            read = await way.invoke(self.retriever, call.query, config, **call.read)
            found = await way.work(self._fitting, call, read)
            pieces = way.run(*self._model(call, found), config)
        if self.return_source_documents:
            yield AddableDict(source_documents=found)
        text = ""
        async with aclosing(pieces):
            async for piece in pieces:
                text += piece
                yield AddableDict({self.output_key: piece})
        if answer is not None and call.model.get("cite"):
            said = answer.result()
            # The turn is kept without citation marks: they are numbers of this answer's sources.
            text = unmarked(said.text, said.citations)
            yield AddableDict(citations=[asdict(c) for c in said.citations], confidence=said.confidence)
        await way.work(self._keep, call, text, config)

    def configured(self, config: RunnableConfig | None) -> RunnableConfig | None:
        """The config of a call, with the callbacks, tags and metadata of the chain."""
        named = {"callbacks": self.callbacks, "tags": self.tags, "metadata": self.metadata}
        own = RunnableConfig(**{name: value for name, value in named.items() if value})  # type: ignore[typeddict-item]
        printing = RunnableConfig(callbacks=[StdOutCallbackHandler()]) if self.verbose else None
        return merge_configs(own, printing, ensure_config(config)) if own or printing else config

    def _call(self, given: Question, options: dict[str, Any], config: Any) -> Call:
        own = self.llm is None
        call = read_call(given, options, self.input_key, self.prompt, self.retriever, own_decoder=own)
        self._check_grounding(call.read)
        if self.conversation is None:
            return call
        if call.history:
            raise InputError(
                "The chat history cannot be used.",
                "The question answering has a conversation, which says what was said before.",
                "Leave one of them out.",
            )
        return replace(call, history=earlier(self.conversation, call.query, config))

    def _check_grounding(self, read: Mapping[str, Any]) -> None:
        grounding = read.get("grounding", getattr(self.retriever, "grounding", "text"))
        if self.llm is not None and grounding == "latent":
            raise InputError(
                "The question cannot be answered from latents.",
                "An llm reads text; latents control the memory's own decoder.",
                'Leave out the llm, or use grounding="text".',
            )

    def _keep(self, call: Call, text: str, config: Any) -> None:
        if self.conversation is not None:
            keep(self.conversation, call.query, text, config)

    def _answer(self, call: Call) -> tuple[ScoredDocuments, AnswerStream]:
        retriever = cast(LarimarRetriever, self.retriever)
        memory = retriever.larimar()
        reading, grounding = retriever.options(call.read)
        given = {} if self.context_tokens is None else {"context_tokens": self.context_tokens}
        options = {**given, **call.model, "grounding": grounding, "history": to_history(call.history)}
        answer = memory.stream(call.query, reading=reading, **options)
        return to_documents(memory.store, reading.namespace, answer.sources), answer

    def _fitting(self, call: Call, read: list[Document]) -> list[Document]:
        budget = call.model.pop("context_tokens", self.context_tokens)
        budget = _CONTEXT_TOKENS if budget is None else budget
        return fitting(read, budget, self.count_tokens, self.document_prompt)

    def _model(self, call: Call, found: list[Document]) -> tuple[Runnable[Any, str], Any]:
        if self.llm is None or not found:
            return RunnableLambda(lambda _: NOT_IN_MEMORY, name="NotInMemory"), call.query
        model = self.llm.bind(**call.model) if call.model else self.llm
        texts = [written(document, self.document_prompt) for document in found]
        by = [speaker(document, self.document_prompt) for document in found]
        filled = fill_prompt(self.prompt, call.query, texts, call.history, self.document_separator, by)
        return model | StrOutputParser(), filled
