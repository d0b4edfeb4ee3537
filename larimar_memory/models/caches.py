"""The cache of keys and values, under the name that the installed transformers has for it.

Releases from 5.24 on call it `cache`, warn about `past_key_values`, and will drop that name.
"""

from __future__ import annotations

import inspect
from typing import Any


def given(model: Any, cache: Any) -> dict[str, Any]:
    """The keyword argument by which the model's `forward` takes a cache."""
    taken = inspect.signature(model.forward).parameters
    return {"cache" if "cache" in taken else "past_key_values": cache}


def left_by(output: Any) -> Any:
    """The cache in the output of a model that was called with `use_cache=True`."""
    cache = getattr(output, "cache", None)
    return output.past_key_values if cache is None else cache


def for_generate(model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs of `generate`, with a cache under either name renamed to the one that the model takes."""
    renamed = dict(inputs)
    for name in ("past_key_values", "cache"):
        if renamed.get(name) is not None:
            renamed |= given(model, renamed.pop(name))
    return renamed
