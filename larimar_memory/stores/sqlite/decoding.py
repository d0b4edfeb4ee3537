"""Checks of a row's columns, whoever wrote them, and how they become values.

A checksum says that a row is what was written, not that it makes sense: anybody can make one, and files
of version 1 got theirs when they were first opened.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from larimar_memory.stores.sqlite.schema import TABLES
from larimar_memory.types import Metadata
from larimar_memory.validate import MAX_DEPTH, lone_surrogate


def wrong_type(table: str, values: dict[str, Any]) -> str | None:
    """How a row differs from its columns' types; None if it does not."""
    for column, kind in TABLES[table].items():
        if kind is not None and type(values[column]) is not kind:
            return "columns of another type"
        if kind is str and lone_surrogate(values[column]) is not None:
            return "text that is no Unicode"
    episode = values.get("episode")
    if episode is not None and (not isinstance(episode, str) or lone_surrogate(episode) is not None):
        return "an episode that has no name"
    return None


def metadata_from(text: Any) -> Metadata:
    """Metadata from the text as which they are stored.

    Raises:
        ValueError: if it is not a JSON object, or is nested deeper than metadata may be.
    """
    if not isinstance(text, str):
        raise ValueError(f"it is a {type(text).__name__}")
    try:
        found = _JSON.decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError(f"it is a {type(found).__name__}")
    if "\\u" in text and lone_surrogate(json.dumps(found, ensure_ascii=False)) is not None:
        raise ValueError("it holds half of a surrogate pair")
    _check_depth(found, MAX_DEPTH)
    return found


def _check_depth(value: Any, levels: int) -> None:
    if isinstance(value, dict | list):
        if not levels:
            raise ValueError("it is nested too deep")
        for part in value.values() if isinstance(value, dict) else value:
            _check_depth(part, levels - 1)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_JSON = json.JSONDecoder(parse_constant=_no_constant)
