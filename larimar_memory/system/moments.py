"""Days and moments in ISO 8601, as metadata, filters and options say them.

A day is `YYYY-MM-DD`; a moment has a time as well, `THH:MM`, maybe with seconds, and maybe a zone, `Z`
or `+HH:MM`: one without is in UTC. A text that begins with a day and goes on in another way has that
day and is no moment; anything else is no time.
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
    """The day that a text begins with, as its writer had it in any zone; None where it has none."""
    found = _DAY.match(written) if isinstance(written, str) else None
    try:
        return None if found is None else date.fromisoformat(found[0])
    except ValueError:
        return None


def moment_of(written: Any) -> datetime | None:
    """The moment that a text in ISO 8601 says, a day's first; None where it says none."""
    found = _WRITTEN.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        return None
    day, time, seconds, fraction, zone = found.groups()
    text = f"{day}T{time or '00:00'}{seconds or ':00'}.{(fraction or '')[:6]:0<6}"
    try:
        at = datetime.fromisoformat(f"{text}{'+00:00' if zone in (None, 'Z', 'z') else zone}")
        return at.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        # A 30 February; a zone of 25 hours; the first hours of the year 1 in another zone.
        return None


def written(value: Any) -> str | None:
    """A day or a moment, text or date or datetime, as ISO 8601 text; None of anything else."""
    if isinstance(value, date):
        value = value.isoformat()
    return value if moment_of(value) is not None else None


def is_day(text: str) -> bool:
    """Whether a text in ISO 8601 says a day without a time."""
    return len(text) == len("YYYY-MM-DD")


def shown_day(value: Any) -> str:
    """The day of a text in ISO 8601 as people write it, "3 May 2026"; "" where it says none."""
    day = day_of(value)
    return "" if day is None else f"{day.day} {MONTHS[day.month - 1]} {day.year}"
