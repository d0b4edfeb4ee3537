"""The number format of stored keys: float16, and int8 for coarse keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from larimar_memory.encoders.keys import coded, unit
from larimar_memory.stores.base import Keys


@dataclass(frozen=True, slots=True)
class KeyForm:
    """The number format of stored keys: float16; coarse keys int8, scaled so the largest is 127."""

    dimension: int
    coarse: bool = False

    def is_key(self, blob: Any) -> bool:
        """Whether a blob is a key of d numbers in this format."""
        return isinstance(blob, bytes) and len(blob) == self._type.itemsize * self.dimension

    def packed(self, keys: Keys) -> np.ndarray:
        """Keys in the format in which they are stored, (n, d)."""
        return coded(np.asarray(keys, np.float32)) if self.coarse else keys.astype(self._type)

    def of(self, stored: np.ndarray) -> Keys:
        """Keys from what `packed` made, float32; coarse keys at unit length."""
        return unit(stored.astype(np.float32)) if self.coarse else stored.astype(np.float32)

    def unpacked(self, blobs: list[bytes]) -> Keys:
        """Keys from blobs that all pass `is_key`, float32."""
        joined = np.frombuffer(b"".join(blobs), dtype=self._type)
        return self.of(joined.reshape(len(blobs), self.dimension))

    @property
    def _type(self) -> np.dtype[Any]:
        return np.dtype("i1") if self.coarse else np.dtype("<f2")
