"""Dates that questions name, and when things were said."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.recall.dates import dates_in, same_date

SAID = "2024-03-15T09:30:00+00:00"


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("on 23 January 2023", [(2023, 1, 23)]),
        ("on the 5th of March", [(None, 3, 5)]),
        ("January 23", [(None, 1, 23)]),
        ("Mar. 5, 2024", [(2024, 3, 5)]),
        ("MARCH 1st 2024", [(2024, 3, 1)]),
        ("Sept 3", [(None, 9, 3)]),
        ("3 Sept. 2020", [(2020, 9, 3)]),
        ("in March 2024", [(2024, 3, None)]),
        ("in May", [(None, 5, None)]),
        ("2024-03-15", [(2024, 3, 15)]),
        ("2024-3", [(2024, 3, None)]),
        ("March 15 and 16 April 2023", [(None, 3, 15), (2023, 4, 16)]),
        ("you may go", []),
        ("we march on", []),
        ("Marching 5", []),
        ("decide 5", []),
        ("12-03-15 and 1234567-12", []),
        ("", []),
    ],
)
def test_dates_are_found(text: str, dates: list[tuple[Any, int, Any]]) -> None:
    assert [tuple(date) for date in dates_in(text)] == dates


@pytest.mark.parametrize(
    ("question", "same"),
    [
        ("What did I say on March 15?", 1.0),
        ("What did I say on 15 March 2024?", 1.0),
        ("What did I say on 2024-03-15?", 1.0),
        ("What did I say in March?", 0.5),
        ("What did I say in March 2024?", 0.5),
        ("What did I say in March 2023?", 0.0),
        ("What did I say on March 16?", 0.0),
        ("What did I say in April?", 0.0),
        ("What did I say on March 16 or March 15?", 1.0),
        ("What did I say?", 0.0),
    ],
)
def test_a_question_names_the_day_or_the_month(question: str, same: float) -> None:
    assert same_date(dates_in(question), SAID) == same
    assert same_date(dates_in(question), "2024-03-15") == same
    assert same_date(dates_in(question), "2024-03-15T09:30:00Z") == same


@pytest.mark.parametrize("said_at", [None, 15, "", "last week", "2024-13-45", ["2024-03-15"], {}])
def test_what_is_no_time_is_none(said_at: Any) -> None:
    assert same_date(dates_in("on March 15"), said_at) == 0.0


@given(st.text(max_size=60), st.one_of(st.none(), st.integers(), st.text(max_size=30)))
def test_anything_can_be_asked(question: str, said_at: Any) -> None:
    assert 0.0 <= same_date(dates_in(question), said_at) <= 1.0


@given(st.dates(date(1000, 1, 1)))
def test_each_day_is_found_in_each_form(day: date) -> None:
    for form in (
        f"{day:%Y-%m-%d}",
        f"{day:%B} {day.day}, {day.year}",
        f"{day.day} {day:%B} {day.year}",
    ):
        assert same_date(dates_in(f"What was said on {form}?"), day.isoformat()) == 1.0
