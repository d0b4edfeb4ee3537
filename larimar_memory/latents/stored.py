"""Latents as a store keeps them: few bits per number, and a signature of the codec that made them."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, Int8, Int16

_TOP = 127
_SIGNATURE = 8
_COUNT = 4
_WAY, _THINNED = b"huffman", b"thinned"
_MOST_FROM_ONE = 8
"""Most bytes that one coded byte can stand for: no Huffman code is shorter than a bit."""
_STEADY = 5 / 6
"""Share of the numbers that the first Huffman code serves; the others, which vary most, have one."""
UNIT = 128
"""Of a predictor's weights."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predicts the counts of steps at a position of a latent from those at the position before.

    It computes with whole numbers alone, as products in float64 that no order of adding changes: what
    one machine stored, every other reads.

    Attributes:
        weights: of the position before (rows) in the next (columns), in units of 1/128.
        order: all numbers, those first that differ least from what is predicted.
    """

    weights: Int16[np.ndarray, "dz dz"]
    order: Int16[np.ndarray, " dz"]

    def to_bytes(self) -> bytes:
        """What tells it from another, the same on every machine."""
        return self.weights.astype("<i2").tobytes() + self.order.astype("<i2").tobytes()

    @cached_property
    def _matrix(self) -> Float[np.ndarray, "dz dz"]:
        return self.weights.astype(np.float64)

    def next(self, counts: Int8[np.ndarray, "n dz"]) -> Int[np.ndarray, "n dz"]:
        """What is predicted after each position."""
        sums = counts.astype(np.float64) @ self._matrix
        found: Int[np.ndarray, "n dz"] = np.floor((sums + UNIT // 2) / UNIT).astype(np.int32)
        return found

    def differences(self, counts: Int8[np.ndarray, "m dz"]) -> Int8[np.ndarray, "m dz"]:
        """Each position less what is predicted, modulo 256, the first as it is; numbers in order."""
        out: np.ndarray = counts.copy()
        np.subtract(counts[1:], self.next(counts[:-1]), out=out[1:], casting="unsafe")
        found: np.ndarray = out[:, self.order]
        return found

    def sums(self, differences: Sequence[Int8[np.ndarray, "_ dz"]]) -> list[Int8[np.ndarray, "_ dz"]]:
        """The counts of latents of which `differences` were taken; all are read side by side."""
        order = sorted(range(len(differences)), key=lambda n: -len(differences[n]))
        counts = np.concatenate([differences[n] for n in order])[:, np.argsort(self.order)]
        lengths = np.array([len(differences[n]) for n in order])
        starts = np.cumsum(lengths) - lengths
        for at in range(1, int(lengths[0])):
            here = starts[: np.count_nonzero(lengths > at)] + at
            counts[here] = (counts[here] + self.next(counts[here - 1])).astype(np.int8)
        out = list(differences)
        for n, start, length in zip(order, starts, lengths, strict=True):
            out[n] = counts[start : start + length]
        return out


@dataclass(frozen=True)
class StoredForm:
    """The form of one codec's stored latents: a signature, then every number as a count of equal steps.

    Small counts are more common than large ones, so everything after the signature is Huffman coded
    (raw DEFLATE, RFC 1951, without matches). Equal steps with entropy-coded counts are within a quarter
    of a bit per number of the best code with the same error (Gish and Pierce, 1968), and numbers that
    hardly vary cost hardly anything.

    With a predictor, what is coded is how far each position is from what the one before predicts, and
    the sixth of the numbers that differ most has a Huffman code of its own.

    Positions that were dropped are rows of NaN. They are not stored: where there are any, another
    signature is followed by the number of positions (4 bytes, little-endian) and a bit for each, which
    is 1 where it is kept.

    Attributes:
        dz: numbers per position.
        step: distance between neighbouring stored values.
        fingerprint: the codec's fingerprint; the signature follows from it and from this form.
        predictor: of a position from the one before; None if every position is coded as it is.
    """

    dz: int
    step: float
    fingerprint: bytes
    predictor: Predictor | None = None

    @cached_property
    def signature(self) -> bytes:
        """The bytes that latents of this codec begin with in this form."""
        return self._signed(_WAY)

    @cached_property
    def thinned(self) -> bytes:
        """The bytes that latents begin with of which positions were dropped."""
        return self._signed(_THINNED)

    def _signed(self, way: bytes) -> bytes:
        signed = self.fingerprint
        if self.predictor is not None:
            signed += self.predictor.to_bytes()
        return hashlib.blake2b(signed, digest_size=_SIGNATURE, person=way).digest()

    @property
    def _steady(self) -> int:
        """How many numbers the first Huffman code serves."""
        return self.dz if self.predictor is None else max(1, round(self.dz * _STEADY))

    def pack(self, z: Float[np.ndarray, "m dz"]) -> Int8[np.ndarray, " n"]:
        """A latent as n bytes, of which 8 are the signature."""
        there, head = kept(z), self.signature
        if not there.all():
            head = self.thinned + len(z).to_bytes(_COUNT, "little") + np.packbits(there).tobytes()
        return np.frombuffer(head + self._coded(quantise(z[there], self.step)), dtype=np.int8)

    def _coded(self, counts: Int8[np.ndarray, "m dz"]) -> bytes:
        if self.predictor is not None:
            counts = self.predictor.differences(counts)
        coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
        coded = coder.compress(counts[:, : self._steady].tobytes())
        if self._steady < self.dz:
            # A new block of DEFLATE has a new Huffman code.
            coded += coder.flush(zlib.Z_BLOCK) + coder.compress(counts[:, self._steady :].tobytes())
        return coded + coder.flush()

    def holds(self, stored: Int8[np.ndarray, " n"]) -> bool:
        """Whether a latent can be unpacked from these bytes, which takes less time than to do so."""
        return self._read(stored) is not None

    def unpack(self, stored: Int8[np.ndarray, " n"]) -> Float[np.ndarray, "m dz"] | None:
        """The latent that was stored, float32; None if the bytes are not in this codec's form."""
        return self.unpack_all([stored])[0]

    def unpack_all(
        self, stored: Sequence[Int8[np.ndarray, " _"]]
    ) -> list[Float[np.ndarray, "_ dz"] | None]:
        """As `unpack`, of many latents, sooner than one by one."""
        read = [self._read(one) for one in stored]
        counts = [found[0] for found in read if found is not None]
        if self.predictor is not None and counts:
            counts = self.predictor.sums(counts)
        left = iter(counts)
        return [None if one is None else self._placed(next(left), one[1]) for one in read]

    def _read(
        self, stored: Int8[np.ndarray, " n"]
    ) -> tuple[Int8[np.ndarray, "m dz"], Bool[np.ndarray, " k"] | None] | None:
        """What was coded, and which of k positions that is; all of them, if None."""
        signature, coded = stored[:_SIGNATURE].tobytes(), stored[_SIGNATURE:].tobytes()
        if signature != self.thinned:
            counts = self._decoded(coded) if signature == self.signature else None
            return None if counts is None else (counts, None)
        count = int.from_bytes(coded[:_COUNT], "little")
        end = _COUNT + -(-count // 8)
        bits = np.frombuffer(coded[_COUNT:end], dtype=np.uint8)
        counts = self._decoded(coded[end:])
        if counts is None or len(bits) != end - _COUNT:
            return None
        there = np.unpackbits(bits, count=count).astype(bool)
        return (counts, there) if there.sum() == len(counts) else None

    def _placed(
        self, counts: Int8[np.ndarray, "m dz"], there: Bool[np.ndarray, " k"] | None
    ) -> Float[np.ndarray, "_ dz"]:
        z = dequantise(counts, self.step)
        if there is None:
            return z
        out = np.full((len(there), self.dz), np.nan, dtype=np.float32)
        out[there] = z
        return out

    def _decoded(self, coded: bytes) -> Int8[np.ndarray, "m dz"] | None:
        coder = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            held = coder.decompress(coded, max(1, len(coded) * _MOST_FROM_ONE))
        except zlib.error:
            return None
        positions, rest = divmod(len(held), self.dz)
        if not coder.eof or positions < 1 or rest:
            return None
        numbers = np.frombuffer(held, dtype=np.int8)
        first = positions * self._steady
        parts = numbers[:first].reshape(positions, -1), numbers[first:].reshape(positions, -1)
        return np.concatenate(parts, axis=1)


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
