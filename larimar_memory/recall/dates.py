"""Dates that a question names, compared with when something was said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from larimar_memory.system import moments

MONTHS = [month.lower() for month in moments.MONTHS]
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
COUNTS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
"""Numbers from 1 on, as words."""

NAME = "|".join(f"{name[:3]}(?:{name[3:]})?" for name in MONTHS) + "|sept"
"""A pattern of the months' names."""
_ISO = re.compile(r"\b(\d{4})-(\d{1,2})(?:-(\d{1,2}))?\b")
_DAY_FIRST = re.compile(
    rf"\b(?:(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? )?({NAME})\b\.?,?(?: (\d{{4}}))?", re.I
)
_MONTH_FIRST = re.compile(rf"\b({NAME})\.? (\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (\d{{4}}))?", re.I)


class Date(NamedTuple):
    """A day, or a month or day of any year."""

    year: int | None
    month: int
    day: int | None


def same_date(named: Sequence[Date], said_at: Any) -> float:
    """1 if one of the dates is the day when something was said, half if it is the month; else 0.

    Args:
        said_at: ISO 8601; anything else counts as no time.
    """
    if not named or not isinstance(said_at, str):
        return 0.0
    try:
        when = datetime.fromisoformat(said_at.replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return max(
        0.0
        if date.month != when.month or date.year not in (None, when.year)
        else 0.5
        if date.day is None
        else float(date.day == when.day)
        for date in named
    )


def dates_in(text: str) -> tuple[Date, ...]:
    """The dates that a text names: ISO 8601, "23 January 2023", "January 23", "in May"."""
    found = [Date(int(y), int(m), int(d) if d else None) for y, m, d in _ISO.findall(text)]
    days = [(month_of(m), int(d), int(y) if y else None) for m, d, y in _MONTH_FIRST.findall(text)]
    found += [Date(year, month, day) for month, day, year in days]
    for day, name, year in _DAY_FIRST.findall(text):
        month = month_of(name)
        # "may" without a number is seldom the month; "March 5" was found before.
        if day or year or (name != name.lower() and not any(date.month == month for date in found)):
            found.append(Date(int(year) if year else None, month, int(day) if day else None))
    return tuple(found)


def month_of(name: str) -> int:
    """A month's number, by its name or the beginning of it."""
    return 1 + [month[:3] for month in MONTHS].index(name[:3].lower())
