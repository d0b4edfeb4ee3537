"""The best linear code of a given size, in closed form, from which encoder and head begin.

It is reduced-rank ridge regression (Izenman, 1975): of all maps from features x to targets y that pass
through r numbers, the one with the least squared error. From a few thousand positions, it leaves less
error than many minutes of gradient steps on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LinearCode:
    """z = x @ encode + shift has mean 0 and deviation 1; z @ decode approximates y in y's units."""

    encode: Float[Tensor, "f r"]
    shift: Float[Tensor, " r"]
    decode: Float[Tensor, "r o"]


class Moments:
    """Sums over positions of features and targets: enough to fit a code without keeping positions."""

    def __init__(self, features: int, targets: int, device: torch.device) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float32, device=device)

        self.count = 0
        self._x, self._y, self._yy = zeros(features), zeros(targets), zeros(targets)
        self._xx, self._xy = zeros(features, features), zeros(features, targets)

    def add(self, x: Float[Tensor, "n f"], y: Float[Tensor, "n o"]) -> None:
        """Add n positions."""
        self.count += len(x)
        self._x += x.sum(0)
        self._y += y.sum(0)
        self._yy += y.square().sum(0)
        self._xx += x.T @ x
        self._xy += x.T @ y

    def mean(self) -> Float[Tensor, " o"]:
        """Means of the targets."""
        return self._y / self.count

    def deviation(self) -> Float[Tensor, " o"]:
        """Deviations of the targets, never quite zero."""
        return (self._yy / self.count - self.mean().square()).clamp_min(1e-8).sqrt()

    def fit(
        self, rank: int, importance: Float[Tensor, "n c c"] | None = None, ridge: float = 0.02
    ) -> LinearCode:
        """The code of `rank` numbers for targets in units of their deviation from their mean.

        Args:
            importance: symmetric matrices for n blocks of c targets, repeated up to the last target;
                errors count after multiplication with them.
            ridge: added to each feature's variance, which is about 1 if features have deviation 1.
        """
        n, center = self.count, (self._x / self.count).double()
        covariance = self._xx.double() / n - torch.outer(center, center)
        cross = (self._xy / n - torch.outer(self._x / n, self.mean())) / self.deviation()
        values, vectors = torch.linalg.eigh(covariance)
        # For whitened features, with the ridge, a singular value decomposition gives the best code.
        white = vectors / (values.clamp_min(0) + ridge).sqrt()
        turned = white.T @ cross.double()
        judged = turned
        if importance is not None:
            blocks = turned.reshape(len(turned), -1, *importance.shape[:2])
            judged = torch.einsum("fsnc,ncd->fsnd", blocks, importance.double()).flatten(1)
        _, directions = torch.linalg.eigh(judged @ judged.T)
        best = directions[:, -rank:].flip(1)
        encode, decode = white @ best, best.T @ turned
        spread = (encode * (covariance @ encode)).sum(0).clamp_min(1e-12).sqrt()
        encode = encode / spread
        return LinearCode(
            encode=encode.float(),
            shift=-(center @ encode).float(),
            decode=(decode * spread[:, None]).float(),
        )
