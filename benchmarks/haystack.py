"""Text of a length asked for, cut into documents, in which a needle can be hidden at any depth."""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path

from benchmarks.prose import from_folder, from_python
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError

Count = Callable[[Sequence[str]], list[int]]
"""Tokens of each of some texts."""

PART_TOKENS = 2_000
"""Tokens of a document: what is written again when a needle is hidden in it."""

_BATCH = 256
_PIECE_CHARS = 200
_SENTENCES = 5
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Part:
    """A document of the haystack: paragraphs `first` to `first + len(paragraphs)`."""

    id: str
    first: int
    paragraphs: tuple[str, ...]
    separator: str

    @property
    def text(self) -> str:
        """What is written."""
        return self.separator.join(self.paragraphs)

    def with_needle(self, needle: str, at: int) -> str:
        """The text with the needle, as lines of its own, before paragraph `at` of the part."""
        frame = self.separator if "\n" in self.separator else "\n"
        before, after = self.paragraphs[:at], self.paragraphs[at:]
        pieces = (self.separator.join(before), needle, self.separator.join(after))
        return frame.join(filter(None, pieces))


@dataclass(frozen=True, slots=True)
class Haystack:
    """Paragraphs with their lengths in tokens.

    Attributes:
        distinct_tokens: tokens of the text that is no rearrangement of what came before it.
        separator: stands between two paragraphs.
    """

    paragraphs: tuple[str, ...]
    tokens: tuple[int, ...]
    distinct_tokens: int
    separator: str = "\n\n"

    @property
    def total(self) -> int:
        """Tokens altogether."""
        return sum(self.tokens)

    def parts(self, size: int = PART_TOKENS) -> list[Part]:
        """Documents of about `size` tokens, in order."""
        found, first, held = list[Part](), 0, 0
        for index, tokens in enumerate(self.tokens):
            held += tokens
            if held >= size or index + 1 == len(self.tokens):
                paragraphs = self.paragraphs[first : index + 1]
                found.append(Part(f"part-{len(found):04d}", first, paragraphs, self.separator))
                first, held = index + 1, 0
        return found

    def boundary(self, depth: float) -> tuple[int, float]:
        """The paragraph before which a needle of that depth goes, and the depth it really has.

        Args:
            depth: share of the tokens that come before the needle, in [0, 1].
        """
        before = [0, *accumulate(self.tokens)]
        wanted = depth * before[-1]
        after = min(bisect_right(before, wanted), len(before) - 1)
        index = min((after - 1, after), key=lambda i: abs(before[i] - wanted))
        return index, before[index] / before[-1]


def hide(
    haystack: Haystack, parts: Sequence[Part], needle: str, depth: float
) -> tuple[Part, str, float]:
    """The part that a needle of that depth falls in, its text with the needle, the depth it has."""
    index, real = haystack.boundary(depth)
    part = next(p for p in reversed(parts) if p.first <= index)
    return part, part.with_needle(needle, index - part.first), real


def hide_all(
    haystack: Haystack, parts: Sequence[Part], needles: Sequence[tuple[str, float]]
) -> dict[str, str]:
    """What the parts say, by id, that some needles fall in.

    Args:
        needles: each with its depth; those of one part stand in the order of their depths.
    """
    places = dict[str, tuple[Part, list[tuple[int, str]]]]()
    for needle, depth in sorted(needles, key=lambda item: item[1]):
        index, _ = haystack.boundary(depth)
        part = next(p for p in reversed(parts) if p.first <= index)
        places.setdefault(part.id, (part, []))[1].append((index - part.first, needle))
    found = dict[str, str]()
    for part, inside in places.values():
        paragraphs = list(part.paragraphs)
        for at, needle in reversed(inside):
            paragraphs.insert(at, needle)
        frame = part.separator if "\n" in part.separator else "\n"
        found[part.id] = frame.join(paragraphs)
    return found


def prose(tokens: int, count: Count, *, seed: int, folder: Path | None = None) -> Haystack:
    """Real prose of so many tokens; where there is not enough, sentences of it are reshuffled.

    Args:
        tokens: length wanted; the result is off by a few words at most.
        folder: of the user's texts; by default, prose that comes with Python.

    Raises:
        InputError: if no text is asked for, or the folder has none.
    """
    order = random.Random(f"haystack|{seed}")  # noqa: S311 - no secrets are drawn
    source = from_python(order) if folder is None else from_folder(folder, order)
    lengths, distinct = dict[str, int](), 0
    for text, length in _counted(_once(source), count):
        lengths[text] = length
        distinct += length
        if distinct >= tokens:
            break
    if tokens < 1 or not distinct:
        raise InputError(
            f"No haystack of {tokens} tokens can be made.",
            "There is no text in it.",
            "Ask for at least one token, from a folder that holds text.",
        )
    paragraphs, sizes, total = list(lengths), list(lengths.values()), distinct
    again = _counted(_reshuffled(list(lengths), order), count)
    while total < tokens:
        text, length = next(again)
        paragraphs.append(text)
        sizes.append(length)
        total += length
    paragraphs[-1], sizes[-1] = _shortened(paragraphs[-1], sizes[-1], total - tokens, count)
    return Haystack(tuple(paragraphs), tuple(sizes), min(distinct, sum(sizes)))


def repeated(text: str, tokens: int, count: Count) -> Haystack:
    """One text again and again, as often as it takes."""
    (length,) = count([text])
    times = max(1, round(tokens / length))
    return Haystack((text,) * times, (length,) * times, length, separator=" ")


def token_counter(encoder: SentenceEncoder) -> Count:
    """Count with the encoder's tokenizer, of any length: it cuts what it is given at the model's."""

    def count(texts: Sequence[str]) -> list[int]:
        pieces = [_pieces(text) for text in texts]
        batch = encoder.tokenize([piece for some in pieces for piece in some])
        lengths = (len(ids) - batch.special for ids in batch.ids)
        return [sum(islice(lengths, len(some))) for some in pieces]

    return count


def _pieces(text: str) -> list[str]:
    """The text cut between words, where a tokenizer that reads word by word cuts as well."""
    pieces, start = list[str](), 0
    while start < len(text):
        end = start + _PIECE_CHARS
        if end < len(text):
            space = text.rfind(" ", start + 1, end)
            end = space if space > 0 else end
        pieces.append(text[start:end])
        start = end
    return pieces


def _once(texts: Iterable[str]) -> Iterator[str]:
    seen = set[str]()
    for text in texts:
        if text not in seen:
            seen.add(text)
            yield text


def _counted(texts: Iterator[str], count: Count) -> Iterator[tuple[str, int]]:
    while batch := list(islice(texts, _BATCH)):
        yield from zip(batch, count(batch), strict=True)


def _reshuffled(paragraphs: Sequence[str], order: random.Random) -> Iterator[str]:
    """Endless new paragraphs made of the sentences of these."""
    sentences = [s for text in paragraphs for s in _SENTENCE_END.split(text) if s]
    while True:
        order.shuffle(sentences)
        for start in range(0, len(sentences), _SENTENCES):
            yield " ".join(sentences[start : start + _SENTENCES])


def _shortened(text: str, length: int, excess: int, count: Count) -> tuple[str, int]:
    if excess <= 0:
        return text, length
    words = text.split(" ")
    shorter = " ".join(words[: max(1, round(len(words) * (1 - excess / length)))])
    return shorter, count([shorter])[0]
