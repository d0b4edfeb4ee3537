"""From a call to a prompt: the question, its options, and recalled text between delimiters, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages, get_buffer_string
from langchain_core.prompts import BasePromptTemplate
from langchain_core.retrievers import BaseRetriever

from langchain_larimar.qa_overrides import part_overrides
from larimar_memory.decoders.prompt import block, messages, passages
from larimar_memory.errors import InputError

CHAT_HISTORY = "chat_history"


@dataclass(frozen=True)
class Call:
    """One question, with the options of its call parted by who takes them."""

    query: str
    history: list[BaseMessage]
    read: dict[str, Any]
    model: dict[str, Any]
    only_outputs: bool = False


def read_call(
    given: Any,
    options: Mapping[str, Any],
    input_key: str,
    prompt: BasePromptTemplate[Any] | None,
    retriever: BaseRetriever,
    *,
    own_decoder: bool,
) -> Call:
    """Make out what a call asks.

    Args:
        given: a question, or a mapping that holds one and, if wanted, the chat history.
        options: keyword arguments of the call: fields of the retriever, `return_only_outputs`, and
            others, which go to the model.
        input_key: the mapping's entry that is the question.
        prompt: the template, if there is one; a chat history must have a place in it.
        retriever, own_decoder: as in `part_overrides`.

    Raises:
        InputError: if there is no question, or a chat history or an option that cannot be used.
    """
    fields = {input_key: given} if isinstance(given, str) else given
    if not isinstance(fields, Mapping) or not isinstance(fields.get(input_key), str):
        raise InputError(
            "The question cannot be answered.",
            f"It is neither a str nor a mapping with a str under {input_key!r}.",
            f"Pass the question, or {{{input_key!r}: question}}.",
        )
    history = fields.get(CHAT_HISTORY) or []
    if history and (isinstance(history, str) or not has_place(prompt)):
        raise InputError(
            "The chat history cannot be used.",
            "It is a list of messages, and a prompt must have a place for it.",
            f"Give messages, and put {CHAT_HISTORY} into the prompt.",
        )
    options = dict(options)
    only_outputs = bool(options.pop("return_only_outputs", False))
    read, model = part_overrides(options, retriever, own_decoder=own_decoder)
    return Call(fields[input_key], convert_to_messages(history), read, model, only_outputs)


def has_place(prompt: BasePromptTemplate[Any] | None) -> bool:
    """Whether a chat history reaches the model: with the prompt of the memory's own decoder it does."""
    return prompt is None or CHAT_HISTORY in _variables(prompt)


def check_prompt(prompt: Any) -> None:
    """Check that a template has `context` and `question`, and nothing else that must be filled in.

    Raises:
        InputError: if it does not.
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
) -> Any:
    """What the model is given.

    Args:
        prompt: a template that `check_prompt` let pass; None is the prompt that the memory's own
            decoder gets.
        question: the question.
        texts: what was recalled, best first.
        history: messages before the question.
        separator: stands between the texts.
    """
    safe = passages(texts)
    if prompt is None:
        # The best last, as `messages` has it.
        *instruction, asked = convert_to_messages(messages(question, [separator.join(safe[::-1])]))
        return [*instruction, *history, asked]
    context = block([separator.join(safe)] if safe else [])
    values: dict[str, Any] = {"context": context, "question": question}
    if CHAT_HISTORY in _variables(prompt):
        # A messages placeholder has an input type; a plain variable wants text.
        placeholder = CHAT_HISTORY in prompt.input_types
        values[CHAT_HISTORY] = list(history) if placeholder else get_buffer_string(history)
    return prompt.invoke(values)


def _variables(prompt: BasePromptTemplate[Any]) -> set[str]:
    return {*prompt.input_variables, *prompt.optional_variables}
