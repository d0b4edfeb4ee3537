"""What the columns of a row may be, whoever wrote them, and how they become values.

A checksum says that a row is what was written, not that it makes sense: anybody can make one, and files
of version 1 were given theirs when they were first opened.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from larimar_memory.encoders.keys import coded, unit
from larimar_memory.stores.base import Keys
from larimar_memory.stores.sqlite.schema import TABLES
from larimar_memory.types import Metadata
from larimar_memory.validate import MAX_DEPTH, lone_surrogate


@dataclass(frozen=True, slots=True)
class KeyForm:
    """What bytes stored keys are: float16, and coarse ones int8, scaled so that the largest is 127."""

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


def wrong_type(table: str, values: dict[str, Any]) -> str | None:
    """What of a row is not of its column's type; None if nothing is."""
    for column, kind in TABLES[table].items():
        if kind is not None and type(values[column]) is not kind:
            return "columns of another type"
        if kind is str and lone_surrogate(values[column]) is not None:
            return "text that is no Unicode"
    episode = values.get("episode")
    if episode is not None and (not isinstance(episode, str) or lone_surrogate(episode) is not None):
        return "an episode that has no name"
    return None


def metadata_from(text: Any) -> Metadata:
    """Metadata of the text it is stored as.

    Raises:
        ValueError: if it is no JSON object, or one nested deeper than metadata may be.
    """
    if not isinstance(text, str):
        raise ValueError(f"it is a {type(text).__name__}")
    try:
        found = _JSON.decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError(f"it is a {type(found).__name__}")
    if "\\u" in text and lone_surrogate(json.dumps(found, ensure_ascii=False)) is not None:
        raise ValueError("it holds half of a surrogate pair")
    _check_depth(found, MAX_DEPTH)
    return found


def _check_depth(value: Any, levels: int) -> None:
    if isinstance(value, dict | list):
        if not levels:
            raise ValueError("it is nested too deep")
        for part in value.values() if isinstance(value, dict) else value:
            _check_depth(part, levels - 1)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_JSON = json.JSONDecoder(parse_constant=_no_constant)
