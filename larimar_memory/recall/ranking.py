"""Ranking: a weighted sum of features, by kind of text, with weights from a JSON file.

`larimar_memory.train.ranker` fits them; the file says on what. A weighted sum of scores (Bruch et al.
2023, arXiv 2210.11934) rather than reciprocal ranks, so that a lone exact match of a rare string is not
outvoted by what merely looks alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from larimar_memory.recall.features import FEATURES
from larimar_memory.recall.scope import SIGNS

Kind: TypeAlias = Literal["prose", "conversation"]
"""Of text: in a conversation, segments say who spoke."""

FIRST = {"key": 1.0, "words": 0.3, "own": 0.3, "named": 0.15, "turn_words": 0.1}
"""What is known before the encoder's keys are, and what it is worth in choosing whose are made."""

WEIGHTS = Path(__file__).with_name("weights.json")


@dataclass(frozen=True, slots=True)
class Weights:
    """What features are worth for a kind of text.

    Attributes:
        rank: of `FEATURES`, float32.
        scope: of `scope.SIGNS`, float32, and what is added to their sum: a logit.
    """

    rank: Float[np.ndarray, " f"]
    scope: Float[np.ndarray, " s"]
    scope_bias: float


@cache
def weights(kind: Kind) -> Weights:
    """The weights that ship, for a kind of text."""
    return from_json(json.loads(WEIGHTS.read_text(encoding="utf-8"))["kinds"][kind])


def from_json(held: Mapping[str, Any]) -> Weights:
    """Weights from what the file has for a kind; a feature that is not named has none."""
    rank = [float(held["rank"].get(name, 0.0)) for name in FEATURES]
    scope = [float(held["scope"].get(name, 0.0)) for name in SIGNS]
    return Weights(
        np.array(rank, np.float32), np.array(scope, np.float32), float(held["scope"].get("bias", 0.0))
    )


def kind_of(speakers: Sequence[str]) -> Kind:
    """The kind of text that candidates are of: conversation, where most say who spoke."""
    return "conversation" if 2 * sum(map(bool, speakers)) > len(speakers) else "prose"
