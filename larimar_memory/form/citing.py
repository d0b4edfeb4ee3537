"""Citations: which sources each sentence of an answer is from, judged by the words that they share.

No model is asked. A sentence is marked as soon as it ends, so an answer streams with its marks.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from sentencex import get_sentence_boundaries

from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.recall.around import was_found
from larimar_memory.recall.contexts import context_start
from larimar_memory.recall.stems import stems_of
from larimar_memory.recall.stop_words import stop_words
from larimar_memory.text.words import words
from larimar_memory.types import Citation, RecalledSegment

SUPPORT = 0.5
"""The share of a sentence's meaning that its sources must hold for any of them to be named."""

MORE = 0.2
"""The share of a sentence's meaning that a further source must add to be named, too."""

MOST = 3
"""The most sources of one sentence."""

NUMBER, NAME = 3.0, 2.0
"""The weights of a number and of a name; any other word weighs 1."""

_TOKEN = re.compile(r"\w(?:[\w'\u2019.,-]*\w)?")
_STOP = re.compile(r"[.!?\u2026\u3002\uff01\uff1f]|\s")
_END = re.compile(
    r"(?P<end>(?:[.!?\u2026]+[\"'\u201d\u2019)\]\u00bb*]*|[\u3002\uff01\uff1f]+[\u201d\u2019\u300d\u300f\uff09]*)?)"
    r"(?P<gap>\s*)(?P<next>\S*)(?P<more>\s?)"
)
_UNSPACED = "\u3002\uff01\uff1f"


class Part(NamedTuple):
    """A part of an answer.

    Attributes:
        label: the beginning of its line, which is no sentence of the answer; "" if it is all of it.
        asked: its question; if sources support a sentence equally, its words decide.
        given: the sources that the decoder was given for it.
    """

    label: str
    asked: str
    given: Sequence[RecalledSegment]


class Citer:
    """Tells which of an answer's sources support a sentence. Sentences come in their order.

    Args:
        parts: of the answer, in their order.
        sources: of all parts, in the order of their numbers, which start at 1.
        language: ISO 639-1 code of the stop words.
    """

    def __init__(
        self, parts: Sequence[Part], sources: Sequence[RecalledSegment], language: str = "en"
    ) -> None:
        self.sources, self._idle = sources, stop_words(language)
        said = [words(source.context) for source in sources]
        self._spelt = [_spelt(own) for own in said]
        self._stems = [frozenset(stems_of(own)) for own in said]
        self._held = Counter(stem for own in self._stems for stem in own)
        self._parts, self._part = parts, -1
        self._asked, self._given = dict[str, float](), list[int]()
        self._enter(0)

    def _enter(self, part: int) -> None:
        """Begin with a part: its question decides, and its sources support it."""
        if part != self._part:
            self._part, (_, asked, given) = part, self._parts[part]
            ids = {one.id for one in given}
            # A turn that this part was shown may be found, and so named by a segment, in another.
            whole = {one.document_id for one in given if not was_found(one)}
            self._asked = self._worth(asked)
            self._given = [
                n for n, one in enumerate(self.sources) if one.id in ids or one.document_id in whole
            ]

    def numbers(self, sentence: str) -> list[int]:
        """The numbers of the sources that support a sentence, in order; an empty list if none do."""
        sentence = self._said(sentence)
        if not sentence or sentence.endswith(NOT_IN_MEMORY):
            return []
        worth = self._worth(sentence)
        whole, left, found = sum(worth.values()), dict(worth), list[int]()
        spelt = _spelt(words(sentence))
        while left and len(found) < MOST:
            best = max(self._given, key=lambda n: self._rank(n, left, spelt), default=None)
            if best is None or _shared(left, self._stems[best]) < MORE * whole:
                break
            found.append(best)
            left = {stem: value for stem, value in left.items() if stem not in self._stems[best]}
        supported = whole - sum(left.values()) >= SUPPORT * whole
        return sorted(n + 1 for n in found) if supported else []

    def place(self, number: int, sentence: str) -> tuple[int, int]:
        """Where a source says a sentence: the span of its segment, or of a sentence around that.

        Args:
            number: of the source.
        """
        sentence = self._said(sentence)
        source, worth = self.sources[number - 1], self._worth(sentence)
        spelt = _spelt(words(sentence))
        pieces = [(source.start, source.text)]
        pieces += _sentences(source.before, context_start(source))
        pieces += _sentences(source.after, source.end)

        def rank(piece: tuple[int, str]) -> tuple[bool, float, float]:
            own = words(piece[1])
            held = frozenset(stems_of(own))
            return spelt in _spelt(own), _shared(worth, held), _shared(self._asked, held)

        start, text = max(pieces, key=rank)
        return start, start + len(text)

    def _said(self, sentence: str) -> str:
        """A sentence without the label that begins its line, with which its part begins."""
        sentence = sentence.strip()
        named = enumerate(self._parts[self._part :], self._part)
        found = next((n for n, one in named if one.label and sentence.startswith(one.label)), None)
        if found is None:
            return sentence
        self._enter(found)
        return sentence[len(self._parts[found].label) :].strip()

    def _rank(self, n: int, left: Mapping[str, float], spelt: str) -> tuple[bool, float, float, int]:
        """How well a source supports the rest of a sentence; of equal ones, the first is best."""
        held = self._stems[n]
        copied = spelt in self._spelt[n]
        return copied, _shared(left, held), _shared(self._asked, held), -n

    def _worth(self, text: str) -> dict[str, float]:
        """The stems of a text, each with its weight; stop words count only if there are no others."""
        worth = dict[str, float]()
        idle = self._idle
        if all(word in idle for word in words(text)):
            idle = frozenset()
        for token in _TOKEN.finditer(text):
            own = words(token[0])
            kind = NAME if token[0][0].isupper() and token.start() else 1.0
            for word, stem in zip(own, stems_of(own), strict=True):
                if word not in idle:
                    counts = NUMBER if any(char.isdigit() for char in word) else kind
                    # A word that no source holds is rarer than a word that one holds.
                    rarity = math.log1p(len(self.sources) / max(self._held[stem], 0.5))
                    worth[stem] = max(worth.get(stem, 0.0), counts * rarity)
        return worth


class Marker:
    """Puts marks after the sentences of a text that comes in pieces.

    Attributes:
        citations: of the sentences that have ended, with their places in the marked text.
    """

    def __init__(self, citer: Citer) -> None:
        self.citations = list[Citation]()
        self._citer = citer
        self._at, self._sentence = 0, ""

    def marked(self, pieces: Iterable[str]) -> Iterator[str]:
        """The pieces with marks, such as " [1][3]"; the marks do not depend on how the text is cut."""
        held = ""
        for piece in pieces:
            held += piece
            ready, held = self._through(held, final=False)
            if ready:
                yield ready
        ready, held = self._through(held, final=True)
        text = held.rstrip()
        ready += self._kept(text) + self._mark() + self._kept(held[len(text) :])
        if ready:
            yield ready

    def _through(self, held: str, *, final: bool) -> tuple[str, str]:
        """The part of a text that can be passed on, marked, and the part that must wait for more."""
        out = ""
        while found := _STOP.search(held):
            out += self._kept(held[: found.start()])
            held = held[found.start() :]
            part = _END.match(held)
            if part is None or not part["next"]:
                return out, held
            end, gap = part["end"], part["gap"]
            lines, unspaced = "\n" in gap, end[:1] in _UNSPACED
            if end and gap and not (lines or unspaced or part["more"] or final):
                return out, held
            out += self._kept(end)
            if lines or (end and unspaced) or (end and gap and self._ends(gap, part["next"])):
                out += self._mark()
            out += self._kept(gap)
            held = held[len(end) + len(gap) :]
            if not end and not gap:
                # Neither matched: it is a sign within a word.
                out, held = out + self._kept(held[0]), held[1:]
        return out + self._kept(held), ""

    def _kept(self, text: str) -> str:
        self._sentence += text
        self._at += len(text)
        return text

    def _ends(self, gap: str, word: str) -> bool:
        """Whether a sentence ends at this point, given the next word."""
        said = self._sentence.lstrip()
        text = f"{said}{gap}{word}"
        ends = (int(found["end_index"]) for found in get_sentence_boundaries("en", text))
        return any(len(said) <= end <= len(said) + len(gap) for end in ends)

    def _mark(self) -> str:
        sentence, self._sentence = self._sentence, ""
        numbers = self._citer.numbers(sentence)
        start = self._at - len(sentence.lstrip())
        for number in numbers:
            source, place = self._citer.sources[number - 1], self._citer.place(number, sentence)
            self.citations.append(Citation(start, self._at, number, source.document_id, *place))
        mark = f" {_marks(numbers)}" if numbers else ""
        self._at += len(mark)
        return mark


def unmarked(text: str, citations: Iterable[Citation]) -> str:
    """An answer's text without the marks of its citations."""
    out, at = "", 0
    for end, of_one in groupby(citations, key=lambda one: one.end):
        out += text[at:end]
        at = end + 1 + len(_marks(one.source for one in of_one))
    return out + text[at:]


def _spelt(said: Sequence[str]) -> str:
    """Words as one text, in which another's can be looked for."""
    return f" {' '.join(said)} "


def _sentences(text: str, begin: int) -> Iterator[tuple[int, str]]:
    """The sentences of a text that begins there: where each begins, and what it says."""
    for found in get_sentence_boundaries("en", text):
        start, end = int(found["start_index"]), int(found["end_index"])
        if said := text[start:end].strip():
            yield begin + text.index(said, start), said


def _marks(numbers: Iterable[int]) -> str:
    return "".join(f"[{number}]" for number in numbers)


def _shared(worth: Mapping[str, float], held: Collection[str]) -> float:
    return sum(value for stem, value in worth.items() if stem in held)
