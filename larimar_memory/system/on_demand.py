"""A memory that is opened when something is first asked of it, so that a server is up at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Closing(Protocol):
    """What is closed."""

    def close(self) -> None:
        """Release what it holds."""
        ...


_Opened = TypeVar("_Opened", bound=Closing)


class OnDemand(Generic[_Opened]):
    """A memory by the function that opens it; safe for threads.

    Args:
        open: opens the memory. What it raises, each call raises, and the next one tries again.
    """

    def __init__(self, open: Callable[[], _Opened]) -> None:
        self._open = open
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def __call__(self) -> _Opened:
        """The memory, opened if it is not."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def close(self) -> None:
        """Close the memory where it is open; a later call opens it again."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()
