"""Copying words: a name or number that begins as one in the prompt is completed as it is there.

In a list, the next one is another one.
"""

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
_ITEM = re.compile(r"(?:,|\band)\s*(?P<begun>(?<=\s)[^\W_][\w-]*)?\Z")
"""The end of a list whose next item is to be written, or is begun."""
_VALUE = re.compile(r"(?<![\w-])(?=[\w-]*\d)[^\W_][\w-]{2,}")
"""A number or a code, so long that two things seldom have the same."""
_DIGITS = 3
"""In a number of this many digits, an end before that of the prompt's number is a slip."""
_REMEMBERED = 256
"""How many tokens of the written text are searched for the beginning of the word, or of the list."""
_LOOKED_AT = 20
_WITHIN = math.log(50)
"""A continuation more than this many times less likely than the likeliest is not a correction."""


class Copying:
    """Corrects the next token inside a word that the prompt also has.

    A small decoder may begin a rare name as its prompt has it, and continue it like a common one
    ("Odete" for "Odile"), or leave out a digit. If the word being written begins with a capital or has
    a digit, and words of the prompt begin like it, this takes the likeliest token that continues it as
    one of them does, if that token is nearly as likely as the likeliest of all.

    It may also say the first numbers of a list again in place of the last ones. Where an item of a list
    can only become a number or code that was said before, this takes the likeliest token with which it
    can become another one of the prompt's, by the same measure.

    Args:
        tokenizer: of the decoder.
        prompt: token ids.
    """

    def __init__(self, tokenizer: Any, prompt: Sequence[int]) -> None:
        self._tokenizer, self._start = tokenizer, len(prompt)
        self._text: str = tokenizer.decode(prompt, skip_special_tokens=True)
        self._values = frozenset(_VALUE.findall(self._text))

    def __call__(self, ids: Sequence[int], logits: Float[Tensor, " v"]) -> Float[Tensor, " v"]:
        """The logits, with the likeliest token that continues as the prompt does raised to the top.

        Args:
            ids: the prompt and what is written so far.
        """
        written = self._tokenizer.decode(
            ids[max(self._start, len(ids) - _REMEMBERED) :], skip_special_tokens=True
        )
        word, item = self._begun(written), _ITEM.search(written)
        said = frozenset(_VALUE.findall(written[: item.start()])) if item else frozenset()
        if word is None and not said:
            return logits
        values, tokens = logits.topk(min(_LOOKED_AT, len(logits)))
        likely = [
            (token, self._piece(token))
            for value, token in zip(values.tolist(), tokens.tolist(), strict=True)
            if value >= float(values[0]) - _WITHIN
        ]
        token = None
        if item and said:
            token = self._another(item["begun"] or "", said, likely)
        if token is None and word is not None:
            token = next((token for token, piece in likely if self._goes_on(word, piece)), None)
        if token is None or token == likely[0][0]:
            return logits
        raised = logits.clone()
        raised[token] = torch.nextafter(values[0], values[0].new_tensor(math.inf))
        return raised

    def _begun(self, written: str) -> str | None:
        """The word that is being written, if it is a word to copy."""
        found = _LAST.search(written)
        if found is None or not _NAMED.match(found[0]):
            return None
        return found[0] if self._has(found[0]) else None

    def _another(
        self, begun: str, said: frozenset[str], likely: Sequence[tuple[int, str]]
    ) -> int | None:
        """The likeliest token that makes an item another one, if the likeliest says one again."""

        def leads(piece: str, to: frozenset[str]) -> bool:
            item = begun + _first_word(piece if begun else piece.lstrip())
            return bool(item) and any(value.startswith(item) for value in to)

        others = self._values - said
        if not leads(likely[0][1], said) or leads(likely[0][1], others):
            return None
        return next((token for token, piece in likely if leads(piece, others)), None)

    def _goes_on(self, word: str, piece: str) -> bool:
        """Whether a word of the prompt continues like this, or ends where this word would end."""
        if piece[:1].isalnum():
            letters = word[-1].isalpha() and self._has(word, r"(?!\w)")
            # A whole word may get a letter that the prompt does not have, as in a plural.
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
