"""From a readout to an answer: choose the grounding, build the prompt, stream, account."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

from larimar_memory.decoders.base import Decoder, Generation, LatentDecoder
from larimar_memory.decoders.budget import fit, latest
from larimar_memory.decoders.prompt import NOT_IN_MEMORY, messages, passages, said_by
from larimar_memory.errors import InputError
from larimar_memory.latents.latent_memory import LatentMemory, unpacked
from larimar_memory.types import (
    Answer,
    AnswerOptions,
    Message,
    Readout,
    RecalledSegment,
    Timings,
    Usage,
)

if TYPE_CHECKING:
    from larimar_memory.latents.prefix import LatentReadout

FOCUS = 0.1
"""A segment scoring this much less than the best is left out of the prompt: on questions about
passages it adds little, and a small decoder is led astray by what is merely similar."""


class AnswerStream:
    """The text of an answer as an iterator of pieces; `result` gives the whole answer."""

    def __init__(
        self, answer: Answer, generation: Generation | None, started: float, begin: str = ""
    ) -> None:
        self._answer = answer
        self._begin = begin
        self._generation = generation
        self._started = started
        self._done = False

    def __iter__(self) -> Iterator[str]:
        if self._done:
            return
        if self._generation is None:
            yield self._answer.text
            self._finish(self._answer.text, time.perf_counter(), Usage())
            return
        text, first = self._begin, 0.0
        if text:
            yield text
        for piece in self._generation:
            if piece and not first:
                first = time.perf_counter()
            text += piece
            yield piece
        self._finish(text.strip(), first or time.perf_counter(), self._generation.usage)

    def result(self) -> Answer:
        """The answer; reads the stream to its end if that has not been done."""
        if not self._done:
            for _ in self:
                pass
        return self._answer

    @property
    def sources(self) -> tuple[RecalledSegment, ...]:
        """The segments the decoder is given; known before the first piece."""
        return self._answer.sources

    def _finish(self, text: str, first: float, usage: Usage) -> None:
        timings = Timings(
            self._answer.timings.read, first - self._started, time.perf_counter() - self._started
        )
        self._answer = replace(self._answer, text=text, usage=usage, timings=timings)
        self._done = True


def start(
    readout: Readout,
    options: AnswerOptions,
    decoder: Callable[[], Decoder],
    latents: LatentMemory,
    started: float,
) -> AnswerStream:
    """Begin to answer the readout's question; out of scope, the decoder is not even loaded.

    Args:
        decoder: gives the decoder, loading it where that has not been done.
        latents: of the memory that was read.
        started: when the call began, by `time.perf_counter`.

    Raises:
        InputError: if nothing that was recalled fits, or the question does not.
        LatentsUnavailableError: if latents are asked for and a segment has none.
    """
    question, begin = readout.question, options.begin
    answer = Answer(
        question,
        NOT_IN_MEMORY,
        "none",
        timings=Timings(read=readout.seconds),
        reason=readout.reason,
        probability=readout.probability,
        threshold=readout.threshold,
    )
    if not readout.in_scope and not options.fallback:
        return AnswerStream(answer, None, started)
    model = decoder()
    prefix: LatentReadout | None = None
    recalled, stop = list[str](), tuple(options.stop)
    if readout.in_scope:
        sources = focused(readout)
        if options.grounding == "latent":
            sources, prefix = _latents_within(options.context_tokens, sources, latents)
        else:
            sources, recalled = _text_within(options.context_tokens, sources, model)
        answer = replace(answer, text="", grounding=options.grounding, sources=sources)
        # A small model that has answered may go on to write the prompt again.
        stop = (*stop, "\nQuestion:")

    def prompt(said: Sequence[Message]) -> list[int]:
        if prefix is not None and isinstance(model, LatentDecoder):
            return model.around_recalled(question, said, begin)[1]
        return model.chat_tokens(messages(question, recalled, said), begin)

    room = model.context - options.max_tokens - (0 if prefix is None else prefix.positions)
    kept: Sequence[Message] = options.history and latest(
        options.history, options.history_tokens, model.count, lambda said: len(prompt(said)) <= room
    )
    generation = _generate(model, prompt(kept), replace(options, stop=stop), conditioning=prefix)
    return AnswerStream(answer, generation, started, begin)


def plain(question: str, options: AnswerOptions, decoder: Decoder, started: float) -> AnswerStream:
    """Begin to answer a question with the decoder alone; all of the history must fit."""
    tokens = decoder.chat_tokens(messages(question, [], options.history), options.begin)
    generation = _generate(decoder, tokens, options)
    return AnswerStream(Answer(question, "", "none"), generation, started, options.begin)


def _generate(
    decoder: Decoder,
    tokens: list[int],
    options: AnswerOptions,
    conditioning: LatentReadout | None = None,
) -> Generation:
    given = {"conditioning": conditioning} if conditioning is not None else {}
    return decoder.generate(
        tokens,
        max_tokens=options.max_tokens,
        stop=options.stop,
        temperature=options.temperature,
        seed=options.seed,
        **given,
    )


def focused(readout: Readout) -> tuple[RecalledSegment, ...]:
    """The first segment, and the others that score within `FOCUS` of the best, best first."""
    best = max((s.score for s in readout.segments), default=0.0)
    first = readout.segments[:1]
    return first + tuple(s for s in readout.segments[1:] if s.score >= best - FOCUS)


def _text_within(
    budget: int, segments: tuple[RecalledSegment, ...], decoder: Decoder
) -> tuple[tuple[RecalledSegment, ...], list[str]]:
    """The best segments whose passages fit the token budget, and those passages."""

    def shown(some: Sequence[RecalledSegment]) -> list[str]:
        return passages((s.context for s in some), (said_by(s.metadata) for s in some))

    count = fit(segments, lambda some: sum(decoder.count(text) + 1 for text in shown(some)) <= budget)
    _check_fits(count, budget)
    return segments[:count], shown(segments[:count])


def _latents_within(
    budget: int, segments: tuple[RecalledSegment, ...], latents: LatentMemory
) -> tuple[tuple[RecalledSegment, ...], LatentReadout]:
    """The best segments whose latents take up no more positions than the budget has tokens."""
    codec = latents.codec
    groups = unpacked(segments, codec.stored_form)
    sizes = accumulate(codec.config.spread * sum(map(len, group)) for group in groups)
    count = sum(size <= budget for size in sizes)
    _check_fits(count, budget)
    return segments[:count], codec.readout(groups[:count])


def _check_fits(count: int, budget: int) -> None:
    if not count:
        raise InputError(
            f"Nothing that was recalled fits into {budget} tokens.",
            "The best segment alone is longer.",
            "Raise context_tokens, or ask for fewer neighbours.",
        )
