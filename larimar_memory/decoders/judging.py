"""How right a possible answer looks, by what its decoder and the text that it was asked of say of it.

A small decoder is often surer of a wrong answer than of the right one, which is among the likeliest.
Signs of both kinds, each with a weight, tell them apart: the decoder's own probabilities; whether the
answer stands in the text, beside words of the question; whether it is of the kind that is asked for.
Choosing among a decoder's own answers by features of the text is as in Collins and Koo 2005.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from larimar_memory.recall.question import Asked
from larimar_memory.recall.stems import share, stems_of
from larimar_memory.recall.stop_words import stop_words
from larimar_memory.text.segments import segment
from larimar_memory.text.words import words

SIGNS = (
    "total",  # natural log-probability of all tokens,
    "mean",  # of a token, on average,
    "least",  # of the least likely,
    "last",  # and of the last
    "agreed",  # how far the other answers agree with it
    "length",  # log of its words and one
    "asked",  # share of its words that the question has
    "written",  # whether it stands in the text
    "covered",  # share of the question in the sentence that it stands in,
    "near",  # and in the words beside it
    "digits",  # whether it has any,
    "digits_for_time",  # the same where a time is asked for,
    "digits_for_name",  # and where somebody or a place is
    "capital",  # whether it has a capital letter
)

_BESIDE = 6
"""Words on either side that are beside an answer."""

_DIGIT = re.compile(r"\d")
_NAMES = frozenset(["person", "place"])


@dataclass(frozen=True)
class Judge:
    """Judges the possible answers to a question about passages.

    Args:
        question: in the words of the one who asks.
        passages: that the decoder was shown.
        weights: of `SIGNS`, by name; those that are left out weigh nothing.
        language: ISO 639-1 code of the stop words.
    """

    question: str
    passages: Sequence[str]
    weights: Mapping[str, float]
    language: str = "en"

    def __call__(
        self, texts: Sequence[str], logs: Sequence[Sequence[float]], agreed: Sequence[float]
    ) -> list[float]:
        """How right each answer looks: the higher, the more.

        Args:
            texts: possible answers.
            logs: natural log-probabilities of the tokens of each.
            agreed: how far the others agree with each, in [0, 1].
        """
        return [
            sum(self.weights.get(name, 0.0) * value for name, value in signs.items())
            for signs in self.signs(texts, logs, agreed)
        ]

    def signs(
        self, texts: Sequence[str], logs: Sequence[Sequence[float]], agreed: Sequence[float]
    ) -> list[dict[str, float]]:
        """The signs of each answer, by name; takes what a call takes."""
        kinds, idle = self._asked.kinds, stop_words(self.language)
        names, worth = not kinds.isdisjoint(_NAMES), self._worth
        found = list[dict[str, float]]()
        for text, log, agreement in zip(texts, logs, agreed, strict=True):
            own = words(text)
            stands = [
                (sentence, beside) for sentence in self._sentences for beside in sentence.beside(own)
            ]
            digits = float(_DIGIT.search(text) is not None)
            told = [word for word in own if word not in idle]
            of_question = sum(stem in worth for stem in stems_of(told))
            found.append(
                {
                    "total": sum(log),
                    "mean": sum(log) / len(log),
                    "least": min(log),
                    "last": log[-1],
                    "agreed": agreement,
                    "length": math.log1p(len(own)),
                    "asked": of_question / max(len(told), 1),
                    "written": float(bool(stands)),
                    "covered": max((share(worth, s.stems) for s, _ in stands), default=0.0),
                    "near": max((share(worth, beside) for _, beside in stands), default=0.0),
                    "digits": digits,
                    "digits_for_time": digits * ("time" in kinds),
                    "digits_for_name": digits * names,
                    "capital": float(any(char.isupper() for char in text)),
                }
            )
        return found

    @cached_property
    def _asked(self) -> Asked:
        return Asked(self.question, self.language)

    @cached_property
    def _sentences(self) -> list[_Sentence]:
        return [_Sentence(words(one.text)) for passage in self.passages for one in segment(passage)]

    @cached_property
    def _worth(self) -> dict[str, float]:
        """The stems of the question that the text has, and how rare each is in its sentences."""
        times = Counter(stem for sentence in self._sentences for stem in frozenset(sentence.stems))
        return {
            stem: math.log1p(len(self._sentences) / (times[stem] + 0.5))
            for stem in stems_of(self._asked.terms)
            if times[stem]
        }


@dataclass(frozen=True)
class _Sentence:
    """A sentence of the text, in words."""

    words: list[str]

    @cached_property
    def stems(self) -> list[str]:
        return stems_of(self.words)

    def beside(self, answer: Sequence[str]) -> list[frozenset[str]]:
        """For every place where an answer stands in it, the stems beside that."""
        length = len(answer)
        return [
            frozenset(self.stems[max(0, n - _BESIDE) : n] + self.stems[n + length :][:_BESIDE])
            for n in range(len(self.words) - length + 1)
            if length and self.words[n : n + length] == answer
        ]
