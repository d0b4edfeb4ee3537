"""A decoder's text, with every token passed on as soon as it spells whole characters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import TextIteratorStreamer

_UNFINISHED = "\ufffd"
"""What the bytes of an unfinished character are decoded to."""


class TokenStreamer(TextIteratorStreamer):
    """Passes text on token by token; its base class holds each word back until the next one begins.

    Attributes:
        stop: texts after which nothing more is wanted; they are passed on as well.
        stopped: whether one of them has come.
    """

    stop: Sequence[str] = ()
    stopped = False
    _tail = ""

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt, at the first call, or a new token; of one row."""
        if self.next_tokens_are_prompt:
            self.next_tokens_are_prompt = False
            return
        self.token_cache.extend(value.flatten().tolist())
        text = str(self.tokenizer.decode(self.token_cache, **self.decode_kwargs))
        if text.endswith(_UNFINISHED):
            return
        piece, self.print_len = text[self.print_len :], len(text)
        if text.endswith("\n"):
            # The text after a line's end is spelt alike without it, so decoding need not begin before
            # it.
            self.token_cache, self.print_len = [], 0
        if piece:
            self._tail += piece
            self.stopped = self.stopped or any(text and text in self._tail for text in self.stop)
            self._tail = self._tail[-max(map(len, self.stop), default=1) :]
            self.on_finalized_text(piece)

    def end(self) -> None:
        """Pass on what is left, and end the text."""
        super().end()  # type: ignore[no-untyped-call]
