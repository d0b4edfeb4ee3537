"""What a search found: candidates, and how likely it is that the answer is among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from larimar_memory.stores.base import StoredSegment
from larimar_memory.types import Why


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment found, with its cosine to the question and the score it is ranked by.

    Attributes:
        covered: how much of what the question says it holds word for word, in [0, 1], if the encoder
            could not read it or the question, so that the cosine says nothing; else 0.
        why: what it was ranked by, feature by feature, if that was asked for.
    """

    segment: StoredSegment
    cosine: float
    rank_score: float
    covered: float = 0.0
    why: Why | None = field(default=None, compare=False, repr=False)

    @property
    def score(self) -> float:
        """How well it matches, in [0, 1]."""
        return min(max(self.cosine, self.covered, 0.0), 1.0)


class Found(NamedTuple):
    """Candidates, best first, and how likely it is that the answer is among them, in [0, 1]."""

    candidates: list[Candidate]
    probability: float
    signs: dict[str, float]
