"""A haystack written once, in which a needle is hidden, asked for, and taken out again."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.haystack import Haystack, Part, hide
from benchmarks.result import Figures, rate
from benchmarks.session import Session
from larimar_memory.larimar import Larimar
from larimar_memory.types import AnswerOptions, Grounding

BEAMS = AnswerOptions().beams


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one needle.

    Attributes:
        depth: share of the haystack's tokens before the needle.
        rank: of the first segment read that holds the needle; 0 if none of them does.
        score: of the best segment, in [0, 1].
        segment: text of the first segment read, "" if none.
        text: the answer.
        right: whether the answer is.
        read_seconds: of a read alone.
        seconds: of the whole answer, reading included.
    """

    depth: float
    rank: int
    score: float
    segment: str
    text: str
    right: bool
    read_seconds: float
    seconds: float


class Field:
    """A written haystack.

    Attributes:
        memory: holds it.
        figures: what it is made of and how long writing took.
    """

    def __init__(
        self, memory: Larimar, haystack: Haystack, parts: Sequence[Part], seconds: float
    ) -> None:
        self.memory = memory
        self._haystack, self._parts = haystack, parts
        held = memory.stats()
        self.figures: Figures = {
            "tokens": haystack.total,
            "distinct_tokens": haystack.distinct_tokens,
            "documents": held.documents,
            "segments": held.segments,
            "write_seconds": seconds,
            "write_tokens_per_second": haystack.total / seconds,
        }

    @contextmanager
    def hiding(self, needle: str, depth: float) -> Iterator[float]:
        """Keep a needle at a depth for a while; gives the depth it really has."""
        part, text, real = hide(self._haystack, self._parts, needle, depth)
        self.memory.update(part.id, text)
        try:
            yield real
        finally:
            self.memory.update(part.id, part.text)

    def ask(
        self,
        needle: str,
        depth: float,
        question: str,
        *,
        holds: Callable[[str], bool],
        right: Callable[[str], bool],
        grounding: Grounding = "text",
        beams: int = BEAMS,
    ) -> Trial:
        """Hide a needle, ask for it, take it out.

        Args:
            holds: whether a segment's text has the needle.
            right: whether an answer's text is right.
            beams: of how many answers one is chosen, by the text that was recalled; of one, what it is
                grounded in alone decides.
        """
        with self.hiding(needle, depth) as real:
            readout = self.memory.read(question)
            answer = self.memory.answer(question, grounding=grounding, beams=beams)
        found = [i for i, s in enumerate(readout.segments, start=1) if holds(s.text)]
        return Trial(
            real,
            found[0] if found else 0,
            readout.best_score,
            readout.segments[0].text if readout.segments else "",
            answer.text,
            right(answer.text),
            readout.seconds,
            answer.timings.total,
        )


@contextmanager
def field(session: Session, haystack: Haystack, *, latents: bool = False) -> Iterator[Field]:
    """A haystack in a fresh memory file, which is deleted in the end."""
    parts = haystack.parts()
    with (
        tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder,
        session.open(Path(folder) / "haystack.larimar", latents=latents) as memory,
    ):
        seconds = session.write(memory, [p.id for p in parts], [p.text for p in parts])
        session.note(f"wrote {haystack.total:,} tokens in {seconds:.1f} s")
        # The first question builds the index and loads the decoder, which belongs to no trial.
        memory.answer("What is this about?", threshold=0.0, max_tokens=1)
        yield Field(memory, haystack, parts, seconds)


def summary(trials: Sequence[Trial]) -> Figures:
    """Counts with intervals, median seconds, the lowest score, and every trial that missed."""
    return {
        "read_first": rate([t.rank == 1 for t in trials]),
        "read": rate([t.rank > 0 for t in trials]),
        "answered": rate([t.right for t in trials]),
        "lowest_score": min(t.score for t in trials),
        "read_seconds": statistics.median(t.read_seconds for t in trials),
        "answer_seconds": statistics.median(t.seconds for t in trials),
        "missed": [
            {"depth": t.depth, "rank": t.rank, "score": t.score, "segment": t.segment, "answer": t.text}
            for t in trials
            if t.rank != 1 or not t.right
        ],
    }
