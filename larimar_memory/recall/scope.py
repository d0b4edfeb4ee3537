"""Scope: how likely it is that the answer is in what was found, calibrated on questions without one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from jaxtyping import Float

from larimar_memory.recall.candidates import Pool
from larimar_memory.recall.features import FEATURES
from larimar_memory.recall.question import Asked
from larimar_memory.recall.stems import share, stem, stem_idfs

SIGNS = (
    "cosine",  # the best of the first `FIRST`, and
    "cosine_of_first",  # that of the first
    "stems",  # the largest share of the question's stems that one of them holds,
    "stems_of_first",  # that of the first,
    "together",  # and the share that they hold together
    "unknown",  # the share of the question's stems that no stored segment holds
    "exact",
    "soft",
    "phrase",
    "kind",  # whether the first has the kind of thing that is asked for
    "rank",  # the rank of the first
    "lead",  # how far it is ahead of the next
)

_LEAST_SHARE = 1e-3

FIRST = 5
"""How many candidates are looked at: as many as a read gives by default."""

_AT = {name: n for n, name in enumerate(FEATURES)}
_ANSWERS = ("number", "time", "person", "place")


def signs(
    asked: Asked,
    pool: Pool,
    stems: Sequence[AbstractSet[str]],
    features: Float[np.ndarray, "n f"],
    scores: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " s"]:
    """The signs of an answer among the candidates, best first; zeros if there are none.

    Args:
        stems: of the words of the first `FIRST` candidates, or of all if there are fewer.
        features: of all candidates, as `features.table` makes them.
        scores: those that the candidates were ranked by.
    """
    if not len(features):
        return np.zeros(len(SIGNS), dtype=np.float32)
    first, best = features[:FIRST], features[0]
    idfs = stem_idfs(asked, pool)
    held = frozenset().union(*stems)
    nowhere = {stem(term) for term in asked.terms if not pool.counts.get(term, 0)}
    wanted = [best[_AT[kind]] for kind in _ANSWERS if kind in asked.kinds]
    values = {
        "cosine": first[:, _AT["cosine"]].max(),
        "cosine_of_first": best[_AT["cosine"]],
        "stems": first[:, _AT["stems"]].max(),
        "stems_of_first": best[_AT["stems"]],
        "together": share(idfs, held),
        "unknown": share(idfs, nowhere),
        "exact": first[:, _AT["exact"]].max(),
        "soft": first[:, _AT["soft"]].max(),
        "phrase": first[:, _AT["phrase"]].max(),
        "kind": max(wanted) if wanted else 0.5,
        "rank": scores[0],
        "lead": scores[0] - scores[1] if len(scores) > 1 else 0.0,
    }
    return np.array([float(values[name]) for name in SIGNS], dtype=np.float32)


def probability(found: Float[np.ndarray, " s"], weights: Float[np.ndarray, " s"], bias: float) -> float:
    """How likely it is that the answer is there, in [0, 1]: logistic in the signs."""
    logit = float(found @ weights) + bias
    return 1 / (1 + math.exp(-max(min(logit, 50.0), -50.0)))


def log_odds(probability: float) -> float:
    """The logit of a read's probability in [0, 1], finite at both ends."""
    share = min(max(probability, _LEAST_SHARE), 1 - _LEAST_SHARE)
    return math.log(share / (1 - share))
