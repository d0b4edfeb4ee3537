"""A LangGraph store in RAM, in a file and in a database, and its results without times."""

from __future__ import annotations

from typing import Any

from langgraph.store.base import Item


def plain(result: Any) -> Any:
    """A result without its times, which two stores do not share."""
    if isinstance(result, list):
        return [plain(part) for part in result]
    return (result.namespace, result.key, result.value) if isinstance(result, Item) else result
