"""A streaming answer: one text, or a line for each part, with marks if it is to cite."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from larimar_memory.decoders.base import Generation
from larimar_memory.form.citing import Citer, Marker
from larimar_memory.form.confidence import confidence, signs
from larimar_memory.types import Answer, Message, RecalledSegment, Timings, Usage


@dataclass(slots=True)
class Said:
    """The source of the answer to a question, or to one of its parts.

    Attributes:
        label: the beginning of its line; "" if it is the whole answer.
        pieces: a generation, or a fixed text.
        probability: how likely it is that the answer was there to be read; None if nothing was read.
        chat: what the decoder is asked; empty if it is not asked.
        text: the part that was passed on so far.
    """

    label: str
    pieces: Generation | str
    probability: float | None
    chat: Sequence[Message] = ()
    text: str = ""

    @property
    def signs(self) -> Float[np.ndarray, " s"] | None:
        """The signs that the confidence follows from; None if nothing was read, or nothing is known."""
        if self.probability is None or isinstance(self.pieces, str):
            return None
        said = self.pieces
        return signs(said.log_probabilities, self.text, self.probability, said.agreement)

    @property
    def confidence(self) -> float | None:
        """How likely it is that this is right; for a refusal by the memory, that nothing was there."""
        if self.probability is not None and isinstance(self.pieces, str):
            return 1 - self.probability
        found = self.signs
        return None if found is None else confidence(found)

    def __iter__(self) -> Iterator[str]:
        pieces: Iterable[str] = [self.pieces] if isinstance(self.pieces, str) else self.pieces
        for piece in _one_line(pieces) if self.label else pieces:
            self.text += piece
            yield piece


class AnswerStream:
    """The text of an answer as an iterator of pieces; `result` gives the whole answer."""

    def __init__(
        self,
        answer: Answer,
        said: Sequence[Said],
        started: float,
        begin: str = "",
        citer: Citer | None = None,
    ) -> None:
        self._answer = answer
        self._said = said
        self._begin = begin
        self._started = started
        self._first = 0.0
        self._marker = None if citer is None else Marker(citer)
        # One run for all iterations: one that is left early ends it, and no other begins it again.
        self._run = self._run_once()

    def __iter__(self) -> Iterator[str]:
        yield from self._run

    def result(self) -> Answer:
        """The answer; reads the rest of the stream first."""
        for _ in self._run:
            pass
        return self._answer

    @property
    def sources(self) -> tuple[RecalledSegment, ...]:
        """The segments that the decoder is given; known before the first piece."""
        return self._answer.sources

    @property
    def prompts(self) -> list[Sequence[Message]]:
        """The chats that the decoder is given, one for each part of the question that it is asked.

        Known before the first piece. If latents are attached, they stand for the passages.
        """
        return [one.chat for one in self._said if one.chat]

    @property
    def signs(self) -> list[Float[np.ndarray, " s"] | None]:
        """The signs that the confidence of each part follows from, once the stream has ended."""
        return [one.signs for one in self._said]

    def _run_once(self) -> Iterator[str]:
        text, pieces = "", self._pieces()
        try:
            for piece in pieces if self._marker is None else self._marker.marked(pieces):
                text += piece
                yield piece
        finally:
            pieces.close()
            self._finish(text)

    def _pieces(self) -> Generator[str, None, None]:
        if self._begin:
            yield self._begin
        for n, one in enumerate(self._said):
            if one.label:
                yield f"\n{one.label} " if n else f"{one.label} "
            for piece in one:
                if piece and not self._first:
                    self._first = time.perf_counter()
                yield piece

    def _finish(self, text: str) -> None:
        ended = time.perf_counter()
        first = (self._first or ended) - self._started
        timings = Timings(self._answer.timings.read, first, ended - self._started)
        used = [one.pieces.usage for one in self._said if not isinstance(one.pieces, str)]
        usage = Usage(sum(u.prompt_tokens for u in used), sum(u.completion_tokens for u in used))
        marked = () if self._marker is None else self._marker.citations
        blank = len(text) - len(text.lstrip())
        self._answer = replace(
            self._answer,
            text=text.strip(),
            usage=usage,
            timings=timings,
            citations=tuple(replace(c, start=c.start - blank, end=c.end - blank) for c in marked),
            confidence=_together([one.confidence for one in self._said]),
        )


def _one_line(pieces: Iterable[str]) -> Iterator[str]:
    """The first line of a text that says anything, without blanks at its ends."""
    begun, held = False, ""
    for piece in pieces:
        line, end, _ = (piece if begun else piece.lstrip()).partition("\n")
        held += line
        if kept := held.rstrip():
            begun = True
            yield kept
            held = held[len(kept) :]
        if end and begun:
            # A generation stops when its reader leaves.
            return


def _together(each: Sequence[float | None]) -> float | None:
    """How likely it is that all lines are right, taken as independent."""
    known = [one for one in each if one is not None]
    return math.prod(known) if known and len(known) == len(each) else None
