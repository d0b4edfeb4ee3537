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

from larimar_memory.errors import LarimarError

if TYPE_CHECKING:
    from larimar_memory.larimar import Larimar
    from larimar_memory.types import Answer, Readout, RecalledSegment

__version__ = "0.1.0"
__all__ = ["Answer", "Larimar", "LarimarError", "Readout", "RecalledSegment", "__version__"]

logging.getLogger(__name__).addHandler(logging.NullHandler())

# Loaded on first use: what needs no model, such as the errors, should not wait seconds for torch.
_LAZY = {
    "Answer": "larimar_memory.types",
    "Larimar": "larimar_memory.larimar",
    "Readout": "larimar_memory.types",
    "RecalledSegment": "larimar_memory.types",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__
