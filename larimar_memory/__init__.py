"""Larimar: an episodic memory, off the GPU, for a small frozen language model.

from larimar_memory import Larimar

with Larimar.open("notes.larimar") as memory:
    memory.write(["The pass key is 71432."])
    print(memory.answer("What is the pass key?").text)
"""

from larimar_memory.errors import LarimarError
from larimar_memory.larimar import Larimar
from larimar_memory.types import Answer, Readout, RecalledSegment

__version__ = "0.1.0"
__all__ = ["Answer", "Larimar", "LarimarError", "Readout", "RecalledSegment", "__version__"]
