"""Many texts as one sequence: a BERT reads them without padding, and each attends to itself alone.

All but attention is done for every token alone, so that texts of all lengths share one product by each
weight, which is read from RAM once. Texts of similar lengths share their attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Alike(NamedTuple):
    """Texts of similar lengths in the sequence.

    Attributes:
        places: of their tokens; beyond the end of a text, any place.
        mask: 1 for the tokens of a text, 0 beyond its end.
        bias: added to the scores of attention; None if the texts are of one length.
    """

    places: Int[Tensor, "b t"]
    mask: Int[Tensor, "b t"]
    bias: Float[Tensor, "b 1 1 t"] | None


class Sequenced(NamedTuple):
    """Groups of texts, one after the other.

    Attributes:
        ids: of all tokens.
        places: of each token in its own text.
        groups: where the texts are.
    """

    ids: Int[Tensor, " t"]
    places: Int[Tensor, " t"]
    groups: list[Alike]


def in_sequence(groups: Sequence[Sequence[Sequence[int]]], dtype: torch.dtype) -> Sequenced:
    """Lay groups of texts out.

    Args:
        groups: the token ids of texts of similar lengths.
        dtype: number format of the scores.
    """
    texts = [text for group in groups for text in group]
    alike, start = list[Alike](), 0
    for group in groups:
        alike.append(_alike([len(text) for text in group], start, dtype))
        start += sum(map(len, group))
    return Sequenced(
        torch.tensor([token for text in texts for token in text]),
        torch.tensor([place for text in texts for place in range(len(text))]),
        alike,
    )


def _alike(lengths: Sequence[int], start: int, dtype: torch.dtype) -> Alike:
    """Where texts of these lengths are, one after the other, from a place on."""
    counts = torch.tensor(lengths)[:, None]
    steps = torch.arange(max(lengths))[None]
    mask = steps < counts
    places = (start + counts.cumsum(0) - counts + steps) * mask
    if bool(mask.all()):
        return Alike(places, mask.long(), None)
    bias = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
    return Alike(places, mask.long(), bias[:, None, None])
