"""Fit weights of features and signs: a ranking that puts evidence first, and a probability of it.

Both are linear. The ranking starts from weights set by hand and is drawn back to them, so that features
about which the examples say nothing (another encoder's scripts, two people who talk) keep them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from larimar_memory.recall.features import FEATURES
from larimar_memory.recall.ranking import Kind

_PROSE = {
    "cosine": 1.0,
    "words": 0.3,
    "exact": 0.2,
    "before": 0.4,
    "after": 0.2,
    "opening": 0.1,
    "phrase": 0.3,
    "soft": 0.2,
    "window": 0.3,
    "paragraph": 0.2,
    "next_words": 0.1,
    "spelt_words": 0.3,
}
_SAID = {
    "before": 0.1,
    "after": 0.1,
    "turn_words": 0.15,
    "named": 0.15,
    "own": 0.3,
    "latest": 0.5,
    "earliest": -0.5,
    "date": 0.2,
}
PRIOR: Mapping[str, Mapping[str, float]] = {"prose": _PROSE, "conversation": {**_PROSE, **_SAID}}
"""Weights set by hand, from rankings that were tried on long conversations and on XQuAD."""

KEPT = ("phrase", "spelt_words", "latest", "earliest")
"""Weights that are not fitted: the examples say too little about words in their order, about scripts,
and about what was said last or first."""

SHARPNESS = 8.0
"""Factor that turns a score into a logit among candidates."""

HELD_TO_PRIOR: Mapping[str, float] = {"prose": 0.03, "conversation": 0.1}
"""Cost of leaving the prior; higher for conversations, where few kinds of talk stand for all."""

LEAST_SPREAD = 0.02
_STEPS, _RATE = 80, 0.05
_SCOPE_STEPS, _SCOPE_DECAY = 600, 3e-3


@dataclass(frozen=True, slots=True)
class Example:
    """A question's candidates.

    Attributes:
        features: features of each candidate, as `recall.features.table` gives them.
        groups: each candidate's group, numbered from 0: a turn, or the segment itself.
        gold: whether each group is evidence.
    """

    features: Float[np.ndarray, "n f"]
    groups: Int[np.ndarray, " n"]
    gold: Bool[np.ndarray, " g"]


def fit_ranking(sets: Sequence[tuple[Sequence[Example], float]], kind: Kind) -> Float[np.ndarray, " f"]:
    """Weights of `FEATURES`, float32, with which evidence comes first.

    The loss is half the mean negative log-likelihood of each group of evidence, and half that of any
    of them, under a softmax over groups, each scored by its best candidate.

    Args:
        sets: sets of examples, each with its weight in the loss.
        kind: kind of text, by whose prior the weights begin and stay near.
    """
    held = [(example, share / len(some)) for some, share in sets for example in some]
    spread = np.concatenate([example.features for example, _ in held]).std(axis=0)
    scale = np.maximum(spread, LEAST_SPREAD)
    begun = np.array([PRIOR[kind].get(name, 0.0) for name in FEATURES]) * SHARPNESS * scale
    start = torch.from_numpy(begun.astype(np.float32))
    weights = start.clone().requires_grad_()
    data = [
        (
            torch.from_numpy((example.features / scale).astype(np.float32)),
            torch.from_numpy(example.groups.astype(np.int64)),
            torch.from_numpy(example.gold),
            share,
        )
        for example, share in held
        if example.gold.any()
    ]
    optimizer = torch.optim.Adam([weights], lr=_RATE)
    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
        loss = HELD_TO_PRIOR[kind] * ((weights - start) ** 2).sum()
        for features, groups, gold, share in data:
            empty = torch.full((len(gold),), -1e9)
            best = empty.scatter_reduce(0, groups, features @ weights, "amax")
            likely = best - torch.logsumexp(best, 0)
            loss = loss - share * (likely[gold].mean() + torch.logsumexp(likely[gold], 0)) / 2
        optimizer.zero_grad()
        loss.backward()
        if weights.grad is not None:
            weights.grad[[FEATURES.index(name) for name in KEPT]] = 0
        optimizer.step()
    fitted = weights.detach().numpy() / scale / SHARPNESS
    return np.asarray(fitted, dtype=np.float32)


def fit_scope(
    signs: Float[np.ndarray, "n s"], answered: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " s"], float]:
    """Weights of signs, float32, and a bias, of a logistic regression; both classes count alike.

    Args:
        answered: for each question, whether its answer is stored.
    """
    mean, spread = signs.mean(axis=0), signs.std(axis=0) + 1e-3
    values = torch.from_numpy(((signs - mean) / spread).astype(np.float32))
    truth = torch.from_numpy(answered.astype(np.float32))
    counts = torch.where(truth > 0, 0.5 / truth.sum(), 0.5 / (1 - truth).sum())
    weights, bias = torch.zeros(signs.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([weights, bias], lr=_RATE)
    for _ in range(_SCOPE_STEPS):
        wrong = torch.nn.functional.binary_cross_entropy_with_logits(
            values @ weights + bias, truth, reduction="none"
        )
        loss = (counts * wrong).sum() + _SCOPE_DECAY * (weights**2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fitted = weights.detach().numpy() / spread
    return fitted.astype(np.float32), float(bias.detach()) - float(mean @ fitted)
