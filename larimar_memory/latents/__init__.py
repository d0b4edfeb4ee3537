"""Latent readouts: what a segment is stored as, and how it conditions the frozen decoder.

codec = load_bundle(folder, decoder)
latents = codec.encode(["The pass key is 71432."])
prefix = codec.prefix([latents])
with codec.adapters.attached():
    out = decoder.model.generate(**generation_inputs(prefix, tokens))
"""

from larimar_memory.latents.bundle import load_bundle, save_bundle
from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.config import LatentConfig
from larimar_memory.latents.prefix import Prefix, generation_inputs
from larimar_memory.latents.stored import StoredForm

__all__ = [
    "LatentCodec",
    "LatentConfig",
    "Prefix",
    "StoredForm",
    "generation_inputs",
    "load_bundle",
    "save_bundle",
]
