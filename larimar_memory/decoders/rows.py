"""Several generations from one prompt by a model of transformers, on any device."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from larimar_memory.models import caches


class ModelRows:
    """Reads tokens of several rows that go on from one prompt.

    Args:
        model: the one that read the prompt.
        cache: the one that it left, of one row; it is changed.
        mask: over the cache's contents, 1 where there is a position.
    """

    def __init__(self, model: Any, cache: Any, mask: Int[Tensor, "1 t"]) -> None:
        self._model, self._cache, self._mask = model, cache, mask

    def __call__(self, tokens: list[int], parents: list[int]) -> Float[Tensor, "n v"]:
        """Read a token for each row; returns the logits of those that come next, float32.

        Args:
            parents: for each token, the number of the row that it follows.
        """
        base, device = self._model.base_model, self._model.device
        self._cache.reorder_cache(torch.tensor(parents, device=device))
        mask = torch.cat([self._mask[parents], self._mask.new_ones(len(tokens), 1)], dim=1)
        self._mask = mask
        read = base(
            input_ids=torch.tensor(tokens, device=device)[:, None],
            attention_mask=mask,
            position_ids=(mask.sum(1) - 1)[:, None],
            **caches.given(base, self._cache),
            use_cache=True,
        )
        logits: Tensor = self._model.lm_head(read.last_hidden_state[:, -1])
        return logits.float()
