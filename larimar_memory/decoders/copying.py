"""Words copied as they stand: a name or a number that is begun as the prompt has it is not misspelt."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

_LAST = re.compile(r"[^\W_][^\s]*\Z")
_NAMED = re.compile(r"[^\W\d_]*[A-Z\d]")
_DIGITS = 3
"""Of a number this long, an end before the prompt's number has ended is a slip."""
_REMEMBERED = 64
"""Tokens of what was written in which the word begins."""
_LOOKED_AT = 20
_WITHIN = math.log(50)
"""A continuation more than this many times less likely than the likeliest is no slip's correction."""


class Copying:
    """What comes next in a word that the prompt has too.

    A small decoder begins a rare name as it stands in its prompt, and may go on as a common one does
    ("Odete" for "Odile"), or leave out a digit. Where the word being written begins with a capital or
    has a digit, and the prompt has words that begin so, the likeliest token that goes on as one of them
    does is taken, if it is nearly as likely as the likeliest of all.

    Args:
        tokenizer: of the decoder.
        prompt: token ids.
    """

    def __init__(self, tokenizer: Any, prompt: Sequence[int]) -> None:
        self._tokenizer, self._start = tokenizer, len(prompt)
        self._text: str = tokenizer.decode(prompt, skip_special_tokens=True)

    def __call__(self, ids: Sequence[int], logits: Float[Tensor, " v"]) -> Float[Tensor, " v"]:
        """The logits, with the token that goes on as the prompt does made the likeliest.

        Args:
            ids: the prompt and what is written so far.
        """
        word = self._begun(ids)
        if word is None:
            return logits
        values, tokens = logits.topk(min(_LOOKED_AT, len(logits)))
        for value, token in zip(values.tolist(), tokens.tolist(), strict=True):
            if value < float(values[0]) - _WITHIN:
                break
            if self._goes_on(word, self._piece(token)):
                if token == int(tokens[0]):
                    break
                raised = logits.clone()
                raised[token] = torch.nextafter(values[0], values[0].new_tensor(math.inf))
                return raised
        return logits

    def _begun(self, ids: Sequence[int]) -> str | None:
        """The word that is being written, if it is one to be copied."""
        written = self._tokenizer.decode(
            ids[max(self._start, len(ids) - 64) :], skip_special_tokens=True
        )
        found = _LAST.search(written)
        if found is None or not _NAMED.match(found[0]):
            return None
        return found[0] if self._has(found[0]) else None

    def _goes_on(self, word: str, piece: str) -> bool:
        """Whether a word of the prompt goes on so, or ends where this one would."""
        if piece[:1].isalnum():
            letters = word[-1].isalpha() and self._has(word, r"(?!\w)")
            # After a whole word a letter may come that the prompt has not, as in a plural.
            return letters or self._has(word + _first_word(piece))
        if not word[-1].isdigit() or len(word) < _DIGITS:
            return True
        return self._has(word, r"(?!\d)")

    def _has(self, beginning: str, after: str = "") -> bool:
        return re.search(rf"(?<!\w){re.escape(beginning)}{after}", self._text) is not None

    def _piece(self, token: int) -> str:
        piece: str = self._tokenizer.decode([token], skip_special_tokens=True)
        return piece


def _first_word(piece: str) -> str:
    found = re.match(r"\w+", piece)
    return found[0] if found else piece
