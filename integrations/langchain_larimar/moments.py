"""When a message was said, if it says so: LangChain has no field for that, but several customs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from langchain_core.messages import BaseMessage

_NAMES = ("said_at", "timestamp", "created_at")
_MOST_SECONDS = 1e11
"""Above this, a number counts milliseconds."""


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(timezone.utc)


def utc(at: datetime) -> datetime:
    """A moment in UTC, to the second; without a time zone it is UTC already."""
    aware = at if at.utcoffset() is not None else at.replace(tzinfo=timezone.utc)
    return aware.astimezone(timezone.utc).replace(microsecond=0)


def moment_of(message: BaseMessage) -> datetime | None:
    """When a message was said, in UTC; None if it does not say.

    The time is an entry `said_at`, `timestamp` or `created_at` of the message's `additional_kwargs` or,
    in replies of some models, of its `response_metadata`; or the `message_time` of LangChain's chat
    loaders. It is a datetime, a text in ISO 8601, or a number of seconds since 1970, which may be text.
    Without a time zone, it is UTC.
    """
    return next((found for value in _told(message) if (found := moment(value)) is not None), None)


def moment(value: Any) -> datetime | None:
    """A moment in UTC, to the second; None if the value is not one."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = _parsed(value)
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float) and math.isfinite(value):
            seconds = value / 1000 if abs(value) > _MOST_SECONDS else value
            value = datetime.fromtimestamp(seconds, timezone.utc)
        return utc(value) if isinstance(value, datetime) else None
    except (OverflowError, ValueError, OSError):
        # The year is beyond what a datetime can hold.
        return None


def _parsed(text: str) -> datetime | None:
    try:
        # Python 3.10 knows neither "Z" nor more than six digits of a second, as models write them.
        whole, _, rest = text.strip().partition(".")
        zone = rest.lstrip("0123456789")
        return datetime.fromisoformat(f"{whole}{zone}".replace("Z", "+00:00"))
    except ValueError:
        return None


def _told(message: BaseMessage) -> Iterator[Any]:
    for entries in (message.additional_kwargs, message.response_metadata):
        yield from (entries[name] for name in _NAMES if name in entries)
    events = message.additional_kwargs.get("events")
    if isinstance(events, list) and events and isinstance(events[0], dict):
        yield events[0].get("message_time")
