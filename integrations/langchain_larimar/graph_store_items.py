"""An item of a LangGraph store as a document of a memory: namespace, times, text and metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from langgraph.store.base import Item, SearchItem, get_text_at_path

_PREFIX = "store:"
_KEPT = ("value", "created_at", "updated_at", "ttl", "expires_at")

Namespace = tuple[str, ...]


def to_space(namespace: Namespace) -> str:
    """The memory's namespace for one of the store's; labels hold no period, so no two share one."""
    return _PREFIX + ".".join(namespace)


def to_namespace(space: str) -> Namespace | None:
    """The argument of `to_space`, or None for a namespace of the memory that is not the store's."""
    if not space.startswith(_PREFIX):
        return None
    labels = space[len(_PREFIX) :]
    return tuple(labels.split(".")) if labels else ()


def stamp(moment: datetime) -> str:
    """A moment in UTC as text of fixed length, so that texts sort by time."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def expiry(now: datetime, ttl: float | None) -> str | None:
    """The expiry of an item that is accessed now; `ttl` is in minutes."""
    return None if ttl is None else stamp(now + timedelta(minutes=ttl))


@dataclass(frozen=True, slots=True)
class Entry:
    """An item with what the memory keeps about it; times as `stamp` writes them.

    Attributes:
        ttl: minutes from the last access to `expires_at`; None keeps the item.
    """

    namespace: Namespace
    key: str
    value: dict[str, Any]
    created_at: str
    updated_at: str
    ttl: float | None = None
    expires_at: str | None = None

    @classmethod
    def read(cls, namespace: Namespace, key: str, metadata: Mapping[str, Any]) -> Entry | None:
        """The item of a document with this metadata, or None if the document is not an item."""
        if any(name not in metadata for name in _KEPT):
            return None
        return cls(namespace, key, *(metadata[name] for name in _KEPT))

    def metadata(self) -> dict[str, Any]:
        """The metadata that `read` reads."""
        return {name: getattr(self, name) for name in _KEPT}

    def expired(self, now: datetime) -> bool:
        """Whether the item has expired."""
        return self.expires_at is not None and self.expires_at <= stamp(now)

    def item(self) -> Item:
        """The item as `get` returns it; the caller may change its value."""
        return Item(**self._fields())

    def search_item(self, score: float | None) -> SearchItem:
        """The item as `search` returns it; the caller may change its value."""
        return SearchItem(**self._fields(), score=score)

    def _fields(self) -> dict[str, Any]:
        return {
            "namespace": self.namespace,
            "key": self.key,
            "value": deepcopy(self.value),
            "created_at": datetime.fromisoformat(self.created_at),
            "updated_at": datetime.fromisoformat(self.updated_at),
        }


def indexed_text(value: Mapping[str, Any], paths: Sequence[str]) -> str:
    """The text that a value is found by: a paragraph for each text at the paths, "" if there is none.

    Args:
        value: a JSON object.
        paths: as in LangGraph ("title", "tags[*]", "author.name"); "$" is the whole value.
    """
    texts = list[str]()
    for path in paths:
        texts += ["\n".join(_lines(value, ""))] if path == "$" else get_text_at_path(value, path)
    return "\n\n".join(text.strip() for text in texts if text.strip())


def _lines(value: Any, name: str) -> list[str]:
    """A value as lines of "name: value", which a sentence encoder reads better than JSON."""
    if isinstance(value, Mapping):
        return [line for key, part in value.items() for line in _lines(part, f"{name} {key}".strip())]
    if isinstance(value, list):
        if any(isinstance(part, dict | list) for part in value):
            return [line for part in value for line in _lines(part, name)]
        value = ", ".join(str(part) for part in value if part is not None)
    text = "" if value is None else str(value).strip()
    return [f"{name}: {text}" if name else text] if text else []
