"""The times that a question names, "last week", "in May", "on 3 May", by rules for English.

Dates, and times counted from the present, come with the days that they stand for. The rules are ours,
over `dateutil`'s calendar. `dateparser` takes half a second to import and most of one for its first
date, gives a day where a week or a month is meant, finds "we march" and "in a second" in questions, and
does not know "last weekend" or "a couple of weeks ago".
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple, TypeAlias

from larimar_memory.recall.dates import COUNTS, NAME, WEEKDAYS, month_of

LONGEST = 2_000
"""The longest question, in characters, that names times: a longer one is a text to look for."""


class Span(NamedTuple):
    """Days from the first to the last, both included."""

    first: date
    last: date


Reads: TypeAlias = Callable[[re.Match[str], date], Span | None]
"""A function that gives the days of an expression said on a given day; None if there are none."""


@dataclass(frozen=True, slots=True)
class Named:
    """A time that a text names, from `start` to `end` in it."""

    start: int
    end: int
    match: re.Match[str]
    reads: Reads
    relative: bool

    def on(self, today: date) -> Span | None:
        """The days that it stands for, said on a day; None if the calendar has none."""
        try:
            return self.reads(self.match, today)
        except (OverflowError, ValueError):
            return None


def times_in(text: str) -> list[Named]:
    """The times that a text names, in order; none for a text longer than `LONGEST`."""
    if len(text) > LONGEST:
        return []
    found = list[Named]()
    for pattern, reads, relative in _RULES:
        for match in pattern.finditer(text):
            if reads is _written and not _is_month(match, text[: match.start()]):
                continue
            # The more specific rules come first: "two weeks ago" is no "week".
            if not any(match.start() < one.end and one.start < match.end() for one in found):
                found.append(Named(match.start(), match.end(), match, reads, relative))
    return sorted(found, key=lambda one: one.start)


def spans_on(text: str, named: list[Named], today: date) -> list[Span]:
    """The days that a text's times stand for; between two, since or before one, they are one span."""
    made, at = list[Span](), 0
    while at < len(named):
        one, span = named[at], named[at].on(today)
        at += 1
        if span is None:
            continue
        lead = (
            text[max(one.start - _LEAD_CHARS, 0) : one.start]
            + (_LED.match(text[one.start : one.end]) or [""])[0]
        )
        if (
            at < len(named)
            and _BETWEEN.search(lead)
            and _JOINS.fullmatch(text[one.end : named[at].start])
        ):
            other = named[at].on(today)
            at += 1
            if other is not None:
                span = Span(min(span.first, other.first), max(span.last, other.last))
        elif _SINCE.search(lead):
            span = Span(span.first, max(today, span.first))
        elif _BEFORE.search(lead):
            ends = lead.rstrip().lower().removesuffix("the").rstrip().endswith("before")
            span = Span(date.min, span.first - timedelta(1) if ends else span.last)
        made.append(span)
    return made


_LEAD_CHARS = 12
_LED = re.compile(r"(?:since|after|before|until|till|from|between)\s", re.I)
_BETWEEN = re.compile(r"\b(?:between|from)\s+(?:the\s+)?$", re.I)
_JOINS = re.compile(r"\s*(?:and|to|until|till|through|-|\u2013)\s*(?:the\s+)?", re.I)
_SINCE = re.compile(r"\b(?:since|after)\s+(?:the\s+)?$", re.I)
_BEFORE = re.compile(r"\b(?:before|until|till)\s+(?:the\s+)?$", re.I)

_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""Months in which the seasons begin, in the north."""

_COUNTS = {word: n for n, word in enumerate(COUNTS, 1)}
_COUNTS |= {"a": 1, "an": 1, "couple": 2, "few": 3, "several": 5}
_COUNT = rf"(?P<count>\d{{1,4}}|{'|'.join(_COUNTS)})(?: of)?"
_UNIT = r"(?P<unit>day|night|week|fortnight|month|year)s?"
_OF_WEEK = rf"(?P<weekday>{'|'.join(WEEKDAYS)})"

_WIDTHS = {"day": 0, "night": 0, "week": 3, "fortnight": 4, "month": 15, "year": 183}
"""By how many days such a time may be off: "a month ago" is seldom meant to the day."""


def _back_by(at: date, unit: str, count: int) -> date:
    """The day that is so many units before another."""
    # Imported late: most questions name no time.
    from dateutil.relativedelta import relativedelta

    unit, count = {"night": ("day", count), "fortnight": ("week", 2 * count)}.get(unit, (unit, count))
    back: date = at - relativedelta(**{f"{unit}s": count})
    return back


def _day(at: date) -> Span:
    return Span(at, at)


def _back(days: int) -> Reads:
    return lambda match, today: _day(today - timedelta(days))


def _count(match: re.Match[str]) -> int:
    said = match["count"].lower()
    return _COUNTS.get(said) or int(said)


def _ago(match: re.Match[str], today: date) -> Span:
    unit = match["unit"].lower()
    at, off = _back_by(today, unit, _count(match)), _WIDTHS[unit]
    if match["count"].lower() in ("few", "several"):
        off = max(2 * off, 2)
    return Span(at - timedelta(off), min(at + timedelta(off), today))


def _rolling(match: re.Match[str], today: date) -> Span:
    """Up to today, as in "the last two weeks"."""
    count = _count(match) if match["count"] else 1
    return Span(_back_by(today, match["unit"].lower(), count), today)


def _of_calendar(unit: str, today: date, back: int) -> Span:
    """The calendar week, month or year that is so many before today's."""
    if unit == "week":
        monday = today - timedelta(today.weekday() + 7 * back)
        return Span(monday, monday + timedelta(6))
    first = _back_by(today.replace(day=1), unit, back)
    if unit == "month":
        return _dated(first.year, first.month, None)
    return Span(date(first.year, 1, 1), date(first.year, 12, 31))


def _last(match: re.Match[str], today: date) -> Span:
    return _of_calendar(match["unit"].lower(), today, 1)


def _this(match: re.Match[str], today: date) -> Span:
    return _of_calendar(match["unit"].lower(), today, 0)


def _weekday(match: re.Match[str], today: date) -> Span:
    """The last such day before today."""
    back = (today.weekday() - WEEKDAYS.index(match["weekday"].lower()) - 1) % 7 + 1
    return _day(today - timedelta(back))


def _weekend(match: re.Match[str], today: date) -> Span:
    saturday = today - timedelta((today.weekday() - 5) % 7)
    if match["which"].lower() != "this" and today.weekday() >= 5:
        saturday -= timedelta(7)
    return Span(saturday, saturday + timedelta(1))


def _season(match: re.Match[str], today: date) -> Span:
    """The last season that has begun; for "last summer", that has ended."""
    month = _SEASONS[match["season"].lower()]
    ended = match["which"].lower() in ("last", "past", "previous")
    for year in (today.year, today.year - 1, today.year - 2):
        end_year, end = year + month // 12, (month + 1) % 12 + 1
        span = Span(date(year, month, 1), _dated(end_year, end, None).last)
        if (span.last if ended else span.first) < today:
            break
    return span


def _iso(match: re.Match[str], today: date) -> Span:
    return _dated(int(match["year"]), int(match["month"]), match["day"])


def _written(match: re.Match[str], today: date) -> Span | None:
    """A month, or a day in it; without a year, the last one that has begun."""
    month = month_of(match["month"])
    if match["year"]:
        return _dated(int(match["year"]), month, match["day"])
    # Eight years: 29 February comes again within eight years.
    for year in range(today.year, today.year - 9, -1):
        try:
            span = _dated(year, month, match["day"])
        except ValueError:
            continue
        if span.first <= today and not (_of_before(match) and span.last >= today):
            return span
    return None


def _is_month(match: re.Match[str], before: str) -> bool:
    """Whether a word is a month although neither a day nor a year says so.

    "may", "march" and "June" may be other words, unless "in" or a month from which a time begins is
    before them.
    """
    if match["day"] or match["year"]:
        return True
    lead, name = (match["lead"] or "").lower(), match["month"]
    if not lead:
        return name.lower() in _ONLY_MONTHS or _FROM.search(before) is not None
    return lead != "of" or name != name.lower()


_ONLY_MONTHS = ("january", "february", "july", "september", "october", "november", "december")
_FROM = re.compile(r"\b(?:from|between) [\w .,]{3,24} (?:and|to|until|till|through) $", re.I)


def _of_before(match: re.Match[str]) -> bool:
    return (match.groupdict().get("lead") or "").lower() in ("last", "past", "previous")


def _dated(year: int, month: int, day: str | None) -> Span:
    if day:
        return _day(date(year, month, int(day)))
    return Span(date(year, month, 1), date(year, month, monthrange(year, month)[1]))


def _year(match: re.Match[str], today: date) -> Span:
    return Span(date(int(match["year"]), 1, 1), date(int(match["year"]), 12, 31))


def _rule(pattern: str, reads: Reads, relative: bool = True) -> tuple[re.Pattern[str], Reads, bool]:
    return re.compile(rf"\b{pattern}\b", re.I), reads, relative


_TH = r"(?:st|nd|rd|th)?"
_LEADS = (
    r"(?:(?P<lead>in|of|during|last|past|previous|this|by|early|mid|late|since|before|after|until|till|from"
    r"|between) )?"
)
_OF_YEAR = r"(?:,? (?P<year>\d{4}))?"

_RULES = [
    _rule(r"(?P<year>\d{4})-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?(?![-\d])", _iso, relative=False),
    _rule(rf"(?P<month>{NAME})\.? (?P<day>\d{{1,2}}){_TH}\b{_OF_YEAR}", _written),
    _rule(rf"{_LEADS}(?:(?P<day>\d{{1,2}}){_TH}(?: of)? )?(?P<month>{NAME})\b\.?{_OF_YEAR}", _written),
    _rule(r"(?:the )?day before yesterday", _back(2)),
    _rule(r"yesterday(?: (?:morning|afternoon|evening|night))?|last night", _back(1)),
    _rule(r"today|tonight|this (?:morning|afternoon|evening)", _back(0)),
    _rule(rf"(?:a )?{_COUNT} {_UNIT} (?:ago|earlier|before|back)", _ago),
    _rule(rf"(?:in|over|during|within|for) the (?:last|past) (?:{_COUNT} )?{_UNIT}", _rolling),
    _rule(rf"(?:the )?(?:last|past) {_COUNT} {_UNIT}", _rolling),
    _rule(r"(?:last|past|previous) (?P<unit>week|month|year)", _last),
    _rule(r"this (?P<unit>week|month|year)", _this),
    _rule(r"(?P<which>last|past|previous|this|on the|over the) weekend", _weekend),
    _rule(rf"(?:on|last|past|this|since) {_OF_WEEK}", _weekday),
    _rule(rf"(?P<which>last|past|previous|this|in|in the) (?P<season>{'|'.join(_SEASONS)})", _season),
    _rule(
        r"(?:in|during|of|since|before|until|after) (?P<year>(?:19|20)\d\d)(?![-\d])",
        _year,
        relative=False,
    ),
]
