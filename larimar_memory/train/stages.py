"""The stages of training, which lead from the decoder's exact keys and values to latents alone."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.prefix import Prefix
from larimar_memory.train.batches import Recital, recital, recite_loss
from larimar_memory.train.closed_form import LinearCode, Moments
from larimar_memory.train.importance import grouped, importance, weighted
from larimar_memory.train.recipe import Recipe, Stage
from larimar_memory.train.sampling import SampleSource, draw_length, in_rows

_TINY = 1e-6
_WIDEST = 5000
"""Features with more numbers take too long to decompose; their encoders begin at random."""


class Learner(ABC):
    """A stage at work: `batches` is a function of the generator, `loss` of a batch and the weights.

    Args:
        codec: the codec to train.
        stage, recipe: how to train it.
        source: source of segments.

    Attributes:
        tensors: the findings of `begin` that a resumed run needs.
    """

    def __init__(self, codec: LatentCodec, stage: Stage, recipe: Recipe, source: SampleSource) -> None:
        self.codec, self.stage, self.recipe, self.source = codec, stage, recipe, source
        self.tensors = dict[str, Tensor]()

    def begin(self, rng: random.Random) -> None:  # noqa: B027 - most stages have nothing to do
        """Prepare the stage, once, before its first step."""

    def batches(self, rng: random.Random) -> Sequence[Any]:
        """The batches of one step, each with a `size`: segments to recite."""
        return self.recitals(rng, self.stage.tokens)

    @abstractmethod
    def loss(self, batch: Any) -> Float[Tensor, ""]:
        """The summed loss over a batch's `size`, in nats or squared deviations."""

    def labelled(self, rng: random.Random, count: int) -> list[Any]:
        """The batches of as many steps as are needed for `count` labels."""
        out = list[Any]()
        while sum(batch.size for batch in out) < count:
            out += self.batches(rng)
        return out

    def recitals(self, rng: random.Random, tokens: int) -> list[Recital]:
        """Batches of segments of similar length, read over about `tokens` positions.

        There are as many batches as the tokens need, all about the same size: matching the number
        exactly would end in many small batches, which cost nearly as much as large ones.
        """
        out, passes = list[Recital](), -(-tokens // self.recipe.batch)
        for _ in range(passes):
            count = 1 if rng.random() < 0.5 else rng.randint(1, self.stage.readouts)
            length = draw_length(rng, self.stage.shortest, self.recipe.longest(self.stage))
            rows = max(1, tokens // passes // (length + 1))
            samples = in_rows(self.source.samples(rng, rows * count, length), count)
            out.append(recital(self.codec, samples, rng))
        return out


class Exact(Learner):
    """Learn to recite from the decoder's own keys and values of a segment; trains the adapters."""

    def loss(self, batch: Recital) -> Float[Tensor, ""]:
        """Cross-entropy."""
        states = self.codec.exact(batch.segments)
        return recite_loss(self.codec, self.codec.placed(states, batch.count), batch)


class Regress(Learner):
    """Learn to make the decoder's own keys and values; trains encoder and head, without a backward
    pass through the decoder.
    """

    def begin(self, rng: random.Random) -> None:
        """Measure the means and deviations of keys and values, and which errors in them matter; start
        from the best linear code.
        """
        codec, config = self.codec, self.codec.config
        wide = config.ratio * 2 * codec.anatomy.hidden
        moments = Moments(wide, config.spread * codec.head.mean.numel(), codec.device)
        while moments.count < self.recipe.calibration:
            for batch in self.batches(rng):
                moments.add(*self._positions(batch))
        mean, deviation = moments.mean(), moments.deviation()
        shape = (config.spread, *codec.head.shape)
        with torch.no_grad():
            # All positions of a group share one head, and therefore one scale.
            codec.head.mean.copy_(mean.reshape(shape).mean(0))
            codec.head.deviation.copy_(deviation.reshape(shape).mean(0))
        linear = not config.squeeze and wide <= _WIDEST
        if linear:
            self._begin_from(moments.fit(config.dz))
        if self.recipe.importance:
            batches = self.labelled(rng, self.recipe.importance)
            self.tensors["importance"] = importance(codec, batches)
            if linear:
                self._begin_from(moments.fit(config.dz, self.tensors["importance"]))

    def _begin_from(self, code: LinearCode) -> None:
        with torch.no_grad():
            state = {"weight": code.encode.T, "bias": code.shift}
            self.codec.encoder.map.load_state_dict(state)
            self.codec.head.linear.weight.copy_(code.decode.T)

    def _positions(self, batch: Recital) -> tuple[Float[Tensor, "n f"], Float[Tensor, "n o"]]:
        """Features of latent positions, and the exact keys and values that each must stand for."""
        config, mask = self.codec.config, batch.segments.mask
        exact, _ = grouped(self.codec, batch)
        features = self.codec.features.in_windows(batch.segments, batch.window)
        features, latent = self.codec.encoder.grouped(features, mask)
        missing = features.shape[1] * config.spread - exact.shape[1]
        exact = torch.nn.functional.pad(exact, (0, 0) * 5 + (0, missing))
        return features[latent], exact.reshape(*latent.shape, -1)[latent]

    def loss(self, batch: Recital) -> Float[Tensor, ""]:
        """Mean squared error, weighted by importance, in units of deviation, times `size`."""
        codec = self.codec
        exact, mask = grouped(codec, batch)
        features = codec.features.in_windows(batch.segments, batch.window)
        with in_half_precision(codec):
            z, _ = codec.encoder(features, batch.segments.mask)
            made = codec.head.unit(z)
        made = made[:, : exact.shape[1]].float()
        wanted = (exact - codec.head.mean) / codec.head.deviation
        difference = (made - wanted)[mask]
        if "importance" in self.tensors:
            difference = weighted(difference, self.tensors["importance"])
        return difference.square().mean() * batch.size


class Recite(Learner):
    """Learn to recite from latents, through the decoder; trains everything."""

    def loss(self, batch: Recital) -> Float[Tensor, ""]:
        """Cross-entropy."""
        return recite_loss(self.codec, self.prefix(batch), batch)

    def prefix(self, batch: Recital) -> Prefix:
        """The prefix made from the latents of a batch's segments, `count` side by side, with noise."""
        codec = self.codec
        features = codec.features.in_windows(batch.segments, batch.window)
        with in_half_precision(codec):
            z, mask = codec.encoder(features, batch.segments.mask)
            z = noisy(z, self.stage.noise, batch.seed)
            return codec.placed(codec.head(z, mask), batch.count)


def noisy(z: Float[Tensor, "b m dz"], most: float, seed: int) -> Float[Tensor, "b m dz"]:
    """Latents with Gaussian noise of 0 to `most` of their deviation, a different amount in each row.

    The deviation is the geometric mean of the numbers' deviations, which balancing hardly changes.
    """
    if not most:
        return z
    generator = torch.Generator(z.device).manual_seed(seed)
    amount = most * torch.rand(len(z), 1, 1, generator=generator, device=z.device)
    noise = torch.randn(z.shape, generator=generator, device=z.device)
    deviations = z.detach().float().flatten(0, 1).std(0, correction=0)
    return z + noise * amount * deviations.clamp_min(_TINY).log().mean().exp()


def in_half_precision(codec: LatentCodec) -> torch.autocast:
    """A block in half precision, if the decoder is in bf16."""
    half = codec.anatomy.model.dtype == torch.bfloat16
    return torch.autocast(codec.device.type, torch.bfloat16, enabled=half)
