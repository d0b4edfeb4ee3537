"""Latents as they lie beside their segment: int8, and knowing which codec made them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int8

from larimar_memory.latents.quantise import from_int8, to_int8

_SIGNATURE = 8
_SCALE = np.dtype("<f2")


def to_stored(z: Float[np.ndarray, "m dz"], fingerprint: bytes) -> Int8[np.ndarray, " n"]:
    """A latent as n = 8 + m * (dz + 2) bytes: the codec's signature, numbers, and scales in float16."""
    q, scale = to_int8(z)
    parts = (
        np.frombuffer(fingerprint[:_SIGNATURE], dtype=np.int8),
        q.reshape(-1),
        scale.astype(_SCALE).view(np.int8),
    )
    return np.concatenate(parts)


def from_stored(
    stored: Int8[np.ndarray, " n"], dz: int, fingerprint: bytes
) -> Float[np.ndarray, "m dz"] | None:
    """The latent that was stored, float32; None if another codec made it."""
    body = len(stored) - _SIGNATURE
    positions, rest = divmod(body, dz + _SCALE.itemsize)
    if stored[:_SIGNATURE].tobytes() != fingerprint[:_SIGNATURE] or positions < 1 or rest:
        return None
    q = stored[_SIGNATURE : _SIGNATURE + positions * dz].reshape(positions, dz)
    scale = np.ascontiguousarray(stored[_SIGNATURE + positions * dz :]).view(_SCALE)
    return from_int8(q, scale.astype(np.float16))
