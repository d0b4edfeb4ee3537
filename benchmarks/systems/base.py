"""What every system that is compared can do: keep documents, change them, find text, answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from larimar_memory.decoders.transformers import TransformersDecoder

ANSWER_TOKENS = 64
"""Most tokens of an answer; the same for every system."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A text that was found, and the document it is part of."""

    document: str
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        prompt_tokens: places of the decoder's context taken up before the answer.
        first_token, seconds: from the question to the first text of the answer, and to its end.
    """

    text: str
    prompt_tokens: int
    first_token: float
    seconds: float


class System(Protocol):
    """A memory that answers. All of them use one decoder, one encoder's weights and one tokenizer."""

    def write(self, documents: Mapping[str, str]) -> None:
        """Keep new documents, by id; on return they are on disk where the system has files."""
        ...

    def update(self, id: str, text: str) -> None:
        """Let a document say something else, or add it."""
        ...

    def forget(self, id: str) -> None:
        """Take a document away."""
        ...

    def read(self, question: str, k: int) -> list[Piece] | None:
        """The k texts that match best, best first; None if the system does not search."""
        ...

    def ask(self, question: str, max_tokens: int = ANSWER_TOKENS, begin: str = "") -> Reply:
        """Answer, with the system's defaults; `begin` is put in the decoder's mouth."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


def generated(
    decoder: TransformersDecoder,
    tokens: list[int],
    max_tokens: int,
    started: float,
    stop: tuple[str, ...] = (),
    begin: str = "",
) -> Reply:
    """The greedy continuation of a prompt.

    Args:
        begin: what the answer begins with.
        started: when the question was asked, by `time.perf_counter`.
    """
    text, first = begin, 0.0
    generation = decoder.generate(
        [*tokens, *decoder.plain_tokens(begin)], max_tokens=max_tokens, stop=stop
    )
    for piece in generation:
        if piece and not first:
            first = time.perf_counter() - started
        text += piece
    total = time.perf_counter() - started
    return Reply(text.strip(), generation.usage.prompt_tokens, first or total, total)
