"""What an answer costs, in time and RAM, and whether that grows with the length of what was written."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from operator import truediv
from pathlib import Path

from benchmarks import needle, process
from benchmarks.haystack import Haystack, hide
from benchmarks.resident import megabytes
from benchmarks.result import Bar, Figures, bar, percentile
from benchmarks.session import Session
from larimar_memory.larimar import Larimar
from larimar_memory.types import Answer

PACKAGES = ()

_QUOTED_WORDS = 8
_WARM_DOCUMENTS = 8


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: tokens of both memories, different questions, reads of each, starts, and
    questions that the longer one is asked for the first time.
    """

    short: int
    long: int
    questions: int
    reads: int
    starts: int
    new: int


FULL = Size(10_000, 1_000_000, 24, 5, 5, 20)
QUICK = Size(2_000, 20_000, 4, 2, 1, 3)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Ask two open memories the same questions in turn, then a fresh process about the longer one."""
    short, long = session.prose(size.short), session.prose(size.long)
    questions = ask_about(session, short, size.questions)
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder:
        paths = [Path(folder) / name for name in ("short.larimar", "long.larimar")]
        with session.open(paths[0]) as first:
            write(session, first, short)
        # Also shows within seconds whether the command works at all.
        process.first_output(paths[0], needle.KAMRADT.question)
        with session.open(paths[0]) as first, session.open(paths[1]) as second:
            ingest_mb = write(session, second, long)
            memories = (first, second)
            for memory in memories:
                memory.answer(questions[0], threshold=0.0)
            new = asked_anew(second, ask_about(session, long, size.new, "asked anew"))
            reads = _reads(memories, questions, size.reads)
            answers = _answers(session, memories, questions)
        session.note("measuring RAM in a process of its own")
        warm = [part.text for part in short.parts()[:_WARM_DOCUMENTS]]
        ram = process.resident(paths[1], questions, warm)
        starts = list[float]()
        for _ in range(size.starts):
            seconds, text = process.first_output(paths[1], needle.KAMRADT.question)
            starts.append(seconds)
            session.note(f"from process start to first token: {seconds:.1f} s")
    figures: Figures = {
        "questions": len(questions),
        "lengths": [short.total, long.total],
        "distinct_tokens": [short.distinct_tokens, long.distinct_tokens],
        "ingest_peak_mb": ingest_mb,
        "ram": ram,
        "asked_anew": new,
        "start_seconds": starts,
        "start_answer_right": int(needle.KAMRADT.said(text)),
    }
    return report(figures, reads, answers)


def report(
    what: Figures, reads: Sequence[Sequence[float]], answers: Sequence[Sequence[Answer]]
) -> tuple[Figures, list[Bar]]:
    """Medians, ratios and bars.

    Args:
        what: with "ram" in MB, "start_seconds", and "asked_anew" as it gives them.
        reads: seconds of each read, of the shorter memory and of the longer one.
        answers: of the shorter memory and of the longer one.
    """
    figures: Figures = {
        **what,
        "read_p50_seconds": [percentile(r, 50) for r in reads],
        "read_p95_seconds": [percentile(r, 95) for r in reads],
        "first_token_seconds": [statistics.median(a.timings.first_token for a in x) for x in answers],
        "answer_seconds": [statistics.median(a.timings.total for a in x) for x in answers],
        "answer_seconds_each": [[a.timings.total for a in x] for x in answers],
        "prompt_tokens": [statistics.median(a.usage.prompt_tokens for a in x) for x in answers],
        "answer_tokens": [statistics.median(a.usage.completion_tokens for a in x) for x in answers],
    }
    shorter, longer = figures["answer_seconds"]
    figures["answer_ratio"] = longer / shorter
    figures["start_to_first_token_seconds"] = statistics.median(what["start_seconds"])
    figures["ram_beyond_models_mb"] = what["ram"]["peak_mb"] - what["ram"]["models_mb"]
    told = figures["asked_anew"]
    over = {
        name: statistics.median(map(truediv, told[name], told["first_token"]))
        for name in ("first", "later")
    }
    figures["reads_over_first_token"] = over
    where = "over the time to its answer's first token, in the longer memory"
    return figures, [
        bar("answer time of the longer memory over the shorter", figures["answer_ratio"], "<= 1.2"),
        bar("RAM beyond the models, MB", figures["ram_beyond_models_mb"], "<= 500"),
        bar("process start to first token, seconds", figures["start_to_first_token_seconds"], "<= 5"),
        bar(f"first read of a question {where}", over["first"], "<= 0.6"),
        bar(f"later read of it {where}", over["later"], "<= 0.1"),
    ]


def ask_about(session: Session, haystack: Haystack, number: int, purpose: str = "latency") -> list[str]:
    """Different questions, each about a paragraph of the haystack.

    The last paragraph is left out: a longer haystack goes on where this one is cut.

    Args:
        purpose: for another, other paragraphs are drawn.
    """
    draw = session.draw(purpose, number)
    chosen = draw.sample(haystack.paragraphs[:-1], min(number, len(haystack.paragraphs) - 1))
    return [f'What is said about "{" ".join(p.split()[:_QUOTED_WORDS])}"?' for p in chosen]


def write(session: Session, memory: Larimar, haystack: Haystack) -> float:
    """Write the haystack with the needle in its middle; returns the peak of RAM it took, in MB."""
    parts = haystack.parts()
    hidden, text, _ = hide(haystack, parts, needle.KAMRADT.text, 0.5)
    texts = [text if part is hidden else part.text for part in parts]
    session.encoder.encode(texts[0].splitlines())
    before = megabytes()
    seen = [before]
    seconds = session.write(
        memory, [part.id for part in parts], texts, lambda: seen.append(megabytes())
    )
    session.note(f"wrote {haystack.total:,} tokens in {seconds:.1f} s")
    return max(seen) - before


def asked_anew(memory: Larimar, questions: Sequence[str]) -> dict[str, list[float]]:
    """Seconds of questions that a memory was never asked: each is read, answered, and read again.

    Returns:
        "first" and "later" reads, and the time to the "first_token" of the answer between them, which
        holds a later read: that of the first would make the answer slower, and the share less.
    """
    found: dict[str, list[float]] = {"first": [], "first_token": [], "later": []}
    for question in questions:
        found["first"].append(memory.read(question, threshold=0.0).seconds)
        # Of several beams, the first token would be the whole answer, and the share less.
        answer = memory.answer(question, threshold=0.0, beams=1)
        found["first_token"].append(answer.timings.first_token)
        found["later"].append(memory.read(question, threshold=0.0).seconds)
    return found


def _reads(memories: Sequence[Larimar], questions: Sequence[str], times: int) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in memories]
    for _ in range(times):
        for question in questions:
            for memory, seconds in zip(memories, found, strict=True):
                seconds.append(memory.read(question, threshold=0.0).seconds)
    return found


def _answers(
    session: Session, memories: Sequence[Larimar], questions: Sequence[str]
) -> list[list[Answer]]:
    """Answers of each memory; which of them is asked first alternates."""
    found: list[list[Answer]] = [[] for _ in memories]
    for number, question in enumerate(questions, start=1):
        order = list(zip(memories, found, strict=True))
        for memory, answers in order if number % 2 else reversed(order):
            answers.append(memory.answer(question, threshold=0.0))
        if number % 4 == 0:
            session.note(f"asked {number} of {len(questions)} questions")
    return found
