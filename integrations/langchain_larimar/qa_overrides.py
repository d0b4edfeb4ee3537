"""What a call of the question answering may override, and who takes it: the retriever or the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStoreRetriever

from langchain_larimar.retrievers import READ_OPTIONS, LarimarRetriever
from larimar_memory.errors import InputError
from larimar_memory.types import AnswerOptions

_DECODER_OPTIONS = sorted({field.name for field in fields(AnswerOptions)} - {"grounding", "history"})
"""Options of `Larimar.stream` for the memory's own decoder, besides those that say what to read."""

_OF_VECTOR_STORES = ("k", "filter", "fetch_k", "lambda_mult", "score_threshold")
_OF_NO_MODEL = {*READ_OPTIONS, *_OF_VECTOR_STORES, "search_kwargs", "threshold", "top_k"}
_LIKE = {"filter": "where", "top_k": "k", "threshold": "score_threshold"}


def part_overrides(
    options: Mapping[str, Any], retriever: BaseRetriever, *, own_decoder: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a call that the retriever takes, and those that the model takes.

    What restricts a search never goes to a model, nor to a retriever that would not heed it.

    Args:
        own_decoder: the memory's own decoder answers, and no LangChain model.

    Raises:
        InputError: if one of them is taken by neither.
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
    """What a call of this retriever can override; nothing is known of others, which may ignore it."""
    if isinstance(retriever, LarimarRetriever):
        return READ_OPTIONS
    return _OF_VECTOR_STORES if isinstance(retriever, VectorStoreRetriever) else ()
