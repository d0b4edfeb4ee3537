"""Needles in a haystack: ten sentences at ten depths, as data for a heat map."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.result import Bar, Figures, bar
from benchmarks.session import Session
from benchmarks.trials import BEAMS, Field, Trial, field, summary
from larimar_memory.types import Grounding

PACKAGES = ()


@dataclass(frozen=True, slots=True)
class Needle:
    """A sentence to hide.

    Attributes:
        text: the sentence.
        question: what is asked.
        parts: what a right answer says, whatever its capitals.
    """

    text: str
    question: str
    parts: tuple[str, ...]

    def said(self, text: str) -> bool:
        """Whether a text says what the needle says."""
        return all(part in text.casefold() for part in self.parts)

    def score(self, answer: str) -> float:
        """1 for a right answer, 0 for any other."""
        return float(self.said(answer))


NEEDLES = (
    Needle(
        "The best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny "
        "day.",
        "What is the best thing to do in San Francisco?",
        ("sandwich", "dolores park"),
    ),
    Needle(
        "The bakery on Linden Street sells its last rye loaves at half price after seven.",
        "When does the bakery on Linden Street sell rye loaves at half price?",
        ("seven",),
    ),
    Needle(
        "Grandmother Ilse always kept her quince jam in the blue cupboard.",
        "Where did grandmother Ilse keep her quince jam?",
        ("blue cupboard",),
    ),
    Needle(
        "The night train to Tromso has a wagon with a library of four thousand books.",
        "How many books are in the library of the night train to Tromso?",
        ("four thousand",),
    ),
    Needle(
        "Captain Moreau paints the hull of the Albatross green every spring.",
        "What colour does Captain Moreau paint the hull of the Albatross?",
        ("green",),
    ),
    Needle(
        "The observatory on Pico Alto closes its dome when the wind exceeds sixty kilometres an hour.",
        "When does the observatory on Pico Alto close its dome?",
        ("sixty",),
    ),
    Needle(
        "The school choir of Odda rehearses on Thursdays in the old fire station.",
        "Where does the school choir of Odda rehearse?",
        ("fire station",),
    ),
    Needle(
        "Doctor Anand found the missing violin in a hatbox at the airport of Lisbon.",
        "Where did Doctor Anand find the missing violin?",
        ("hatbox",),
    ),
    Needle(
        "The village of Sorrel celebrates the return of the storks with lemon soup.",
        "How does the village of Sorrel celebrate the return of the storks?",
        ("lemon soup",),
    ),
    Needle(
        "The clockmaker Benno Falk repairs watches only while it is raining.",
        "When does the clockmaker Benno Falk repair watches?",
        ("raining",),
    ),
)
"""Ten sentences that nothing else is like; the first is Kamradt's, the others are ours."""

KAMRADT = NEEDLES[0]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: tokens of each haystack, and depths from the beginning to the end."""

    lengths: tuple[int, ...]
    depths: int


FULL = Size((10_000, 128_000, 1_000_000), 10)
QUICK = Size((2_000, 10_000), 4)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Hide a needle at each depth of each haystack and ask for it."""
    depths = [i / max(1, size.depths - 1) for i in range(size.depths)]
    rows = list[list[Trial]]()
    by_length: Figures = {}
    for row, length in enumerate(size.lengths):
        rows.append([])
        with field(session, session.prose(length)) as hay:
            for column, depth in enumerate(depths):
                # No sentence is always at the same depth.
                rows[-1].append(ask(hay, row + column, depth))
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


def ask(
    hay: Field, number: int, depth: float, grounding: Grounding = "text", beams: int = BEAMS
) -> Trial:
    """Hide a needle at a depth, ask for it, take it out; after the last needle comes the first."""
    one = NEEDLES[number % len(NEEDLES)]
    how = {"holds": one.said, "right": one.said}
    return hay.ask(one.text, depth, one.question, **how, grounding=grounding, beams=beams)


def _percent(rows: list[list[int]]) -> float:
    cells = [cell for row in rows for cell in row]
    return 100 * sum(cells) / len(cells)
