"""Metadata: JSON objects, made of what callers give; a value that JSON cannot hold is refused by name.

NumPy's booleans, numbers and text become Python's; tuples become lists. Dates and times become text in
ISO 8601, whose order is that of time: a moment with a time zone is converted to UTC
("2026-03-01T08:30:00+00:00"), one without stays as it is ("2026-03-01T08:30:00"), a date becomes
"2026-03-01". A filter's values are converted in the same way, so that they compare; a date comes before
all moments of its day. What comes back is what JSON holds: text for a date.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np

NO_UNICODE = "half of a surrogate pair, which is no Unicode text"

_MAX_BITS = 14_000
"""The most bits of a whole number: Python writes no more than 4,300 digits."""

_USUAL = "Use str keys and values of text, numbers, booleans, None, lists, mappings, dates and times."
_REMEDIES: tuple[tuple[Any, str], ...] = (
    (float, "Leave it out, or give None."),
    ((UUID, PurePath), "Give its str()."),
    ((Decimal, Fraction), "Give its float() or its str()."),
    (Enum, "Give its value."),
    ((bytes, bytearray, memoryview), "Decode it, and give text."),
    ((set, frozenset), "Give a list of what it holds."),
    (np.ndarray, "Give its tolist()."),
    ((timedelta, np.timedelta64), "Give its seconds."),
    ((datetime, np.datetime64), "Leave it out, or give None."),
)


class NotPlainError(ValueError):
    """A value that JSON cannot hold.

    Args:
        why: which value, and why.
        remedy: what to give in its place.
    """

    def __init__(self, why: str, remedy: str = _USUAL) -> None:
        self.why, self.remedy = why, remedy
        super().__init__(why)


def scalar(value: Any) -> Any:
    """A date, a time or a NumPy scalar in its form for JSON; anything else, and NaT, as it is."""
    if isinstance(value, np.datetime64):
        return _moment(value)
    if isinstance(value, np.timedelta64):
        # NumPy counts it as a whole number.
        return value
    if isinstance(value, np.bool_ | np.integer | np.str_):
        return value.item()
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, datetime) and value == value and value.utcoffset() is not None:
        try:
            return value.astimezone(timezone.utc).isoformat()
        except OverflowError:
            return value
    # NaT of pandas is a datetime that does not equal itself.
    return value.isoformat() if isinstance(value, date | time) and value == value else value


def _moment(value: np.datetime64) -> Any:
    """In the form of `datetime`, with nanoseconds if it has any."""
    micro = value.astype("datetime64[us]")
    moment = value.item() if isinstance(value.item(), date) else micro.item()
    if not isinstance(moment, date):
        return value
    return moment.isoformat() if micro == value else str(np.datetime_as_string(value, unit="ns"))


def lone_surrogate(text: str) -> int | None:
    """Where a text holds half of a surrogate pair, which cannot be stored; None if it holds none."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return error.start
    return None


class Plain:
    """Turns mappings into dict and sequences into list, all the way down.

    Args:
        name: of the value.
        max_depth: how many levels deep it may be nested.
    """

    def __init__(self, name: str, max_depth: int) -> None:
        self._name, self._max_depth = name, max_depth
        self._around = set[int]()

    def of(self, value: Any, path: tuple[Any, ...]) -> Any:
        """The part at a path."""
        if len(path) >= self._max_depth:
            raise NotPlainError(f"it is nested more than {self._max_depth} levels deep")
        value = scalar(value)
        if value is None or isinstance(value, str | int | float):
            return self._checked(value, path)
        if not isinstance(value, Mapping | list | tuple):
            raise self._refused(value, path)
        if id(value) in self._around:
            why = f"{self._at(path)} holds itself: it is nested more than {self._max_depth} levels deep"
            raise NotPlainError(why, "Give it without the circle.")
        self._around.add(id(value))
        if isinstance(value, Mapping):
            parts = [(self._key(key, path), part) for key, part in value.items()]
            made: Any = {key: self.of(part, (*path, key)) for key, part in parts}
        else:
            made = [self.of(part, (*path, n)) for n, part in enumerate(value)]
        self._around.remove(id(value))
        return made

    def _key(self, key: Any, path: tuple[Any, ...]) -> str:
        if not isinstance(key, str):
            why = f"{self._at(path)} has the key {_short(key)}, which is no str"
            raise NotPlainError(why, "Give its str() as the key.")
        if lone_surrogate(key) is not None:
            why = f"in a key of {self._name_of(path)} it holds {NO_UNICODE}"
            raise NotPlainError(why, "Give another key.")
        return key

    def _checked(self, value: Any, path: tuple[Any, ...]) -> Any:
        if isinstance(value, float) and not np.isfinite(value):
            raise self._refused(value, path)
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            remedy = "Give it as text or as a float."
            raise NotPlainError(f"{self._at(path)} has more than {_MAX_BITS:,} bits", remedy)
        if isinstance(value, str) and lone_surrogate(value) is not None:
            why = f"at {self._name_of(path)} it holds {NO_UNICODE}"
            raise NotPlainError(why, 'Decode the source with errors="replace".')
        return value

    def _refused(self, value: Any, path: tuple[Any, ...]) -> NotPlainError:
        remedy = next((remedy for kind, remedy in _REMEDIES if isinstance(value, kind)), _USUAL)
        if hasattr(value, "model_dump"):
            remedy = 'Give its model_dump(mode="json").'
        if isinstance(value, float | datetime | np.datetime64):
            why = f"{self._at(path)} is {value!s:.60}, and that is not JSON compliant"
        else:
            why = f"{self._at(path)} of type {type(value).__name__} is not JSON serializable"
        return NotPlainError(why, remedy)

    def _at(self, path: tuple[Any, ...]) -> str:
        return self._name_of(path) if path else "it"

    def _name_of(self, path: tuple[Any, ...]) -> str:
        shown = [f"[{_short(part)}]" for part in path]
        return self._name + "".join(shown if len(shown) <= 8 else [*shown[:4], " ... ", *shown[-2:]])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
