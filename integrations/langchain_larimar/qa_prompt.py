"""The prompt of a model that answers questions: recalled text between delimiters, as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages, get_buffer_string
from langchain_core.prompts import BasePromptTemplate

from larimar_memory.decoders.prompt import block, messages, passages
from larimar_memory.errors import InputError

CHAT_HISTORY = "chat_history"


def has_place(prompt: BasePromptTemplate[Any] | None) -> bool:
    """Whether a prompt has a place for a chat history; that of the memory's own decoder has one."""
    return prompt is None or CHAT_HISTORY in _variables(prompt)


def check_prompt(prompt: Any) -> None:
    """Check that a template has `context` and `question`, and nothing else that must be filled in.

    Raises:
        InputError: if it lacks one of them, or others must be filled in.
    """
    needed = {"context", "question"}
    given = _variables(prompt) if isinstance(prompt, BasePromptTemplate) else set()
    if not needed <= given or not set(prompt.input_variables) <= {*needed, CHAT_HISTORY}:
        raise InputError(
            "The prompt cannot be used.",
            f"It has the variables {', '.join(sorted(given)) or 'none'}, "
            f"where context, question and, if wanted, {CHAT_HISTORY} are filled in.",
            "Rename its variables, or fill in the others with `prompt.partial(...)`.",
        )


def fill_prompt(
    prompt: BasePromptTemplate[Any] | None,
    question: str,
    texts: Sequence[str],
    history: Sequence[BaseMessage],
    separator: str = "\n",
    by: Sequence[str] = (),
) -> Any:
    """The input of the model.

    Args:
        prompt: a template that `check_prompt` let pass; None is the prompt that the memory's own
            decoder gets.
        question: the question.
        texts: the recalled texts, best first.
        history: messages before the question.
        separator: stands between the texts.
        by: who said each text, if known, as `said_by` gives it.
    """
    safe = passages(texts, by)
    if prompt is None:
        # The best text comes last, as in `messages`.
        *instruction, asked = convert_to_messages(messages(question, [separator.join(safe[::-1])]))
        return [*instruction, *history, asked]
    context = block([separator.join(safe)] if safe else [])
    values: dict[str, Any] = {"context": context, "question": question}
    if CHAT_HISTORY in _variables(prompt):
        # A messages placeholder has an input type; a plain variable takes text.
        placeholder = CHAT_HISTORY in prompt.input_types
        values[CHAT_HISTORY] = list(history) if placeholder else get_buffer_string(history)
    return prompt.invoke(values)


def _variables(prompt: BasePromptTemplate[Any]) -> set[str]:
    return {*prompt.input_variables, *prompt.optional_variables}
