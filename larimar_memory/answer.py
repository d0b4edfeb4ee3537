"""From a readout to an answer: choose the grounding, build the prompt, stream, account."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from larimar_memory.decoders.budget import latest
from larimar_memory.decoders.prompt import NOT_IN_MEMORY, Message, messages, passages
from larimar_memory.decoders.transformers import Decoder, Generation
from larimar_memory.errors import InputError
from larimar_memory.latents.latent_memory import LatentMemory
from larimar_memory.types import Answer, Grounding, Readout, RecalledSegment, Timings, Usage

if TYPE_CHECKING:
    from larimar_memory.latents.prefixed import LatentReadout

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


def start_answer(
    readout: Readout,
    decoder: Callable[[], Decoder],
    *,
    grounding: Grounding,
    context_tokens: int,
    fallback: bool,
    started: float,
    latents: LatentMemory,
    history: Sequence[Message],
    history_tokens: int,
    begin: str,
    options: dict[str, Any],
) -> AnswerStream:
    """Begin to answer the readout's question; out of scope, the decoder is not even loaded."""
    if grounding not in ("text", "latent"):
        raise InputError(
            f"An answer cannot have grounding={grounding!r}.",
            'It is "text" or "latent".',
            'Use grounding="text".',
        )
    timings = Timings(read=readout.seconds)
    if not readout.in_scope:
        answer = Answer(readout.question, NOT_IN_MEMORY, "none", timings=timings)
        if not fallback:
            return AnswerStream(answer, None, started)
        model = decoder()
        most: int = model.context - options["max_tokens"]

        def fits_plainly(said: Sequence[Message]) -> bool:
            return len(plain_prompt(model, readout.question, said, begin)) <= most

        kept = latest(history, history_tokens, model.count, fits_plainly)
        return plain_answer(answer, model, kept, started, options, begin)
    model = decoder()
    conditioning: LatentReadout | None = None
    recalled = list[str]()
    if grounding == "latent":
        sources, conditioning = latents_within_budget(readout, latents, context_tokens)
    else:
        sources, recalled = within_budget(readout, model, context_tokens)
    room = (
        model.context - options["max_tokens"] - (0 if conditioning is None else conditioning.positions)
    )

    def prompt(said: Sequence[Message]) -> list[int]:
        if conditioning is not None:
            chat = model.around_recalled(readout.question, said)[1]
        else:
            chat = model.chat_tokens(messages(readout.question, recalled, said))
        return [*chat, *model.plain_tokens(begin)]

    kept = latest(history, history_tokens, model.count, lambda said: len(prompt(said)) <= room)
    tokens = prompt(kept)
    # A small model that has answered may go on to write the prompt again.
    options = {**options, "stop": (*options["stop"], "\nQuestion:")}
    answer = Answer(readout.question, "", grounding, sources, timings=timings)
    generation = model.generate(tokens, conditioning=conditioning, **options)
    return AnswerStream(answer, generation, started, begin)


def plain_answer(
    answer: Answer,
    decoder: Decoder,
    history: Sequence[Message],
    started: float,
    options: dict[str, Any],
    begin: str = "",
) -> AnswerStream:
    """Begin to answer a question with the decoder alone; the answer's own text is replaced."""
    tokens = plain_prompt(decoder, answer.question, history, begin)
    return AnswerStream(answer, decoder.generate(tokens, **options), started, begin)


def plain_prompt(
    decoder: Decoder, question: str, history: Sequence[Message], begin: str = ""
) -> list[int]:
    """Token ids of a question to the decoder alone, and of what its answer begins with."""
    return [*decoder.chat_tokens(messages(question, [], history)), *decoder.plain_tokens(begin)]


def focused(readout: Readout) -> tuple[RecalledSegment, ...]:
    """The first segment, and the others that score within `FOCUS` of the best, best first."""
    best = max((s.score for s in readout.segments), default=0.0)
    first = readout.segments[:1]
    return first + tuple(s for s in readout.segments[1:] if s.score >= best - FOCUS)


def within_budget(
    readout: Readout, decoder: Decoder, budget: int
) -> tuple[tuple[RecalledSegment, ...], list[str]]:
    """The best segments whose passages fit the token budget, and those passages.

    Raises:
        InputError: if not even the best one fits.
    """
    segments = focused(readout)
    chosen, texts = 0, list[str]()
    for n in range(1, len(segments) + 1):
        tried = passages(segments[:n])
        if sum(decoder.count(text) + 1 for text in tried) > budget:
            break
        chosen, texts = n, tried
    if not chosen:
        raise _nothing_fits(budget)
    return segments[:chosen], texts


def latents_within_budget(
    readout: Readout, latents: LatentMemory, budget: int
) -> tuple[tuple[RecalledSegment, ...], LatentReadout]:
    """The best segments whose latents take up no more positions than the budget has tokens.

    Raises:
        InputError: if not even the best one fits.
        LatentsUnavailableError: if one of them has no latent.
    """
    segments = focused(readout)
    for count in range(len(segments), 0, -1):
        conditioning = latents.condition(readout, segments[:count])
        if conditioning.recalled <= budget:
            return segments[:count], conditioning
    raise _nothing_fits(budget)


def _nothing_fits(budget: int) -> InputError:
    return InputError(
        f"Nothing that was recalled fits into {budget} tokens.",
        "The best segment alone is longer.",
        "Raise context_tokens, or ask for fewer neighbours.",
    )
