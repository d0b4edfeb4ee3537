"""Low-rank adapters on the attention projections, on only while a readout is attached."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from larimar_memory.latents.anatomy import Anatomy


class Adapters(nn.Module):
    """A low-rank update W + B A of every attention projection (LoRA, arXiv 2106.09685).

    The decoder's modules are never changed: forward hooks add the updates, and are there only inside
    `attached`. The updates begin at zero.

    Args:
        anatomy: of the decoder.
        rank: of the updates.
    """

    def __init__(self, anatomy: Anatomy, rank: int) -> None:
        super().__init__()
        self._projections = tuple(module for _, module in anatomy.projections)
        self.down, self.up = nn.ParameterList(), nn.ParameterList()
        for module in self._projections:
            down = torch.randn(rank, module.in_features) * module.in_features**-0.5
            self.down.append(nn.Parameter(down))
            self.up.append(nn.Parameter(torch.zeros(module.out_features, rank)))

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Let the adapters act on what this thread runs through the decoder, to the block's end.

        Another thread that runs the same decoder meanwhile, to encode a segment for example, gets the
        plain decoder.
        """
        owner = threading.get_ident()
        with ExitStack() as stack:
            for module, down, up in zip(self._projections, self.down, self.up, strict=True):
                handle = module.register_forward_hook(_Update(owner, down, up))
                stack.callback(handle.remove)
            yield


class _Update:
    """A forward hook that adds a low-rank update in one thread.

    A class, not a closure: checkers of types would take a new function apart at every attachment.
    """

    def __init__(self, owner: int, down: Tensor, up: Tensor) -> None:
        self._owner, self._down, self._up = owner, down, up
        self._cast: tuple[Tensor, Tensor] | None = None

    def __call__(self, _: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor | None:
        if threading.get_ident() != self._owner:
            return None
        (x,) = args
        if self._cast is None:
            # Cast once for the block: the same numbers serve every token that is generated in it.
            self._cast = self._down.to(x.dtype), self._up.to(x.dtype)
        down, up = self._cast
        return out + nn.functional.linear(nn.functional.linear(x, down), up)
