"""Larimar on RULER's eight needle tasks, at a hundred thousand and a million tokens."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks import niah, systems
from benchmarks.probes import run
from benchmarks.result import Bar, Figures, bar, share
from benchmarks.session import Session

PACKAGES = ()

_SEVERAL = "multiquery"
"""The task in which several values are asked for at once, which is the hardest for the decoder."""

THEIRS: Figures = {
    "Mistral-7B-v0.2": [93.6, 91.2, 87.2, 75.4, 49.0, 13.8],
    "Phi-3-mini-128k": [92.2, 91.5, 90.7, 87.5, 80.6, 66.7],
    "lengths": [4_000, 8_000, 16_000, 32_000, 64_000, 128_000],
}
"""Averages of all of RULER's tasks, not of these eight alone, for models that read the whole text."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: tokens of each haystack, trials of each task, those also answered."""

    lengths: tuple[int, ...]
    trials: int
    answers: int


FULL = Size((128_000, 1_000_000), 20, 20)
QUICK = Size((2_000,), 2, 1)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Each task at each length, and the averages of the tasks."""
    figures: Figures = {"trials": size.trials, "answers": size.answers, "theirs": THEIRS, "lengths": {}}
    bars = list[Bar]()
    for length in size.lengths:
        tasks: Figures = {}
        for corpus in niah.corpora(session, length, size.trials):
            session.note(f"{corpus.kind}, {corpus.tokens:,} tokens")
            tasks |= run(session, systems.OURS, corpus, size.answers)["tasks"]
        read, said = averages(tasks)
        figures["lengths"][str(length)] = {"read": read, "answered": said, "tasks": tasks}
        where = f"average of RULER's 8 needle tasks at {length:,} tokens, percent"
        bars.append(bar(f"right text read, {where}", read, ">= 95"))
        bars.append(bar(f"answered, {where}", said, ">= 96"))
        asked = 100 * tasks[f"RULER {_SEVERAL}"]["said"]
        bars.append(bar(f"answered, {_SEVERAL} at {length:,} tokens, percent", asked, ">= 90"))
    return figures, bars


def averages(tasks: Figures) -> tuple[float, float]:
    """Percent of trials with all evidence read, and RULER's score of the answers; tasks count alike."""
    read = [share(one["read"]) for one in tasks.values()]
    return 100 * statistics.mean(read), 100 * statistics.mean(one["said"] for one in tasks.values())
