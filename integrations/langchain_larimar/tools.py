"""A memory as tools of an agent: remember, recall, forget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool, ToolException
from pydantic import BaseModel, Field

from langchain_larimar.documents import ScoredDocuments, document_id_of
from langchain_larimar.identity import User, check_user, user_of
from langchain_larimar.moments import now, utc
from langchain_larimar.retrievers import LarimarRetriever
from langchain_larimar.tokens import CountTokens, fitting
from larimar_memory.decoders.prompt import NOT_IN_MEMORY, noted
from larimar_memory.errors import InputError, MemoryBusyError
from larimar_memory.text.blocks import note_id
from larimar_memory.validate import MAX_NAME_CHARS, MAX_QUESTION_CHARS, check_name

if TYPE_CHECKING:
    from larimar_memory import Larimar

Runtime: TypeAlias = Annotated[Any, InjectedToolArg]
"""A `ToolRuntime`: LangGraph fills in a parameter of this name, and drops a model's own value."""


class Remember(BaseModel):
    """Arguments of `remember`."""

    text: str = Field(
        min_length=1,
        max_length=20_000,
        description="What to remember, in whole sentences that can be understood on their own.",
    )


class Recall(BaseModel):
    """Arguments of `recall`."""

    question: str = Field(
        min_length=1, max_length=MAX_QUESTION_CHARS, description="A question, in plain words."
    )
    since: str = Field(
        "", max_length=40, description="Only what was said from this day on, such as 2026-05-03."
    )
    until: str = Field("", max_length=40, description="Only what was said up to this day.")


class Forget(BaseModel):
    """Arguments of `forget`."""

    id: str = Field(
        min_length=1, max_length=MAX_NAME_CHARS, description="The id, as recall or remember gave it."
    )


def larimar_tools(
    memory: Larimar,
    *,
    namespace: str | None = None,
    user: User = "user_id",
    k: int = 5,
    neighbours: int = 0,
    score_threshold: float | None = None,
    context_tokens: int = 1000,
    count_tokens: CountTokens = count_tokens_approximately,
    purge: bool = True,
    clock: Callable[[], datetime] = now,
) -> list[BaseTool]:
    """Tools for an agent that itself decides what to remember: remember, recall, forget, in that order.

    The model never chooses the namespace. It is the given one or, without one, the namespace
    `user:<id>` of the user that the run's context names; a run whose context names none is refused.
    `forget` deletes whatever has the id in that namespace: leave this tool out if the namespace also
    holds documents of your own.

    A remembered text keeps its day, and recall shows it; `recall` also takes the days `since` and
    `until`.

    Each tool answers with text and an artifact: the documents that were remembered; the documents that
    were recalled, each with its `larimar_citation` (see `ScoredDocuments.citations`); or the ids that
    were forgotten. An error that the model can correct, such as a blank text, becomes a tool message
    with status "error".

    Args:
        memory: the memory to write and read.
        namespace: the namespace of every run.
        user: where the context of a run holds the user's id, a str: an attribute, an entry if the
            context is a mapping, or a function of the context.
        k: most documents to recall.
        neighbours: segments of context to add on either side of each.
        score_threshold: score below which nothing is recalled; None is the memory's own.
        context_tokens: most tokens of recalled text.
        count_tokens: counts tokens, given a list of messages.
        purge: whether `forget` also erases from the files at once; see `Larimar.forget`.
        clock: gives the time, as `datetime.now(timezone.utc)` does.

    Raises:
        InputError: if an argument cannot be used.
    """
    check_user(user)
    retriever = LarimarRetriever(
        memory=memory,
        k=k,
        neighbours=neighbours,
        score_threshold=score_threshold,
        namespace="default" if namespace is None else namespace,
    )

    def place(runtime: Any) -> str:
        if namespace is not None:
            return namespace
        return check_name(f"user:{user_of(runtime, user)}", "namespace")

    def remember(text: str, runtime: Runtime = None) -> tuple[str, list[Document]]:
        space, text = place(runtime), text.strip()
        id, source = note_id(text), {"source": "agent", "said_at": utc(clock()).isoformat()}
        with _told():
            memory.write([text], [id], [source], namespace=space)
        return f"Remembered under the id {id}.", [Document(text, id=id, metadata=source)]

    def recall(
        question: str, since: str = "", until: str = "", runtime: Runtime = None
    ) -> tuple[str, list[Document]]:
        space = place(runtime)
        with _told():
            days = {"since": since or None, "until": until or None}
            read = retriever.bind(namespace=space, **days).invoke(question)
            found = fitting(read, context_tokens, count_tokens)
        return (_block(found), _cited(found)) if found else (NOT_IN_MEMORY, [])

    def forget(id: str, runtime: Runtime = None) -> tuple[str, list[str]]:
        space = place(runtime)
        with _told():
            count = memory.forget(ids=[id], namespace=space, purge=purge)
        if not count:
            return f"Nothing was forgotten: nothing in memory has the id {id!r}.", []
        return f"Forgotten: what had the id {id!r}.", [id]

    return [
        _tool(remember, Remember, "Remember a fact for later conversations."),
        _tool(recall, Recall, "Look up in memory what was remembered earlier."),
        _tool(forget, Forget, "Forget something that was remembered, for good, by its id."),
    ]


def _tool(function: Any, arguments: type[BaseModel], description: str) -> BaseTool:
    # Without a coroutine of its own, LangChain runs the function off the event loop.
    return StructuredTool.from_function(
        function,
        description=description,
        args_schema=arguments,
        response_format="content_and_artifact",
        handle_tool_error=True,
        handle_validation_error=_put_right,
    )


def _block(documents: list[Document]) -> str:
    return noted((document_id_of(d), d.page_content, d.metadata) for d in documents)


def _cited(documents: list[Document]) -> list[Document]:
    return documents.cited() if isinstance(documents, ScoredDocuments) else documents


def _put_right(error: Any) -> str:
    wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return f"The arguments cannot be used. {wrong}. Correct them and call again."


@contextmanager
def _told() -> Iterator[None]:
    """Tell the model of errors that it can correct or retry; other errors end the run."""
    try:
        yield
    except (InputError, MemoryBusyError) as error:
        raise ToolException(str(error)) from error
