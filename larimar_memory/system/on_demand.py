"""A memory that is opened on its first use, so that a server starts at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Closing(Protocol):
    """An object that can be closed."""

    def close(self) -> None:
        """Release what it holds."""
        ...


_Opened = TypeVar("_Opened", bound=Closing)


class OnDemand(Generic[_Opened]):
    """Holds a memory that it opens when it is needed; thread-safe.

    Args:
        open: opens the memory. Each call raises what it raises, and the next call tries again.
    """

    def __init__(self, open: Callable[[], _Opened]) -> None:
        self._open = open
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def __call__(self) -> _Opened:
        """The memory, opened if it is not open."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def close(self) -> None:
        """Close the memory if it is open; a later call opens it again."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()
