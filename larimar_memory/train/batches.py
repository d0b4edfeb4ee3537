"""What one forward pass learns from: segments to recite, and what is asked about them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from larimar_memory.latents.prefix import Prefix
from larimar_memory.latents.states import Segments, pad
from larimar_memory.train.losses import cross_entropy
from larimar_memory.train.sampling import Sample, Source, draw_length, in_rows

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
    window: int = 1

    @property
    def size(self) -> int:
        """How many labels there are."""
        return int((self.labels != IGNORED).sum())


def recitals(
    source: Source,
    rng: random.Random,
    *,
    tokens: int,
    batch: int,
    lengths: tuple[int, int],
    readouts: int,
    mark: int,
    end: int,
    device: torch.device,
) -> list[Recital]:
    """Batches of segments of similar length, read over about `tokens` positions, `batch` in each.

    As many batches as the tokens need, all of a size: chasing the exact count would end in many small
    ones, which cost nearly as much as large ones.

    Args:
        lengths: fewest and most tokens of a segment.
        readouts: most segments in a row.
        mark: the token that ends a segment, and after which one is said.
        end: the token to say after it.
    """
    out = list[Recital]()
    passes = -(-tokens // batch)
    for _ in range(passes):
        count = 1 if rng.random() < 0.5 else rng.randint(1, readouts)
        length = draw_length(rng, *lengths)
        rows = max(1, tokens // passes // (length + 1))
        samples = in_rows(source.samples(rng, rows * count, length), count)
        out.append(recital(samples, rng, mark=mark, end=end, device=device))
    return out


def recital(
    rows: Sequence[Sequence[Sample]], rng: random.Random, *, mark: int, end: int, device: torch.device
) -> Recital:
    """Recite one segment of each row: from nothing the first, else any from where it was left off."""
    inputs, labels = list[list[int]](), list[list[int]]()
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
        inputs.append([mark, *following[:-1]])
        labels.append([IGNORED] * given + following[given:])
    width, count = max(len(row) for row in inputs), len(rows[0])
    segments = pad([sample.tokens for row in rows for sample in row], mark, device)
    return Recital(
        segments=segments,
        count=count,
        inputs=rectangle(inputs, width, end).to(device),
        labels=rectangle(labels, width, IGNORED).to(device),
        seed=rng.getrandbits(62),
        window=count if rng.random() < 0.5 else 1,
    )


def recite_loss(
    model: object, prefix: Prefix, inputs: Int[Tensor, "b t"], labels: Int[Tensor, "b t"]
) -> Tensor:
    """Summed cross-entropy of `labels` given the prefix and `inputs`; logits only where labels are."""
    wanted = labels != IGNORED
    hidden = after(model, prefix, inputs)[wanted]
    return cross_entropy(hidden, model.lm_head.weight, labels[wanted])  # type: ignore[attr-defined]


def after(model: object, prefix: Prefix, inputs: Int[Tensor, "b t"]) -> Tensor:
    """Last hidden states of tokens that follow a prefix; padding must be on the right."""
    out: Tensor = model.model(  # type: ignore[attr-defined]
        input_ids=inputs,
        past_key_values=prefix.cache(),
        attention_mask=prefix.covering(torch.ones_like(inputs, dtype=torch.bool)),
        position_ids=prefix.positions(inputs.shape[1]),
        use_cache=True,
    ).last_hidden_state
    return out


def rectangle(rows: list[list[int]], width: int, fill: int) -> Int[Tensor, "b t"]:
    """Rows padded on the right to one width."""
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])
