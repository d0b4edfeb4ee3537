"""Questions that are answered part by part, as a list, and the labels of the lines."""

from __future__ import annotations

import re
from dataclasses import dataclass

from larimar_memory.recall.question import ASKING, Part, split

MOST = 32
"""The most parts that are asked one by one; a question with more is asked as it is."""

_ASKS = re.compile(rf"\b{ASKING}|\b(?:list|give|name|tell|state|say|show)\b", re.I)
_CLAUSE_ASKS = re.compile(
    rf"(?:\w+ )?{ASKING}"
    r"|(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should)\b",
    re.I,
)
_TOGETHER = re.compile(
    r"\b(?:between|among|both|each other|same|differ\w*|compar\w+|common|together|versus|than|sum"
    r"|total|average|combin\w+|order|or|all of|one of|any of)\b",
    re.I,
)
"""Words of questions about several things together, not about each of them alone."""

_LEANING = re.compile(
    r"\b(?:he|him|his|she|her|hers|it|its|they|them|their|theirs|there|then|this|that|these|those)\b",
    re.I,
)
"""Words that refer to what another part names."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an answer.

    Attributes:
        asked: the question that the line answers.
        label: the beginning of the line: the item of a list, or the question.
        alone: whether the question can be understood without the others.
    """

    asked: str
    label: str
    alone: bool


def lines_of(question: str) -> list[Line]:
    """The lines of a question's answer; none if the question is asked as it is."""
    parts = split(question)
    if not 1 < len(parts) <= MOST:
        return []
    if parts[0].item:
        return _of_list(parts)
    if not all(_CLAUSE_ASKS.match(part.asked) for part in parts):
        return []
    return [_of_clause(part.asked) for part in parts]


def _of_list(parts: list[Part]) -> list[Line]:
    lead = re.split(r"[.!?]\s", parts[0].before)[-1]
    said = re.split(r"[.!?]\s", parts[0].asked[len(parts[0].before) - len(lead) :])
    if len(said) > 1 or not all(_ASKS.search(f"{lead} {part.item}") for part in parts):
        return []
    # In "a, b or c", one of them is the answer.
    if parts[0].choice or _TOGETHER.search(said[0].replace(parts[0].item, "")):
        return []
    return [Line(part.asked, f"{part.item.rstrip('.!')}:", alone=True) for part in parts]


def _of_clause(asked: str) -> Line:
    asked = f"{' '.join(asked.split()).rstrip(' ?.')}?"
    asked = asked[0].upper() + asked[1:]
    return Line(asked, asked, alone=not _LEANING.search(asked))
