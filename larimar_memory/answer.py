"""From a readout to an answer: choose the grounding, build the prompt, stream, account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate, zip_longest
from typing import TYPE_CHECKING

from larimar_memory.decoders.base import Conditioning, Decoder, Generation, LatentDecoder
from larimar_memory.decoders.budget import fit, latest
from larimar_memory.decoders.prompt import (
    BRIEF,
    NOT_IN_MEMORY,
    instruction,
    messages,
    passage,
    passages,
    said_by,
    spoken,
)
from larimar_memory.errors import InputError
from larimar_memory.form.citing import Citer, Part
from larimar_memory.form.stream import AnswerStream as AnswerStream
from larimar_memory.form.stream import Said
from larimar_memory.latents.latent_memory import LatentMemory, unpacked
from larimar_memory.latents.stored import kept
from larimar_memory.recall.around import TOKENS, Surrounded, Surroundings, was_found
from larimar_memory.recall.lines import lines_of
from larimar_memory.types import (
    Answer,
    AnswerOptions,
    Message,
    Metadata,
    Readout,
    RecalledSegment,
    Timings,
)

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from larimar_memory.latents.answering import AnsweringAdapter, Shown
    from larimar_memory.latents.prefix import LatentReadout

FOCUS = 0.1
"""A segment scoring this much less than the best is left out of the prompt: on questions about
passages it adds little, and a small decoder is led astray by what is merely similar."""

ALIKE = 3
"""Where more segments than this are within `FOCUS`, they are shown without what is around the best: the
answer is spread over them, or among them, and more text hides it."""

FOCUS_AROUND = 0.05
"""The same where what is around the best segment is shown: held-out questions were answered better so
than with .1 or .2, and about as well as with the best segment alone."""


STOP = ("\nQuestion:",)
"""Where an answer ends: a small model that has given it may go on to write the prompt again."""


class Answerer:
    """Answers one call's questions: what a memory's read of each is grounded in, and the decoder.

    Args:
        decoder: gives the decoder, loading it where that has not been done.
        latents: of the memory that was read.
        adapter: gives what the decoder answers with, where it was trained to, else None.
        language: ISO 639-1 code of the stop words, by which answers are judged.
        surroundings: finds what is around a segment that was found by a question, for an adapter.
    """

    def __init__(
        self,
        options: AnswerOptions,
        decoder: Callable[[], Decoder],
        latents: LatentMemory,
        adapter: Callable[[], AnsweringAdapter | None],
        language: str = "en",
        surroundings: Callable[[str], Surroundings] | None = None,
    ) -> None:
        self._options, self._decoder, self._latents, self._adapter = options, decoder, latents, adapter
        self._language, self._surroundings = language, surroundings

    def say(self, readout: Readout, label: str = "") -> tuple[Said, tuple[RecalledSegment, ...]]:
        """What answers a readout's question, and the segments that the decoder is given for it.

        Out of scope, the decoder is not even loaded.
        """
        options, question = self._options, readout.question
        if not readout.in_scope and not options.fallback:
            return Said(label, NOT_IN_MEMORY, readout.probability), ()
        model = self._decoder()
        prefix: LatentReadout | None = None
        adapter: AnsweringAdapter | None = None
        sources, recalled, stop = tuple[RecalledSegment, ...](), list[str](), tuple(options.stop)
        if readout.in_scope:
            sources, adapter = focused(readout.segments, FOCUS), self._adapted(readout)
            if options.grounding == "latent":
                sources, groups = _latents_within(options.context_tokens, sources, self._latents)
                if adapter is not None:
                    # The decoder reads latents alone; one of its answers is chosen by the text as well.
                    beside = passages(segment.context for segment in sources)
                    adapter = self._choosing(adapter, question, beside)
                prefix = self._latents.codec.readout(groups, adapter)
            else:
                around = None
                # What is begun may list things that stand in many places, each of which is shown.
                if adapter is not None and self._surroundings is not None and not options.begin:
                    around = self._surroundings(question)
                sources, recalled = text_within(options.context_tokens, sources, model, around)
                adapter = self._choosing(adapter, question, recalled)
            stop = (*stop, *STOP)
        chosen = instruction(options.style, adapter is not None)
        told = {} if chosen == BRIEF else {"instruction": chosen}

        def chat(said: Sequence[Message]) -> list[dict[str, str]]:
            # Latents stand where passages would.
            return messages(question, recalled if prefix is None else [""], said, **told)

        def prompt(said: Sequence[Message]) -> list[int]:
            if prefix is not None and isinstance(model, LatentDecoder):
                return model.around_recalled(question, said, options.begin, **told)[1]
            return model.chat_tokens(chat(said), options.begin)

        room = model.context - options.max_tokens - (0 if prefix is None else prefix.positions)
        kept: Sequence[Message] = options.history and latest(
            options.history, options.history_tokens, model.count, lambda said: len(prompt(said)) <= room
        )
        given = adapter if prefix is None else prefix
        generation = _generate(model, prompt(kept), replace(options, stop=stop), conditioning=given)
        probability = readout.probability if readout.in_scope else None
        return Said(label, generation, probability, chat(kept)), sources

    def _adapted(self, readout: Readout) -> AnsweringAdapter | None:
        """The adapter, leaning to a refusal as the read does, unless an answer's beginning is given."""
        adapter = self._adapter()
        if adapter is None or self._options.begin:
            return adapter
        talked = any(said_by(first.metadata) for first in readout.segments[:1])
        shown: Shown = "alone" if self._surroundings is None else "around"
        if self._options.grounding == "latent":
            shown = "latent"
        return adapter.after_read(readout.probability, talked, shown)

    def _choosing(
        self, adapter: AnsweringAdapter | None, question: str, recalled: Sequence[str]
    ) -> AnsweringAdapter | None:
        """The adapter, whose brief answer is chosen among several, unless its beginning is given.

        What is begun may list many things, of which beams would leave some out: a shorter list is
        likelier. As a full answer, it is passed on as it is written.
        """
        options = self._options
        if adapter is None or options.begin or options.style != "brief":
            return adapter
        return adapter.among(options.beams, question, recalled, self._language)


def start(
    readout: Readout,
    options: AnswerOptions,
    decoder: Callable[[], Decoder],
    latents: LatentMemory,
    started: float,
    read: Callable[[str], Readout] | None = None,
    language: str = "en",
    adapter: Callable[[], AnsweringAdapter | None] = lambda: None,
    surroundings: Callable[[str], Surroundings] | None = None,
) -> AnswerStream:
    """Begin to answer the readout's question; out of scope, the decoder is not even loaded.

    Args:
        decoder: gives the decoder, loading it where that has not been done.
        latents: of the memory that was read.
        started: when the call began, by `time.perf_counter`.
        read: reads the memory with a part of the question; without it, what was read for the question
            answers each part.
        language: ISO 639-1 code of the stop words, for citations and to judge answers by.
        adapter: gives what the decoder answers with, where it was trained to, else None.
        surroundings: as `Answerer` takes it.

    Raises:
        InputError: if nothing that was recalled fits, or the question does not.
        LatentsUnavailableError: if latents are asked for and a segment has none.
    """
    # Nothing is left of what was read if the caller kept only what scores well.
    readout = replace(readout, in_scope=readout.in_scope and bool(readout.segments))
    asked = [("", readout)]
    if readout.in_scope and options.style == "brief" and not options.begin:
        asked = _in_parts(readout, read) or asked
    options, choice = _grounded(options, [one for _, one in asked], decoder, latents)
    answerer = Answerer(options, decoder, latents, adapter, language, surroundings)
    each = [answerer.say(one, label) for label, one in asked]
    sources = _in_turn([sources for _, sources in each])
    answer = Answer(
        readout.question,
        "",
        ("latent" if options.grounding == "latent" else "text") if sources else "none",
        sources,
        timings=Timings(read=readout.seconds + sum(one.seconds for label, one in asked if label)),
        reason=readout.reason,
        probability=readout.probability,
        threshold=readout.threshold,
        choice=choice if readout.signs else None,
    )
    parts = [Part(one[0], one[1].question, said[1]) for one, said in zip(asked, each, strict=True)]
    citer = Citer(parts, sources, language) if options.cite else None
    begin = options.begin if sources or options.fallback else ""
    return AnswerStream(answer, [said for said, _ in each], started, begin, citer)


def plain(question: str, options: AnswerOptions, decoder: Decoder, started: float) -> AnswerStream:
    """Begin to answer a question with the decoder alone; all of the history must fit."""
    tokens = decoder.chat_tokens(messages(question, [], options.history), options.begin)
    said = Said("", _generate(decoder, tokens, options), None)
    return AnswerStream(Answer(question, "", "none"), [said], started, options.begin)


def _grounded(
    options: AnswerOptions,
    readouts: Sequence[Readout],
    decoder: Callable[[], Decoder],
    latents: LatentMemory,
) -> tuple[AnswerOptions, str | None]:
    """The options with "auto" settled, and why: one answer has one grounding, whatever its parts."""
    if options.grounding != "auto":
        return options, None
    better, why = False, None
    for readout in readouts:
        if readout.in_scope:
            better, why = latents.better(focused(readout.segments, FOCUS), decoder())
            if not better:
                break
    return replace(options, grounding="latent" if better else "text"), why


def _in_parts(readout: Readout, read: Callable[[str], Readout] | None) -> list[tuple[str, Readout]]:
    """What is read for each part of a question, with the label of its line.

    None, where it has no parts, or none of them is in scope. A part that leans on another is answered
    from what was read for both.
    """
    found = list[tuple[str, Readout]]()
    for line in lines_of(readout.question):
        shared = replace(readout, question=line.asked, seconds=0.0)
        found.append((line.label, read(line.asked) if read and line.alone else shared))
    return found if any(one.in_scope for _, one in found) else []


def _in_turn(each: Sequence[tuple[RecalledSegment, ...]]) -> tuple[RecalledSegment, ...]:
    """The best of each, then the next of each; each segment once, with the most that is shown of it."""
    taken = dict[str, RecalledSegment]()
    for segment in (one for some in zip_longest(*each) for one in some if one is not None):
        known = taken.get(segment.id)
        if known is None or len(known.context) < len(segment.context):
            taken[segment.id] = segment
    found = [one for one in taken.values() if was_found(one)]
    documents = {one.document_id for one in found}
    # A turn that one part found is not named again as what is around another part's.
    return (*found, *(one for one in taken.values() if one.document_id not in documents))


def _generate(
    decoder: Decoder,
    tokens: list[int],
    options: AnswerOptions,
    conditioning: Conditioning | None = None,
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


def focused(segments: tuple[RecalledSegment, ...], within: float) -> tuple[RecalledSegment, ...]:
    """The first segment, and the others that score within so much of the best, best first."""
    least = max((s.score for s in segments), default=0.0) - within
    return segments[:1] + tuple(s for s in segments[1:] if s.score >= least)


def text_within(
    budget: int,
    segments: tuple[RecalledSegment, ...],
    decoder: Decoder,
    surroundings: Surroundings | None,
) -> tuple[tuple[RecalledSegment, ...], list[str]]:
    """The best segments whose passages fit the token budget, and those passages.

    The first one comes with what is around it, as far as that fits.
    """

    def fits(first: Surrounded, others: Sequence[RecalledSegment]) -> bool:
        return sum(decoder.count(text) + 1 for text in _shown(first, others)) <= budget

    def size(text: str, metadata: Metadata) -> int:
        return decoder.count(passage(spoken(said_by(metadata), text))) + 1

    first = Surrounded(segments[0])
    if surroundings is not None and len(segments) <= ALIKE:
        wide = surroundings.of(segments[0], size, min(TOKENS, budget))
        # What is counted piece by piece may be a token more as one.
        if wide != first and fits(wide, ()):
            first, segments = wide, focused(segments, FOCUS_AROUND)
    count = fit(segments, lambda some: fits(first, some[1:]))
    _check_fits(count, budget)
    others = segments[1:count]
    return _given(first, others), _shown(first, others)


def _shown(first: Surrounded, others: Sequence[RecalledSegment]) -> list[str]:
    """The passages of the first segment with what is around it, and of others, best first.

    The best passage goes last in a prompt: here, the last turn of the conversation around the first.
    """
    beside = {turn.document_id for turn in first.turns}
    some = (*first.whole[::-1], *(one for one in others if one.document_id not in beside))
    turns = len(first.whole) if beside else 0
    return passages((s.context for s in some), (said_by(s.metadata) for s in some), turns)


def _given(first: Surrounded, others: Sequence[RecalledSegment]) -> tuple[RecalledSegment, ...]:
    """The first segment, the others, and the turns around the first, each as it is shown."""
    turns = {turn.document_id: turn for turn in first.turns}
    given = dict[str, RecalledSegment]()
    for one in (first.best, *others, *first.turns):
        turn = turns.get(one.document_id)
        if turn is None:
            given.setdefault(one.id, one)
        else:
            given.setdefault(turn.id, _whole(turn, one))
    return tuple(given.values())


def _whole(turn: RecalledSegment, one: RecalledSegment) -> RecalledSegment:
    """A segment of a turn with all of the turn; the turn alone if the segment was replaced."""
    start, end, text = one.start - turn.start, one.end - turn.start, turn.context
    if text[start:end] != one.text:
        return turn
    return replace(one, before=text[:start], after=text[end:], latents=turn.latents)


def _latents_within(
    budget: int, segments: tuple[RecalledSegment, ...], latents: LatentMemory
) -> tuple[tuple[RecalledSegment, ...], list[list[Float[np.ndarray, "_ dz"]]]]:
    """The best segments whose latents take up no more positions than the budget has tokens."""
    codec = latents.codec
    groups = unpacked(segments, codec.stored_form)
    held = (sum(int(kept(z).sum()) for z in group) for group in groups)
    sizes = accumulate(codec.config.spread * count for count in held)
    count = sum(size <= budget for size in sizes)
    _check_fits(count, budget)
    return segments[:count], groups[:count]


def _check_fits(count: int, budget: int) -> None:
    if not count:
        raise InputError(
            f"Nothing that was recalled fits into {budget} tokens.",
            "The best segment alone is longer.",
            "Raise context_tokens, or ask for fewer neighbours.",
        )
