"""What a question says by rules: its parts, the kind of thing it asks for, of whom and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.recall.question import LONGEST, MOST_PARTS, Asked, parts_of

PIECES = st.sampled_from(
    [
        *(
            "a",
            "Anna",
            "March",
            "15",
            "2024",
            "1,000",
            "who",
            "What is",
            "where",
            "\u4f60\u597d",
            "x y z w v",
        ),
        *(", ", ",", " and ", ", and ", " or ", "? ", "; ", ".", " ", "\n", "\ufdd0", "!"),
    ]
)


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        (
            "What are the values for a, b, c and d?",
            [f"What are the values for {name}?" for name in "abcd"],
        ),
        (
            "What is the code for red, blue, green, and yellow?",
            [f"What is the code for {name}?" for name in ("red", "blue", "green", "yellow")],
        ),
        (
            "Where did Anna, Bob and Carol live?",
            [f"Where did {name} live?" for name in ("Anna", "Bob", "Carol")],
        ),
        (
            "Tell me the colour of the car, the bike or the boat.",
            [
                "Tell me the colour of the car",
                "Tell me the colour of the bike",
                "Tell me the colour of the boat.",
            ],
        ),
        ("Is it 1,000, 2,000 and 3,000?", ["Is it 1,000?", "Is it 2,000?", "Is it 3,000?"]),
        (
            "Was it March 15, 2024, April 2, 2024 or May 3, 2025?",
            ["Was it March 15, 2024?", "Was it April 2, 2024?", "Was it May 3, 2025?"],
        ),
    ],
)
def test_a_list_is_asked_for_item_by_item(question: str, parts: list[str]) -> None:
    assert parts_of(question) == parts


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("Who is Anna, and where does she live?", ["Who is Anna", "where does she live?"]),
        ("When did it open? And when did it close?", ["When did it open", "And when did it close?"]),
        ("What is A; what is B?", ["What is A", "what is B?"]),
        ("Who is he or what is he called?", ["Who is he", "what is he called?"]),
    ],
)
def test_clauses_are_asked_one_by_one(question: str, parts: list[str]) -> None:
    assert parts_of(question) == parts


@pytest.mark.parametrize(
    "question",
    [
        "What happened on March 15, 2024?",
        "What happened on March 15, 2024 and how?",
        "What happened on Mar. 15th, 2024 and on the next day?",
        "What happened between March 15, 2024 and April 3, 2025?",
        "Who met on Friday, March 15, 2024 and Saturday?",
        "Who met on Friday, 15 March and Saturday?",
        "Who lives in Paris, Texas?",
        "What did Anna and Bob say?",
        "Did 1,000 and 2,000 people come?",
        "Who wrote it, and why?",
        "Where is it and",
        ", ,,, and or",
        "",
        "?",
    ],
)
def test_what_asks_one_thing_has_no_parts(question: str) -> None:
    assert parts_of(question) == []


def test_a_text_has_no_parts_and_costs_nothing() -> None:
    # Looked through for lists, each of these would take minutes.
    for text in ("a" * 1_000_000, "a, " * 300_000, "a, b" * 200_000 + " and c"):
        assert parts_of(text) == []
    listed = ", ".join(["name"] * (LONGEST // 7)) + " and last"
    assert len(parts_of(listed)) == MOST_PARTS


def test_no_more_than_so_many_parts() -> None:
    parts = parts_of(f"What are {', '.join('abcdefghijk')} and l?")
    assert parts == [f"What are {name}?" for name in "abcdefgh"]
    assert len(parts_of("Where is it? " * 20)) == MOST_PARTS


@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=30).map("".join)))
def test_parts_of_anything_are_few_and_say_something(question: str) -> None:
    parts = parts_of(question)
    assert len(parts) <= MOST_PARTS
    assert len(parts) != 1
    assert all(part.strip() for part in parts)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_parts_have_no_words_of_their_own(question: str) -> None:
    words = set(Asked(question).words)
    assert all(set(Asked(part).words) <= words for part in parts_of(question))


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("How many ships sank?", {"number"}),
        ("What percentage of it is salt?", {"number"}),
        ("When did he die?", {"time"}),
        ("How long did it last?", {"number", "time"}),
        ("Whose dog is it?", {"person"}),
        ("Which football team won?", {"person"}),
        ("In what city is the tower?", {"place"}),
        ("Who died where?", {"person", "place"}),
        ("Is it whole?", set()),
        ("Describe the somewhere.", set()),
    ],
)
def test_kinds_follow_from_the_words(question: str, kinds: set[str]) -> None:
    assert Asked(question).kinds == kinds


@pytest.mark.parametrize(
    ("question", "own"),
    [
        ("What did I say?", True),
        ("what is MY dog called?", True),
        ("Where have we been?", True),
        ("what i've said", True),
        ("What did Anna say?", False),
        ("Who owns the mine shaft of Mei?", True),
        ("What did Iris eat?", False),
        ("Is the hour over?", False),
    ],
)
def test_the_first_person(question: str, own: bool) -> None:
    assert Asked(question).own is own


def test_what_was_last_and_first() -> None:
    assert Asked("Where do I live currently?").latest
    assert Asked("Where did I live most recently?").latest
    assert not Asked("What was blasted?").latest
    assert Asked("What was the first thing?").earliest
    assert not Asked("Who was it?").earliest


@pytest.mark.xfail(strict=True, reason='of "current" and "currently", the pattern has the second alone')
def test_what_is_current_is_the_latest() -> None:
    assert Asked("What is my current job?").latest


def test_names_of_speakers() -> None:
    asked = Asked("What did Anna Lind's brother say?")
    assert asked.names("Anna")
    assert asked.names("anna maria")
    assert not asked.names("Ann")
    assert not asked.names("")


def test_stop_words_say_nothing_unless_there_are_no_others() -> None:
    assert Asked("What is the lamp?").terms == ["lamp"]
    assert Asked("What is the?").terms == ["what", "is", "the"]
