"""Arguments of faces: an open memory, with one lock for all faces, and a score threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from larimar_memory.errors import InputError
from larimar_memory.system import forking

if TYPE_CHECKING:
    from larimar_memory import Larimar

_locks: WeakKeyDictionary[Larimar, forking.Lock] = WeakKeyDictionary()
_guard = forking.Lock()


def check_memory(memory: Any, what: str, subject: str = "Its memory") -> Larimar:
    """An open memory.

    Args:
        what: the error's sentence that says what cannot be done without a memory.
        subject: what the error calls the value.

    Raises:
        InputError: if it is anything else.
    """
    # Imported here: the class imports torch, and importing the faces must not.
    from larimar_memory import Larimar

    if not isinstance(memory, Larimar):
        raise InputError(
            what,
            f"{subject} is a {type(memory).__name__}, not a Larimar.",
            "Open one with `Larimar.open(path)`.",
        )
    return memory


def check_threshold(
    least: float | None, what: str, why: str = "Scores lie between 0 and 1."
) -> float | None:
    """A score threshold, or None for the memory's own.

    Args:
        what, why: the error's sentences that say what cannot be done with another number, and why.

    Raises:
        InputError: if it is outside [0, 1].
    """
    if least is not None and not 0 <= least <= 1:
        remedy = "Use a number in that range, or None for the memory's own."
        raise InputError(what, why, remedy)
    return least


def lock_of(memory: Larimar) -> forking.Lock:
    """The memory's lock, for reading and writing in one step; the same lock at every call."""
    with _guard:
        return _locks.setdefault(memory, forking.Lock())
