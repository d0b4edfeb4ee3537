"""Conversions between messages of a LangChain chat and a memory's question, history and answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk

from langchain_larimar.convert import ROLES, to_role
from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.errors import InputError
from larimar_memory.validate import MAX_QUESTION_CHARS, check_history, check_question

if TYPE_CHECKING:
    from larimar_memory.types import Answer

_REFUSED = "The chat cannot be answered."


def to_chat(messages: Sequence[BaseMessage]) -> list[dict[str, str]]:
    """Messages as roles and texts, as `Larimar.stream` takes a history; names are left out.

    Raises:
        InputError: if one of them is anything but text of the system, a human or the model.
    """
    chat = list[dict[str, str]]()
    for message in messages:
        role = to_role(message)
        if role is None or (isinstance(message, AIMessage) and message.tool_calls):
            calls = "" if role is None else " that calls a tool"
            raise InputError(
                _REFUSED,
                f"It holds {_named(message)}{calls}, and the decoder knows nothing of tools.",
                "Leave it out, or give the memory to a chat model that calls tools.",
            )
        chat.append({"role": ROLES[role], "content": _text(message)})
    return check_history(chat)


def to_question(messages: Sequence[BaseMessage]) -> tuple[str, list[dict[str, str]]]:
    """The question that a chat ends with, and the chat without it.

    System messages may stand anywhere.

    Raises:
        InputError: if the chat does not end with a human's message, or cannot be used.
    """
    chat = to_chat(messages)
    last = max((n for n, message in enumerate(chat) if message["role"] != "system"), default=None)
    if last is None or chat[last]["role"] != "user":
        raise InputError(
            _REFUSED,
            "It holds no message of a human."
            if last is None
            else f"It ends with {_named(messages[last])}.",
            "End it with a HumanMessage, which is the question.",
        )
    question = check_question(chat[last]["content"], MAX_QUESTION_CHARS)
    return question, chat[:last] + chat[last + 1 :]


def to_end(
    answer: Answer, model: str, *, remembering: bool, citing: bool = False
) -> ChatGenerationChunk:
    """The chunk after the last piece: the tokens used, and what the answer rests on, as JSON values.

    Args:
        answer: the whole answer.
        model: the decoder's name.
        remembering: whether a memory was read.
        citing: whether sources were to be cited.
    """
    described: dict[str, Any] = {"model_name": model, "grounding": answer.grounding}
    if remembering:
        described["in_memory"] = answer.grounding != "none" and not _refused(answer.text)
        described["sources"] = [segment.to_dict() for segment in answer.sources]
        if answer.confidence is not None:
            described["confidence"] = answer.confidence
        if citing:
            described["citations"] = [asdict(citation) for citation in answer.citations]
    usage = UsageMetadata(
        input_tokens=answer.usage.prompt_tokens,
        output_tokens=answer.usage.completion_tokens,
        total_tokens=answer.usage.total_tokens,
    )
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content="", usage_metadata=usage, response_metadata=described, chunk_position="last"
        )
    )


def _refused(text: str) -> bool:
    """Whether all lines of an answer say that it is not in memory."""
    lines = [line for line in text.splitlines() if line.strip()]
    return bool(lines) and all(line.endswith(NOT_IN_MEMORY) for line in lines)


def _text(message: BaseMessage) -> str:
    for block in [] if isinstance(message.content, str) else message.content:
        kind = "text" if isinstance(block, str) else block.get("type")
        if kind != "text":
            raise InputError(
                _REFUSED,
                f"It holds {_named(message)} with a block of type {kind!r}, and only text is read.",
                "Leave the block out, or put into words what it says.",
            )
    return str(message.text)


def _named(message: BaseMessage) -> str:
    name = type(message).__name__
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
