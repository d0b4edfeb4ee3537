"""The conversation that a question is part of: a `LarimarMemory`, or the memory of a classic chain."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.runnables import RunnableConfig

from langchain_larimar.conversation import LarimarMemory
from larimar_memory.errors import InputError


def is_conversation(given: Any) -> bool:
    """Whether turns can be loaded from a value and saved in it."""
    classic = all(hasattr(given, name) for name in ("load_memory_variables", "save_context"))
    return isinstance(given, LarimarMemory) or classic


def check_conversation(given: Any) -> None:
    """Raise InputError unless turns can be loaded from a value and saved in it."""
    if not is_conversation(given):
        raise InputError(
            "The conversation cannot be used.",
            f"It is a {type(given).__name__}, neither a LarimarMemory nor a classic chain's memory.",
            'Make one with `LarimarMemory(memory, "ana")`.',
        )


def earlier(conversation: Any, question: str, config: RunnableConfig | None) -> list[BaseMessage]:
    """What was said before and matters for the question, oldest first.

    Raises:
        InputError: if no session is named, or a classic memory fills in more than one variable.
    """
    if isinstance(conversation, LarimarMemory):
        return conversation.at(config).load(question)
    if getattr(conversation, "return_messages", None) is False:
        conversation = conversation.model_copy(update={"return_messages": True})
    loaded = conversation.load_memory_variables(_named(conversation, "input_key", "query", question))
    if len(loaded) != 1:
        raise InputError(
            "The conversation cannot be used.",
            f"It fills in {', '.join(map(repr, loaded)) or 'nothing'}, where one history is wanted.",
            "Use a memory with a single variable.",
        )
    (history,) = loaded.values()
    if isinstance(history, str):
        return [HumanMessage(history)] if history.strip() else []
    return convert_to_messages(history)


def keep(conversation: Any, question: str, reply: str, config: RunnableConfig | None) -> None:
    """Keep a turn."""
    if isinstance(conversation, LarimarMemory):
        conversation.at(config).save(question, reply)
    else:
        conversation.save_context(
            _named(conversation, "input_key", "query", question),
            _named(conversation, "output_key", "result", reply),
        )


def _named(conversation: Any, field: str, usual: str, text: str) -> dict[str, str]:
    return {getattr(conversation, field, None) or usual: text}
