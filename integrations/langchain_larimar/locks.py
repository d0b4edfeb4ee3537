"""One lock for all faces of a memory, where something is read and written as one step."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from larimar_memory import Larimar

_locks: WeakKeyDictionary[Larimar, threading.RLock] = WeakKeyDictionary()
_guard = threading.Lock()


def lock_of(memory: Larimar) -> threading.RLock:
    """The memory's lock; the same at every call."""
    with _guard:
        return _locks.setdefault(memory, threading.RLock())
