"""Scope: how likely it is that the answer stands in what was found, calibrated on questions without."""

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
    "cosine",  # the best among the first, and
    "cosine_of_first",
    "stems",  # how much of the question's stems one of the first holds, at most,
    "stems_of_first",
    "together",  # and all of the first together
    "unknown",  # how much of the question's stems nothing that is stored holds
    "exact",
    "soft",
    "phrase",
    "kind",  # of what is asked for, whether the first has it
    "rank",  # what the first was ranked by
    "lead",  # how far before the next
)

_LEAST_SHARE = 1e-3

FIRST = 5
"""Candidates that are looked at: as many as a read gives by default."""

_AT = {name: n for n, name in enumerate(FEATURES)}
_ANSWERS = ("number", "time", "person", "place")


def signs(
    asked: Asked,
    pool: Pool,
    stems: Sequence[AbstractSet[str]],
    features: Float[np.ndarray, "n f"],
    scores: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " s"]:
    """What speaks for an answer among the candidates, best first; of none, zeros.

    Args:
        stems: of the words of the first `FIRST` candidates, or all there are.
        features: of all candidates, as `features.table` has them.
        scores: what they were ranked by.
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
