"""What every face is given must be an open memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from larimar_memory.errors import InputError

if TYPE_CHECKING:
    from larimar_memory import Larimar


def check_memory(memory: Any, what: str, subject: str = "Its memory") -> Larimar:
    """An open memory.

    Args:
        what: the sentence that says what cannot be done without one.
        subject: what the value is to whom it was given.

    Raises:
        InputError: if it is anything else.
    """
    # Here, not above: the class imports torch, and the faces must not.
    from larimar_memory import Larimar

    if not isinstance(memory, Larimar):
        raise InputError(
            what,
            f"{subject} is a {type(memory).__name__}, not a Larimar.",
            "Open one with `Larimar.open(path)`.",
        )
    return memory
