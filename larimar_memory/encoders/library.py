"""Encoders of all other kinds, by transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, AutoModel
from transformers.masking_utils import eager_mask

from larimar_memory.encoders.fast_cpu import attend

_ATTENTION = "larimar_short"


def load(folder: Path, device: torch.device, dtype: torch.dtype, *, short: bool) -> nn.Module:
    """The model in a folder.

    Args:
        short: attention is that of `fast_cpu`, for sentences.
    """
    model: nn.Module = AutoModel.from_pretrained(
        folder,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        attn_implementation=_ATTENTION if short else None,
    )
    return model.to(device)


def _short(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    return attend(query, key, value, attention_mask, scaling), None


AttentionInterface.register(_ATTENTION, _short)
AttentionMaskInterface.register(_ATTENTION, eager_mask)
