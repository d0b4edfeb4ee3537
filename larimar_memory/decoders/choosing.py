"""The choice of the next token, given the model's logits: the likeliest, or a sampled one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

_HARMLESS = {
    "_from_model_config",
    "bos_token_id",
    "do_sample",
    "eos_token_id",
    "max_length",
    "max_new_tokens",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "repetition_penalty",
    "temperature",
    "top_k",
    "top_p",
    "transformers_version",
    "use_cache",
}
"""A model's settings that `Choosing` follows, or that do not affect the choice of a token."""

_MOST_LIKELY = 50
"""The number of tokens from which transformers samples, if the model's settings do not say."""


class Choosing:
    """Chooses tokens as transformers does by a model's settings.

    Args:
        settings: the model's `generation_config`.
        temperature: 0 takes the likeliest token; above 0, one is sampled.
        seed: of the samples; without one, the process's random state is used.
    """

    def __init__(self, settings: Any, temperature: float, seed: int | None) -> None:
        penalty, ends = settings.repetition_penalty, settings.eos_token_id
        self._steps = list[Any]()
        if penalty not in (None, 1.0) or temperature > 0:
            # Importing these takes two seconds, which a plain choice need not wait for.
            import transformers as library
        if penalty not in (None, 1.0):
            self._steps.append(library.RepetitionPenaltyLogitsProcessor(penalty))
        self._samples = temperature > 0
        if self._samples:
            most = _MOST_LIKELY if settings.top_k is None else settings.top_k
            self._steps.append(library.TemperatureLogitsWarper(temperature))
            if most:
                self._steps.append(library.TopKLogitsWarper(most))
            if settings.top_p is not None and settings.top_p < 1:
                self._steps.append(library.TopPLogitsWarper(settings.top_p))
        self._random = None if seed is None else torch.Generator().manual_seed(seed)
        self.ends = frozenset([ends] if isinstance(ends, int) else ends or ())

    @property
    def likeliest(self) -> bool:
        """Whether the likeliest token is always taken, whatever came before."""
        return not self._steps and not self._samples

    def __call__(self, ids: Sequence[int], logits: Float[Tensor, " v"]) -> int:
        """The token that comes after `ids`."""
        if not self._steps:
            return int(logits.argmax())
        before, scores = torch.tensor([ids]), logits[None]
        for step in self._steps:
            scores = step(before, scores)
        if not self._samples:
            return int(scores.argmax())
        return int(torch.multinomial(scores.softmax(-1), 1, generator=self._random))


def heeded(settings: Any) -> bool:
    """Whether `Choosing` does all that a model's settings ask for."""
    return set(settings.to_diff_dict()) <= _HARMLESS
