"""Which questions are answered part by part, and what the lines begin with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.recall.lines import MOST, lines_of
from larimar_memory.recall.question import MOST_PARTS, parts_of

LISTS = {
    "What are the values for a, b and c?": ["a:", "b:", "c:"],
    "What are all the numbers for red-fox, big-dog, and old-cat mentioned in the text?": [
        "red-fox:",
        "big-dog:",
        "old-cat:",
    ],
    "When, where and why did it happen?": ["When:", "where:", "why:"],
    "What is the capital of France, New Zealand and Peru?": ["France:", "New Zealand:", "Peru:"],
    "Who leads Acme Corp, Blue Sky Ltd and Core Inc?": ["Acme Corp:", "Blue Sky Ltd:", "Core Inc:"],
    "What are the pass keys of the copper dial and of the wooden anchor?": [
        "the copper dial:",
        "the wooden anchor:",
    ],
    "What is the code for Anna, and for Bob Ek?": ["Anna:", "Bob Ek:"],
    "Give the phone numbers of Ada, Ben, and Cleo.": ["Ada:", "Ben:", "Cleo:"],
}


@pytest.mark.parametrize("question", LISTS)
def test_a_list_has_a_line_an_item(question: str) -> None:
    lines = lines_of(question)
    assert [line.label for line in lines] == LISTS[question]
    assert all(line.alone for line in lines)


def test_each_part_is_a_question() -> None:
    lines = lines_of("What is the capital of France, New Zealand and Peru?")
    assert [line.asked for line in lines] == [
        f"What is the capital of {name}?" for name in ("France", "New Zealand", "Peru")
    ]


def test_a_label_is_one_line() -> None:
    labels = [line.label for line in lines_of("When did\nAnna move? \n Where is\tBob now?")]
    assert labels == ["When did Anna move?", "Where is Bob now?"]


def test_clauses_are_lines_and_some_lean_on_others() -> None:
    lines = lines_of("When did Anna move and where does she work now?")
    assert [line.label for line in lines] == ["When did Anna move?", "Where does she work now?"]
    assert [line.alone for line in lines] == [True, False]
    assert [line.alone for line in lines_of("Who is Anna, and what does Bob do?")] == [True, True]


@pytest.mark.parametrize(
    "question",
    [
        "Who wrote it?",
        "On March 15, 2024, what did I do?",
        "Which is larger, Mars, Venus or Earth?",
        "What do Anna, Bob and Carl have in common?",
        "What is the sum of a, b and c?",
        "What is the age of Anna and of Bob in the winter of 1920?",
        "What is the name of the dog or of the cat?",
        "Who was the father of Anna and of what did he die?",
        "What do the letters of Anna and of Bob have in common?",
        "What is the sum of a and of b?",
        "Who came between Anna, Bob and Carl?",
        "I bought apples, pears and plums. Which of them did I like?",
        "After the war in France, Spain and Italy, who ruled?",
        "I was in Rome yesterday; what did I eat?",
        "x" * 5_000,
        "",
    ],
)
def test_what_is_asked_at_once(question: str) -> None:
    assert lines_of(question) == []


def test_no_item_is_left_out() -> None:
    names = [f"x{n}" for n in range(MOST)]
    question = f"What are the values for {', '.join(names[:-1])} and {names[-1]}?"
    assert [line.label for line in lines_of(question)] == [f"{name}:" for name in names]
    assert len(parts_of(question)) == MOST_PARTS
    assert lines_of(question.replace(" and ", ", more and ")) == []


@given(st.text(alphabet=st.sampled_from("ab, ?;.and or what who 'é中"), max_size=200))
def test_lines_say_something(question: str) -> None:
    lines = lines_of(question)
    assert len(lines) != 1
    assert all(line.asked.strip() and line.label.strip(" :?") for line in lines)
