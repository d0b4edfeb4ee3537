"""Latents as a store keeps them: few bits per number, and a signature of the codec that made them."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int8

_TOP = 127
_SIGNATURE = 8
_COUNT = 4
_WAY, _THINNED = b"huffman", b"thinned"
_MOST_FROM_ONE = 8
"""Most bytes that one coded byte can stand for: no Huffman code is shorter than a bit."""


@dataclass(frozen=True)
class StoredForm:
    """The form of one codec's stored latents: a signature, then every number as a count of equal steps.

    Small counts are more common than large ones, so everything after the signature is Huffman coded
    (raw DEFLATE, RFC 1951, without matches). Equal steps with entropy-coded counts are within a quarter
    of a bit per number of the best code with the same error (Gish and Pierce, 1968), and numbers that
    hardly vary cost hardly anything.

    Positions that were dropped are rows of NaN. They are not stored: where there are any, another
    signature is followed by the number of positions (4 bytes, little-endian) and a bit for each, which
    is 1 where it is kept.

    Attributes:
        dz: numbers per position.
        step: distance between neighbouring stored values.
        fingerprint: the codec's fingerprint; the signature follows from it and from this form.
    """

    dz: int
    step: float
    fingerprint: bytes

    @cached_property
    def signature(self) -> bytes:
        """The bytes that latents of this codec begin with in this form."""
        return self._signed(_WAY)

    @cached_property
    def thinned(self) -> bytes:
        """The bytes that latents begin with of which positions were dropped."""
        return self._signed(_THINNED)

    def _signed(self, way: bytes) -> bytes:
        return hashlib.blake2b(self.fingerprint, digest_size=_SIGNATURE, person=way).digest()

    def pack(self, z: Float[np.ndarray, "m dz"]) -> Int8[np.ndarray, " n"]:
        """A latent as n bytes, of which 8 are the signature."""
        there, head = kept(z), self.signature
        if not there.all():
            head = self.thinned + len(z).to_bytes(_COUNT, "little") + np.packbits(there).tobytes()
        coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
        coded = coder.compress(quantise(z[there], self.step).tobytes()) + coder.flush()
        return np.frombuffer(head + coded, dtype=np.int8)

    def unpack(self, stored: Int8[np.ndarray, " n"]) -> Float[np.ndarray, "m dz"] | None:
        """The latent that was stored, float32; None if the bytes are not in this codec's form."""
        signature, coded = stored[:_SIGNATURE].tobytes(), stored[_SIGNATURE:].tobytes()
        if signature == self.thinned:
            return self._unpack_thinned(coded)
        return self._decode(coded) if signature == self.signature else None

    def _unpack_thinned(self, held: bytes) -> Float[np.ndarray, "m dz"] | None:
        count = int.from_bytes(held[:_COUNT], "little")
        end = _COUNT + -(-count // 8)
        bits = np.frombuffer(held[_COUNT:end], dtype=np.uint8)
        z = self._decode(held[end:])
        if z is None or len(bits) != end - _COUNT:
            return None
        there = np.unpackbits(bits, count=count).astype(bool)
        if there.sum() != len(z):
            return None
        out = np.full((count, self.dz), np.nan, dtype=np.float32)
        out[there] = z
        return out

    def _decode(self, coded: bytes) -> Float[np.ndarray, "m dz"] | None:
        coder = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            held = coder.decompress(coded, max(1, len(coded) * _MOST_FROM_ONE))
        except zlib.error:
            return None
        positions, rest = divmod(len(held), self.dz)
        if not coder.eof or positions < 1 or rest:
            return None
        return dequantise(np.frombuffer(held, dtype=np.int8).reshape(positions, self.dz), self.step)


def kept(z: Float[np.ndarray, "m dz"]) -> Bool[np.ndarray, " m"]:
    """Which positions of a latent were not dropped: those that are not rows of NaN."""
    there: np.ndarray = ~np.isnan(z[:, 0])
    return there


def quantise(z: Float[np.ndarray, "m dz"], step: float) -> Int8[np.ndarray, "m dz"]:
    """Each number of a latent as the nearest count of steps, at most 127 steps away from zero."""
    steps = np.rint(np.asarray(z, dtype=np.float32) / np.float32(step))
    q: np.ndarray = np.clip(steps, -_TOP, _TOP).astype(np.int8)
    return q


def dequantise(q: Int8[np.ndarray, "m dz"], step: float) -> Float[np.ndarray, "m dz"]:
    """The rounded latent, float32; each number is at most half a step off, unless it was clipped."""
    z: np.ndarray = q.astype(np.float32) * np.float32(step)
    return z
