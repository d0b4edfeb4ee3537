"""Run packs through the decoder in one sequence: products over all tokens, attention within packs.

A step's few large products take two thirds of the time of many small ones on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from larimar_memory.train.packs import Pack

_NAME = "larimar_within_packs"
_PACK_TO, _ALL_TO = 32, 256
"""Lengths are rounded up to multiples of these: the CPU compiles products anew for every shape."""


@dataclass(frozen=True, slots=True)
class Laid:
    """Packs in one sequence.

    Attributes:
        tokens, places: ids and positions of all tokens; padding follows each pack.
        blocks: for each pack in turn, the mask that is added to its attention scores, tokens x tokens.
        wanted: places of the answers' tokens in the sequence, in order.
    """

    tokens: Int[Tensor, " t"]
    places: Int[Tensor, " t"]
    blocks: list[Tensor]
    wanted: Int[Tensor, " a"]


def laid_out(packs: Sequence[Pack], model: Any) -> Laid:
    """Lay packs out for a model: every question attends to its pack's shared prompt and to itself."""
    tokens, places, wanted, blocks = list[int](), list[int](), list[int](), list[Tensor]()
    for pack in packs:
        ids, at, branch = list(pack.shared), list(range(len(pack.shared))), [-1] * len(pack.shared)
        for number, (rest, labels) in enumerate(zip(pack.rests, pack.labels, strict=True)):
            ids += rest
            at += range(len(pack.shared), len(pack.shared) + len(rest))
            branch += [number] * len(rest)
            wanted += range(len(tokens) + len(ids) - labels, len(tokens) + len(ids))
        padding = -len(ids) % _PACK_TO
        blocks.append(_block(branch, padding, model))
        tokens += ids + [0] * padding
        places += at + [0] * padding
    if padding := -len(tokens) % _ALL_TO:
        blocks.append(_block([], padding, model))
        tokens += [0] * padding
        places += [0] * padding
    device = model.device
    return Laid(
        torch.tensor(tokens, device=device),
        torch.tensor(places, device=device),
        blocks,
        torch.tensor(wanted, device=device),
    )


def _block(branch: list[int], padding: int, model: Any) -> Float[Tensor, "n n"]:
    """The mask added to a pack's scores: zero if a token is attended to, otherwise the least number."""
    of = torch.tensor(branch + [-2] * padding)
    order = torch.arange(len(of))
    mask = ((of[None] == of[:, None]) | (of[None] == -1)) & (order[None] <= order[:, None])
    block = torch.zeros(mask.shape, dtype=model.dtype)
    block.masked_fill_(~mask, torch.finfo(model.dtype).min)
    return block.to(model.device)


def hidden_states(model: Any, laid: Laid) -> Float[Tensor, "t h"]:
    """The last hidden states of all tokens; call it inside `attention_within_packs`."""
    hidden: Tensor = model.model(
        input_ids=laid.tokens[None],
        position_ids=laid.places[None],
        # Four dimensions, so that the model makes no mask of its own; each pack has one.
        attention_mask=torch.zeros(1, 1, 1, 1, dtype=model.dtype, device=model.device),
        use_cache=False,
        blocks=laid.blocks,
    ).last_hidden_state[0]
    return hidden


@contextmanager
def attention_within_packs(model: Any) -> Iterator[None]:
    """Keep a model's attention within each of the `blocks` that it is called with."""
    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attend)
    before = model.config._attn_implementation
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _attend(
    module: Any,
    query: Float[Tensor, "1 heads t d"],
    key: Float[Tensor, "1 groups t d"],
    value: Float[Tensor, "1 groups t d"],
    attention_mask: Tensor | None,
    *,
    scaling: float,
    blocks: list[Tensor],
    **others: Any,
) -> tuple[Float[Tensor, "1 t heads d"], None]:
    """Attention as plain products: on a CPU, their backward pass is faster at these lengths."""
    heads, groups, size = query.shape[1], key.shape[1], query.shape[3]
    out, begin = list[Tensor](), 0
    for block in blocks:
        length = len(block)
        q, k, v = (x[0, :, begin : begin + length] for x in (query, key, value))
        grouped = q.reshape(groups, -1, size)
        scores = torch.bmm(grouped, k.transpose(1, 2)).view(groups, -1, length, length)
        weights = torch.softmax(scores * scaling + block, dim=-1)
        read = torch.bmm(weights.view(groups, -1, length), v)
        out.append(read.view(heads, length, size))
        begin += length
    return torch.cat(out, dim=1).transpose(0, 1)[None].contiguous(), None
