"""What one forward pass learns from: segments to recite, and what is asked about them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.prefix import Prefix, read_after
from larimar_memory.latents.states import Segments
from larimar_memory.train.losses import cross_entropy
from larimar_memory.train.sampling import Sample

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Recital:
    """Segments in rows of `count`, and one of each row to be recited.

    Attributes:
        segments: rows * count segments, row by row.
        inputs: what the decoder reads after the prefix: the mark, then the text as far as given
            or already recited.
        labels: the token that comes next, `IGNORED` where it was given.
        seed: of the noise.
        window: how many consecutive segments are read as one text: a row's, or each on its own.
    """

    segments: Segments
    count: int
    inputs: Int[Tensor, "b t"]
    labels: Int[Tensor, "b t"]
    seed: int
    window: int

    @property
    def size(self) -> int:
        """How many labels there are."""
        return int((self.labels != IGNORED).sum())


def recital(codec: LatentCodec, rows: Sequence[Sequence[Sample]], rng: random.Random) -> Recital:
    """Recite one segment of each row: from nothing the first, else any from where it was left off."""
    inputs, labels, end = list[list[int]](), list[list[int]](), codec.anatomy.end
    for row in rows:
        kind = rng.random()
        ids = (row[0] if kind < 0.5 else rng.choice(row)).tokens
        begin = given = 0
        if kind >= 0.5 and len(ids) >= 4:
            # A few tokens tell which segment is meant; reading may begin in its middle.
            begin = rng.randrange(len(ids) // 2) if kind >= 0.75 else 0
            given = rng.randint(2, max(2, (len(ids) - begin) // 2))
        elif kind >= 0.5:
            ids = row[0].tokens
        following = [*ids[begin:], end]
        inputs.append([codec.mark, *following[:-1]])
        labels.append([IGNORED] * given + following[given:])
    return Recital(
        segments=codec.padded([sample.tokens for row in rows for sample in row]),
        count=len(rows[0]),
        inputs=rectangle(inputs, end, codec.device),
        labels=rectangle(labels, IGNORED, codec.device),
        seed=rng.getrandbits(62),
        window=len(rows[0]) if rng.random() < 0.5 else 1,
    )


def recite_loss(codec: LatentCodec, prefix: Prefix, batch: Recital) -> Float[Tensor, ""]:
    """Summed cross-entropy of the labels given prefix and inputs, the adapters attached."""
    model, wanted = codec.anatomy.model, batch.labels != IGNORED
    with codec.adapters.attached():
        # Logits are made only where there are labels.
        hidden = after(model, prefix, batch.inputs)[wanted]
        return cross_entropy(hidden, model.lm_head.weight, batch.labels[wanted])


def after(model: Any, prefix: Prefix, inputs: Int[Tensor, "b t"]) -> Float[Tensor, "b t h"]:
    """Last hidden states of tokens that follow a prefix; padding must be on the right."""
    out: Tensor = read_after(model, prefix, inputs).last_hidden_state
    return out


def after_layers(
    model: Any, prefix: Prefix, inputs: Int[Tensor, "b t"]
) -> tuple[Float[Tensor, "b t h"], ...]:
    """The same after every layer."""
    out: tuple[Tensor, ...] = read_after(model, prefix, inputs, output_hidden_states=True).hidden_states
    return out[1:]


def rectangle(
    rows: Sequence[list[int]], fill: int, device: torch.device, side: str = "right"
) -> Int[Tensor, "b t"]:
    """Rows padded to one width."""
    tensors = [torch.tensor(row) for row in rows]
    return pad_sequence(tensors, True, fill, side).to(device)
