"""Whether the memory knows what it does not hold: questions about texts that were never written.

Half of the articles are written; the questions of the other half are out of scope. Articles alternate
between the halves, and both ways round are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import squad
from benchmarks.result import Bar, Figures, bar, rate
from benchmarks.session import Session
from larimar_memory.errors import InputError
from larimar_memory.larimar import THRESHOLD

PACKAGES = ()

THEIRS: Figures = {"equal error rate": 0.029, "on": "CounterFact, arXiv 2403.11901"}
"""What Larimar's authors report with the same encoder, on one-sentence facts and their paraphrases."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: most articles, and most questions of each."""

    articles: int
    questions: int


FULL = Size(1_000, 1_000)
QUICK = Size(4, 5)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Ask a memory of one half of the articles all questions, and the other way round.

    Raises:
        InputError: if no questions are given, or they are about fewer than two articles.
    """
    articles = _articles(session, size)
    inside, outside = list[float](), list[float]()
    for half in (0, 1):
        with session.open(None) as memory:
            texts = [a.passage for article in articles[half::2] for a in article]
            session.write(memory, [str(n) for n in range(len(set(texts)))], list(dict.fromkeys(texts)))
            for number, article in enumerate(articles):
                found = [memory.read(a.question, 1).probability for a in article]
                (inside if number % 2 == half else outside).extend(found)
            session.note(f"asked both halves of a memory of {len(set(texts))} passages")
    return report(inside, outside)


def report(inside: Sequence[float], outside: Sequence[float]) -> tuple[Figures, list[Bar]]:
    """Errors at the default threshold and at the one where both kinds are alike, and the curve.

    Args:
        inside, outside: probabilities of an answer, for questions in scope and out of scope.
    """
    level, threshold = equal_error(inside, outside)
    points = [n / 100 for n in range(0, 101, 2)]
    figures: Figures = {
        "in_scope": len(inside),
        "out_of_scope": len(outside),
        "equal_error_rate": level,
        "equal_error_threshold": threshold,
        "default_threshold": THRESHOLD,
        "refused_though_held": rate([p < THRESHOLD for p in inside]),
        "answered_though_not_held": rate([p >= THRESHOLD for p in outside]),
        "thresholds": points,
        "refused_curve": [sum(p < t for p in inside) / len(inside) for t in points],
        "answered_curve": [sum(p >= t for p in outside) / len(outside) for t in points],
        "theirs": THEIRS,
    }
    away = abs(threshold - THRESHOLD)
    return figures, [
        bar("in scope or not: equal error rate, percent", 100 * level, "<= 4"),
        bar("the default threshold's distance from that of equal errors", away, "<= 0.1"),
    ]


def equal_error(inside: Sequence[float], outside: Sequence[float]) -> tuple[float, float]:
    """The error rate where both kinds of error are most alike, and the threshold it is at."""
    found = list[tuple[float, float, float]]()
    for threshold in sorted({*inside, *outside}):
        refused = sum(p < threshold for p in inside) / len(inside)
        answered = sum(p >= threshold for p in outside) / len(outside)
        found.append((abs(refused - answered), (refused + answered) / 2, threshold))
    _, level, threshold = min(found)
    return level, threshold


def _articles(session: Session, size: Size) -> list[list[squad.Asked]]:
    path = session.questions_for("the scope", "questions on passages of several articles")
    articles = [a[: size.questions] for a in squad.articles(path) if a][: size.articles]
    if len(articles) < 2:
        raise InputError(
            "The benchmark of the scope cannot be run.",
            f"{path} has fewer than two articles.",
            "Give a file with more, such as XQuAD's.",
        )
    return articles
