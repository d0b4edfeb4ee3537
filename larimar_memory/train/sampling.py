"""Segments cut from passages: whole sentences or stretches from anywhere, some with rare strings."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from larimar_memory.train.passages import Passages
from larimar_memory.train.rare import put_in

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])|\n\s*\n")
_BLANK = re.compile(r"\s+")
# More characters than a token of ordinary text has, so that a cut holds enough tokens.
_CHARACTERS_PER_TOKEN = 7
_TRIES = 8
_SENTENCES = 0.6
"""Share of segments that are cut as whole sentences."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One segment to learn from.

    Attributes:
        tokens: token ids, without an end mark.
        text: the text of the tokens.
        rare: rare strings that were put into the text.
    """

    tokens: list[int]
    text: str
    rare: tuple[str, ...] = ()


@runtime_checkable
class SampleSource(Protocol):
    """A source of segments for training; they depend on the generator's state alone."""

    def samples(self, rng: random.Random, count: int, length: int) -> list[Sample]:
        """`count` segments of up to `length` tokens, most of them nearly as long."""
        ...

    def consecutive(self, rng: random.Random, count: int, shortest: int, longest: int) -> list[Sample]:
        """`count` segments that follow one another in a passage, each with as many tokens as it has."""
        ...


class Sampler:
    """Cuts segments out of passages.

    Args:
        texts: the passages.
        tokenizer: the decoder's tokenizer, from transformers.
        rare: share of segments that rare strings are put into.
    """

    def __init__(self, texts: Passages | Sequence[str], tokenizer: Any, *, rare: float = 0.3) -> None:
        self._texts, self._tokenizer, self._rare = texts, tokenizer, rare

    def samples(self, rng: random.Random, count: int, length: int) -> list[Sample]:
        """`count` segments of 3/4 `length` to `length` tokens; whole sentences may be shorter."""
        cuts = [self._cut(rng, length) for _ in range(count)]
        rows = self._encode([text for text, _, _ in cuts])
        out = list[Sample]()
        for ids, (_, put, whole) in zip(rows, cuts, strict=True):
            most = length if whole else rng.randint(max(1, length * 3 // 4), length)
            out.append(self._sample(ids[:most], put))
        return out

    def consecutive(self, rng: random.Random, count: int, shortest: int, longest: int) -> list[Sample]:
        """`count` sentences that follow one another in a passage, the longest cut at `longest` tokens.

        If no passage with that many is found soon, segments of unrelated passages fill the rest.
        """
        best = list[Sample]()
        for _ in range(_TRIES):
            found = sentences(self._texts[rng.randrange(len(self._texts))])
            at = rng.randrange(max(1, len(found) - count + 1))
            changed = [self._with_rare(text, rng, longest) for text in found[at : at + count]]
            rows = self._encode([text for text, _ in changed]) if changed else []
            some = [
                self._sample(ids[:longest], put)
                for ids, (_, put) in zip(rows, changed, strict=True)
                if len(ids) >= shortest
            ]
            best = max(best, some, key=len)
            if len(best) == count:
                break
        if len(best) < count:
            length = draw_length(rng, shortest, longest)
            best = [*best, *self.samples(rng, count - len(best), length)]
        return best

    def _encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of texts, without special tokens."""
        rows: list[list[int]] = self._tokenizer(
            texts, add_special_tokens=False, split_special_tokens=True
        )["input_ids"]
        return rows

    def _sample(self, ids: list[int], put: list[str]) -> Sample:
        text = self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        return Sample(ids, text, tuple(s for s in put if s in text))

    def _with_rare(self, text: str, rng: random.Random, length: int) -> tuple[str, list[str]]:
        """A text, perhaps with rare strings put into its beginning, and these strings."""
        if rng.random() >= self._rare:
            return text, []
        head = text[: length * 4]
        changed, put = put_in(head, rng, rng.randint(1, max(1, length // 12)))
        return changed + text[len(head) :], put

    def _cut(self, rng: random.Random, length: int) -> tuple[str, list[str], bool]:
        """A text to take tokens from, the rare strings in it, and whether it is whole sentences."""
        size = length * _CHARACTERS_PER_TOKEN
        text = ""
        # A cut may fall on blanks; passages that are all blanks do not exist.
        for _ in range(_TRIES):
            passage = self._texts[rng.randrange(len(self._texts))]
            whole = rng.random() < _SENTENCES
            text = _sentence(passage, rng, length) if whole else _stretch(passage, rng, size)
            if len(text) > 2:
                break
        text, put = self._with_rare(text, rng, length)
        return text, put, whole


def sentences(passage: str) -> list[str]:
    """The sentences of a passage, roughly, with blanks collapsed."""
    return [s for part in _SENTENCE_END.split(passage) if (s := _BLANK.sub(" ", part).strip())]


def _sentence(passage: str, rng: random.Random, length: int) -> str:
    """One sentence, or as many as probably fit into `length` tokens."""
    found = sentences(passage)
    if not found:
        return ""
    at = rng.randrange(len(found))
    text = found[at]
    for following in found[at + 1 :]:
        # At four characters per token, a further sentence is taken only if it probably fits whole.
        if len(text) + len(following) > length * 4:
            break
        text = f"{text} {following}"
    return text


def _stretch(passage: str, rng: random.Random, size: int) -> str:
    """A stretch from anywhere, from a word's beginning or its middle, at times with its line breaks."""
    start = rng.randrange(max(1, len(passage) - size // 2))
    if rng.random() < 0.8:
        blank = passage.find(" ", start)
        start = blank + 1 if 0 <= blank < len(passage) - 8 else start
    text = passage[start : start + size]
    return text.strip() if rng.random() < 0.2 else _BLANK.sub(" ", text).strip()


def draw_length(rng: random.Random, shortest: int, longest: int) -> int:
    """A random length, uniform on a scale between linear and logarithmic."""
    low, high = shortest**0.5, (longest + 1) ** 0.5
    return min(longest, int(rng.uniform(low, high) ** 2))


def in_rows(samples: Sequence[Sample], count: int) -> list[list[Sample]]:
    """Samples in rows of `count`."""
    return [list(samples[at : at + count]) for at in range(0, len(samples) - count + 1, count)]
