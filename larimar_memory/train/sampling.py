"""Segments cut from passages: whole sentences, stretches from anywhere, rare strings put in."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from larimar_memory.train.rare import put_in

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])|\n\s*\n")
_BLANK = re.compile(r"\s+")
# More characters than a token of ordinary text has, so that a cut holds enough tokens.
_CHARACTERS_PER_TOKEN = 7
_TRIES = 8
_SENTENCES = 0.6
"""Share of segments that begin where a sentence does."""


@runtime_checkable
class Texts(Protocol):
    """Numbered passages."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> str: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One segment to learn from.

    Attributes:
        tokens: its ids, without an end mark.
        text: what they spell.
        rare: strings in it that were put there.
    """

    tokens: list[int]
    text: str
    rare: tuple[str, ...] = ()


@runtime_checkable
class SampleSource(Protocol):
    """Where training gets its segments; a function of the generator's state alone."""

    def samples(self, rng: random.Random, count: int, length: int) -> list[Sample]:
        """`count` segments of up to `length` tokens, most of them nearly as long."""
        ...

    def consecutive(self, rng: random.Random, count: int, shortest: int, longest: int) -> list[Sample]:
        """`count` segments that follow one another in a passage, of as many tokens as they have."""
        ...


class Sampler:
    """Cuts segments out of passages.

    Args:
        texts: passages.
        tokenizer: of the decoder, as transformers has it.
        rare: share of segments that rare strings are put into.
    """

    def __init__(self, texts: Texts, tokenizer: Any, *, rare: float = 0.3) -> None:
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

        Where no passage with so many is found soon, segments of unrelated passages fill up the rest.
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
        """Token ids, no special tokens among them."""
        rows: list[list[int]] = self._tokenizer(
            texts, add_special_tokens=False, split_special_tokens=True
        )["input_ids"]
        return rows

    def _sample(self, ids: list[int], put: list[str]) -> Sample:
        text = self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        return Sample(ids, text, tuple(s for s in put if s in text))

    def _with_rare(self, text: str, rng: random.Random, length: int) -> tuple[str, list[str]]:
        """A text into whose beginning rare strings may have been put, and those."""
        if rng.random() >= self._rare:
            return text, []
        head = text[: length * 4]
        changed, put = put_in(head, rng, rng.randint(1, max(1, length // 12)))
        return changed + text[len(head) :], put

    def _cut(self, rng: random.Random, length: int) -> tuple[str, list[str], bool]:
        """A text to take tokens from, what was put in, and whether it is whole sentences."""
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
    """A passage cut after sentences, roughly, blanks collapsed."""
    return [s for part in _SENTENCE_END.split(passage) if (s := _BLANK.sub(" ", part).strip())]


def _sentence(passage: str, rng: random.Random, length: int) -> str:
    """One sentence or a few, about as many as `length` tokens hold."""
    found = sentences(passage)
    if not found:
        return ""
    at = rng.randrange(len(found))
    text = found[at]
    for following in found[at + 1 :]:
        # Four characters a token: what follows is taken only if it probably fits whole.
        if len(text) + len(following) > length * 4:
            break
        text = f"{text} {following}"
    return text


def _stretch(passage: str, rng: random.Random, size: int) -> str:
    """Text from anywhere, beginning at a word or inside one, line breaks kept now and then."""
    start = rng.randrange(max(1, len(passage) - size // 2))
    if rng.random() < 0.8:
        blank = passage.find(" ", start)
        start = blank + 1 if 0 <= blank < len(passage) - 8 else start
    text = passage[start : start + size]
    return text.strip() if rng.random() < 0.2 else _BLANK.sub(" ", text).strip()


def draw_length(rng: random.Random, shortest: int, longest: int) -> int:
    """A length, short ones as likely as long ones on a scale between linear and logarithmic."""
    low, high = shortest**0.5, (longest + 1) ** 0.5
    return min(longest, int(rng.uniform(low, high) ** 2))


def in_rows(samples: Sequence[Sample], count: int) -> list[list[Sample]]:
    """Samples in rows of `count`."""
    return [list(samples[at : at + count]) for at in range(0, len(samples) - count + 1, count)]
