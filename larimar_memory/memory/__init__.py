"""The associative memory as mathematics: addressing over fixed reference keys."""

from larimar_memory.memory.address import ALPHA, address

__all__ = ["ALPHA", "address"]
