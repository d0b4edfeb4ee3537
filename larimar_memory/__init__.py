"""Larimar: an episodic memory, off the GPU, for a small frozen language model.

from larimar_memory import Larimar

with Larimar.open("notes.larimar") as memory:
    memory.write(["The pass key is 71432."])
    print(memory.answer("What is the pass key?").text)
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from larimar_memory import deprecated
from larimar_memory.errors import (
    ClosedError,
    EncoderMismatchError,
    InputError,
    LarimarError,
    LatentsUnavailableError,
    MemoryBusyError,
    MemoryFileError,
    ModelError,
)

if TYPE_CHECKING:
    from larimar_memory.decoders.base import Decoder
    from larimar_memory.encoders.base import Encoder
    from larimar_memory.larimar import Larimar
    from larimar_memory.receipts import Receipt
    from larimar_memory.stores.base import Store
    from larimar_memory.types import Answer, AnswerOptions, ReadOptions, Readout, RecalledSegment

__version__ = "0.2.0"
__all__ = [
    "Answer",
    "AnswerOptions",
    "ClosedError",
    "Decoder",
    "Encoder",
    "EncoderMismatchError",
    "InputError",
    "Larimar",
    "LarimarError",
    "LatentsUnavailableError",
    "MemoryBusyError",
    "MemoryFileError",
    "ModelError",
    "ReadOptions",
    "Readout",
    "RecalledSegment",
    "Receipt",
    "Store",
    "__version__",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
deprecated.install()

# Loaded on first use, so that what needs no model, such as the errors, need not wait for torch.
_TYPES = ("Answer", "AnswerOptions", "ReadOptions", "Readout", "RecalledSegment")
_LAZY = {
    "Decoder": "larimar_memory.decoders.base",
    "Encoder": "larimar_memory.encoders.base",
    "Larimar": "larimar_memory.larimar",
    "Receipt": "larimar_memory.receipts",
    "Store": "larimar_memory.stores.base",
    **dict.fromkeys(_TYPES, "larimar_memory.types"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__
