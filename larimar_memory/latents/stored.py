"""Latents as they lie beside their segment: few bits a number, and knowing which codec made them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from larimar_memory.latents.quantise import Bits, dequantise, quantise

_SIGNATURE = 8
_SCALE = np.dtype("<f2")


@dataclass(frozen=True, slots=True)
class StoredForm:
    """How one codec's latents are stored: signature, numbers, then a float16 scale a position.

    Attributes:
        dz: numbers a position.
        bits: of a number; those of 4 bits lie two in a byte, the first in its lower half.
        fingerprint: the codec's; its first 8 bytes are the signature.
    """

    dz: int
    bits: Bits
    fingerprint: bytes

    @property
    def width(self) -> int:
        """Bytes of a position's numbers."""
        return -(-self.dz * self.bits // 8)

    @property
    def position(self) -> int:
        """Bytes of a position, its scale included."""
        return self.width + _SCALE.itemsize

    def pack(self, z: Float[np.ndarray, "m dz"]) -> Int8[np.ndarray, " n"]:
        """A latent as n = 8 + m * (width + 2) bytes."""
        q, scale = quantise(z, self.bits)
        if self.bits == 4:
            q = np.pad(q, ((0, 0), (0, self.dz % 2))) & 0xF
            q = q[:, ::2] | (q[:, 1::2] << 4)
        parts = (
            np.frombuffer(self.fingerprint[:_SIGNATURE], dtype=np.int8),
            q.reshape(-1),
            scale.astype(_SCALE).view(np.int8),
        )
        return np.concatenate(parts)

    def unpack(self, stored: Int8[np.ndarray, " n"]) -> Float[np.ndarray, "m dz"] | None:
        """The latent that was stored, float32; None if another codec made it."""
        positions, rest = divmod(len(stored) - _SIGNATURE, self.position)
        ours = stored[:_SIGNATURE].tobytes() == self.fingerprint[:_SIGNATURE]
        if not ours or positions < 1 or rest:
            return None
        end = _SIGNATURE + positions * self.width
        q = stored[_SIGNATURE:end].reshape(positions, self.width)
        scale = np.ascontiguousarray(stored[end:]).view(_SCALE)
        if self.bits == 4:
            # Shifted up and down again, so that the sign spreads from the half byte to the byte.
            q = np.stack([(q << 4) >> 4, q >> 4], axis=-1).reshape(positions, -1)[:, : self.dz]
        return dequantise(q, scale.astype(np.float16))
