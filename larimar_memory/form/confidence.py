"""How likely it is that an answer is right: logistic in signs from the decoder and the read."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.recall import scope

SIGNS = (
    "mean",  # log-probability of a token, on average,
    "least",  # of the least likely,
    "first",  # and of the first
    "length",  # log of the tokens
    "scope",  # logit of the read's probability that the answer is there; of a refusal, that it is not
    "refused",  # whether the decoder says that it is not
    "agreed",  # how far the answers that were possible agree with it
)

WEIGHTS = Path(__file__).with_name("confidence.json")

_LEAST_LOG = -20.0


def signs(
    log_probabilities: Sequence[float], text: str, probability: float, agreement: float | None = None
) -> Float[np.ndarray, " s"] | None:
    """The signs that an answer is right; None if the decoder told nothing about its tokens.

    Args:
        log_probabilities: of each token that was written.
        text: the text of these tokens.
        probability: that the answer was there to be read.
        agreement: of other answers that were possible; without, a token's probability stands for it.
    """
    if not len(log_probabilities):
        return None
    logs = np.clip(np.nan_to_num(np.asarray(log_probabilities, np.float64)), _LEAST_LOG, 0.0)
    logit, refused = scope.log_odds(probability), text.strip() == NOT_IN_MEMORY
    there = -logit if refused else logit
    agreed = math.exp(logs.mean()) if agreement is None else agreement
    length = math.log(len(logs))
    return np.array([logs.mean(), logs.min(), logs[0], length, there, float(refused), agreed])


def confidence(found: Float[np.ndarray, " s"]) -> float:
    """How likely it is that the answer is right, in [0, 1], by the weights that ship."""
    return scope.probability(found, *_shipped())


@cache
def _shipped() -> tuple[Float[np.ndarray, " s"], float]:
    held = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return np.array([float(held["weights"][name]) for name in SIGNS]), float(held["bias"])
