"""No memory: the decoder reads all of the text, or as much of its end as its context holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.session import Session
from benchmarks.systems.base import ANSWER_TOKENS, Reply, generated
from larimar_memory.decoders.prompt import messages, passage

_CHARS_PER_TOKEN = 8
"""More than any real text has, so that what is tokenised fills the context."""


class Whole:
    """The text in every prompt, its last tokens where it is longer than the context.

    Args:
        session: has the decoder.
        folder: is left empty.
    """

    def __init__(self, session: Session, folder: Path) -> None:
        self._decoder = session.decoder
        self._documents = dict[str, str]()

    def write(self, documents: Mapping[str, str]) -> None:
        self._documents.update(documents)

    def update(self, id: str, text: str) -> None:
        self._documents[id] = text

    def forget(self, id: str) -> None:
        del self._documents[id]

    def read(self, question: str, k: int) -> None:
        return None

    def ask(self, question: str, max_tokens: int = ANSWER_TOKENS, begin: str = "") -> Reply:
        started = time.perf_counter()
        decoder, text = self._decoder, passage("\n\n".join(self._documents.values()))
        text = text[-decoder.context * _CHARS_PER_TOKEN :]
        frame = len(decoder.chat_tokens(messages(question, ["."]))) + decoder.count(begin)
        ids = decoder.plain_tokens(text)
        # The cut may fall inside a word, whose rest can take more tokens on its own.
        room = decoder.context - max_tokens - frame - 16
        if len(ids) > room:
            text = decoder.tokenizer.decode(ids[-room:])
        prompt = decoder.chat_tokens(messages(question, [text]))
        return generated(decoder, prompt, max_tokens, started, ("\nQuestion:",), begin)

    def close(self) -> None:
        self._documents.clear()
