"""Low-rank adapters on a decoder's projections, on only while a memory grounds an answer."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from larimar_memory.system import forking

_Forward = Callable[[Tensor], Tensor]
_routing = forking.Lock()

_ROWS = 128
"""How many rows of a projection are added to at once."""

Pairs: TypeAlias = dict[nn.Linear, tuple[Tensor, Tensor]]
"""A (rank x inputs) and B (outputs x rank) of the update of each projection."""


class _Acting(ABC):
    """What adapters and their sums have in common: how they act."""

    _merged: Mapping[nn.Linear, _Forward] | None = None

    @abstractmethod
    def pairs(self) -> Pairs:
        """A and B of every projection, as they are now."""

    @abstractmethod
    def updates(self) -> Pairs | None:
        """A and B of every projection; None while they are trained.

        Always the same object, until they are merged again: what is made of it can be kept.
        """

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Let the adapters act on what this thread runs through the decoder, to the block's end.

        Another thread that runs the same decoder meanwhile, to encode a segment for example, gets the
        plain decoder. Of adapters that are no longer trained, W + B A of every projection is made here
        the first time, and kept: two more small products in every projection would cost about as much
        as the projections do, a token at a time.
        """
        updates = self.updates()
        if updates is None:
            forwards: Mapping[nn.Linear, _Forward] = _low_rank(self.pairs())
        else:
            forwards = self._merged = self._merged or _merged(updates)
        with _routed(forwards):
            yield


class Adapters(nn.Module, _Acting):
    """A low-rank update W + B A of every projection given (LoRA, arXiv 2106.09685).

    The decoder's weights are never changed: inside `attached`, and there in one thread, its projections
    are computed otherwise. The updates begin at zero.

    Args:
        projections: of the decoder.
        rank: of the updates.
    """

    def __init__(self, projections: Sequence[nn.Linear], rank: int) -> None:
        super().__init__()
        self._projections, self.rank = tuple(projections), rank
        self.down, self.up = nn.ParameterList(), nn.ParameterList()
        for module in self._projections:
            down = torch.randn(rank, module.in_features) * module.in_features**-0.5
            self.down.append(nn.Parameter(down))
            self.up.append(nn.Parameter(torch.zeros(module.out_features, rank)))
        self._updates: Pairs | None = None

    def merge(self) -> None:
        """Say that they are no longer trained: from now on, they act as one with the projections."""
        self._updates, self._merged = self.pairs(), None

    def pairs(self) -> Pairs:
        """A and B of every projection, as they are now."""
        pairs = zip(self.down, self.up, strict=True)
        return dict(zip(self._projections, pairs, strict=True))

    def updates(self) -> Pairs | None:
        """A and B of every projection; None while they are trained."""
        return self._updates

    @contextmanager
    def learning(self) -> Iterator[None]:
        """The same for adapters that are trained: merged first, but learning A and B.

        What is computed is what acts once they are merged, in one product in place of three.
        """
        with _routed({module: _Learning(module, *pair) for module, pair in self.pairs().items()}):
            yield


class Joined(_Acting):
    """The updates of several adapters of one decoder, added up: W + B A + B' A'.

    Args:
        parts: whose updates they are. Gradients reach those that are trained.
    """

    def __init__(self, *parts: Adapters) -> None:
        self._parts = parts
        self._updates: Pairs | None = None

    def pairs(self) -> Pairs:
        """A and B of every projection, those of its parts side by side."""
        held = dict[nn.Linear, list[tuple[Tensor, Tensor]]]()
        for part in self._parts:
            for module, pair in part.pairs().items():
                held.setdefault(module, []).append(pair)
        return {
            module: (torch.cat([down for down, _ in pairs]), torch.cat([up for _, up in pairs], dim=1))
            for module, pairs in held.items()
        }

    def updates(self) -> Pairs | None:
        """A and B of every projection, always the same object; None while a part is trained."""
        if self._updates is None and all(part.updates() is not None for part in self._parts):
            self._updates = self.pairs()
        return self._updates


def _low_rank(pairs: Pairs) -> dict[nn.Linear, _Forward]:
    return {module: _LowRank(module, *pair) for module, pair in pairs.items()}


def _merged(updates: Pairs) -> dict[nn.Linear, _Forward]:
    """W + B A of every projection, in the decoder's number format."""
    # Kept beyond the block that it is made in, which may be one of inference.
    with torch.inference_mode(False), torch.no_grad():
        return {module: _Merged(_sum(module, *pair), module) for module, pair in updates.items()}


@contextmanager
def _routed(forwards: Mapping[nn.Linear, _Forward]) -> Iterator[None]:
    """A block in which this thread computes projections otherwise."""
    owner = threading.get_ident()
    with _routing:
        before = {module: _route(module, owner, forward) for module, forward in forwards.items()}
    try:
        yield
    finally:
        with _routing:
            for module, forward in before.items():
                _route(module, owner, forward)


def _sum(module: nn.Linear, down: Tensor, up: Tensor) -> Tensor:
    """W + B A in the decoder's number format."""
    whole, down, up = torch.empty_like(module.weight), down.float(), up.float()
    # By rows that fit in a core's cache, which takes two thirds of the time.
    for begin in range(0, len(up), _ROWS):
        own = slice(begin, begin + _ROWS)
        whole[own] = torch.addmm(module.weight[own].float(), up[own], down)
    return whole


class _Routed:
    """A module's forward that is another one in some threads.

    Classes, not closures: checkers of types would take a new function apart at every attachment.
    """

    def __init__(self, module: nn.Linear) -> None:
        self._plain = module.forward
        self.by_thread = dict[int, _Forward]()

    def __call__(self, x: Tensor) -> Tensor:
        return self.by_thread.get(threading.get_ident(), self._plain)(x)


def _route(module: nn.Linear, thread: int, forward: _Forward | None) -> _Forward | None:
    """Give a module another forward in one thread, or its own; returns the one it had there.

    A module that has its own in all threads is left as if it had never had another.
    """
    routed = module.__dict__.get("forward")
    if routed is None:
        routed = module.__dict__["forward"] = _Routed(module)
    # Replaced as a whole: other threads may be looking things up in it.
    before = routed.by_thread.get(thread)
    routed.by_thread = {n: f for n, f in routed.by_thread.items() if n != thread}
    if forward is not None:
        routed.by_thread[thread] = forward
    if not routed.by_thread:
        del module.__dict__["forward"]
    return before


class _Merged:
    def __init__(self, weight: Tensor, module: nn.Linear) -> None:
        self._weight, self._bias = weight, module.bias

    def __call__(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self._weight, self._bias)


class _LowRank:
    def __init__(self, module: nn.Linear, down: Tensor, up: Tensor) -> None:
        self._module, self._down, self._up = module, down, up
        self._cast: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self._cast is None:
            # Cast once for the block: the same numbers serve every token that is generated in it.
            self._cast = self._down.to(x.dtype), self._up.to(x.dtype)
        down, up = self._cast
        out = nn.functional.linear(x, self._module.weight, self._module.bias)
        return out + nn.functional.linear(nn.functional.linear(x, down), up)


class _Learning:
    def __init__(self, module: nn.Linear, down: Tensor, up: Tensor) -> None:
        self._down, self._up, self._bias = down, up, module.bias
        self._weight = _sum(module, down.detach(), up.detach())

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = _merged_product(x, self._weight, self._down, self._up)
        return out if self._bias is None else out + self._bias


class _MergedProduct(torch.autograd.Function):
    """x (W + B A)^T with the gradients of x, A and B; W itself learns nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, down: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, down.to(x.dtype), up.to(x.dtype))
        return nn.functional.linear(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
        x, weight, down, up = ctx.saved_tensors
        rows, grads = x.flatten(0, -2), grad.flatten(0, -2)
        of_down = (grads @ up).mT @ rows
        of_up = grads.mT @ (rows @ down.mT)
        return grad @ weight, None, of_down.float(), of_up.float()


_merged_product: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = _MergedProduct.apply
