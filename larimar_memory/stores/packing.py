"""Latents as bytes beside their segment: type, shape and little-endian numbers, nothing else."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from larimar_memory.errors import InputError, MemoryFileError

_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f2"),
    3: np.dtype("i1"),
    4: np.dtype("u1"),
}
_CODES = {(t.kind, t.itemsize): code for code, t in _TYPES.items()}
_MAX_DIMENSIONS = 4


def pack(latent: np.ndarray) -> bytes:
    """An array of up to 4 dimensions (float32, float16, int8 or uint8) as bytes.

    Raises:
        InputError: if it is of another type or shape.
    """
    code = _CODES.get((latent.dtype.kind, latent.dtype.itemsize))
    if code is None or latent.ndim > _MAX_DIMENSIONS:
        raise InputError(
            "A latent cannot be stored.",
            f"It is an array of type {latent.dtype} with {latent.ndim} dimensions.",
            "Give float32, float16, int8 or uint8, of at most 4 dimensions.",
        )
    header = struct.pack(f"<BB{latent.ndim}I", code, latent.ndim, *latent.shape)
    return header + latent.astype(_TYPES[code], order="C").tobytes()


def unpack(blob: bytes) -> np.ndarray:
    """The array that `pack` was given.

    Raises:
        MemoryFileError: if `pack` did not make the bytes.
    """
    try:
        code, dimensions = blob[0], blob[1]
        if dimensions > _MAX_DIMENSIONS:
            raise ValueError("it has too many dimensions")
        shape = struct.unpack_from(f"<{dimensions}I", blob, 2)
        values: np.ndarray = np.frombuffer(blob, dtype=_TYPES[code], offset=2 + 4 * dimensions)
        return np.array(values.reshape(shape))
    except (struct.error, KeyError, IndexError, ValueError, TypeError) as error:
        raise MemoryFileError(
            "A stored latent cannot be read.",
            "Its bytes are damaged.",
            "Restore the memory from a backup, or write the text again.",
        ) from error


def is_latent(blob: bytes) -> bool:
    """Whether `pack` made the bytes."""
    try:
        unpack(blob)
    except MemoryFileError:
        return False
    return True
