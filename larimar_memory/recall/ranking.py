"""Ranking: a weighted sum of features, for each kind of text, with weights from a JSON file.

`larimar_memory.train.ranker` fits the weights; the file says on which data. The ranking is a weighted
sum of scores (Bruch et al. 2023, arXiv 2210.11934) rather than reciprocal ranks, so that a lone exact
match of a rare string is not outvoted by texts that merely look alike.
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

from larimar_memory.recall.candidates import Pool
from larimar_memory.recall.features import FEATURES, addressed
from larimar_memory.recall.question import Asked
from larimar_memory.recall.scope import SIGNS

Kind: TypeAlias = Literal["prose", "conversation"]
"""The kind of a text: in a conversation, segments say who spoke."""

FIRST = {"key": 1.0, "words": 0.3, "own": 0.3, "named": 0.15, "near": 0.2}
"""Weights of what is known before the encoder's keys are made, for choosing the segments that get them.

"near" is the best of the two segments on either side: with it, .990 of 800 questions on passages had
the right sentence among 64 candidates, and .975 without.
"""

NEAR = 2

TURNS = 3 / 4
"""Share of the chosen that are the best of their document, if documents are turns of a conversation:
with it, .80 of the evidence for ten conversations' questions was among 64 candidates, and .77
without."""

WEIGHTS = Path(__file__).with_name("weights.json")


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of features and signs for a kind of text.

    Attributes:
        rank: for `FEATURES`, float32.
        scope: for `scope.SIGNS`, float32; `scope_bias` is added to their weighted sum, a logit.
    """

    rank: Float[np.ndarray, " f"]
    scope: Float[np.ndarray, " s"]
    scope_bias: float


@cache
def weights(kind: Kind) -> Weights:
    """The weights that ship, for a kind of text."""
    return from_json(json.loads(WEIGHTS.read_text(encoding="utf-8"))["kinds"][kind])


def from_json(held: Mapping[str, Any]) -> Weights:
    """Weights from the file's entry for a kind; a feature that is not named weighs nothing."""
    rank = [float(held["rank"].get(name, 0.0)) for name in FEATURES]
    scope = [float(held["scope"].get(name, 0.0)) for name in SIGNS]
    return Weights(
        np.array(rank, np.float32), np.array(scope, np.float32), float(held["scope"].get("bias", 0.0))
    )


def kind_of(speakers: Sequence[str]) -> Kind:
    """The kind of text of candidates: conversation, if most say who spoke."""
    return "conversation" if 2 * sum(map(bool, speakers)) > len(speakers) else "prose"


def first(asked: Asked, pool: Pool, rows: Sequence[int], most: int) -> list[int]:
    """The rows that are worth a closer look, at most `most`."""
    lead = dict[str, float]()
    for speaker in {place.speaker for place in pool.places.values()}:
        named, own = addressed(asked, speaker)
        lead[speaker] = FIRST["own"] * own + FIRST["named"] * named
    key, words = FIRST["key"], FIRST["words"]
    matched = {row: key * pool.key(row) + words * pool.words(row) for row in rows}
    at = {
        (place.document_id, place.at): matched[row]
        for row, place in pool.places.items()
        if row in matched
    }
    steps, least = [step for step in range(-NEAR, NEAR + 1) if step], key * pool.least_key
    worth = dict[int, float]()
    for row in rows:
        place = pool.places[row]
        near = max(at.get((place.document_id, place.at + step), least) for step in steps)
        worth[row] = matched[row] + FIRST["near"] * near + lead[place.speaker]
    order = sorted(rows, key=lambda row: (-worth[row], row))
    if kind_of([pool.places[row].speaker for row in order]) == "conversation":
        turns = dict[str, int]()
        for row in order:
            turns.setdefault(pool.places[row].document_id, row)
        best = list(turns.values())[: int(most * TURNS)]
        order = list(dict.fromkeys([*best, *order]))
    return order[:most]
