"""Losses over the vocabulary that never hold all logits at once.

The output head is frozen, so the gradient that reaches the hidden states is known as soon as a row's
logits are: softmax minus target, times the head's weight. Rows are worked off in blocks, and neither
logits nor their gradients outlive their block.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear

_ROWS = 128


def cross_entropy(
    hidden: Float[Tensor, "n h"], weight: Float[Tensor, "v h"], labels: Int[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Sum over rows of the cross-entropy with `labels`, float32, in nats.

    Args:
        hidden: the decoder's last hidden states, where there are labels only.
        weight: of the frozen output head.
    """
    out: Tensor = _Labelled.apply(hidden, weight, labels)  # type: ignore[no-untyped-call]
    return out


def divergence(
    hidden: Float[Tensor, "n h"], weight: Float[Tensor, "v h"], target: Float[Tensor, "n v"]
) -> Float[Tensor, ""]:
    """Sum over rows of KL(teacher || student), in nats; `target` has the teacher's logits."""
    out: Tensor = _Distilled.apply(hidden, weight, target)  # type: ignore[no-untyped-call]
    return out


class _Labelled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        total, gradient = hidden.new_zeros((), dtype=torch.float32), torch.empty_like(hidden)
        for at in range(0, len(hidden), _ROWS):
            rows = slice(at, at + _ROWS)
            scores = linear(hidden[rows], weight).float().log_softmax(-1)
            wanted = labels[rows, None]
            total -= scores.gather(1, wanted).sum()
            scores.exp_().scatter_add_(1, wanted, -torch.ones_like(wanted, dtype=scores.dtype))
            gradient[rows] = scores.to(weight.dtype) @ weight
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), None, None


class _Distilled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
        total, gradient = hidden.new_zeros((), dtype=torch.float32), torch.empty_like(hidden)
        for at in range(0, len(hidden), _ROWS):
            rows = slice(at, at + _ROWS)
            student = linear(hidden[rows], weight).float().log_softmax(-1)
            teacher = target[rows].float().log_softmax(-1)
            chance = teacher.exp()
            total += (chance * (teacher - student)).sum()
            gradient[rows] = (student.exp_() - chance).to(weight.dtype) @ weight
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), None, None
