"""What a question says: its parts, what it asks for, of whom, of when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.recall.dates import dates_in, same_date
from larimar_memory.recall.question import MOST_PARTS, Asked, parts_of
from larimar_memory.recall.stop_words import stop_words

PARTS = {
    "What are the values for a, b, c and d?": [
        "What are the values for a?",
        "What are the values for b?",
        "What are the values for c?",
        "What are the values for d?",
    ],
    "What is the number for red fox, blue fox, and green fox mentioned in the text?": [
        "What is the number for red fox mentioned in the text?",
        "What is the number for blue fox mentioned in the text?",
        "What is the number for green fox mentioned in the text?",
    ],
    "When did Anna move and where does she work now?": [
        "When did Anna move",
        "where does she work now?",
    ],
    "Who wrote it?": [],
    "What did Anna and Bob buy?": [],
    "How many people live in Paris, Texas?": [],
    "On March 15, 2024, what did I do?": [],
}


@pytest.mark.parametrize("question", PARTS)
def test_the_parts_of_a_question(question: str) -> None:
    assert parts_of(question) == PARTS[question]


@given(st.text(alphabet=st.sampled_from("ab, ?;.and or what who 'é中"), max_size=200))
def test_parts_are_few_and_say_something(question: str) -> None:
    found = parts_of(question)
    assert len(found) <= MOST_PARTS
    assert all(part.strip() for part in found)


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("How many forks are there?", {"number"}),
        ("When did it rain?", {"time"}),
        ("Who sang?", {"person"}),
        ("Where is it?", {"place"}),
        ("Which city has how many bridges?", {"place", "number"}),
        ("Why is it blue?", set()),
    ],
)
def test_the_kind_of_answer(question: str, kinds: set[str]) -> None:
    assert Asked(question).kinds == kinds


def test_stop_words_go_unless_there_are_no_others() -> None:
    assert Asked("What is the vault code?").terms == ["vault", "code"]
    assert Asked("Who are you?").terms == ["who", "are", "you"]
    assert Asked("Wo ist der Schlüssel?", "de").terms == ["schlussel"]
    assert stop_words("xx") == frozenset()


def test_who_asks_and_who_is_named() -> None:
    assert Asked("What did I say about my dog?").own
    assert not Asked("What did Anna say?").own
    assert Asked("What did Anna say?").names("Anna Lopez")
    assert not Asked("What did Anna say?").names("Bob")
    assert Asked("What is my latest plan?").latest
    assert Asked("What did we plan first?").earliest


@pytest.mark.parametrize(
    ("question", "said_at", "share"),
    [
        ("on 8 May 2023", "2023-05-08T13:56:00+00:00", 1.0),
        ("on May 8th", "2023-05-08", 1.0),
        ("on 2023-05-08", "2023-05-08T10:00:00Z", 1.0),
        ("in May 2023", "2023-05-21", 0.5),
        ("in May 2022", "2023-05-21", 0.0),
        ("on 9 May 2023", "2023-05-08", 0.0),
        ("may I go", "2023-05-08", 0.0),
        ("on 8 May 2023", "no date", 0.0),
        ("on 8 May 2023", None, 0.0),
        ("on 8 May 2023", 5, 0.0),
    ],
)
def test_a_date_that_is_named(question: str, said_at: object, share: float) -> None:
    assert same_date(dates_in(question), said_at) == share


def test_dates_of_all_forms() -> None:
    assert [date[1:] for date in dates_in("January 23, 2023, then 5 March and 2024-07-01")] == [
        (7, 1),
        (1, 23),
        (3, 5),
    ]
