"""A call of the question-answering chain: its question, and its options by who takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages
from langchain_core.prompts import BasePromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStoreRetriever

from langchain_larimar.qa_prompt import CHAT_HISTORY, has_place
from langchain_larimar.retrievers import READ_OPTIONS, LarimarRetriever
from larimar_memory.errors import InputError
from larimar_memory.types import AnswerOptions

_DECODER_OPTIONS = sorted({field.name for field in fields(AnswerOptions)} - {"grounding", "history"})
"""Options of `Larimar.stream` for the memory's own decoder, without those that say what to read."""

_OF_VECTOR_STORES = ("k", "filter", "fetch_k", "lambda_mult", "score_threshold")
_OF_NO_MODEL = {*READ_OPTIONS, *_OF_VECTOR_STORES, "search_kwargs", "threshold", "top_k"}
_LIKE = {"filter": "where", "top_k": "k", "threshold": "score_threshold"}
_INNER = ("prompt", "document_prompt", "document_separator", "memory", "callbacks", "verbose")


@dataclass(frozen=True)
class Call:
    """One question, with the options of its call by who takes them."""

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
    """Parse a call.

    Args:
        given: a question, or a mapping that holds one and, optionally, the chat history.
        options: keyword arguments of the call: fields of the retriever, `return_only_outputs`, and
            others, which go to the model.
        input_key: the mapping's entry that is the question.
        prompt: the template, if there is one; a chat history must have a place in it.
        retriever, own_decoder: as in `_part_overrides`.

    Raises:
        InputError: if there is no question, or if a chat history or an option cannot be used.
    """
    asked = {input_key: given} if isinstance(given, str) else given
    if not isinstance(asked, Mapping) or not isinstance(asked.get(input_key), str):
        raise InputError(
            "The question cannot be answered.",
            f"It is neither a str nor a mapping with a str under {input_key!r}.",
            f"Pass the question, or {{{input_key!r}: question}}.",
        )
    history = asked.get(CHAT_HISTORY) or []
    if history and (isinstance(history, str) or not has_place(prompt)):
        raise InputError(
            "The chat history cannot be used.",
            "It is a list of messages, and a prompt must have a place for it.",
            f"Give messages, and put {CHAT_HISTORY} into the prompt.",
        )
    options = dict(options)
    only_outputs = bool(options.pop("return_only_outputs", False))
    read, model = _part_overrides(options, retriever, own_decoder=own_decoder)
    return Call(asked[input_key], convert_to_messages(history), read, model, only_outputs)


def _part_overrides(
    options: Mapping[str, Any], retriever: BaseRetriever, *, own_decoder: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a call that the retriever takes, and those that the model takes.

    An option that restricts a search never goes to a model, nor to a retriever that would ignore it.

    Args:
        own_decoder: whether the memory's own decoder answers, and no LangChain model.

    Raises:
        InputError: if neither takes one of them.
    """
    taken = _read_names(retriever)
    read = {name: value for name, value in options.items() if name in taken}
    model = {name: value for name, value in options.items() if name not in taken}
    for name in model:
        if name in _OF_NO_MODEL or (own_decoder and name not in _DECODER_OPTIONS):
            kind = type(retriever).__name__
            known = (*taken, *(_DECODER_OPTIONS if own_decoder else ()))
            likely = _LIKE.get(name)
            raise InputError(
                f"The question cannot be answered with {name!r}.",
                f"With a {kind}, a call can override {', '.join(known) or 'nothing of the retriever'}.",
                f"Use {likely!r}." if likely in known else "Leave it out, or set it on the retriever.",
            )
    return read, model


def _read_names(retriever: BaseRetriever) -> tuple[str, ...]:
    """The fields that a call of this retriever can override; unknown retrievers might ignore any."""
    if isinstance(retriever, LarimarRetriever):
        return READ_OPTIONS
    return _OF_VECTOR_STORES if isinstance(retriever, VectorStoreRetriever) else ()


def inner_fields(*given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields in `chain_type_kwargs` and `llm_chain_kwargs`.

    Raises:
        InputError: if they hold anything that has no place here.
    """
    options = {name: value for mapping in given for name, value in (mapping or {}).items()}
    # Every prompt here has this name, so no other one is possible.
    if options.get("document_variable_name") == "context":
        del options["document_variable_name"]
    if unknown := [name for name in options if name not in _INNER]:
        raise InputError(
            "The question answering cannot be made.",
            f"There is no inner chain that would take {', '.join(map(repr, unknown))}.",
            f"Pass {', '.join(_INNER)}, and options of a model with `llm.bind(...)`.",
        )
    if "memory" in options:
        options["conversation"] = options.pop("memory")
    return options
