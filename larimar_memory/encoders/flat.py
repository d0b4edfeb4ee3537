"""Many texts as one sequence: a BERT reads them without padding, and each attends to itself alone.

All but attention is done for every token alone, so that texts of all lengths share one product by each
weight, which is read from RAM once. Texts of similar lengths share their attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

ATTENTION = "larimar_short"
"""The name of the attention that heeds groups: `fast_cpu.short_attention`."""

_CLASSES = ("BertModel",)


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


def can_read(model: nn.Module) -> bool:
    """Whether a model is of a kind that reads texts this way, on a CPU."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    return on_cpu and type(model).__name__ in _CLASSES


def heeds_groups(model: nn.Module) -> bool:
    """Whether a model that `can_read` has the attention for it."""
    implementation = getattr(getattr(model, "config", None), "_attn_implementation", None)
    return can_read(model) and implementation == ATTENTION


def hidden_states(
    model: Any, groups: Sequence[Sequence[Sequence[int]]]
) -> list[tuple[Float[Tensor, "b t h"], Int[Tensor, "b t"]]]:
    """The last hidden states of each group of texts, and its mask; as for the group alone, padded.

    Args:
        model: of a kind that `can_read`, with `ATTENTION`.
        groups: the token ids of texts of similar lengths.
    """
    texts = [text for group in groups for text in group]
    ids = torch.tensor([[token for text in texts for token in text]])
    positions = torch.tensor([[place for text in texts for place in range(len(text))]])
    alike, start = list[Alike](), 0
    for group in groups:
        alike.append(_alike([len(text) for text in group], start, model.dtype))
        start += sum(map(len, group))
    states = model(
        input_ids=ids, token_type_ids=torch.zeros_like(ids), position_ids=positions, groups=alike
    ).last_hidden_state[0]
    return [(states[of.places], of.mask) for of in alike]


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
