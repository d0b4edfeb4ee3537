"""Questions on passages in SQuAD's JSON, and the score its authors use (arXiv 1606.05250)."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from larimar_memory.errors import InputError

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the passage it is about, and the answers that count as right."""

    passage: str
    question: str
    answers: tuple[str, ...]


def read(path: Path) -> list[Asked]:
    """All questions of a file.

    Raises:
        InputError: if it is not in SQuAD's format.
    """
    return [asked for article in articles(path) for asked in article]


def articles(path: Path) -> list[list[Asked]]:
    """All questions of a file, by article.

    Raises:
        InputError: if it is not in SQuAD's format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))["data"]
        return [
            [
                Asked(paragraph["context"], qa["question"], tuple(a["text"] for a in qa["answers"]))
                for paragraph in article["paragraphs"]
                for qa in paragraph["qas"]
            ]
            for article in data
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The questions in {path} cannot be used.",
            f"The reader said: {type(error).__name__}: {error}.",
            "Give a file in SQuAD's JSON format.",
        ) from error


def words(text: str) -> list[str]:
    """Lower-cased words without punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def token_f1(said: str, answers: tuple[str, ...]) -> float:
    """The best F1, over the answers, between the words said and the answer's."""
    return max(_f1(words(said), words(answer)) for answer in answers)


def holds(said: str, answers: tuple[str, ...]) -> bool:
    """Whether an answer is in what was said, word for word."""
    line = f" {' '.join(words(said))} "
    return any(f" {' '.join(words(answer))} " in line for answer in answers)


def _f1(said: list[str], answer: list[str]) -> float:
    common = sum((Counter(said) & Counter(answer)).values())
    if not common:
        return float(said == answer)
    return 2 * common / (len(said) + len(answer))
