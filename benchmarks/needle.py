"""A needle in a haystack: Kamradt's sentence at ten depths, as data for a heat map."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.result import Bar, Figures, bar
from benchmarks.session import Session
from benchmarks.trials import Trial, field, summary

PACKAGES = ()

NEEDLE = (
    "The best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny day."
)
QUESTION = "What is the best thing to do in San Francisco?"
ANSWER = ("sandwich", "dolores park")
"""What a right answer says, whatever its capitals."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: tokens of each haystack, and depths from the beginning to the end."""

    lengths: tuple[int, ...]
    depths: int


FULL = Size((10_000, 128_000, 1_000_000), 10)
QUICK = Size((2_000, 10_000), 4)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Hide the needle at each depth of each haystack and ask for it."""
    depths = [i / max(1, size.depths - 1) for i in range(size.depths)]
    rows = list[list[Trial]]()
    by_length: Figures = {}
    for length in size.lengths:
        rows.append([])
        with field(session, session.prose(length)) as hay:
            for depth in depths:
                rows[-1].append(hay.ask(NEEDLE, depth, QUESTION, holds=said, right=said))
            by_length[str(length)] = {**hay.figures, **summary(rows[-1])}
        right = sum(t.right for t in rows[-1])
        session.note(f"{length:,} tokens: {right} of {size.depths} depths answered")
    figures: Figures = {
        "lengths": list(size.lengths),
        "depths": depths,
        "real_depths": [[t.depth for t in row] for row in rows],
        "read": [[int(t.rank == 1) for t in row] for row in rows],
        "answered": [[int(t.right) for t in row] for row in rows],
        "by_length": by_length,
        "all": summary([t for row in rows for t in row]),
    }
    return figures, [
        bar("needles read at rank 1, percent", _percent(figures["read"]), ">= 100"),
        bar("needles answered, percent", _percent(figures["answered"]), ">= 95"),
    ]


def said(text: str) -> bool:
    """Whether a text says what the needle says."""
    return all(part in text.casefold() for part in ANSWER)


def _percent(rows: list[list[int]]) -> float:
    cells = [cell for row in rows for cell in row]
    return 100 * sum(cells) / len(cells)
