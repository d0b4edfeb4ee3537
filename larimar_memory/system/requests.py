"""What servers accept from their clients, and what they tell them about errors."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from larimar_memory.errors import InputError, LarimarError

log = logging.getLogger(__name__)

_WRONG_SHOWN, _WRONG_CHARS = 3, 200


class Arguments(BaseModel):
    """Arguments of a request; any others are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_Given = TypeVar("_Given", bound=Arguments)


def arguments(kind: type[_Given], given: Mapping[str, Any] | None) -> _Given:
    """The arguments of a call.

    Raises:
        InputError: if they do not fit `kind`.
    """
    try:
        return kind.model_validate(dict(given or {}))
    except ValidationError as error:
        wrong = [": ".join([*map(str, e["loc"]), e["msg"]]) for e in error.errors()]
        more = "; and more" if len(wrong) > _WRONG_SHOWN else ""
        why = f"{'; '.join(one[:_WRONG_CHARS] for one in wrong[:_WRONG_SHOWN])}{more}."
        raise InputError(
            "The arguments cannot be used.", why, "Correct them and call again."
        ) from error


def parsed(text: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object.

    Args:
        what: the source of the text, with which the error begins.

    Raises:
        InputError: if the text is not a JSON object.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{what} cannot be used.", "It is no JSON object.", 'Write it like {"a": 1}.')
    return found


def unforeseen(error: Exception) -> LarimarError:
    """The error that a client gets for an unexpected one, without the unexpected error's message."""
    log.error(
        "a request failed: %s", type(error).__name__, exc_info=bool(os.environ.get("LARIMAR_DEBUG"))
    )
    return LarimarError(
        "The request failed.",
        f"The server met a {type(error).__name__} that it did not expect.",
        "Start the server with LARIMAR_DEBUG=1 to see where in its log, and report it.",
    )
