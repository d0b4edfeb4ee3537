"""A decoder that says what a function of its prompt says, word by word, with probabilities."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from larimar_memory.decoders.base import Generation
from larimar_memory.types import Message, RecalledSegment, Usage


class Saying:
    """A `Decoder`; `prompts` are those it was given."""

    name, context = "saying", 20_000

    def __init__(self, say: Callable[[str], str], logs: Sequence[float] = (-0.1,)) -> None:
        self.prompts, self._say, self._logs = list[str](), say, tuple(logs)

    def count(self, text: str) -> int:
        return len(text)

    def chat_tokens(self, chat: Sequence[Message], begin: str = "") -> list[int]:
        return [ord(c) for c in "\n".join(message["content"] for message in chat) + begin]

    def generate(self, tokens: Sequence[int], *, max_tokens: int = 64, **_: Any) -> Generation:
        self.prompts.append("".join(map(chr, tokens)))
        pieces = re.findall(r"\s*\S+|\s+$", self._say(self.prompts[-1]))[:max_tokens]
        usage = Usage(len(tokens), len(pieces))
        return Generation(pieces, usage, log_probabilities=self._logs)


def source(text: str, index: int = 0, document: str = "notes") -> RecalledSegment:
    """A recalled segment of a hundred characters' distance from the next."""
    start = 100 * index
    return RecalledSegment(
        f"{document}#{index}", document, index, text, start, start + len(text), {}, 0.5, 0.5
    )
