"""What numbers stored keys are: float16, and coarse ones whole numbers of a byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from larimar_memory.encoders.keys import coded, unit
from larimar_memory.stores.base import Keys


@dataclass(frozen=True, slots=True)
class KeyForm:
    """What stored keys are: float16, and coarse ones int8, scaled so that the largest is 127."""

    dimension: int
    coarse: bool = False

    def is_key(self, blob: Any) -> bool:
        """Whether it is one of d numbers."""
        return isinstance(blob, bytes) and len(blob) == self._type.itemsize * self.dimension

    def packed(self, keys: Keys) -> np.ndarray:
        """Keys as the numbers they are stored as, (n, d)."""
        return coded(np.asarray(keys, np.float32)) if self.coarse else keys.astype(self._type)

    def of(self, stored: np.ndarray) -> Keys:
        """Keys of what `packed` made, float32, of unit length where they are coarse."""
        return unit(stored.astype(np.float32)) if self.coarse else stored.astype(np.float32)

    def unpacked(self, blobs: list[bytes]) -> Keys:
        """Stored keys, each of which `is_key`, as float32."""
        joined = np.frombuffer(b"".join(blobs), dtype=self._type)
        return self.of(joined.reshape(len(blobs), self.dimension))

    @property
    def _type(self) -> np.dtype[Any]:
        return np.dtype("i1") if self.coarse else np.dtype("<f2")
