"""Whose memory a run may use: only the run's context says so, never a message or a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from larimar_memory.errors import InputError

User: TypeAlias = str | Callable[[Any], str]
"""Where a run's context holds the id of its user: a name in it, or a function of it."""


def user_of(runtime: Any, user: User) -> str:
    """The id of the user that a run is for.

    Args:
        runtime: LangGraph's argument to a middleware or a tool; its `context` is trusted.
        user: an attribute of the context, or an entry if it is a mapping, or a function of it.

    Raises:
        InputError: if the context does not name the user; there is no user to fall back on.
    """
    context = getattr(runtime, "context", None)
    if context is None:
        raise _unknown("It was started without a context")
    found: Any
    if not isinstance(user, str):
        found = user(context)
    elif isinstance(context, Mapping):
        found = context.get(user)
    else:
        found = getattr(context, user, None)
    named = repr(user) if isinstance(user, str) else "user"
    if found is None or found == "":
        raise _unknown(f"The {named} of its context is missing")
    if not isinstance(found, str) or not found.strip():
        kind = "blank" if isinstance(found, str) else f"a {type(found).__name__}, not a str"
        raise _unknown(f"The {named} of its context is {kind}")
    return found


def thread_of(runtime: Any) -> str | None:
    """The thread that a run continues; None if there is none, as without a checkpointer."""
    thread = getattr(getattr(runtime, "execution_info", None), "thread_id", None)
    return None if thread is None else str(thread)


def check_user(user: Any) -> User:
    """A `User`; anything else raises InputError."""
    if not callable(user) and not (isinstance(user, str) and user):
        raise InputError(
            f"The user cannot be found with user={user!r}.",
            "It is neither a name in the context nor a function of it.",
            'Use a name such as "user_id", or a function such as `lambda context: context.user_id`.',
        )
    found: User = user
    return found


def _unknown(why: str) -> InputError:
    return InputError(
        "It is not known whose memory this run may use.",
        f"{why}, and memories of users must not be mixed.",
        'Start the agent with one, as in `agent.invoke(..., context={"user_id": "ana"})`.',
    )
