"""Latent readouts: the latents of segments, and how they condition the frozen decoder.

codec = load_bundle(folder, decoder)
latents = codec.encode(["The pass key is 71432."])
prefix = codec.prefix([latents])
with codec.adapters.attached():
    out = decoder.model.generate(**generation_inputs(prefix, tokens))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from larimar_memory.latents.bundle import load_bundle, save_bundle
    from larimar_memory.latents.codec import LatentCodec
    from larimar_memory.latents.config import LatentConfig
    from larimar_memory.latents.prefix import Prefix, generation_inputs
    from larimar_memory.latents.stored import StoredForm

# Loaded on first use, so that a memory without latents need not wait for the library of settings.
_MODULES = {
    "LatentCodec": "codec",
    "LatentConfig": "config",
    "Prefix": "prefix",
    "StoredForm": "stored",
    "generation_inputs": "prefix",
    "load_bundle": "bundle",
    "save_bundle": "bundle",
}
__all__ = [
    "LatentCodec",
    "LatentConfig",
    "Prefix",
    "StoredForm",
    "generation_inputs",
    "load_bundle",
    "save_bundle",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
