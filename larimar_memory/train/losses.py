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
_TINY = 1e-6


def cross_entropy(
    hidden: Float[Tensor, "n h"], weight: Float[Tensor, "v h"], labels: Int[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Sum over rows of the cross-entropy with `labels`, float32, in nats.

    Args:
        hidden: the decoder's last hidden states, where there are labels only.
        weight: of the frozen output head.
    """
    out: Tensor = _InBlocks.apply(hidden, weight, _labelled, labels)  # type: ignore[no-untyped-call]
    return out


def divergence(
    hidden: Float[Tensor, "n h"],
    weight: Float[Tensor, "v h"],
    tokens: Int[Tensor, "n top"],
    scores: Float[Tensor, "n top"],
) -> Float[Tensor, ""]:
    """Sum over rows of KL(teacher || student), in nats, all tokens but the teacher's likeliest as one.

    The others count together: left out, the student would be taught that they are impossible, and a
    student that equals its teacher would be corrected.

    Args:
        hidden: the student's last hidden states.
        weight: of the frozen output head.
        tokens: the teacher's likeliest next tokens.
        scores: the natural logarithms of their probabilities among all tokens.
    """
    out: Tensor = _InBlocks.apply(hidden, weight, _distilled, tokens, scores)  # type: ignore[no-untyped-call]
    return out


def unexplained(found: Float[Tensor, "n h"], wanted: Float[Tensor, "n h"]) -> Float[Tensor, ""]:
    """Squared error of hidden states, as a share of their own variance over the n tokens.

    Numbers that are the same at every token, some of them huge, thus count for nothing.
    """
    wanted = wanted.float()
    variance = (wanted - wanted.mean(0)).square().sum()
    return (found.float() - wanted).square().sum() / variance.clamp_min(_TINY)


class _InBlocks(torch.autograd.Function):
    """A loss of rows and their targets, block by block.

    `lose` is given a block's log-probabilities and targets; it returns the block's loss, and turns the
    former into their logits' gradient.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, lose: Any, *targets: Tensor) -> Tensor:
        total, gradient = hidden.new_zeros((), dtype=torch.float32), torch.empty_like(hidden)
        for at in range(0, len(hidden), _ROWS):
            rows = slice(at, at + _ROWS)
            scores = linear(hidden[rows], weight).float().log_softmax(-1)
            total += lose(scores, *(target[rows] for target in targets))
            gradient[rows] = scores.to(weight.dtype) @ weight
        ctx.save_for_backward(gradient)
        ctx.others = 2 + len(targets)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), *[None] * ctx.others


def _labelled(scores: Tensor, labels: Tensor) -> Tensor:
    wanted = labels[:, None]
    loss = -scores.gather(1, wanted).sum()
    scores.exp_().scatter_add_(1, wanted, -torch.ones_like(wanted, dtype=scores.dtype))
    return loss


def _distilled(student: Tensor, named: Tensor, teacher: Tensor) -> Tensor:
    teacher = teacher.float()
    chance, held = teacher.exp(), student.gather(1, named)
    rest = (1 - chance.sum(1)).clamp_min(_TINY)
    left = (1 - held.exp().sum(1)).clamp_min(_TINY)
    loss = (chance * (teacher - held)).sum() + (rest * (rest / left).log()).sum()
    # Tokens that count as one share what is wanted of them as they share it now.
    student.exp_().mul_((1 - rest / left)[:, None])
    student.scatter_(1, named, held.exp() - chance)
    return loss
