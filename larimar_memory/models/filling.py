"""Modules of this package are filled with the tensors of a model's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def filled(module: Module, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Module | None:
    """A module with tensors in place of its own, frozen; None if it wants others.

    Args:
        module: best made on the device "meta", where its own tensors take no memory.
        dtype: the number format that they get.
    """
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items()}
    if {name: tensor.shape for name, tensor in tensors.items()} != wanted:
        return None
    ready = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    module.load_state_dict(ready, assign=True)
    return module.eval().requires_grad_(False)
