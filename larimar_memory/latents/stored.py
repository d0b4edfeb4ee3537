"""Latents as they lie beside their segment: few bits a number, and knowing which codec made them."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from larimar_memory.latents.quantise import Bits, dequantise, quantise

_SIGNATURE = 8
_WAY = b"huffman"
_MOST_FROM_ONE = 8
"""Bytes that one coded byte can stand for: no Huffman code is shorter than a bit."""
_SCALE = np.dtype("<f2")


@dataclass(frozen=True, slots=True)
class StoredForm:
    """How one codec's latents are stored: a signature, then numbers and a float16 scale a position.

    Small numbers are commoner than large ones, so what follows the signature is Huffman coded (raw
    DEFLATE, RFC 1951, without matches): about an eighth of the bytes is saved and nothing lost.

    Attributes:
        dz: numbers a position.
        bits: of a number; those of 4 bits lie two in a byte, the first in its lower half.
        fingerprint: the codec's; the signature follows from it and from this way of storing.
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
        """Bytes of a position, its scale included, before they are coded."""
        return self.width + _SCALE.itemsize

    @property
    def signature(self) -> bytes:
        """What latents stored in this way by this codec begin with."""
        return hashlib.blake2b(self.fingerprint, digest_size=_SIGNATURE, person=_WAY).digest()

    def pack(self, z: Float[np.ndarray, "m dz"]) -> Int8[np.ndarray, " n"]:
        """A latent as n bytes, of which 8 are the signature."""
        q, scale = quantise(z, self.bits)
        if self.bits == 4:
            q = np.pad(q, ((0, 0), (0, self.dz % 2))) & 0xF
            q = q[:, ::2] | (q[:, 1::2] << 4)
        coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
        coded = coder.compress(q.tobytes() + scale.astype(_SCALE).tobytes()) + coder.flush()
        return np.frombuffer(self.signature + coded, dtype=np.int8)

    def unpack(self, stored: Int8[np.ndarray, " n"]) -> Float[np.ndarray, "m dz"] | None:
        """The latent that was stored, float32; None if it is not what this codec stores."""
        if stored[:_SIGNATURE].tobytes() != self.signature:
            return None
        coded = stored[_SIGNATURE:].tobytes()
        coder = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            held = coder.decompress(coded, max(1, len(coded) * _MOST_FROM_ONE))
        except zlib.error:
            return None
        positions, rest = divmod(len(held), self.position)
        if not coder.eof or positions < 1 or rest:
            return None
        end = positions * self.width
        q = np.frombuffer(held[:end], dtype=np.int8).reshape(positions, self.width)
        scale = np.frombuffer(held[end:], dtype=_SCALE)
        if not np.isfinite(scale).all():
            return None
        if self.bits == 4:
            # Shifted up and down again, so that the sign spreads from the half byte to the byte.
            q = np.stack([(q << 4) >> 4, q >> 4], axis=-1).reshape(positions, -1)[:, : self.dz]
        return dequantise(q, scale.astype(np.float16))
