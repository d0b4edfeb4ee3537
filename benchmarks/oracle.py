"""Answers from the latents of a passage's segments, against answers from the same segments as text."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.result import Figures, rate
from benchmarks.squad import Asked, holds, token_f1
from larimar_memory.decoders.base import Conditioning
from larimar_memory.decoders.prompt import instruction, messages, passage
from larimar_memory.latents import LatentCodec
from larimar_memory.latents.answering import AnsweringAdapter, Shown
from larimar_memory.latents.latent_memory import in_windows
from larimar_memory.latents.stored import StoredForm
from larimar_memory.text.segments import segment

_TOKENS = 32
_STOP = ("\nQuestion:",)
_RESAMPLED = 1000
PROBABILITY = 0.9
"""Of every read: what is asked for is there."""


@dataclass(frozen=True, slots=True)
class Told:
    """One answer.

    Attributes:
        positions: the decoder's places taken up before the answer.
        first, total: seconds to the first piece of text, and to the end.
    """

    text: str
    positions: int
    first: float
    total: float


class Oracle:
    """Answers a question from given segments, either way.

    Args:
        codec: of the decoder that answers.
        form: how latents are stored; by default, as the codec's are.
        answering: the adapter that answers, from both; None for the plain decoder.
        beams: of how many answers one is chosen, as a memory does; 1 writes it token by token.
    """

    def __init__(
        self,
        codec: LatentCodec,
        form: StoredForm | None = None,
        answering: AnsweringAdapter | None = None,
        beams: int = 1,
    ) -> None:
        self._codec, self._decoder = codec, codec.decoder
        self._form = form or codec.stored_form
        self._answering, self._beams = answering, beams
        self._told_to = instruction("brief", answering is not None)

    def from_text(self, question: str, segments: Sequence[str], tokens: int = _TOKENS) -> Told:
        """From the segments in the prompt, in their order."""
        started = time.perf_counter()
        chat = messages(question, segments[::-1], instruction=self._told_to)
        return self._told(
            self._decoder.chat_tokens(chat), self._leaning("alone", question, segments), tokens, started
        )

    def from_latents(self, question: str, segments: Sequence[str], tokens: int = _TOKENS) -> Told:
        """From their latents as a store gives them back, in their order; they are one document."""
        codec, form = self._codec, self._form
        windows = codec.encode_windows(in_windows(segments))
        stored = [form.pack(z) for window in windows for z in window]
        started = time.perf_counter()
        latents = [form.unpack(s) for s in stored]
        groups = [[z for z in latents if z is not None]]
        conditioning = codec.readout(groups, self._leaning("latent", question, segments))
        _, prompt = self._decoder.around_recalled(question, instruction=self._told_to)
        return self._told(prompt, conditioning, tokens, started)

    def from_nothing(self, question: str, tokens: int = _TOKENS) -> Told:
        """From the same prompt with no readout attached: what the decoder believes anyway."""
        started = time.perf_counter()
        before, after = self._decoder.around_recalled(question, instruction=self._told_to)
        return self._told(before + after, self._leaning("alone", question), tokens, started)

    def _leaning(
        self, shown: Shown, question: str, segments: Sequence[str] = ()
    ) -> AnsweringAdapter | None:
        adapter = self._answering
        if adapter is None:
            return None
        return adapter.after_read(PROBABILITY, shown=shown).among(self._beams, question, segments)

    def _told(
        self, prompt: list[int], conditioning: Conditioning | None, tokens: int, started: float
    ) -> Told:
        text, first = "", 0.0
        generation = self._decoder.generate(
            prompt, max_tokens=tokens, stop=_STOP, conditioning=conditioning
        )
        for piece in generation:
            if piece and not first:
                first = time.perf_counter() - started
            text += piece
        total = time.perf_counter() - started
        return Told(text.strip(), generation.usage.prompt_tokens, first or total, total)


def compare(oracle: Oracle, asked: Sequence[Asked], draw: random.Random) -> Figures:
    """Token F1 of both groundings on the same questions, their ratio, and its 95% interval."""
    told: dict[str, list[Told]] = {"text": [], "latent": [], "none": []}
    for one in asked:
        segments = passages(one)
        told["text"].append(oracle.from_text(one.question, segments))
        told["latent"].append(oracle.from_latents(one.question, segments))
        told["none"].append(oracle.from_nothing(one.question))
    figures = {"questions": len(asked), **scored(told, asked, draw)}
    figures["examples"] = [
        {"question": o.question, "answers": list(o.answers), "text": t.text, "latent": z.text}
        for o, t, z in list(zip(asked, told["text"], told["latent"], strict=True))[:5]
    ]
    return figures


def passages(asked: Asked) -> list[str]:
    """The segments of what is asked about, as they stand in a prompt."""
    texts = [passage(s.text) for s in segment(asked.passage)]
    return [text for text in texts if text]


def scored(told: Mapping[str, Sequence[Told]], asked: Sequence[Asked], draw: random.Random) -> Figures:
    """Scores and medians of each way of answering; how "latent" compares with "text", token F1."""
    scores = {
        name: [token_f1(t.text, one.answers) for t, one in zip(found, asked, strict=True)]
        for name, found in told.items()
    }
    figures: Figures = {}
    for name, found in told.items():
        figures[name] = {
            "token_f1": statistics.mean(scores[name]),
            "answer_said": rate([holds(t.text, o.answers) for t, o in zip(found, asked, strict=True)]),
            "positions": statistics.median(t.positions for t in found),
            "first_token_seconds": statistics.median(t.first for t in found),
            "seconds": statistics.median(t.total for t in found),
        }
    figures["ratio"] = ratio(scores["latent"], scores["text"])
    figures["ratio_interval"] = interval(scores["latent"], scores["text"], draw)
    return figures


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The ratio of two ways' summed scores; not a number where those below are all zero."""
    return sum(above) / sum(below) if sum(below) else float("nan")


def interval(above: Sequence[float], below: Sequence[float], draw: random.Random) -> list[float]:
    """The bootstrap's 95% interval: questions drawn again and again, both scores with them."""
    ratios = list[float]()
    for _ in range(_RESAMPLED):
        chosen = draw.choices(range(len(above)), k=len(above))
        ratios.append(ratio([above[n] for n in chosen], [below[n] for n in chosen]))
    ratios.sort()
    return [ratios[round(0.025 * _RESAMPLED)], ratios[round(0.975 * _RESAMPLED) - 1]]
