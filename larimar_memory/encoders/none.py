"""A memory opened without its encoder: inspecting a memory and forgetting from it need no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from larimar_memory.encoders.base import Kind
from larimar_memory.errors import InputError


@dataclass(frozen=True)
class NoEncoder:
    """Stands for the encoder that a memory was written with, and refuses to make keys."""

    fingerprint: str
    dimension: int

    def encode(self, texts: Sequence[str], kind: Kind = "segment") -> NoReturn:
        """Raise InputError."""
        raise InputError(
            "The memory cannot be written or searched.",
            "It was opened without an encoder.",
            "Open it without encoder=None.",
        )
