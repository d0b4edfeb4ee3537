"""Days and moments in ISO 8601, as in metadata, filters and options.

A day is `YYYY-MM-DD`. A moment also has a time, `THH:MM`, maybe with seconds, and maybe with a zone,
`Z` or `+HH:MM`; without a zone it is in UTC. A text that begins with a day and goes on in another way
has that day, but is not a moment; anything else is not a time.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from typing import Any

_WRITTEN = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:\.(\d+))? ?([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d(?!\d)", re.ASCII)
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


def day_of(written: Any) -> date | None:
    """The day that a text begins with, in the zone of its writer; None if it begins with none."""
    found = _DAY.match(written) if isinstance(written, str) else None
    try:
        return None if found is None else date.fromisoformat(found[0])
    except ValueError:
        return None


def moment_of(written: Any) -> datetime | None:
    """The moment that a text in ISO 8601 states, the first one for a day; None if it states none."""
    found = _WRITTEN.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        return None
    day, time, seconds, fraction, zone = found.groups()
    text = f"{day}T{time or '00:00'}{seconds or ':00'}.{(fraction or '')[:6]:0<6}"
    try:
        at = datetime.fromisoformat(f"{text}{'+00:00' if zone in (None, 'Z', 'z') else zone}")
        return at.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        # Such as 30 February, a zone of 25 hours, or the first hours of the year 1 in another zone.
        return None


def written(value: Any) -> str | None:
    """A day or moment, from text, date or datetime, as ISO 8601 text; None for anything else."""
    if isinstance(value, date):
        value = value.isoformat()
    return value if moment_of(value) is not None else None


def is_day(text: str) -> bool:
    """Whether a text in ISO 8601 states a day without a time."""
    return len(text) == len("YYYY-MM-DD")


def shown_day(value: Any) -> str:
    """The day of a text in ISO 8601 as people write it, "3 May 2026"; "" if it states none."""
    day = day_of(value)
    return "" if day is None else f"{day.day} {MONTHS[day.month - 1]} {day.year}"
