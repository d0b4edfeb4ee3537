"""The tokens of a prompt that recalled text may take up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.prompts import BasePromptTemplate, format_document

from larimar_memory.decoders.budget import fit
from larimar_memory.decoders.prompt import said_by, spoken
from larimar_memory.errors import InputError

CountTokens: TypeAlias = Callable[[list[BaseMessage]], int]
"""Counts the tokens of messages: LangChain's `count_tokens_approximately`, the default, which counts
four characters as one token, or a model's own `get_num_tokens_from_messages`."""


def fitting(
    documents: list[Document],
    tokens: int,
    count_tokens: CountTokens,
    document_prompt: BasePromptTemplate[Any] | None = None,
) -> list[Document]:
    """The best documents whose texts together fit into a number of tokens, with their scores if they
    have any.

    Args:
        documents: best first.
        tokens: the budget.
        count_tokens: counts the tokens of one message that holds the texts.
        document_prompt: how a document is written; None is its text, and who said it, if known.

    Raises:
        InputError: if not even the best document fits.
    """
    texts = list[str]()
    for document in documents:
        by, text = speaker(document, document_prompt), written(document, document_prompt)
        texts.append(spoken(by, text))
    count = fit(texts, lambda some: count_tokens([HumanMessage("\n".join(some))]) <= tokens)
    if documents and not count:
        raise InputError(
            f"Nothing that was recalled fits into {tokens} tokens.",
            "The best document alone is longer.",
            "Raise context_tokens, or ask for fewer neighbours.",
        )
    return documents[:count]


def written(document: Document, document_prompt: BasePromptTemplate[Any] | None) -> str:
    """A document as a prompt shows it, before it is made safe to stand there."""
    return format_document(document, document_prompt) if document_prompt else document.page_content


def speaker(document: Document, document_prompt: BasePromptTemplate[Any] | None = None) -> str:
    """Who said a document, as `said_by` gives it; "" if the document's own prompt is to show it."""
    return "" if document_prompt else said_by(document.metadata)
